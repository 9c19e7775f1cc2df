"""Limit BLAS to one thread during a task, also when several tasks of a process overlap."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Lock
from typing import TypeVar

from threadpoolctl import threadpool_limits

_Result = TypeVar("_Result")


def _in_passing_thread(action: Callable[[], _Result]) -> _Result:
    """Run `action` in a thread of its own, which ends at once.

    In threadpoolctl the thread that set OpenBLAS's limit owns it while it lives, and other threads are ignored. So the
    last task to end could not restore a limit that the first task's thread had set.
    """
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(action).result()


class _Holders:
    """Counter of tasks that need one thread: the first sets the limit and the last restores it.

    If every task did both, overlapping tasks would restore the limits in the wrong order.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._count = 0
        self._limits: threadpool_limits | None = None

    def enter(self) -> None:
        with self._lock:
            if self._count == 0:
                self._limits = _in_passing_thread(lambda: threadpool_limits(limits=1))
            self._count += 1

    def leave(self) -> None:
        with self._lock:
            self._count -= 1
            if self._count == 0 and self._limits is not None:
                _in_passing_thread(self._limits.restore_original_limits)
                self._limits = None


_HOLDERS = _Holders()


@contextmanager
def one_thread() -> Iterator[None]:
    """Limit BLAS and OpenMP to one thread while any thread of this process is in this context, then restore the limits.

    Several threads may be in it at once. A library that is loaded meanwhile is not limited.
    """
    _HOLDERS.enter()
    try:
        yield
    finally:
        _HOLDERS.leave()
