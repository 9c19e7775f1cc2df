"""The flow `extract-features`: stage 1 of a job."""

import vadprobe.flows.deployments.defaults  # noqa: F401 - before prefect is imported

# isort: split
from prefect import State, flow

from vadprobe.flows.runs.endings import ending
from vadprobe.flows.runs.extraction_steps import (
    commit_task,
    extract_task,
    lacking,
    plan_task,
    verify_task,
    wait_task,
    written,
)
from vadprobe.flows.runs.faults import stop_if_suspended
from vadprobe.flows.runs.labels import label_run
from vadprobe.flows.runs.loading import load_run_job
from vadprobe.flows.runs.logs import log_of_run
from vadprobe.flows.runs.parameters import ExtractionOverrides, JobName, Workspace
from vadprobe.flows.runs.progress import SpanProgress
from vadprobe.flows.runs.spans import spans

AS_THE_JOB = ExtractionOverrides()


@flow(name="extract-features", flow_run_name="{config}", persist_result=False)
def extract_features(
    config: JobName = "hiprobe",
    workspace: Workspace = None,
    overrides: ExtractionOverrides = AS_THE_JOB,
    strict: bool = False,
) -> State[str]:
    """Compute the features a job lacks, commit its stores, and verify what was written.

    The stores' records say what is done: any run, in whatever state the last one ended, goes on where it stopped.

    Args:
        config: a shipped job by its name, or the path of a job file of your own, which ends in .toml.
        workspace: folder on the worker's machine where the job's relative paths begin, in place of the file's own.
        overrides: settings of this run, in place of those of the job.
        strict: fail if a video or a clip cannot be read; what was written stays.

    Returns:
        The state that the run ends in, with the summary in sentences.
    """
    with log_of_run():
        job = load_run_job(config, workspace, overrides)
        label_run(job)
        extractor = plan_task(job)
        progress, before, computed = SpanProgress.begin(extractor), lacking(extractor), []
        for span in spans(extractor):
            stop_if_suspended()
            computed += extract_task(extractor, span, progress)
        if extractor.pending():
            computed += wait_task(extractor, progress)
        summary = commit_task(job, extractor, computed)
        for store, partitions in written(before, computed).items():
            verify_task(store, partitions)
    return ending(summary, strict)
