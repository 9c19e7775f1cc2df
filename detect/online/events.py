"""Events of a video as they close: the anomalous segments of `analyze.locator.segments`, found one after another."""

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal

from vadprobe.store.errors import VadprobeError

State = Literal["anomalous", "normal", "unknown"]
"""Kind of a segment, as `analyze.locator.segments.KINDS` names them."""


@dataclass(frozen=True)
class Span:
    """A stretch of a video: frames `[start_frame, stop_frame)`, and the same in seconds from the video's beginning."""

    start_frame: int
    stop_frame: int
    start_second: float
    stop_second: float


@dataclass(frozen=True)
class Event:
    """An anomalous stretch of a video.

    Attributes:
        video: name of the video or stream.
        start_frame, stop_frame: its frames, half-open.
        start_second, stop_second: the same in seconds from the beginning of the video.
        peak_score: highest smoothed score.
        peak_frame: middle frame of the earliest run of segments with that score.
        mean_score: mean of the smoothed score over the frames.
        wall_start, wall_stop: times of day of a live source, in seconds since 1970 (UTC); None for files.
    """

    video: str
    start_frame: int
    stop_frame: int
    start_second: float
    stop_second: float
    peak_score: float
    peak_frame: int
    mean_score: float
    wall_start: float | None = None
    wall_stop: float | None = None

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return asdict(self)


@dataclass(frozen=True)
class Hysteresis:
    """Thresholds on the smoothed score: an event opens strictly above `opens`, and goes on strictly above `stays`.

    With equal thresholds events are those of the offline locator.
    """

    opens: float
    stays: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.stays) and self.stays <= self.opens):
            raise VadprobeError(
                f"the threshold at which an event ends must be at most {self.opens:g}, the one above which it begins, "
                f"got {self.stays:g}."
            )


class EventTracker:
    """Joins the anomalous segments of one video to events.

    Touching anomalous segments are one event. A segment without a score, or frames that are missing, end it.
    """

    def __init__(self, video: str, thresholds: Hysteresis) -> None:
        self.video, self._thresholds = video, thresholds
        self._open: _OpenEvent | None = None

    @property
    def is_open(self) -> bool:
        """True while an event goes on."""
        return self._open is not None

    def add(self, span: Span, score: float, wall: tuple[float, float] | None = None) -> tuple[State, Event | None]:
        """Take the next segment with its smoothed score; return its state, and the event that it ends, or None."""
        ended = None
        if self._open is not None and span.start_frame != self._open.stop_frame:
            ended = self.finish()
        if math.isnan(score):
            return "unknown", ended or self.finish()
        limit = self._thresholds.opens if self._open is None else self._thresholds.stays
        if not score > limit:
            return "normal", ended or self.finish()
        if self._open is None:
            self._open = _OpenEvent(span, score, wall)
        else:
            self._open.add(span, score, wall)
        return "anomalous", ended

    def finish(self) -> Event | None:
        """End the open event and return it; None if no event is open."""
        event = None if self._open is None else self._open.closed(self.video)
        self._open = None
        return event


class _OpenEvent:
    """Sums over the segments of an event: memory does not grow with its length."""

    def __init__(self, span: Span, score: float, wall: tuple[float, float] | None) -> None:
        self._first, self._last, self._wall = span, span, wall
        self._lowest = self._peak = score
        self._run = [span.start_frame, span.stop_frame]
        # Measured from the first score, segments of one score have exactly that mean.
        self._base, self._excess = score, 0.0

    @property
    def stop_frame(self) -> int:
        return self._last.stop_frame

    def add(self, span: Span, score: float, wall: tuple[float, float] | None) -> None:
        if score > self._peak:
            self._peak, self._run = score, [span.start_frame, span.stop_frame]
        elif score == self._peak and self._run[1] == span.start_frame:
            self._run[1] = span.stop_frame
        self._lowest = min(self._lowest, score)
        self._excess += (span.stop_frame - span.start_frame) * (score - self._base)
        self._last = span
        if wall is not None and self._wall is not None:
            self._wall = (self._wall[0], wall[1])

    def closed(self, video: str) -> Event:
        first, last = self._first, self._last
        mean = self._base + self._excess / (last.stop_frame - first.start_frame)
        return Event(
            video=video,
            start_frame=first.start_frame,
            stop_frame=last.stop_frame,
            start_second=first.start_second,
            stop_second=last.stop_second,
            peak_score=self._peak,
            peak_frame=sum(self._run) // 2,
            mean_score=min(max(mean, self._lowest), self._peak),
            wall_start=self._wall[0] if self._wall else None,
            wall_stop=self._wall[1] if self._wall else None,
        )
