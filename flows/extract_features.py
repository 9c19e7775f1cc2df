"""The flow ``extract-features``: stage 1 of a job."""

import time
from pathlib import Path

from prefect import flow, get_run_logger

from vadprobe.flows.extract_tasks import commit_task, extract_task, plan_task, verify_task
from vadprobe.flows.extraction_job import compute_pending
from vadprobe.flows.job import load_job
from vadprobe.store.claims import Claim


@flow(name="extract-features", persist_result=False)
def extract_features(config: str = "configs/hiprobe.toml", workspace: str | None = None) -> str:
    """Compute the features a job lacks, commit its stores and verify them.

    Args:
        config: the job file.
        workspace: where the job's relative paths begin, in place of the file's own workspace.

    Returns:
        What was done, in sentences.
    """
    job = load_job(Path(config), Path(workspace) if workspace else None)
    extractor = plan_task(job)
    logger = get_run_logger()
    n_left = len(extractor.pending())

    def compute(position: int, partition: int, claim: Claim) -> None:
        nonlocal n_left
        started = time.monotonic()
        extract_task(extractor, position, partition, claim)
        seconds = time.monotonic() - started
        n_left -= 1
        logger.info(
            "Partition %d: %.1f clips/s; %d left, about %.0f s if no other worker helps",
            partition,
            extractor.n_rows(position, partition) / seconds,
            n_left,
            seconds * n_left,
        )

    def elsewhere(position: int, partition: int) -> None:
        nonlocal n_left
        n_left -= 1

    summary = commit_task(extractor, compute_pending(extractor, compute, logger.info, elsewhere))
    for store in job.stores:
        verify_task(store)
    return "\n".join(summary.lines())
