"""A second process for the training: each step's halves side by side, gradients added through gloo."""

import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, distributed

_PATIENCE = timedelta(minutes=10)  # one process evaluates while the other waits
_POLL = 0.05  # seconds
_FIRST, _SECOND = 0, 1  # ranks


def add_over_processes(gradients: list[Tensor]) -> None:
    """Turn gradients, in place, into their sums over both processes."""
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    distributed.all_reduce(flat)
    begin = 0
    for gradient in gradients:
        gradient.copy_(flat[begin : begin + gradient.numel()].view_as(gradient))
        begin += gradient.numel()


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute with one thread: other numbers of threads add in another order."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def second_process(work: Callable[..., Any], *arguments: Any) -> Iterator[None]:
    """Run `work(*arguments)` in a process beside this one; both can add gradients to each other's.

    The other process ends with the block, or with an error of either.
    """
    with tempfile.TemporaryDirectory() as folder:
        meeting = Path(folder) / "meeting"
        other = get_context("spawn").Process(target=_run, args=(meeting, work, arguments), daemon=True)
        other.start()
        try:
            while not _sign_of_life(meeting).exists():
                if not other.is_alive():
                    raise RuntimeError(
                        f"the second process of the training ended at once (exit code {other.exitcode})."
                    )
                time.sleep(_POLL)
            _join(meeting, _FIRST)
            yield
            other.join()
        finally:
            other.terminate()
            other.join()
            if distributed.is_initialized():
                distributed.destroy_process_group()


def _run(meeting: Path, work: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the first process ends this one
    _sign_of_life(meeting).touch()
    with one_thread():
        _join(meeting, _SECOND)
        work(*arguments)
        distributed.destroy_process_group()


def _sign_of_life(meeting: Path) -> Path:
    """Return the file by which the second process says that it has begun; who waits for it in gloo, waits on."""
    return meeting.with_suffix(".begun")


def _join(meeting: Path, rank: int) -> None:
    distributed.init_process_group("gloo", init_method=meeting.as_uri(), rank=rank, world_size=2, timeout=_PATIENCE)
