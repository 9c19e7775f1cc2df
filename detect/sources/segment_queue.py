"""The bounded queue between the thread that decodes a stream and what scores it."""

import threading
from collections import deque
from collections.abc import Iterator, Sequence

from vadprobe.detect.sources.frames import TimedFrame

Segment = Sequence[TimedFrame]


class SegmentQueue:
    """Segments that wait for their consumer, never more than `size`.

    Args:
        size: segments that wait at most.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._segments: deque[Segment] = deque()
        self._changed = threading.Condition()
        self._ended = self._closed = False
        self._error: BaseException | None = None

    @property
    def is_full(self) -> bool:
        """True if a segment more would not fit."""
        return len(self._segments) >= self._size

    @property
    def is_closed(self) -> bool:
        """True if the consumer wants no more."""
        return self._closed

    def wait_closed(self, seconds: float) -> bool:
        """Wait until the consumer wants no more, at most some seconds; return True if it does not."""
        with self._changed:
            return self._changed.wait_for(lambda: self._closed, seconds)

    def put(self, segment: Segment) -> None:
        """Add a segment; wait while the queue is full. What comes after `close` is forgotten."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or not self.is_full)
            if not self._closed:
                self._segments.append(segment)
            self._changed.notify_all()

    def end(self, error: BaseException | None = None) -> None:
        """Say that nothing more comes, and why if it is an error. Segments that wait are still handed out."""
        with self._changed:
            self._ended, self._error = True, error
            self._changed.notify_all()

    def close(self) -> None:
        """Want no more, and forget what waits."""
        with self._changed:
            self._closed = True
            self._segments.clear()
            self._changed.notify_all()

    def __iter__(self) -> Iterator[Segment]:
        """Hand out segments until the end.

        Raises:
            BaseException: the error that the other side ended with.
        """
        while True:
            with self._changed:
                self._changed.wait_for(lambda: bool(self._segments) or self._ended or self._closed)
                if self._closed:
                    return
                if not self._segments:
                    if self._error is not None:
                        raise self._error
                    return
                segment = self._segments.popleft()
                self._changed.notify_all()
            yield segment
