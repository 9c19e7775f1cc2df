"""The flow ``extract-features``: stage 1 of a job."""

from pathlib import Path

from prefect import flow

from vadprobe.flows.extract_tasks import commit_task, extract_task, plan_task, verify_task
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
    summary = commit_task(extractor, extract_task(extractor))
    for store in job.stores:
        verify_task(store)
    return "\n".join(summary.lines())
