"""The flow ``analyze-features``: stage 2 of a job."""

from pathlib import Path

from prefect import flow

from vadprobe.flows.analysis_job import workbench
from vadprobe.flows.analyze_tasks import fit_task, open_task, report_task, score_task
from vadprobe.flows.job import load_job


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
