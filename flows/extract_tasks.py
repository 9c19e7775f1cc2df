"""Prefect tasks of stage 1: plain functions, a partition or a whole step each.

They are called directly, so that a loaded model stays in the process, and keep no Prefect cache: what is done is known
from the store's records, which survive a deleted result and a killed run.
"""

from pathlib import Path

from prefect import get_run_logger, task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE

from vadprobe.extract.extraction import Extractor, Outcome, Unit
from vadprobe.flows.extraction_job import ExtractionSummary, Listener, compute_pending, finish, prepare
from vadprobe.flows.job import Job
from vadprobe.store.verification import Verification, verify


@task(name="plan", cache_policy=NO_CACHE, persist_result=False)
def plan_task(job: Job) -> Extractor:
    """Probe the videos and create or open the stores."""
    extractor = prepare(job)
    logger = get_run_logger()
    for video, reason in sorted(extractor.plan.unreadable.items()):
        logger.warning("Video not readable: %s: %s", video, reason)
    return extractor


@task(name="extract", cache_policy=NO_CACHE, persist_result=False)
def extract_task(extractor: Extractor) -> list[Unit]:
    """Compute and write all partitions that are left, beside any number of other workers."""
    logger = get_run_logger()
    n_left = len(extractor.pending())

    def finished(outcome: Outcome) -> None:
        elsewhere(outcome.unit)
        timings = extractor.timings
        logger.info(
            "Partition %d: %.1f clips/s (%s); %d left, about %.0f s if no other worker helps",
            outcome.unit[1],
            timings.clips / timings.seconds,
            timings.busy() or "no clip was readable",
            n_left,
            timings.seconds / (n_before - n_left) * n_left,
        )
        for row, reason in outcome.failures.items():
            logger.warning("Clip of row %d not readable: %s", row, reason)

    def elsewhere(unit: Unit) -> None:
        nonlocal n_left
        n_left -= 1

    n_before = n_left
    return compute_pending(extractor, Listener(tell=logger.info, finished=finished, elsewhere=elsewhere))


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
