"""The flow `extract-features`: stage 1 of a job."""

import vadprobe.flows.deployments.defaults  # noqa: F401 - before prefect is imported

# isort: split
from prefect import State, flow

from vadprobe.flows.runs.endings import ending
from vadprobe.flows.runs.extraction.fan_out import helper_parameters, helping
from vadprobe.flows.runs.extraction.progress import SpanProgress
from vadprobe.flows.runs.extraction.spans import SPAN_MINUTES, spans
from vadprobe.flows.runs.extraction.steps import (
    commit_task,
    extract_task,
    plan_task,
    unverified,
    verify_task,
    wait_task,
)
from vadprobe.flows.runs.faults import stop_if_suspended
from vadprobe.flows.runs.labels import label_run
from vadprobe.flows.runs.loading import load_run_job
from vadprobe.flows.runs.logs import log_of_run
from vadprobe.flows.runs.parameters import ExtractionOverrides, JobName, SpanMinutes, Workers, Workspace

AS_THE_JOB = ExtractionOverrides()


@flow(name="extract-features", flow_run_name="{config}", persist_result=False)
def extract_features(
    config: JobName = "hiprobe",
    workspace: Workspace = None,
    overrides: ExtractionOverrides = AS_THE_JOB,
    strict: bool = False,
    workers: Workers = 1,
    work_pool: str | None = None,
    work_queue: str | None = None,
    span_minutes: SpanMinutes = SPAN_MINUTES,
) -> State[str]:
    """Compute the features a job lacks, commit its stores, and verify what was written.

    The stores' records say what is done, so every run continues where the last one stopped, however that one ended.

    Args:
        config: a shipped job by its name, or the path of a job file of your own, which ends in .toml.
        workspace: folder on the worker's machine where the job's relative paths begin, in place of the file's own.
        overrides: settings of this run, in place of those of the job.
        strict: fail if a video or a clip cannot be read; what was written stays.
        workers: number of runs that compute at once, each on a GPU; this run starts the others, and computes too.
        work_pool: pool of the workers that take the other runs; none: that of the deployment extract-partitions.
        work_queue: queue of that pool.
        span_minutes: minutes of work in one task.

    Returns:
        The state that the run ends in, with the summary in sentences.
    """
    with log_of_run():
        job = load_run_job(config, workspace, overrides)
        label_run(job)
        extractor = plan_task(job)
        pending, to_verify, computed = extractor.pending(), unverified(extractor), []
        progress = SpanProgress.begin(extractor)
        theirs = helper_parameters(job, config, workspace, overrides, span_minutes)
        with helping(job, workers if pending else 1, theirs, work_pool, work_queue) as look_after_helpers:
            for span in spans(extractor, span_minutes):
                stop_if_suspended()
                look_after_helpers()
                computed += extract_task(extractor, span, progress)
            if extractor.pending():
                computed += wait_task(extractor, progress)
        summary = commit_task(job, extractor, computed if workers == 1 else pending)
        for store, partitions in to_verify.items():
            verify_task(store, partitions)
    return ending(summary, strict)
