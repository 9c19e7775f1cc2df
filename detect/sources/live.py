"""A stream as a source: a thread reads and decodes, connects again after a break, and never runs far ahead."""

import logging
import threading
from collections.abc import Callable, Iterator

import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter

from vadprobe.detect.sources.assembling import SegmentAssembler
from vadprobe.detect.sources.connection import UNKNOWN_FPS, BreakError, BytesReader, Connection, DecodedFrame
from vadprobe.detect.sources.frames import SourceError, TimedFrame
from vadprobe.detect.sources.options import SourceOptions
from vadprobe.detect.sources.segment_queue import SegmentQueue
from vadprobe.detect.sources.stream_clock import StreamClock

LOG = logging.getLogger(__name__)
JOIN_SECONDS = 1.0
"""Seconds that `close` waits for the thread; a read that hangs ends by its own time-out."""

Target = Callable[[Callable[[], bool]], "str | BytesReader"]
"""Function that returns what to open; its argument is a function that returns True once the source is closed."""


class LiveSource:
    """The frames of a stream, in whole segments; nothing is opened before `frames` is called.

    Frames that a broken connection lost leave a gap: the numbers go on with the next segment, and the first frame
    behind the gap has `follows_gap`. A stream of known length is continued where it broke, without a gap.

    Args:
        name: name of the source, fit for a file's name.
        shown: name of the stream in messages, without secrets.
        target: function that returns what to open.
        options: time-outs, reconnecting, queue.
        reconnects: True if the stream can be opened again.
        endless: True if an end of the stream counts as a break.
        drops: True to drop segments when the consumer is late, False to let the stream wait; None drops unless the
            length is known.
        clock: clock that gives the times of frames.

    Attributes:
        n_breaks: number of times that the stream broke.
        n_attempts: number of attempts to reach it again.
    """

    def __init__(
        self,
        name: str,
        shown: str,
        target: Target,
        options: SourceOptions,
        *,
        reconnects: bool,
        endless: bool,
        drops: bool | None,
        clock: StreamClock | None = None,
    ) -> None:
        self.name, self._shown, self._target, self._options = name, shown, target, options
        self._most_attempts = options.reconnect_attempts if reconnects else 0
        self._endless, self._drops = endless, drops
        self._queue = SegmentQueue(options.queue_segments)
        self._assembler = SegmentAssembler(shown, options.segment_frames, self._queue)
        self._clock = clock or StreamClock()
        self._reformatter = VideoReformatter()  # one for all frames keeps its tables
        self._fps: float | None = None
        self._seconds: float | None = None  # of the last frame
        # number of decoded frames up to the last whole segment, and the stamp there
        self._safe: tuple[int, float | None] = (0, None)
        self._is_finite = self._was_open = False
        self._jumps, self.n_breaks, self.n_attempts, self._reason = 0, 0, 0, ""
        self._thread = threading.Thread(target=self._run, name=f"stream {name}", daemon=True)

    @property
    def fps(self) -> float | None:
        """Average frames per second that the stream declares; None until it is open, and where it declares none."""
        return self._fps

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences on breaks, jumps of the clock, and what was left out."""
        notes = list(self._assembler.notes())
        if self.n_breaks:
            times = f"{self.n_breaks} time{'s' if self.n_breaks > 1 else ''}"
            attempts = f"{self.n_attempts} attempt{'s' if self.n_attempts > 1 else ''} to reach it again"
            notes.append(f"the stream broke off {times}, the last time because of: {self._reason} ({attempts})")
        if self._jumps:
            notes.append(f"the clock of the stream jumped {self._jumps} time{'s' if self._jumps > 1 else ''}")
        return tuple(notes)

    @property
    def is_pressed(self) -> bool:
        """True while segments wait that the stream may drop because their consumer is late."""
        return self._assembler.drops and len(self._queue) > 0

    def frames(self) -> Iterator[TimedFrame]:
        """Yield the frames of whole segments, and of the last one, which may be short. It can be called once.

        Raises:
            SourceError: if the stream cannot be opened, or breaks and cannot be reached again.
        """
        self._thread.start()
        try:
            for segment in self._queue:
                yield from segment
        finally:
            self.close()

    def close(self) -> None:
        """End the stream."""
        self._queue.close()
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join(JOIN_SECONDS)

    def _run(self) -> None:
        try:
            self._read_to_the_end()
        except BaseException as error:  # noqa: BLE001 - whatever it is, the consumer must hear of it
            self._queue.end(error)
        else:
            self._queue.end()

    def _read_to_the_end(self) -> None:
        """Read one connection after another until the stream ends.

        Raises:
            SourceError: if the stream cannot be opened, or cannot be reached again.
        """
        attempt, last_reason = 0, ""
        while True:
            n_before = self._assembler.n_whole + self._assembler.n_dropped
            try:
                self._read_connection(attempt)
                if not self._endless or self._queue.is_closed:
                    self._assembler.finish()
                    return
                reason = "the stream ended"
            except BreakError as error:
                reason = str(error)
            if not self._was_open:
                raise SourceError(f"{self._shown} cannot be opened: {reason}.")
            if self._assembler.n_whole + self._assembler.n_dropped > n_before or not attempt:
                attempt, last_reason = 0, reason
                self.n_breaks, self._reason = self.n_breaks + 1, reason
            if attempt >= self._most_attempts:
                self._assembler.finish()
                raise SourceError(self._last_words(last_reason, attempt, reason))
            attempt += 1
            self._prepare_to_go_on()
            self._wait(attempt, reason)
            if self._queue.is_closed:
                return

    def _last_words(self, first: str, attempts: int, last: str) -> str:
        after = "" if self._seconds is None else f" after {self._seconds:.1f} s"
        tried = f" {attempts} attempts to reach it again failed, the last: {last}." if attempts else ""
        return f"{self._shown} broke off{after}: {first}.{tried}"

    def _prepare_to_go_on(self) -> None:
        """Return to the last whole segment if the stream will begin anew; otherwise note a gap."""
        if self._is_finite:
            self._assembler.rewind()
            self._clock.rewind(self._safe[1])
        else:
            self._assembler.gap()
            self._clock.begin_part()
            self._safe = (0, None)

    def _wait(self, attempt: int, reason: str) -> None:
        """Wait before the next attempt, or until the source is closed."""
        delay = self._options.delay(attempt)
        LOG.warning(
            "%s: %s. Attempt %d of %d to reach it again in %.3g s.",
            *(self._shown, reason, attempt, self._most_attempts, delay),
        )
        self.n_attempts += 1
        self._queue.wait_closed(delay)

    def _read_connection(self, attempt: int) -> None:
        """Read a connection to its end.

        Raises:
            BreakError: if it breaks.
        """
        connection = Connection(self._target(lambda: self._queue.is_closed), self._options)
        try:
            if attempt:
                LOG.warning("%s: reached again.", self._shown)
            self._was_open, self._is_finite = True, connection.is_finite
            self._assembler.drops = not connection.is_finite if self._drops is None else self._drops
            self._fps = connection.fps or None
            n_known = self._safe[0] if connection.is_finite else 0
            for count, one in enumerate(connection.frames(lambda: self._queue.is_closed), start=1):
                if count > n_known:
                    self._take(one)
                    if self._assembler.is_safe:
                        self._safe = count, one.stamp
        finally:
            connection.close()

    def _take(self, one: DecodedFrame) -> None:
        step = 1 / (self._fps or UNKNOWN_FPS)
        if self._clock.breaks_off(one.stamp, step):
            self._jumps += 1
            self._assembler.gap()
            self._clock.begin_part()
        self._seconds, wall = self._clock.read(one.stamp, step)
        self._assembler.add(lambda: self._colours(one.frame), self._seconds, wall, one.is_sound)

    def _colours(self, frame: VideoFrame) -> np.ndarray:
        """Return a frame's colours, (height, width, 3) uint8, turned by the rotation its stream asks for."""
        colours = self._reformatter.reformat(frame, format="rgb24").to_ndarray()
        return np.rot90(colours, round(frame.rotation / 90))
