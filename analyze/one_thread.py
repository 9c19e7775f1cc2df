"""One BLAS thread for the time of a task, whoever else computes in the process."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

from threadpoolctl import threadpool_limits


class _Holders:
    """Counts who asks for one thread: limits that are taken one over another would be put back in the wrong order."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._count = 0
        self._limits: threadpool_limits | None = None

    def enter(self) -> None:
        with self._lock:
            # Each time anew, for libraries that were loaded or set meanwhile; only the first knows what to put back.
            limits = threadpool_limits(limits=1)
            if self._count == 0:
                self._limits = limits
            self._count += 1

    def leave(self) -> None:
        with self._lock:
            self._count -= 1
            if self._count == 0 and self._limits is not None:
                self._limits.restore_original_limits()
                self._limits = None


_HOLDERS = _Holders()


@contextmanager
def one_thread() -> Iterator[None]:
    """Let BLAS and OpenMP use one thread each while anybody in this process is inside, then as many as before.

    Several threads may be inside at once. A library that is loaded meanwhile is limited from the next entry on.
    """
    _HOLDERS.enter()
    try:
        yield
    finally:
        _HOLDERS.leave()
