"""Explanations of events in a stream, whose frames are gone once they were scored: some are kept during an event.

The model that scores also generates the texts, so one waits for the other, and detection comes first. A live stream
drops segments that wait too long, so its events are explained only at a moment when no segment waits. Segments that
arrive during a text wait in the source's own queue. At most `MOST_WAITING` closed events wait for such a moment; with
one more, the oldest stays without a text, with a reason. A stream that waits for its consumer loses nothing, so its
events are explained at once.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator

import numpy as np

from vadprobe.detect.detector import Detector
from vadprobe.detect.explanations.explained import ExplainedEvent
from vadprobe.detect.online.events import Event
from vadprobe.detect.segments import Segment
from vadprobe.detect.stream import ScoredSegment
from vadprobe.extract.model.texts.explanations import Explainer, ExplanationRequest, PreparedRequest
from vadprobe.store.format.sampling import sample_frames

MOST_WAITING = 8
"""Largest number of closed events that wait for their texts; their frames are kept in the model's size."""


class StreamExplainer:
    """Explains events of a stream between its segments, in bounded memory.

    Args:
        detector: a loaded detector; its weights also generate the texts.
        is_pressed: returns True while segments wait that the source may drop.
    """

    def __init__(self, detector: Detector, is_pressed: Callable[[], bool]) -> None:
        self._detector, self._is_pressed = detector, is_pressed
        self._n_frames = detector.fitted.features.sampling.frames_per_clip
        self._passed: deque[tuple[int, np.ndarray | None]] = deque()  # segments whose state is not known yet
        self._event = SpreadFrames(2 * self._n_frames)
        self._waiting: deque[tuple[Event, PreparedRequest]] = deque()

    def keep(self, segments: Iterable[Segment]) -> Iterator[Segment]:
        """Yield the segments, and keep their frames until their state is known."""
        for segment in segments:
            frames = segment.frames if isinstance(segment.frames, np.ndarray) else None
            self._passed.append((segment.span.start_frame, frames))
            yield segment

    def take(self, found: ScoredSegment | Event) -> Iterator[ExplainedEvent]:
        """Take a segment or an event; yield the explained events for which there is time now."""
        if isinstance(found, Event):
            yield from self._close(found)
        else:
            _, frames = self._passed.popleft()
            if found.state == "anomalous" and frames is not None:
                self._event.add(frames)
        while self._waiting and not self._is_pressed():
            yield self._explain_next()

    def finish(self) -> Iterator[ExplainedEvent]:
        """Yield all waiting events with their texts."""
        while self._waiting:
            yield self._explain_next()

    def give_up(self, reason: str) -> Iterator[ExplainedEvent]:
        """Yield all waiting events, with a reason in place of a text."""
        while self._waiting:
            yield ExplainedEvent(self._waiting.popleft()[0], None, reason)

    def _close(self, event: Event) -> Iterator[ExplainedEvent]:
        frames = self._event.chosen(self._n_frames)
        self._event = SpreadFrames(2 * self._n_frames)
        if len(self._waiting) == MOST_WAITING:
            late = f"scoring left no time, and more events came than may wait ({MOST_WAITING})"
            yield ExplainedEvent(self._waiting.popleft()[0], None, late)
        seconds = event.stop_second - event.start_second
        request = ExplanationRequest(event.video, event.start_frame, event.stop_frame, frames, seconds=seconds)
        self._waiting.append((event, Explainer(self._detector.scorer.forward.backbone).prepare(request)))

    def _explain_next(self) -> ExplainedEvent:
        event, request = self._waiting.popleft()
        (found,) = Explainer(self._detector.scorer.forward.backbone).explain([request])
        return ExplainedEvent(event, found)


class SpreadFrames:
    """At most `most` frames, spread evenly over a stretch whose length is not known in advance.

    When there are more, every second kept frame is dropped, and from then on half as many are kept. When the size of
    the picture changes, all earlier frames are dropped.
    """

    def __init__(self, most: int) -> None:
        self._most, self._step, self._count = most, 1, 0
        self._kept: list[np.ndarray] = []

    def add(self, frames: np.ndarray) -> None:
        """Add frames (n, height, width, 3) in their order."""
        if self._kept and self._kept[0].shape != frames.shape[1:]:
            self._kept, self._step, self._count = [], 1, 0
        for frame in frames:
            if self._count % self._step == 0:
                self._kept.append(frame.copy())  # a view would hold its whole segment
            self._count += 1
            if len(self._kept) > self._most:
                self._kept, self._step = self._kept[::2], 2 * self._step

    def chosen(self, count: int) -> np.ndarray:
        """Return `count` of the kept frames, evenly spread, (count, height, width, 3)."""
        return np.stack([self._kept[place] for place in sample_frames(0, len(self._kept), count)])
