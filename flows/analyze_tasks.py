"""Prefect tasks of stage 2: plain functions, a whole analysis step each.

They are apart from stage 1's tasks, so that a worker without torch can run them.
"""

from prefect import task
from prefect.artifacts import create_table_artifact
from prefect.cache_policies import NO_CACHE

from vadprobe.analyze.detector import Detector
from vadprobe.analyze.inputs import AnalysisInputs
from vadprobe.analyze.scoring import Scores
from vadprobe.analyze.workbench import Workbench
from vadprobe.flows.analysis_job import Outcome, fit_step, open_analysis, report_step, score_step
from vadprobe.flows.job import Job


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
def report_task(job: Job, bench: Workbench, detector: Detector, scores: Scores) -> Outcome:
    """Measure the test split, draw the page, publish the result table."""
    outcome = report_step(job, bench, detector, scores)
    create_table_artifact([outcome.row()], key="result-table")
    return outcome
