"""Names and tags of runs, and keys of artifacts, which let a team tell jobs apart."""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING
from uuid import UUID

from prefect import runtime
from prefect.client.orchestration import get_client

from vadprobe.flows.runs.faults import without_server

if TYPE_CHECKING:
    from vadprobe.flows.jobs.job import Job


def label_run(job: "Job", part: str = "", *, with_method: bool = False) -> None:
    """Name the current flow run after its job and the digest of its settings, and tag it; outside of a run do nothing.

    The flow calls this, instead of Prefect before it starts the flow, so that a wrong job ends as a failed run with a
    sentence.

    Args:
        job: the job.
        part: word for the part of the job that the run does; "" for all of it.
        with_method: also tag the run with the job's method.
    """
    tags = job_tags(job)
    if with_method:
        tags.append(f"method:{job.analysis.method}")
    set_label(run_name(job, part), tags)


def set_label(name: str, tags: Sequence[str]) -> None:
    """Name the current flow run and tag it; outside of a run do nothing."""
    run_id = runtime.flow_run.id
    if run_id is None:
        return
    with without_server(), get_client(sync_client=True) as client:
        client.update_flow_run(UUID(run_id), name=name, tags={*runtime.flow_run.tags, *tags})


def job_tags(job: "Job") -> list[str]:
    """Return the tags of every run of a job."""
    return [f"dataset:{job.config.dataset.name}", f"backbone:{job.config.backbone.key}"]


def run_name(job: "Job", part: str = "") -> str:
    """Return the name of a run: its job, the first eight digits of its digest, and the part of the job it does."""
    return f"{job.path.stem} {job.digest[:8]} {part}".rstrip()


def artifact_key(*words: str) -> str:
    """Return words as the key of an artifact, which has lower-case letters, digits and dashes only."""
    return re.sub(r"[^a-z0-9]+", "-", "-".join(words).lower()).strip("-")
