"""Progress of long work on the terminal: done, rate, time left, failures."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tqdm import tqdm


class ClipProgress:
    """A bar over clips that counts failures."""

    def __init__(self, bar: "tqdm[Any]") -> None:
        self._bar = bar
        self._failed = 0

    def done(self, computed: bool) -> None:
        """Count one clip; ``computed`` is False when it could not be read."""
        if not computed:
            self._failed += 1
            self._bar.set_postfix(failed=self._failed, refresh=False)
        self._bar.update()


@contextmanager
def clip_progress(total: int, what: str) -> Iterator[ClipProgress]:
    """Show a bar on standard error while clips are computed."""
    with tqdm(total=total, desc=what, unit="clip", file=sys.stderr, dynamic_ncols=True) as bar:
        yield ClipProgress(bar)


class CountProgress:
    """A bar for work that reports (done, all); use :meth:`report` as the callback."""

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
