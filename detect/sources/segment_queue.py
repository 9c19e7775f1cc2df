"""The bounded queue between the thread that decodes a stream and the consumer that scores it."""

import threading
from collections import deque
from collections.abc import Iterator, Sequence

from vadprobe.detect.sources.frames import TimedFrame

Segment = Sequence[TimedFrame]


class SegmentQueue:
    """Segments that wait for their consumer, never more than `size`.

    Args:
        size: largest number of segments that wait.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._segments: deque[Segment] = deque()
        self._changed = threading.Condition()
        self._ended = self._closed = False
        self._error: BaseException | None = None

    def __len__(self) -> int:
        """Return the number of segments that wait."""
        return len(self._segments)

    @property
    def is_full(self) -> bool:
        """True if no further segment fits."""
        return len(self._segments) >= self._size

    @property
    def is_closed(self) -> bool:
        """True if the consumer has closed the queue."""
        return self._closed

    def wait_closed(self, seconds: float) -> bool:
        """Wait until the consumer closes the queue, at most `seconds`; return True if it is closed."""
        with self._changed:
            return self._changed.wait_for(lambda: self._closed, seconds)

    def put(self, segment: Segment) -> None:
        """Add a segment; wait while the queue is full. Segments that come after `close` are dropped."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or not self.is_full)
            if not self._closed:
                self._segments.append(segment)
            self._changed.notify_all()

    def end(self, error: BaseException | None = None) -> None:
        """Note that no more segments come, and the error if there is one. Waiting segments are still handed out."""
        with self._changed:
            self._ended, self._error = True, error
            self._changed.notify_all()

    def close(self) -> None:
        """Close the queue for its consumer: drop the waiting segments, and all that come later."""
        with self._changed:
            self._closed = True
            self._segments.clear()
            self._changed.notify_all()

    def __iter__(self) -> Iterator[Segment]:
        """Hand out segments until the end.

        Raises:
            BaseException: the error given to `end`, after all segments.
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
