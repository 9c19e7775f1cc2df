"""Progress of long work on the terminal: done, rate, time left, failures."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from tqdm import tqdm

SAY_SECONDS = 1.0
"""How often the words beside the bar change."""


class ClipProgress:
    """A bar over clips that counts failures and says how busy the model is."""

    def __init__(self, bar: "tqdm[Any]", busy: Callable[[], str]) -> None:
        self._bar, self._busy = bar, busy
        self._failed = 0
        self._said = -SAY_SECONDS

    def done(self, computed: bool) -> None:
        """Count one clip; ``computed`` is False when it could not be read."""
        self._failed += not computed
        if not computed or time.monotonic() - self._said >= SAY_SECONDS:
            self._said = time.monotonic()
            words = [self._busy(), f"failed {self._failed}" if self._failed else ""]
            self._bar.set_postfix_str(", ".join(filter(None, words)), refresh=False)
        self._bar.update()


@contextmanager
def clip_progress(total: int, what: str, busy: Callable[[], str] = str) -> Iterator[ClipProgress]:
    """Show a bar on standard error while clips are computed: done, rate, time left, and what ``busy`` says."""
    with tqdm(total=total, desc=what, unit="clip", file=sys.stderr, dynamic_ncols=True) as bar:
        yield ClipProgress(bar, busy)


class CountProgress:
    """A bar for work that reports (done, all); use ``report`` as the callback."""

    def __init__(self, what: str, unit: str) -> None:
        self._what, self._unit = what, unit
        self._bar: tqdm[Any] | None = None

    def report(self, done: int, total: int) -> None:
        """Move the bar to ``done`` of ``total``; it closes itself at the end."""
        bar = self._bar or tqdm(total=total, desc=self._what, unit=self._unit, file=sys.stderr, dynamic_ncols=True)
        self._bar = bar
        bar.update(done - bar.n)
        if done >= total:
            bar.close()


@contextmanager
def task_progress() -> Iterator[Callable[[int, int, str], None]]:
    """A bar for each kind of task that reports (done, all, what); short work shows none."""
    bars: dict[str, tqdm[Any]] = {}

    def report(done: int, total: int, what: str) -> None:
        bar = bars.get(what)
        if bar is None:
            bar = tqdm(total=total, desc=what, unit="task", file=sys.stderr, dynamic_ncols=True, leave=False, delay=1)
            bars[what] = bar
        bar.update(done - bar.n)
        if done >= total:
            bars.pop(what).close()

    try:
        yield report
    finally:
        for bar in bars.values():
            bar.close()
