"""The times of a live stream: seconds since its first frame, and the time of day."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from math import inf

FAR_SECONDS = 2.0
"""Seconds by which a stream's clock must jump ahead for frames to count as missing."""

FAR_STEPS = 4
"""Least length of such a jump in usual steps between frames, for slow streams; both limits must be passed."""


@dataclass
class StreamClock:
    """Follows a stream's own clock within a connection, and this machine's from one connection to the next.

    A frame can arrive late, but never early. So the time of day of a frame is its stamp plus the smallest difference
    between arrival and stamp of all frames of the connection so far. It advances evenly while the network stutters,
    and is never later than the arrival.

    Args:
        now: function that returns the time of day in seconds since 1970.
        elapsed: function that returns the seconds of a monotonic clock.
    """

    now: Callable[[], float] = time.time
    elapsed: Callable[[], float] = time.monotonic
    _first_arrival: float | None = None
    _shift: float | None = None
    _last: float = 0.0
    _last_stamp: float = -inf
    _ahead: float = inf

    def begin_part(self) -> None:
        """Forget the stream's clock, as the next frame belongs to another connection or follows a jump."""
        self._shift, self._last_stamp, self._ahead = None, -inf, inf

    def rewind(self, stamp: float | None) -> None:
        """Go back to the frame with this stamp, or to the beginning with None: the frames since then come again."""
        self._last_stamp = -inf if stamp is None else stamp

    def breaks_off(self, stamp: float, step: float) -> bool:
        """Return True if a frame's stamp, in seconds, does not follow the one before; `step` is the usual distance."""
        if self._shift is None or self._last_stamp == -inf:
            return False
        ahead = stamp - self._last_stamp
        return ahead <= 0 or ahead > max(FAR_SECONDS, FAR_STEPS * step)

    def read(self, stamp: float, step: float) -> tuple[float, float]:
        """Return seconds since the first frame, and the time of day, of a frame that has just arrived.

        Args:
            stamp: time of the frame by the clock of the stream, in seconds.
            step: usual seconds between two frames.
        """
        if self._first_arrival is None:
            self._first_arrival = self.elapsed()
            self._shift = stamp
        elif self._shift is None:
            # Another connection: its seconds go on by the time that has passed, and never overlap earlier frames.
            self._shift = stamp - max(self.elapsed() - self._first_arrival, self._last + step)
        self._ahead = min(self._ahead, self.now() - stamp)
        self._last, self._last_stamp = stamp - self._shift, stamp
        return self._last, stamp + self._ahead
