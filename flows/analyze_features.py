"""The flow `analyze-features`: stage 2 of a job."""

import vadprobe.flows.deployments.defaults  # noqa: F401 - before prefect is imported

# isort: split
from prefect import flow

from vadprobe.flows.runs.analysis_steps import fit_task, open_task, report_task, score_task
from vadprobe.flows.runs.faults import stop_if_suspended
from vadprobe.flows.runs.labels import label_run
from vadprobe.flows.runs.loading import analysis_of, load_run_job
from vadprobe.flows.runs.logs import log_of_run
from vadprobe.flows.runs.parameters import AnalysisOverrides, JobName, Workspace

AS_THE_JOB = AnalysisOverrides()


@flow(name="analyze-features", flow_run_name="{config}", persist_result=False)
def analyze_features(
    config: JobName = "hiprobe",
    workspace: Workspace = None,
    overrides: AnalysisOverrides = AS_THE_JOB,
) -> str:
    """Select, fit, score and report from the stores alone; steps that an earlier run has computed are not repeated.

    Args:
        config: a shipped job by its name, or the path of a job file of your own, which ends in .toml.
        workspace: folder on the worker's machine where the job's relative paths begin, in place of the file's own.
        overrides: settings of this run, in place of those of the job.

    Returns:
        The path of the report.
    """
    with log_of_run():
        job = load_run_job(config, workspace, overrides)
        label_run(job, with_method=True)
        inputs = open_task(job)
        with analysis_of(job) as (cache, scheduler):
            detector = fit_task(job, inputs, cache, scheduler)
            stop_if_suspended()
            scores = score_task(job, inputs, detector, cache, scheduler)
            stop_if_suspended()
            outcome = report_task(job, inputs, detector, scores, cache)
    return str(outcome.report)
