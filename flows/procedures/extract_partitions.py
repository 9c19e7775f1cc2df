"""The flow `extract-partitions`: partitions of stage 1 on an additional worker."""

import vadprobe.flows.deployments.defaults  # noqa: F401 - before prefect is imported

# isort: split
from prefect import State, flow
from prefect.states import Completed

from vadprobe.flows.runs.extraction.fan_out import PART
from vadprobe.flows.runs.extraction.progress import SpanProgress
from vadprobe.flows.runs.extraction.spans import SPAN_MINUTES, spans
from vadprobe.flows.runs.extraction.steps import extract_task, open_task, wait_task
from vadprobe.flows.runs.faults import stop_if_suspended
from vadprobe.flows.runs.labels import label_run
from vadprobe.flows.runs.loading import check_digest, load_run_job
from vadprobe.flows.runs.logs import log_of_run
from vadprobe.flows.runs.parameters import ExtractionOverrides, JobName, SpanMinutes, Workspace

AS_THE_JOB = ExtractionOverrides()


@flow(name="extract-partitions", flow_run_name="{config}", persist_result=False)
def extract_partitions(
    config: JobName,
    workspace: Workspace = None,
    overrides: ExtractionOverrides = AS_THE_JOB,
    span_minutes: SpanMinutes = SPAN_MINUTES,
    digest: str | None = None,
) -> State[str]:
    """Compute partitions of a job until none is left, and leave commit and verification to `extract-features`.

    Args:
        config: a shipped job by its name, or the path of a job file of your own, which ends in .toml.
        workspace: folder on the worker's machine where the job's relative paths begin, in place of the file's own.
        overrides: settings of this run, in place of those of the job.
        span_minutes: minutes of work in one task.
        digest: digest that the job's settings must have; a job with another digest is refused.

    Returns:
        The state that the run ends in, with the count of its clips.
    """
    with log_of_run():
        job = load_run_job(config, workspace, overrides)
        check_digest(job, digest)
        label_run(job, PART)
        extractor = open_task(job)
        progress = SpanProgress.begin(extractor, "progress-helper")
        for span in spans(extractor, span_minutes):
            stop_if_suspended()
            extract_task(extractor, span, progress)
        if extractor.pending():
            wait_task(extractor, progress)
    return Completed(message=progress.sentence(), data=progress.sentence())
