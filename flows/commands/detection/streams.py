"""Options of streams: waiting for data, scoring that is late, and files and folders that still grow."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from cyclopts import Group, Parameter

from vadprobe.flows.commands.options import Positive, Whole
from vadprobe.store.errors import VadprobeError

if TYPE_CHECKING:
    from vadprobe.detect.sources.options import SourceOptions


@Parameter(name="*", group=Group("Streams", sort_key=1))
@dataclass(frozen=True, kw_only=True)
class StreamOptions:
    """Options for URLs, standard input, files that grow and folders that are watched."""

    follow: bool = False
    """read on in a file that still grows"""
    watch: bool = False
    """go on looking for new files in the folder that is named last"""
    idle: float | None = None
    """seconds without news after which a followed file is complete (by default 10), and watching a folder ends (by
    default never)"""
    timeout: float = 10.0
    """seconds without data after which a URL, or standard input, counts as broken"""
    reconnect: Whole = 8
    """attempts in a row to reach a broken URL again, 1, 2, 4, ... and at most 30 seconds apart; 0 for none"""
    late: Literal["drop", "wait"] | None = None
    """when scoring is slower than the stream: drop whole segments, and say how many, or let the stream wait; by default
    URLs of no known length drop, and all else waits"""
    queue: Positive = 4
    """segments of a stream that may wait while scoring, or the explanation of an event, is busy"""

    def __post_init__(self) -> None:
        for name, seconds in (("idle", self.idle), ("timeout", self.timeout)):
            if seconds is not None and not (math.isfinite(seconds) and seconds > 0):
                raise VadprobeError(f"--{name} must be a positive number of seconds, got {seconds:g}.")

    def of_sources(self, segment_frames: int) -> "SourceOptions":
        """Return the options of sources whose segments have `segment_frames` frames."""
        from vadprobe.detect.sources.options import SourceOptions

        idle: dict[str, Any] = {} if self.idle is None else {"idle_seconds": self.idle, "watch_seconds": self.idle}
        return SourceOptions(
            segment_frames=segment_frames,
            queue_segments=self.queue,
            drop=None if self.late is None else self.late == "drop",
            timeout_seconds=self.timeout,
            reconnect_attempts=self.reconnect,
            follow=self.follow,
            watch=self.watch,
            **idle,
        )
