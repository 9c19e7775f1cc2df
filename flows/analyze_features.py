"""The flow ``analyze-features``: stage 2 of a job."""

from pathlib import Path

from prefect import flow

from vadprobe.flows.job import load_job
from vadprobe.flows.tasks import analyze_task


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
    return str(analyze_task(job).report)
