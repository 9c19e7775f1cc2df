"""The flow `analyze-features`: stage 2 of a job."""

from pathlib import Path

from prefect import flow, task
from prefect.artifacts import create_table_artifact
from prefect.cache_policies import NO_CACHE

from vadprobe.analyze.compute.step_cache import StepCache
from vadprobe.analyze.detector.detector import Detector
from vadprobe.analyze.detector.scoring import Scores
from vadprobe.analyze.features.inputs import AnalysisInputs
from vadprobe.flows.jobs.analyze_job import (
    AnalysisOutcome,
    computing,
    fit_step,
    open_analysis,
    report_step,
    score_step,
)
from vadprobe.flows.jobs.job import Job, load_job

open_task = task(name="open", cache_policy=NO_CACHE, persist_result=False)(open_analysis)
fit_task = task(name="fit", cache_policy=NO_CACHE, persist_result=False)(fit_step)
score_task = task(name="score", cache_policy=NO_CACHE, persist_result=False)(score_step)


@flow(name="analyze-features", persist_result=False)
def analyze_features(config: str = "configs/hiprobe.toml", workspace: str | None = None) -> str:
    """Select, fit, score and report from the stores alone.

    Args:
        config: path of the job file.
        workspace: where the job's relative paths begin, in place of the file's own workspace.

    Returns:
        The path of the report.
    """
    job = load_job(Path(config), Path(workspace) if workspace else None)
    inputs = open_task(job)
    with computing(job) as (cache, scheduler):
        detector = fit_task(job, inputs, cache, scheduler)
        scores = score_task(job, inputs, detector, cache, scheduler)
    return str(report_task(job, inputs, detector, scores, cache).report)


@task(name="report", cache_policy=NO_CACHE, persist_result=False)
def report_task(
    job: Job, inputs: AnalysisInputs, detector: Detector, scores: Scores, cache: StepCache
) -> AnalysisOutcome:
    """Measure the test split, draw the page, publish the result table."""
    outcome = report_step(job, inputs, detector, scores, cache)
    create_table_artifact([outcome.row()], key="result-table")
    return outcome
