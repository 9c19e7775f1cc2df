"""Steps of stage 1 as tasks: plan, spans of partitions, waiting for other workers, commit, verification.

The steps import what they need when they run, so that a worker, a deployer and a cancelled run need no torch.
"""

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from prefect.artifacts import create_table_artifact

from vadprobe.flows.runs.extraction.progress import SpanProgress
from vadprobe.flows.runs.extraction.spans import Span
from vadprobe.flows.runs.faults import step, without_server
from vadprobe.flows.runs.labels import artifact_key
from vadprobe.store.errors import StoreError
from vadprobe.store.files.location import StorePath
from vadprobe.store.files.text import counted, size_text

if TYPE_CHECKING:
    from vadprobe.extract.pipeline.extraction import Extractor
    from vadprobe.extract.pipeline.open_partition import PartitionKey
    from vadprobe.flows.jobs.job import Job
    from vadprobe.flows.jobs.reports.extraction_summary import ExtractionSummary

MOST_ROWS = 500
"""Largest number of rows of the table of unreadable videos and clips; the stores hold all of them."""

_LOGGER = logging.getLogger(__name__)


def open_stores(job: "Job") -> "Extractor":
    """Open the stores of a job and create missing ones; new videos are left to the run that planned."""
    from vadprobe.flows.jobs.extract_job import prepare, without_new_videos

    return prepare(without_new_videos(job))


def plan(job: "Job") -> "Extractor":
    """Read the headers of the videos, create or open the stores, and publish the plan."""
    from vadprobe.flows.jobs.extract_job import prepare
    from vadprobe.store.datasets.joining import missing_lines

    extractor = prepare(job)
    for line in (*extractor.plan.cautions, *extractor.plan.notes, *missing_lines(extractor.dataset.missing)):
        _LOGGER.info(line)
    rows = [
        {
            "sampling": sampling.sampling.key,
            "prompts": ", ".join(writer.spec.prompt.key for writer in sampling.writers),
            "videos": len(sampling.clips.video_ids),
            "clips": len(sampling.clips),
            "partitions": sampling.writers[0].n_partitions,
            "to compute": len(sampling.pending()),
            "MB to write": round(sampling.n_bytes_missing / 1e6, 1),
            "files to write": sampling.n_objects_missing,
        }
        for sampling in extractor.plan.samplings
    ]
    about = (
        f"Stage 1 of `{job.path.name}` into `{job.root}`: {_budget(job, extractor)}. The same on a terminal: "
        f"`{command_of(job)}`"
    )
    with without_server():
        create_table_artifact(rows, key=artifact_key("plan", *_names(job)), description=about)
    return extractor


def _budget(job: "Job", extractor: "Extractor") -> str:
    """Return words on the megabytes to be written and the megabytes that are free."""
    from vadprobe.store.writing.disk_space import free_bytes

    needed = sum(sampling.n_bytes_missing for sampling in extractor.plan.samplings)
    free = free_bytes(job.root)
    return f"about {size_text(needed)} to write" + ("" if free is None else f", {size_text(free)} free")


def extract(extractor: "Extractor", span: Span, progress: SpanProgress) -> "list[PartitionKey]":
    """Compute the partitions of a span that no other worker holds; return them."""
    from vadprobe.extract.pipeline.claim_loop import compute_free

    left = [key for key in span if extractor.is_pending(*key)]
    computed = compute_free(extractor, left, progress.listener())
    progress.count()
    progress.publish()
    if len(computed) < len(span):
        _LOGGER.info("%s: %d computed here, the others by other workers", span.name, len(computed))
    return computed


def wait(extractor: "Extractor", progress: SpanProgress) -> "list[PartitionKey]":
    """Wait for partitions of other workers; compute and return those that they give back."""
    from vadprobe.extract.pipeline.claim_loop import compute_pending

    computed = compute_pending(extractor, progress.listener())
    progress.count()
    progress.publish()
    return computed


def commit(job: "Job", extractor: "Extractor", computed: "list[PartitionKey]") -> "ExtractionSummary":
    """Commit the stores, and publish the videos and clips that could not be read."""
    from vadprobe.flows.jobs.extract_job import finish

    summary = finish(extractor, computed)
    for line in summary.lines():
        _LOGGER.info(line)
    unreadable = [
        {"kind": kind, "name": name, "reason": reason}
        for kind, found in (("video", summary.unreadable_videos), ("clip", summary.failed_clips))
        for name, reason in sorted(found.items())
    ]
    if unreadable:
        about = (
            f"Not readable: {counted(len(summary.unreadable_videos), 'video')} and "
            f"{counted(len(summary.failed_clips), 'clip')}; the first {min(len(unreadable), MOST_ROWS)} of them."
        )
        key = artifact_key("not-readable", *_names(job))
        with without_server():
            create_table_artifact(unreadable[:MOST_ROWS], key=key, description=about)
    return summary


def verify_computed(store: StorePath, partitions: frozenset[int]) -> None:
    """Read again the partitions that this run has written into a store.

    Raises:
        StoreError: naming the problems.
    """
    from vadprobe.store.verification.verify import verify

    found = verify(store, partitions=partitions)
    if found.problems:
        raise StoreError("; ".join(str(problem) for problem in found.problems))
    _LOGGER.info(
        "%s: %s, %s, read again: sound", store, counted(len(partitions), "partition"), size_text(found.n_bytes)
    )


plan_task = step(plan, "plan", "plan {job.path.stem}")
open_task = step(open_stores, "open", "open the stores of {job.path.stem}")
extract_task = step(extract, "extract", "extract {span.name}")
wait_task = step(wait, "wait", "wait for other workers", timeout=None)
commit_task = step(commit, "commit", "commit {job.path.stem}")
verify_task = step(verify_computed, "verify", "verify {store.parent.parent.name}/{store.stem}")


def unverified(extractor: "Extractor") -> dict[StorePath, frozenset[int]]:
    """Return, by store, the partitions that the next commit would declare finished for the first time.

    Stores without such partitions are left out. For a store that was never committed they are all its partitions,
    because an earlier run that was lost has verified nothing.
    """
    from vadprobe.store.format.store_header import StoreHeader

    found = {}
    for sampling in extractor.plan.samplings:
        for writer in sampling.writers:
            is_committed = StoreHeader.read(writer.path).attributes["state"] == "committed"
            found[writer.path] = frozenset(writer.missing() if is_committed else writer.partitions)
    return {store: partitions for store, partitions in found.items() if partitions}


def command_of(job: "Job", command: str = "extract") -> str:
    """Return the command line that does the same as the flow on this machine."""
    path = job.path if job.path.is_absolute() else Path.cwd() / job.path
    return f"vadprobe {command} {path}"


def _names(job: "Job") -> tuple[str, str]:
    return job.config.dataset.name, job.config.backbone.key
