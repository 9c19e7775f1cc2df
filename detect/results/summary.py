"""The summary of a detection: what was seen and found in each video, how fast, and what broke off."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from vadprobe.detect.online.events import Event
from vadprobe.detect.stream import ScoredSegment, StreamTimes
from vadprobe.store.files.text import counted


@dataclass
class VideoSummary:
    """Counts of one video; `reason` says why it ended early, None where it did not."""

    video: str
    n_segments: int = 0
    n_unreadable: int = 0
    n_anomalous: int = 0
    n_events: int = 0
    reason: str | None = None
    notes: tuple[str, ...] = ()
    times: StreamTimes = field(default_factory=StreamTimes)

    def count(self, found: ScoredSegment | Event) -> None:
        """Count a segment or an event."""
        if isinstance(found, Event):
            self.n_events += 1
            return
        self.n_segments += 1
        self.n_unreadable += found.state == "unknown"
        self.n_anomalous += found.state == "anomalous"

    @property
    def is_whole(self) -> bool:
        """True if every segment could be read, up to the end."""
        return self.reason is None and self.n_unreadable == 0

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values; times are in seconds."""
        names = ("video", "n_segments", "n_unreadable", "n_anomalous", "n_events", "reason")
        times = self.times
        return {
            **{name: getattr(self, name) for name in names},
            "notes": list(self.notes),
            "video_seconds": times.video_seconds,
            "wall_seconds": times.wall_seconds,
            "real_time_factor": times.real_time_factor,
            "latency_p50": times.latency(50),
            "latency_p95": times.latency(95),
        }

    def line(self) -> str:
        """Return the counts in a sentence."""
        times = self.times
        text = f"{self.video}: {counted(self.n_segments, 'segment')}, {counted(self.n_events, 'event')}"
        if self.n_unreadable:
            text += f", {self.n_unreadable} not readable"
        middle, late = times.latency(50), times.latency(95)
        if times.real_time_factor is not None and middle is not None and late is not None:
            text += (
                f"; {times.real_time_factor:.1f} x real time, latency of a segment {1000 * middle:.0f} ms (p50), "
                f"{1000 * late:.0f} ms (p95)"
            )
        return text + (f"; ended early: {self.reason}" if self.reason else "")


@dataclass
class Summary:
    """The videos of a detection, and what they were detected with."""

    about: dict[str, Any]
    notes: dict[str, None] = field(default_factory=dict)
    videos: list[VideoSummary] = field(default_factory=list)
    interrupted: bool = False

    @property
    def is_whole(self) -> bool:
        """True if every video could be read whole."""
        return all(video.is_whole for video in self.videos)

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            **self.about,
            "interrupted": self.interrupted,
            "notes": list(self.notes),
            "videos": [video.to_json() for video in self.videos],
        }

    def lines(self) -> Iterator[str]:
        """Yield the notes and a line per video."""
        yield from (f"Note: {note}" for note in self.notes)
        yield from (video.line() for video in self.videos)
        if len(self.videos) > 1:
            yield f"{len(self.videos)} videos, {_total(self.videos)}"


def _total(videos: Sequence[VideoSummary]) -> str:
    segments, events = sum(video.n_segments for video in videos), sum(video.n_events for video in videos)
    broken = sum(video.reason is not None for video in videos)
    return f"{counted(segments, 'segment')}, {counted(events, 'event')}" + (f", {broken} ended early" if broken else "")
