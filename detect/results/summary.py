"""The summary of a detection: counts of each video, the speed, and why a video ended early."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from vadprobe.detect.online.events import Event
from vadprobe.detect.stream import ScoredSegment, StreamTimes
from vadprobe.store.files.text import counted


@dataclass
class VideoSummary:
    """Counts of one video.

    `reason` says why the video ended early, and is None if it did not. `fps` is the frame rate of its first segment,
    None as long as there is none.
    """

    video: str
    n_segments: int = 0
    n_unreadable: int = 0
    n_anomalous: int = 0
    n_events: int = 0
    reason: str | None = None
    notes: tuple[str, ...] = ()
    times: StreamTimes = field(default_factory=StreamTimes)
    fps: float | None = None

    def count(self, found: ScoredSegment | Event) -> None:
        """Count a segment or an event."""
        if isinstance(found, Event):
            self.n_events += 1
            return
        self.n_segments += 1
        seconds = found.stop_second - found.start_second
        if self.fps is None and seconds > 0:
            self.fps = (found.stop_frame - found.start_frame) / seconds
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
            "fps": self.fps,
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
        for note in self.notes:
            text += f"; {note}"
        text += f"; {times.words()}" if times.words() else ""
        return text + (f"; ended early: {self.reason}" if self.reason else "")


@dataclass
class Summary:
    """The videos of a detection, with its detector and settings (`about`) and its notes in order, as keys of a dict."""

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
