"""The flow ``analyze-features``: stage 2 of a job."""

from pathlib import Path

from prefect import flow, task
from prefect.artifacts import create_table_artifact
from prefect.cache_policies import NO_CACHE

from vadprobe.analyze.detector.detector import Detector
from vadprobe.analyze.detector.scoring import Scores
from vadprobe.analyze.features.context import Workbench
from vadprobe.analyze.features.inputs import AnalysisInputs
from vadprobe.flows.jobs.analyze_job import (
    PartitionOutcome,
    fit_step,
    open_analysis,
    report_step,
    score_step,
    workbench,
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
    with workbench(job, open_task(job)) as bench:
        detector = fit_task(job, bench)
        scores = score_task(job, bench, detector)
    return str(report_task(job, bench, detector, scores).report)


@task(name="open", cache_policy=NO_CACHE, persist_result=False)
def open_task(job: Job) -> AnalysisInputs:
    """Open the truth and the stores."""
    return open_analysis(job)


@task(name="fit", cache_policy=NO_CACHE, persist_result=False)
def fit_task(job: Job, bench: Workbench) -> Detector:
    """Calibrate, measure saliency, select, fit the probe and the locator."""
    return fit_step(job, bench)


@task(name="score", cache_policy=NO_CACHE, persist_result=False)
def score_task(job: Job, bench: Workbench, detector: Detector) -> Scores:
    """Score the validation and test segments."""
    return score_step(job, bench, detector)


@task(name="report", cache_policy=NO_CACHE, persist_result=False)
def report_task(job: Job, bench: Workbench, detector: Detector, scores: Scores) -> PartitionOutcome:
    """Measure the test split, draw the page, publish the result table."""
    outcome = report_step(job, bench, detector, scores)
    create_table_artifact([outcome.row()], key="result-table")
    return outcome
