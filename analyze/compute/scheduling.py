"""Run independent tasks: a bounded number at a time, results in order, errors that name their task.

A task's result depends on its arguments alone, so every scheduler and any number of workers give the same results.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol

from vadprobe.store.errors import VadprobeError

TaskProgress = Callable[[int, int, str], None]
"""Called after each task: how many are done, how many there are, and what they compute."""


@dataclass(frozen=True, eq=False)
class Task:
    """`function(*arguments)` with a name for messages, for example "layer 3 of the prompt 'coarse'".

    For workers in other processes the function is one of a module (or a partial of one), and all can be pickled.
    """

    name: str
    function: Callable[..., Any]
    arguments: tuple[Any, ...] = ()


class Future(Protocol):
    def cancel(self) -> Any: ...


class Pool(Protocol):
    """A pool that runs tasks."""

    def submit(self, task: Task) -> Future: ...

    def result(self, future: Any) -> Any: ...

    def window(self) -> int:
        """Return how many tasks may be under way at once."""


class Scheduler:
    """Runs independent tasks, a bounded number at a time, and returns their results in order.

    `start` gives the pool before the first task: a run that finds everything kept starts no worker.
    """

    def __init__(self, start: Callable[[], Pool], progress: TaskProgress | None = None) -> None:
        self._start = start
        self._started: Pool | None = None
        self._progress = progress

    @property
    def _pool(self) -> Pool:
        if self._started is None:
            self._started = self._start()
        return self._started

    def run(self, tasks: Sequence[Task], what: str = "tasks") -> list[Any]:
        """Compute all tasks and return their results in order; see `results`."""
        return list(self.results(tasks, what))

    def results(self, tasks: Sequence[Task], what: str = "tasks") -> Iterator[Any]:
        """Yield the result of each task, in order, while later ones are computed.

        Tasks are handed out as results are taken, so memory holds the results of a few tasks for each worker, however
        many there are. On an error, on an interrupt, and when no more results are taken, what has not begun is
        cancelled.

        Args:
            tasks: what to compute.
            what: what they compute, for the progress; a plural such as "layers".

        Raises:
            VadprobeError: if a task raises one (the message then names the task), its worker dies again and again, or
                the cluster is lost. Any other error of a task is raised as it is, with a note that names the task.
                Of several failing tasks the first in order is named.
        """
        if not tasks:
            return
        window: deque[tuple[Task, Future]] = deque()
        most = self._pool.window()
        remaining = iter(tasks)
        done = 0
        try:
            while True:
                while len(window) < most and (task := next(remaining, None)) is not None:
                    window.append((task, self._pool.submit(task)))
                if not window:
                    return
                task, future = window[0]
                result = _named(task, self._pool.result, future)
                window.popleft()
                del future  # a cluster forgets the result of a future that nobody holds
                done += 1
                if self._progress is not None:
                    self._progress(done, len(tasks), what)
                yield result
        finally:
            with suppress(OSError, TimeoutError, RuntimeError):  # of a cluster that is gone, nothing is to be cancelled
                for _, future in reversed(window):
                    future.cancel()


def _named(task: Task, result: Callable[[Future], Any], future: Future) -> Any:
    """Return the result of a task; an error says which task it was."""
    try:
        return result(future)
    except VadprobeError as error:
        raise type(error)(f"{task.name}: {error}") from error
    except Exception as error:
        error.add_note(f"while computing {task.name}")
        raise
