"""Whole segments from the frames of a stream: frames are numbered, and segments dropped or left out at gaps."""

import logging
from collections.abc import Callable

import numpy as np

from vadprobe.detect.sources.frames import TimedFrame
from vadprobe.detect.sources.segment_queue import SegmentQueue

LOG = logging.getLogger(__name__)


class SegmentAssembler:
    """Numbers frames and puts them into a queue, one whole segment at a time.

    Segment t has the frames `[t w, (t + 1) w)`. After a gap the numbers go on with the next segment, so that no segment
    spans a gap.

    Args:
        name: name of the source, for messages.
        length: w, the number of frames of a segment.
        queue: queue in which segments wait for their consumer.

    Attributes:
        drops: True to drop a segment that begins while the queue is full; False to wait for the consumer.
        n_whole: number of segments that were handed on.
        n_dropped: number of segments left out because the consumer was late.
        n_damaged: number of segments left out because of damaged frames.
        n_unfinished: number of frames left out because a gap followed before their segment was complete.
    """

    def __init__(self, name: str, length: int, queue: SegmentQueue) -> None:
        self._name, self._length, self._queue = name, length, queue
        self.drops = False
        self._index = 0
        self._frames: list[TimedFrame] = []
        self._is_dropped = self._is_damaged = self._follows_gap = False
        self._has_begun = False
        self._safe = (0, 0, False)  # index, damaged segments and gap right behind the last segment that was whole
        self.n_whole = self.n_dropped = self.n_damaged = self.n_unfinished = 0

    def add(self, colours: Callable[[], np.ndarray], seconds: float, wall: float, is_sound: bool) -> None:
        """Add a frame.

        Args:
            colours: returns the frame's pixels; called only if they are needed.
            seconds, wall: times of the frame, as in `TimedFrame`.
            is_sound: False if damage may show in the frame. Frames before the first sound one are ignored.
        """
        self._has_begun = self._has_begun or is_sound
        if not self._has_begun:
            return
        if self._index % self._length == 0:
            self._is_dropped, self._is_damaged = self.drops and self._queue.is_full, False
        if not is_sound:
            self._is_damaged = True
            self._frames.clear()
        if not (self._is_dropped or self._is_damaged):
            first = self._follows_gap and not self._frames
            self._frames.append(TimedFrame(self._index, seconds, colours(), wall, first))
        self._index += 1
        if self._index % self._length == 0:
            self._end_segment()

    @property
    def is_safe(self) -> bool:
        """True right behind a segment that was handed on or dropped."""
        return self._index == self._safe[0]

    def rewind(self) -> None:
        """Go back to the last moment at which `is_safe` was True, because the frames since then will come again."""
        self._index, self.n_damaged, self._follows_gap = self._safe
        self._frames = []

    def gap(self) -> None:
        """Leave out the segment that has begun, because frames are missing behind it."""
        self.n_unfinished += len(self._frames)
        self._frames = []
        self._index = -(-self._index // self._length) * self._length
        self._follows_gap, self._has_begun = self._index > 0, False
        self._safe = self._index, self.n_damaged, self._follows_gap

    def finish(self) -> None:
        """Hand on the last segment, which may be short."""
        if self._frames:
            self._hand_on()

    def notes(self) -> tuple[str, ...]:
        """Return sentences on what was left out."""
        counts = {
            "{} dropped because scoring was late": (self.n_dropped, "segment"),
            "{} left out because frames in them were damaged": (self.n_damaged, "segment"),
            "{} left out before a gap, less than a segment each time": (self.n_unfinished, "frame"),
        }
        return tuple(text.format(_were(count, unit)) for text, (count, unit) in counts.items() if count)

    def _end_segment(self) -> None:
        if self._is_dropped:
            self.n_dropped += 1
            if self.n_dropped.bit_count() == 1:  # at 1, 2, 4, 8, ...: a stream of days must not fill the log
                LOG.warning("%s: %s dropped because scoring is late.", self._name, _were(self.n_dropped, "segment"))
        elif self._is_damaged:
            self.n_damaged += 1
        if self._is_dropped or self._is_damaged:
            self._frames, self._follows_gap = [], True
        else:
            self._hand_on()
        if not self._is_damaged:
            self._safe = self._index, self.n_damaged, self._follows_gap

    def _hand_on(self) -> None:
        self._queue.put(self._frames)
        self._frames, self._follows_gap = [], False
        self.n_whole += 1


def _were(count: int, unit: str) -> str:
    return f"{count} {unit}{' was' if count == 1 else 's were'}"
