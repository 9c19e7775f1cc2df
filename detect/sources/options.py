"""Options of every source: time-outs, reconnecting, queue, folders."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import isfinite

from vadprobe.store.errors import VadprobeError


@dataclass(frozen=True)
class SourceOptions:
    """Settings for opening and reading sources; each kind of source uses those that concern it.

    Attributes:
        segment_frames: frames of a segment, the clip length of the detector. Live sources hand out whole segments.
        queue_segments: largest number of decoded segments of a live source that wait for a late consumer.
        drop: when the consumer is late, drop whole segments (True) or wait (False). By default URLs without a known
            length drop; recorded video, standard input and files that grow wait.
        timeout_seconds: seconds without data after which a connection, or standard input, counts as broken.
        reconnect_attempts: number of attempts in a row to reach a broken stream again; 0 for none. A whole segment that
            arrives resets the count.
        first_delay, longest_delay: seconds to wait before the first attempt; the wait doubles up to the longest.
        endless: the stream has no end, so that an end is a break. By default rtsp, rtmp, udp, rtp, srt and tcp have
            none; http ends where the server says so.
        follow: continue to read a file that still grows.
        idle_seconds: seconds without growth after which a growing file counts as complete.
        watch: continue to look for new files in a folder.
        settle_seconds: seconds that a new file must keep its size to count as complete.
        watch_seconds: seconds without a new file after which watching ends; None for never.
        decode_seconds: seconds without progress after which the decoder of a video file is killed.
        ffmpeg: further options for FFmpeg's protocols and formats, such as `{"rtsp_transport": "udp"}`.
    """

    segment_frames: int = 24
    queue_segments: int = 4
    drop: bool | None = None
    timeout_seconds: float = 10.0
    reconnect_attempts: int = 8
    first_delay: float = 1.0
    longest_delay: float = 30.0
    endless: bool | None = None
    follow: bool = False
    idle_seconds: float = 10.0
    watch: bool = False
    settle_seconds: float = 2.0
    watch_seconds: float | None = None
    decode_seconds: float = 60.0
    ffmpeg: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, least in {"segment_frames": 1, "queue_segments": 1, "reconnect_attempts": 0}.items():
            if (count := getattr(self, name)) < least:
                raise VadprobeError(f"{name} must be a whole number from {least}, got {count}.")
        lengths = ("timeout_seconds", "first_delay", "longest_delay", "idle_seconds", "settle_seconds")
        for name in (*lengths, "watch_seconds", "decode_seconds"):
            seconds = getattr(self, name)
            if seconds is not None and not (isfinite(seconds) and seconds > 0):
                raise VadprobeError(f"{name} must be a positive number of seconds, got {seconds}.")

    def delay(self, attempt: int) -> float:
        """Return the seconds to wait before attempt 1, 2, ... in a row."""
        return min(self.first_delay * 2.0 ** min(attempt - 1, 60), self.longest_delay)
