"""Prefect tasks of stage 1: plain functions, a partition or a whole step each.

They are called directly, so that a loaded model stays in the process, and keep no Prefect cache: what is done is known
from the store's records, which survive a deleted result and a killed run.
"""

from pathlib import Path

from prefect import get_run_logger, task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE

from vadprobe.extract.extraction import Extractor
from vadprobe.flows.extraction_job import ExtractionSummary, Unit, finish, prepare
from vadprobe.flows.job import Job
from vadprobe.store.claims import Claim
from vadprobe.store.verification import Verification, verify


@task(name="plan", cache_policy=NO_CACHE, persist_result=False)
def plan_task(job: Job) -> Extractor:
    """Probe the videos and create or open the stores."""
    extractor = prepare(job)
    logger = get_run_logger()
    for video, reason in sorted(extractor.plan.unreadable.items()):
        logger.warning("Video not readable: %s: %s", video, reason)
    return extractor


@task(name="extract partition", task_run_name="{position}-{partition}", cache_policy=NO_CACHE, persist_result=False)
def extract_task(extractor: Extractor, position: int, partition: int, claim: Claim) -> None:
    """Compute and write one partition under its claim."""
    failures = extractor.run(position, partition, claim=claim)
    logger = get_run_logger()
    for row, reason in failures.items():
        logger.warning("Clip of row %d not readable: %s", row, reason)


@task(name="commit", cache_policy=NO_CACHE, persist_result=False)
def commit_task(extractor: Extractor, computed: list[Unit]) -> ExtractionSummary:
    """Commit the stores and publish what was done."""
    summary = finish(extractor, computed)
    create_markdown_artifact("\n\n".join(summary.lines()), key="extraction-summary")
    return summary


@task(name="verify", cache_policy=NO_CACHE, persist_result=False)
def verify_task(store: Path) -> Verification:
    """Read a store again; a store that is not sound fails the run.

    Raises:
        RuntimeError: naming the problems.
    """
    found = verify(store)
    if found.problems:
        raise RuntimeError("; ".join(str(problem) for problem in found.problems))
    return found
