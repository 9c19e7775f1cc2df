"""The flow ``analyze-features``: stage 2 of a job."""

from pathlib import Path

from prefect import flow, task
from prefect.artifacts import create_table_artifact
from prefect.cache_policies import NO_CACHE

from vadprobe.analyze.compute.scheduling import Scheduler
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


@flow(name="analyze-features", persist_result=False)
def analyze_features(config: str = "configs/hiprobe.toml", workspace: str | None = None) -> str:
    """Select, fit, score and report from the stores alone.

    Args:
        config: the job file.
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


@task(name="open", cache_policy=NO_CACHE, persist_result=False)
def open_task(job: Job) -> AnalysisInputs:
    """Open the truth and the stores."""
    return open_analysis(job)


@task(name="fit", cache_policy=NO_CACHE, persist_result=False)
def fit_task(job: Job, inputs: AnalysisInputs, cache: StepCache, scheduler: Scheduler) -> Detector:
    """Calibrate, measure saliency, select, fit the probe and the locator."""
    return fit_step(job, inputs, cache, scheduler)


@task(name="score", cache_policy=NO_CACHE, persist_result=False)
def score_task(job: Job, inputs: AnalysisInputs, detector: Detector, cache: StepCache, scheduler: Scheduler) -> Scores:
    """Score the validation and test segments."""
    return score_step(job, inputs, detector, cache, scheduler)


@task(name="report", cache_policy=NO_CACHE, persist_result=False)
def report_task(
    job: Job, inputs: AnalysisInputs, detector: Detector, scores: Scores, cache: StepCache
) -> AnalysisOutcome:
    """Measure the test split, draw the page, publish the result table."""
    outcome = report_step(job, inputs, detector, scores, cache)
    create_table_artifact([outcome.row()], key="result-table")
    return outcome
