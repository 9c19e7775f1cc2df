"""A scheduler that is opened when there is something to compute: a run that finds everything kept starts no worker."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

from vadprobe.analyze.compute.cluster import Progress, Scheduler, Task, open_scheduler


class DeferredScheduler(Scheduler):
    """Hands its tasks to another scheduler, which ``open_now`` opens before the first of them."""

    def __init__(self, open_now: Callable[[], Scheduler]) -> None:
        self._open_now = open_now
        self._opened: Scheduler | None = None

    def results(self, tasks: Sequence[Task], what: str = "tasks") -> Iterator[Any]:
        """As ``.cluster.Scheduler.results``."""
        if not tasks:
            return
        if self._opened is None:
            self._opened = self._open_now()
        yield from self._opened.results(tasks, what)


@contextmanager
def deferred_scheduler(scheduler: str, workers: int, progress: Progress | None = None) -> Iterator[Scheduler]:
    """What ``cluster.open_scheduler`` opens, but not before the first task. Arguments and errors as there."""
    with ExitStack() as stack:
        yield DeferredScheduler(lambda: stack.enter_context(open_scheduler(scheduler, workers, progress)))
