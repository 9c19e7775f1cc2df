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
        """Seconds from the beginning of the video to its first frame."""

    @property
    def stop_second(self) -> float:
        """Seconds from the beginning of the video to its end."""

    @property
    def score(self) -> float | None:
        """Probability of the probe."""

    @property
    def smoothed(self) -> float | None:
        """Score of the locator."""

    @property
    def state(self) -> Literal["anomalous", "normal", "unknown"]:
        """Kind of the segment."""


class ShownEvent(Protocol):
    """An event: frames half-open, and the same in seconds from the beginning of the video."""

    @property
    def start_frame(self) -> int:
        """First frame."""

    @property
    def stop_frame(self) -> int:
        """Frame behind the last one."""

    @property
    def start_second(self) -> float:
        """Seconds to its beginning."""

    @property
    def stop_second(self) -> float:
        """Seconds to its end."""

    @property
    def peak_score(self) -> float:
        """Highest smoothed score."""
