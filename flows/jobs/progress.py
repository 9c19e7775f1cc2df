"""Progress of long work on the terminal: bars on standard error, and messages above them."""

import logging
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol, Self

from tqdm import tqdm

POSTFIX_SECONDS = 1.0
"""Time between two changes of the words beside a bar of clips."""


class Progress(Protocol):
    """Receiver of what long work has done so far; `Bar` shows it."""

    def __call__(self, done: int, total: int, /) -> None:
        """Take note that `done` of `total` units are finished."""


class Bar:
    """A bar with the work done, its rate, the time left and a few words; a context manager and a `Progress`.

    It appears with the first report and closes itself when everything is done.

    Args:
        what: the work, such as "copying".
        unit: one unit of it, such as "video".
        total: how many units there are, where the reports do not say.
        look: further arguments of `tqdm`.
    """

    def __init__(self, what: str, unit: str, total: int | None = None, **look: Any) -> None:
        self._look = {"desc": what, "unit": unit, "dynamic_ncols": True, **look}
        self._bar: tqdm[Any] | None = None
        if total is not None:
            self._open(total)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __call__(self, done: int, total: int, /) -> None:
        """Move to `done` of `total`."""
        bar = self._open(total)
        bar.update(done - bar.n)
        if done >= total:
            self.close()

    def advance(self, count: int = 1) -> None:
        """Move on by `count` units; the total must be known."""
        assert self._bar is not None
        self._bar.update(count)

    def shorten(self, count: int | None = None) -> None:
        """Take `count` units off the total, or all that are left."""
        assert self._bar is not None
        self._bar.total = self._bar.n if count is None else max(0, (self._bar.total or 0) - count)

    def say(self, words: str) -> None:
        """Show words beside the bar."""
        assert self._bar is not None
        self._bar.set_postfix_str(words, refresh=False)

    def close(self) -> None:
        """Leave the bar as it is; one without a report never appears."""
        if self._bar is not None:
            self._bar.close()

    def _open(self, total: int) -> "tqdm[Any]":
        if self._bar is None:
            self._bar = tqdm(total=total, file=sys.stderr, **self._look)
        return self._bar


class ClipProgress:
    """Counter of clips that shows failures and how busy the model is."""

    def __init__(self, bar: Bar, busy: Callable[[], str]) -> None:
        self._bar, self._busy = bar, busy
        self._failed = 0
        self._said = -POSTFIX_SECONDS

    def done(self, computed: bool) -> None:
        """Count one clip; `computed` is False when it could not be read."""
        self._failed += not computed
        if not computed or time.monotonic() - self._said >= POSTFIX_SECONDS:
            self._said = time.monotonic()
            self._bar.say(", ".join(filter(None, [self._busy(), f"failed {self._failed}" if self._failed else ""])))
        self._bar.advance()


@contextmanager
def task_progress() -> Iterator[Callable[[int, int, str], None]]:
    """Yield a callback of (done, total, what) that shows a bar for each kind of task; short work shows none."""
    bars: dict[str, Bar] = {}

    def report(done: int, total: int, what: str) -> None:
        if what not in bars:
            bars[what] = Bar(what, "task", leave=False, delay=1)
        bars[what](done, total)
        if done >= total:
            del bars[what]

    try:
        yield report
    finally:
        for bar in bars.values():
            bar.close()


class _AboveBars(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        tqdm.write(self.format(record), file=sys.stderr)


@contextmanager
def messages_on_terminal() -> Iterator[None]:
    """Write what the project logs to standard error, above the bars."""
    logger, handler = logging.getLogger("vadprobe"), _AboveBars()
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
