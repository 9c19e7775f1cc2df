"""The parts of segments and events that pictures show."""

from typing import Literal, Protocol


class ShownSegment(Protocol):
    """A scored segment; `score` and `smoothed` are None where it could not be read."""

    @property
    def start_frame(self) -> int:
        """First frame."""

    @property
    def stop_frame(self) -> int:
        """Frame behind the last one."""

    @property
    def start_second(self) -> float:
        """Seconds from the beginning of the video to the segment's first frame."""

    @property
    def stop_second(self) -> float:
        """Seconds from the beginning of the video to the end of the segment."""

    @property
    def score(self) -> float | None:
        """Probability that the probe gives."""

    @property
    def smoothed(self) -> float | None:
        """Score that the locator has smoothed."""

    @property
    def state(self) -> Literal["anomalous", "normal", "unknown"]:
        """Kind of the segment."""


class ShownEvent(Protocol):
    """An event: its frames, half-open, and the same in seconds from the beginning of the video."""

    @property
    def start_frame(self) -> int:
        """First frame."""

    @property
    def stop_frame(self) -> int:
        """Frame behind the last one."""

    @property
    def start_second(self) -> float:
        """Seconds from the beginning of the video to that of the event."""

    @property
    def stop_second(self) -> float:
        """Seconds from the beginning of the video to the end of the event."""

    @property
    def peak_score(self) -> float:
        """Highest smoothed score."""
