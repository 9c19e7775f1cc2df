"""Observation of a Dask cluster: the address of its web pages, and Dask's performance report."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from vadprobe.store.errors import VadprobeError
from vadprobe.store.files.text import error_text

if TYPE_CHECKING:
    from distributed import Client

_LOGGER = logging.getLogger(__name__)


def _nobody(address: str) -> None:
    """Ignore the address."""


@dataclass(frozen=True)
class Observation:
    """Settings of the observation of a cluster.

    Attributes:
        report: path of Dask's performance report, an HTML page; None for no report. If all results are kept from an
            earlier run, no task starts and the report of that run stays.
        started: called with the address of the cluster's pages as soon as it computes.
    """

    report: Path | None = None
    started: Callable[[str], None] = _nobody

    def check(self) -> None:
        """Refuse a report that cannot be drawn, before anything is computed.

        Raises:
            VadprobeError: if Bokeh, with which Dask draws, is not installed.
        """
        if self.report is not None and find_spec("bokeh") is None:
            raise VadprobeError(
                "analysis.performance_report needs Bokeh, with which Dask draws it; install it here and where Dask's "
                "scheduler runs (pip install 'bokeh>=3.1'), or leave the key out."
            )


UNWATCHED = Observation()


@contextmanager
def observed(client: "Client", observation: Observation) -> Iterator[None]:
    """Call `started` with the address of the cluster's pages; write the report at the end, also after an error."""
    if client.dashboard_link:
        observation.started(client.dashboard_link)
    if observation.report is None:
        yield
        return
    from distributed import performance_report

    observation.report.parent.mkdir(parents=True, exist_ok=True)
    partial = observation.report.with_suffix(".partial.html")
    with client.as_current():
        report = performance_report(filename=str(partial))
        report.__enter__()
        try:
            yield
        finally:
            try:
                report.__exit__(None, None, None)
                partial.replace(observation.report)
            except Exception as error:  # noqa: BLE001 - a result is not lost for a page about its computation
                _LOGGER.warning("Dask's performance report could not be written: %s", error_text(error))
