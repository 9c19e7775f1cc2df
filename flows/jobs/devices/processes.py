"""Stage 1 on several devices of one machine: a process for each, which share the job's partitions through claims."""

import json
import logging
import queue
import re
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import IO, Any

import torch

from vadprobe.extract.model.devices import choose_device
from vadprobe.extract.pipeline.extraction import Extractor
from vadprobe.extract.pipeline.open_partition import ClipDone, PartitionKey
from vadprobe.flows.jobs.extract_job import count_elsewhere, finish
from vadprobe.flows.jobs.job import Job
from vadprobe.flows.jobs.reports.extraction_summary import ExtractionSummary
from vadprobe.store.errors import VadprobeError
from vadprobe.store.files.text import counted

ALL = "all"
_LOGGER = logging.getLogger(__name__)
STOP_SECONDS = 60.0
"""Seconds that a process may take to finish a partition that it is writing, after it was told to stop."""
_BAR = re.compile(r"\d%\||\dit \[")
"""Matches every progress bar, with and without a total."""


@dataclass
class _Worker:
    device: str
    process: "subprocess.Popen[str]"
    errors: IO[str]
    timings: str = ""


@dataclass
class _Count:
    """Counts the clips of all processes together, each partition once."""

    extractor: Extractor
    clip_done: ClipDone
    known: set[PartitionKey] = field(default_factory=set)
    computed: list[PartitionKey] = field(default_factory=list)

    def take(self, worker: _Worker, report: dict[str, Any]) -> None:
        """Count the clips or the partition that a process reports."""
        if "clip" in report:
            self.clip_done(report["clip"])
        elif "tell" in report:
            _LOGGER.warning("%s: %s", worker.device, report["tell"])
        elif "timings" in report:
            worker.timings = report["timings"]
        elif "finished" in report:
            key = PartitionKey(*report["finished"])
            self.known.add(key)
            self.computed.append(key)

    def rest(self, pending: Sequence[PartitionKey]) -> None:
        """Count partitions of `pending` that were finished by processes not started here."""
        for key in set(pending) - self.known - set(self.extractor.pending()):
            count_elsewhere(self.extractor, key, self.clip_done)


def devices_of(names: Sequence[str]) -> list[str]:
    """Return the devices named; `["all"]` is every GPU.

    Raises:
        VadprobeError: if there is no GPU, or a device cannot be used.
    """
    if list(names) == [ALL]:
        count = torch.cuda.device_count()
        if not count:
            raise VadprobeError("--devices all: torch sees no GPU here; name the devices, such as 'cpu', instead.")
        return [f"cuda:{number}" for number in range(count)]
    for name in names:
        choose_device(name)
    return list(names)


def extract_on(
    job: Job, extractor: Extractor, devices: Sequence[str], clip_done: ClipDone
) -> tuple[ExtractionSummary, list[str]]:
    """Compute what is pending with one process per device, and commit.

    A process that ends early leaves its open partition to the others.

    Returns:
        The summary, and a sentence per device about where its time went.

    Raises:
        VadprobeError: if partitions are left because processes failed; the error says how each process ended.
    """
    pending = extractor.pending()
    count = _Count(extractor, clip_done)
    ended: list[str] = []
    with ExitStack() as stack:
        workers = [_start(job, device, stack) for device in devices] if pending else []
        reports: queue.Queue[tuple[_Worker, str | None]] = queue.Queue()
        for worker in workers:
            threading.Thread(target=_listen, args=(worker, reports), daemon=True).start()
        running = len(workers)
        while running:
            worker, line = reports.get()
            if line is not None:
                count.take(worker, json.loads(line))
                continue
            running -= 1
            if worker.process.wait():
                ended.append(_ending(worker))
                _LOGGER.warning(ended[-1])
        count.rest(pending)
    left = len(extractor.pending())
    if left:
        raise VadprobeError(
            f"Left to compute: {counted(left, 'partition')}. "
            + " ".join(ended)
            + " What was written is kept; the same "
            "command continues where it stopped."
        )
    timings = [f"{worker.device}: {worker.timings}" for worker in workers if worker.timings]
    return finish(extractor, count.computed), timings


def _start(job: Job, device: str, stack: ExitStack) -> _Worker:
    errors = stack.enter_context(tempfile.TemporaryFile("w+", errors="replace"))  # noqa: SIM115
    command = [sys.executable, "-m", "vadprobe.flows.jobs.devices.worker", str(job.path), str(job.workspace), device]
    # In a session of its own, so that Ctrl-C reaches it once, through _stop. If this process dies, the worker ends at
    # its next report, as the pipe is closed.
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=errors,
        stdin=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    worker = _Worker(device, process, errors)
    stack.callback(_stop, worker)
    return worker


def _listen(worker: _Worker, reports: "queue.Queue[tuple[_Worker, str | None]]") -> None:
    assert worker.process.stdout is not None
    for line in worker.process.stdout:
        reports.put((worker, line))
    reports.put((worker, None))


def _stop(worker: _Worker) -> None:
    """Tell a process that still runs to end; it may finish the partition that it is writing."""
    worker.process.terminate()
    try:
        worker.process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        worker.process.kill()
        worker.process.wait()
    assert worker.process.stdout is not None
    worker.process.stdout.close()


def _ending(worker: _Worker) -> str:
    """Return a sentence on how a process ended."""
    code = worker.process.returncode
    worker.errors.seek(0)
    lines = worker.errors.read().strip().splitlines()
    named = [line.partition("vadprobe: ")[2] for line in lines if "vadprobe: " in line]  # behind a bar of progress, too
    last = (named or [line for line in lines if not _BAR.search(line)] or [""])[-1]
    how = f"was ended by signal {-code}" if code < 0 else f"ended with exit code {code}"
    return f"The process on {worker.device} {how}" + (f": {last}" if last else ".")
