"""Scheduling of independent tasks: a bounded number at a time, results in order, errors that name their task.

A task's result depends on its arguments alone, so every scheduler and any number of workers give the same results.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol

from vadprobe.store.errors import VadprobeError

TaskProgress = Callable[[int, int, str], None]
"""Callback after each task with (done, total, what), where `what` names the tasks in the plural."""


@dataclass(frozen=True, eq=False)
class Task:
    """`function(*arguments)` with a name for messages, for example "layer 3 of the prompt 'coarse'".

    For workers in other processes, the function must be defined in a module (or be a partial of such a function), and
    everything must be picklable.
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
        """Return how many tasks may be submitted and unfinished at once."""


class Scheduler:
    """Scheduler that runs independent tasks, a bounded number at a time, and returns their results in order.

    `start` is called for the pool before the first task, so a run whose results are all kept starts no worker.
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

        Tasks are submitted as results are taken, so memory holds the results of a few tasks per worker at a time. Tasks
        that have not begun are cancelled on an error, on an interrupt, and when the iterator is closed.

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
                del future  # a cluster drops a result as soon as its future is deleted
                done += 1
                if self._progress is not None:
                    self._progress(done, len(tasks), what)
                yield result
        finally:
            with suppress(OSError, TimeoutError, RuntimeError):  # a lost cluster has no tasks to cancel
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
