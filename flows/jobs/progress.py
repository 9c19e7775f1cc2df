"""Progress of long work on the terminal: bars on standard error, and messages above them."""

import logging
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tqdm import tqdm

POSTFIX_SECONDS = 1.0
"""Seconds between two changes of the words beside a bar of clips."""


def open_bar(what: str, unit: str, total: int | None, **look: Any) -> "tqdm[Any]":
    """Return a progress bar on standard error, a context manager: done, rate, time left; `look` is passed to tqdm."""
    from tqdm import tqdm

    return tqdm(total=total, desc=what, unit=unit, file=sys.stderr, dynamic_ncols=True, **look)


class Bar:
    """Progress callback that shows a bar, which closes itself at the end of the work.

    The bar appears with the first report; with `delay`, with the first report after that many seconds, so that short
    work shows no bar.
    """

    def __init__(self, what: str, unit: str, *, delay: float = 0.0, **look: Any) -> None:
        self._what, self._unit, self._look = what, unit, look
        self._from = time.monotonic() + delay
        self._bar: tqdm[Any] | None = None
        self._words = ""

    def beside(self, words: str) -> None:
        """Set the words beside the bar, which it shows from its next move on."""
        self._words = words

    def __call__(self, done: int, total: int, /) -> None:
        """Move to `done` of `total`."""
        if self._bar is None and time.monotonic() < self._from:
            return
        self._bar = self._bar or open_bar(self._what, self._unit, total, **self._look)
        if self._words:
            self._bar.set_postfix_str(self._words, refresh=False)
        self._bar.update(done - self._bar.n)
        if done >= total:
            self._bar.close()

    def close(self) -> None:
        """Close the bar; it stays on the terminal as it is."""
        if self._bar is not None:
            self._bar.close()


class ClipProgress:
    """Counter of clips that shows failures and how busy the model is."""

    def __init__(self, bar: "tqdm[Any]", busy: Callable[[], str]) -> None:
        self._bar, self._busy = bar, busy
        self._failed = 0
        self._said = -POSTFIX_SECONDS

    def done(self, computed: bool) -> None:
        """Count one clip; `computed` is False when it could not be read."""
        self._failed += not computed
        if not computed or time.monotonic() - self._said >= POSTFIX_SECONDS:
            self._said = time.monotonic()
            words = [self._busy(), f"failed {self._failed}" if self._failed else ""]
            self._bar.set_postfix_str(", ".join(filter(None, words)), refresh=False)
        self._bar.update()


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


def say(text: str) -> None:
    """Print lines of a result immediately, above the progress bars."""
    from tqdm import tqdm

    tqdm.write(text, file=sys.stdout)
    sys.stdout.flush()


class _AboveBars(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        from tqdm import tqdm

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
