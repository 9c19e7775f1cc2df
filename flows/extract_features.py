"""The flow ``extract-features``: stage 1 of a job."""

import time
from pathlib import Path

from prefect import flow, get_run_logger

from vadprobe.flows.extract_tasks import commit_task, extract_task, plan_task, verify_task
from vadprobe.flows.extraction_job import writing
from vadprobe.flows.job import load_job


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
    with writing(job):
        units = extractor.pending()
        for number, (position, partition) in enumerate(units):
            started = time.monotonic()
            extract_task(extractor, position, partition)
            seconds = time.monotonic() - started
            get_run_logger().info(
                "Partition %d of %d: %.1f clips/s, about %.0f s left",
                number + 1,
                len(units),
                extractor.n_rows(position, partition) / seconds,
                seconds * (len(units) - number - 1),
            )
        summary = commit_task(extractor, units)
    for store in job.stores:
        verify_task(store)
    return "\n".join(summary.lines())
