"""The flow `measure-tables`: tables of both papers under their numbers, and tables of our own."""

import vadprobe.flows.deployments.defaults  # noqa: F401 - before prefect is imported

# isort: split
from typing import Annotated

from prefect import flow
from pydantic import Field

from vadprobe.flows.procedures.parameters import Jobs, TableName
from vadprobe.flows.procedures.steps.tables import label_tables, measure_task, open_tables
from vadprobe.flows.runs.faults import stop_if_suspended
from vadprobe.flows.runs.loading import load_run_job, run_folder
from vadprobe.flows.runs.logs import log_of_run
from vadprobe.flows.runs.parameters import Workspace


@flow(name="measure-tables", persist_result=False)
def measure_tables(
    names: Annotated[list[TableName], Field(min_length=1, title="Tables")],
    configs: Jobs,
    workspace: Workspace = None,
    draws: Annotated[int, Field(ge=1, title="Calibration draws")] = 5,
    fraction: Annotated[float | None, Field(gt=0, le=1, title="Fraction of the training videos")] = None,
    out: str | None = None,
) -> str:
    """Measure tables; each is written as soon as it is measured, and what earlier runs have computed is not repeated.

    Args:
        names: the tables, in this order.
        configs: jobs whose features are extracted: the first of each method is measured, others give more datasets
            and backbones.
        workspace: folder on the worker's machine where the jobs' relative paths begin, in place of the files' own.
        draws: draws of the calibration videos.
        fraction: fraction of the training videos in a draw, in place of the jobs' own.
        out: folder of the tables; none: 'tables' below the results of the first job.

    Returns:
        The path of the page of all tables.
    """
    with log_of_run():
        jobs = [load_run_job(config, workspace) for config in configs]
        label_tables(jobs, names)
        folder = run_folder() / out if out else jobs[0].out / "tables"
        with open_tables(jobs, names, draws, fraction, folder) as run:
            for name in names:
                stop_if_suspended()
                measure_task(run, name)
        return str(run.files.page)
