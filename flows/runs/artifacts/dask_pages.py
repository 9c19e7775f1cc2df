"""Dask's pages of an analysis as artifacts: those of the cluster at work, and its performance report."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from prefect.artifacts import create_link_artifact, create_markdown_artifact

from vadprobe.flows.runs.labels import artifact_key

if TYPE_CHECKING:
    from vadprobe.flows.jobs.job import Job

_LOGGER = logging.getLogger(__name__)


def publishing(job: "Job") -> Callable[[str], None]:
    """Return a function that publishes the address of a cluster's pages, called when the cluster begins to compute."""

    def publish(address: str) -> None:
        _LOGGER.info("Dask computes; its pages: %s", address)
        key = artifact_key("dask", job.config.dataset.name, job.config.backbone.key, job.analysis.method)
        about = "Pages of the Dask cluster while it computes, as the worker's machine reaches them."
        create_link_artifact(address, link_text=address, key=key, description=about)

    return publish


def publish_report(job: "Job", page: Path) -> None:
    """Publish the path of Dask's performance report, if the job asks for one; it lies on the worker's machine."""
    if page.exists():
        key = artifact_key("performance", job.config.dataset.name, job.config.backbone.key, job.analysis.method)
        text = f"Dask's performance report, a file to open in a browser, on the worker's machine:\n\n`{page}`"
        create_markdown_artifact(text, key=key, description="Where the time of the Dask cluster went.")
