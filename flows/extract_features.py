"""The flow `extract-features`: stage 1 of a job."""

from pathlib import Path

from prefect import flow, get_run_logger, task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE

from vadprobe.extract.pipeline.claim_loop import Listener, compute_pending
from vadprobe.extract.pipeline.extraction import Extractor
from vadprobe.extract.pipeline.open_partition import PartitionKey
from vadprobe.extract.pipeline.stream import PartitionOutcome
from vadprobe.flows.jobs.extract_job import ExtractionSummary, finish, prepare
from vadprobe.flows.jobs.job import Job, load_job
from vadprobe.store.files.location import StorePath
from vadprobe.store.verification.verify import Verification, verify


@flow(name="extract-features", persist_result=False)
def extract_features(config: str = "configs/hiprobe.toml", workspace: str | None = None) -> str:
    """Compute the features a job lacks, commit its stores and verify them.

    Args:
        config: path of the job file.
        workspace: where the job's relative paths begin, in place of the file's own workspace.

    Returns:
        The summary, in sentences.
    """
    job = load_job(Path(config), Path(workspace) if workspace else None)
    extractor = plan_task(job)
    summary = commit_task(extractor, extract_task(extractor))
    for store in job.stores:
        verify_task(store)
    return "\n".join(summary.lines())


@task(name="plan", cache_policy=NO_CACHE, persist_result=False)
def plan_task(job: Job) -> Extractor:
    """Read the headers of the videos and create or open the stores."""
    extractor = prepare(job)
    logger = get_run_logger()
    for video, reason in sorted(extractor.plan.unreadable.items()):
        logger.warning("Video not readable: %s: %s", video, reason)
    return extractor


@task(name="extract", cache_policy=NO_CACHE, persist_result=False)
def extract_task(extractor: Extractor) -> list[PartitionKey]:
    """Compute and write all pending partitions, beside any number of other workers."""
    logger = get_run_logger()
    n_left = len(extractor.pending())

    def finished(outcome: PartitionOutcome) -> None:
        elsewhere(outcome.key)
        timings = extractor.timings
        logger.info(
            "Partition %d: %.1f clips/s (%s); %d left, about %.0f s if no other worker helps",
            outcome.key.partition,
            timings.clips / timings.seconds,
            timings.busy() or "no clip was readable",
            n_left,
            timings.seconds / (n_before - n_left) * n_left,
        )
        for row, reason in outcome.failures.items():
            logger.warning("Clip of row %d not readable: %s", row, reason)

    def elsewhere(key: PartitionKey) -> None:
        nonlocal n_left
        n_left -= 1

    n_before = n_left
    return compute_pending(extractor, Listener(tell=logger.info, finished=finished, elsewhere=elsewhere))


@task(name="commit", cache_policy=NO_CACHE, persist_result=False)
def commit_task(extractor: Extractor, computed: list[PartitionKey]) -> ExtractionSummary:
    """Commit the stores and publish what was done."""
    summary = finish(extractor, computed)
    create_markdown_artifact("\n\n".join(summary.lines()), key="extraction-summary")
    return summary


@task(name="verify", cache_policy=NO_CACHE, persist_result=False)
def verify_task(store: StorePath) -> Verification:
    """Read a store again; a store that is not sound fails the run.

    Raises:
        RuntimeError: naming the problems.
    """
    found = verify(store)
    if found.problems:
        raise RuntimeError("; ".join(str(problem) for problem in found.problems))
    return found
