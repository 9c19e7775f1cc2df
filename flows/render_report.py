"""The flow `render-report`: one page about finished analyses."""

import vadprobe.flows.deployments.defaults  # noqa: F401 - before prefect is imported

# isort: split
from typing import Annotated

from prefect import flow
from pydantic import Field

from vadprobe.flows.runs.analysis_steps import render_task
from vadprobe.flows.runs.labels import label_run
from vadprobe.flows.runs.loading import load_run_job, run_folder
from vadprobe.flows.runs.logs import log_of_run
from vadprobe.flows.runs.parameters import JobName, Workspace

Jobs = Annotated[list[JobName], Field(min_length=1)]


@flow(name="render-report", persist_result=False)
def render_report(configs: Jobs, workspace: Workspace = None, out: str | None = None) -> str:
    """Draw one page from finished analyses; nothing is computed.

    Args:
        configs: jobs whose analyses are finished.
        workspace: folder on the worker's machine where the jobs' relative paths begin, in place of the files' own.
        out: the HTML file to write; none: report.html of the first analysis.

    Returns:
        The path of the page.
    """
    with log_of_run():
        jobs = [load_run_job(config, workspace) for config in configs]
        label_run(jobs[0], "report", with_method=True)
        return str(render_task(jobs, run_folder() / out if out else jobs[0].out / "report.html"))
