"""One connection to a stream: its frames as they are decoded, and the reason when it breaks."""

import errno
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple, Protocol

import av
import av.logging
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from vadprobe.detect.sources.frames import SourceError
from vadprobe.detect.sources.options import SourceOptions

UNKNOWN_FPS = 25.0
"""Frames per second assumed where a stream declares no rate."""

PLAYLISTS = ("hls", "dash", "rtsp", "sdp")
"""Formats whose file is a list or a description, so that its length says nothing about that of the stream."""

RTSP_OVER_TCP = {"rtsp_transport": "tcp"}
"""Over UDP, FFmpeg's default, lost packets spoil pictures."""


class BytesReader(Protocol):
    """An object whose bytes FFmpeg reads."""

    def read(self, count: int) -> bytes:
        """Return up to `count` bytes; none at the end."""

    def close(self) -> None:
        """Release what is read from."""


class BreakError(Exception):
    """Raised when a connection breaks before the end of its stream. The text holds no URL."""


class DecodedFrame(NamedTuple):
    """A frame with its time by the stream's clock in seconds; `is_sound` is False where damage may show."""

    frame: VideoFrame
    stamp: float
    is_sound: bool


class Connection:
    """An open stream.

    Args:
        target: a URL, or an object to read from.
        options: time-outs, and further options for FFmpeg.

    Attributes:
        fps: frames per second that the stream declares, or 0.
        is_finite: True if the stream has a known length, so that it begins at the same place when opened again.

    Raises:
        BreakError: if it cannot be opened.
    """

    def __init__(self, target: "str | BytesReader", options: SourceOptions) -> None:
        self._target, self._timeout = target, options.timeout_seconds
        try:
            with self._telling_breaks():
                self._open(target, options)
        except BreakError:
            self._close_target()
            raise

    def _open(self, target: "str | BytesReader", options: SourceOptions) -> None:
        settings: dict[str, Any] = {"options": dict(options.ffmpeg)}
        if isinstance(target, str):
            is_rtsp = target.lower().startswith("rtsp")
            settings["options"] = {**(RTSP_OVER_TCP if is_rtsp else {}), **options.ffmpeg}
            settings["timeout"] = (self._timeout, self._timeout)
        self._container: InputContainer = av.open(target, "r", **settings)
        stream = self._container.streams.best("video")
        if not isinstance(stream, VideoStream):
            self._container.close()
            raise BreakError("it holds no video")
        stream.thread_count = 1
        self._stream = stream
        self.fps = float(stream.average_rate or stream.guessed_rate or 0)
        has_length = isinstance(target, str) and self._container.size > 0
        self.is_finite = has_length and self._container.format.name not in PLAYLISTS

    def frames(self, is_closed: Callable[[], bool]) -> Iterator[DecodedFrame]:
        """Yield frames as they are decoded, until the stream ends or `is_closed` returns True.

        At the beginning, and after an error of the decoder, no frame counts as sound before the next key frame.

        Raises:
            BreakError: if the connection breaks.
        """
        step, stamp, is_sound = 1 / (self.fps or UNKNOWN_FPS), 0.0, False
        with self._telling_breaks(), _complaints() as logged:
            for packet in self._container.demux(self._stream):
                if is_closed():
                    return
                frames, complains = list[VideoFrame](), packet.is_corrupt
                try:
                    frames = self._stream.decode(packet)
                except av.error.InvalidDataError:
                    complains = True
                complains = complains or bool(logged)
                logged.clear()  # a stream of days would fill the memory
                is_sound = is_sound and not complains
                for frame in frames:
                    is_sound = (is_sound or (frame.key_frame and not complains)) and not frame.is_corrupt
                    stamp = stamp + step if frame.time is None else frame.time
                    yield DecodedFrame(frame, stamp, is_sound)

    def close(self) -> None:
        """Close the stream."""
        self._container.close()
        self._close_target()

    def _close_target(self) -> None:
        if not isinstance(self._target, str):
            self._target.close()

    @contextmanager
    def _telling_breaks(self) -> Iterator[None]:
        """Turn FFmpeg's errors into `BreakError`, not chained, because they show the URL with its password."""
        try:
            yield
        except av.error.ExitError:
            raise BreakError(f"no data for {self._timeout:g} s") from None
        except av.FFmpegError as error:
            raise BreakError(_reason(error)) from None
        except SourceError as error:
            raise BreakError(str(error)) from None


def _reason(error: av.FFmpegError) -> str:
    """Return in words what happened, in FFmpeg's own where they are clear enough."""
    words = {
        errno.EIO: "the connection was cut",
        av.error.EOFError: "the stream ended before its first frame",
        av.error.InvalidDataError: "the data is not a video that FFmpeg can read from its beginning",
    }
    return words.get(error.errno) or words.get(type(error)) or error.strerror or type(error).__name__


@contextmanager
def _complaints() -> Iterator[list[Any]]:
    """Collect the errors that FFmpeg logs in this thread, because it hands out a damaged frame as a good one."""
    av.logging.set_level(av.logging.ERROR)
    try:
        with av.logging.Capture() as logged:
            yield logged
    finally:
        av.logging.set_level(None)
