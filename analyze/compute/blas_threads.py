"""One BLAS thread for the time of a task, whoever else computes in the process."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Lock
from typing import TypeVar

from threadpoolctl import threadpool_limits

_Result = TypeVar("_Result")


def _in_passing_thread(action: Callable[[], _Result]) -> _Result:
    """Run `action` in a thread that ends at once.

    threadpoolctl lets the thread that set OpenBLAS's limit own it while it lives, and ignores all others: who leaves
    last could not put back what who came first had set.
    """
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(action).result()


class _Holders:
    """Counter of those who ask for one thread: nested limits would be put back in the wrong order."""

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
    """Let BLAS and OpenMP use one thread each while anybody in this process is inside, then as many as before.

    Several threads may be inside at once. A library that is first loaded meanwhile is not limited.
    """
    _HOLDERS.enter()
    try:
        yield
    finally:
        _HOLDERS.leave()
