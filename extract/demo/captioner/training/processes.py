"""A second process for the training: both halves of a step side by side, their gradients added through gloo."""

import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from multiprocessing import get_context
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, distributed

from vadprobe.store.errors import VadprobeError

_PATIENCE = timedelta(minutes=10)  # one process evaluates while the other waits
_POLL = 0.05  # seconds
_GRACE = 5.0  # seconds that a process may take to end after it closed its connection
_FIRST, _SECOND = 0, 1  # ranks


class _NoAnswerError(Exception):
    """Raised when the other process of the training has ended, or has not answered within `_PATIENCE`."""


def add_over_processes(gradients: list[Tensor]) -> None:
    """Turn gradients, in place, into their sums over both processes."""
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    with _waiting_for_an_answer():
        distributed.all_reduce(flat)
    begin = 0
    for gradient in gradients:
        gradient.copy_(flat[begin : begin + gradient.numel()].view_as(gradient))
        begin += gradient.numel()


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute with one thread inside: another number of threads adds in another order, which changes last bits."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def second_process(work: Callable[..., Any], *arguments: Any) -> Iterator[None]:
    """Run `work(*arguments)` in a process beside this one; both processes can call `add_over_processes`.

    The other process ends with the block, or with an error in either process.

    Raises:
        VadprobeError: if the other process ends too early, or one process waits too long for the other.
    """
    with tempfile.TemporaryDirectory() as folder:
        meeting = Path(folder) / "meeting"
        other = get_context("spawn").Process(target=_run, args=(meeting, work, arguments), daemon=True)
        other.start()
        try:
            _wait_for_sign_of_life(meeting, other)
            _join(meeting, _FIRST)
            yield
            other.join()
        except _NoAnswerError as error:
            raise VadprobeError(
                f"the second process of the training {_what_became_of(other)}: {error}. What was saved is "
                "kept: the same command continues. With --workers 1 it trains in one process."
            ) from error
        finally:
            other.terminate()
            other.join()
            if distributed.is_initialized():
                distributed.destroy_process_group()


def _run(meeting: Path, work: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the first process ends this one
    _sign_of_life(meeting).touch()
    try:
        with one_thread():
            _join(meeting, _SECOND)
            work(*arguments)
            distributed.destroy_process_group()
    except _NoAnswerError as error:  # one line instead of a traceback; the first process, if it lives, says more
        raise SystemExit(f"The first process of the training did not answer: {error}.") from error


def _sign_of_life(meeting: Path) -> Path:
    """Return the file that the second process creates when it begins.

    The first process waits for this file before it joins gloo, which would go on waiting for a process that died.
    """
    return meeting.with_suffix(".begun")


def _wait_for_sign_of_life(meeting: Path, other: SpawnProcess) -> None:
    while not _sign_of_life(meeting).exists():
        if not other.is_alive():
            raise _NoAnswerError("it could not begin")
        time.sleep(_POLL)


def _join(meeting: Path, rank: int) -> None:
    with _waiting_for_an_answer():
        distributed.init_process_group("gloo", init_method=meeting.as_uri(), rank=rank, world_size=2, timeout=_PATIENCE)


@contextmanager
def _waiting_for_an_answer() -> Iterator[None]:
    """Turn gloo's errors, raised when a connection breaks or time is up, into `_NoAnswerError`."""
    try:
        yield
    except RuntimeError as error:
        raise _NoAnswerError(str(error).partition("\n")[0].rstrip(".")) from error


def _what_became_of(process: SpawnProcess) -> str:
    process.join(_GRACE)
    return "does not answer" if process.exitcode is None else f"ended with exit code {process.exitcode}"
