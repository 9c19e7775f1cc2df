"""One video through a detector: segments in, scored segments and closed events out, in bounded memory."""

import math
import queue
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, TypeVar

import numpy as np

from vadprobe.detect.online.events import Event, EventTracker, Hysteresis, State
from vadprobe.detect.online.smoothing import OnlineSmoother
from vadprobe.detect.scoring import SegmentScorer
from vadprobe.detect.segments import Segment
from vadprobe.store.errors import VadprobeError

MOST_LATENCIES = 10_000
"""Number of the newest latencies that are kept."""


@dataclass(frozen=True)
class DetectionOptions:
    """Settings of the locator in a stream.

    Attributes:
        look_ahead: number of segments that a smoothed score waits for, as of `OnlineSmoother`; None for scores equal to
            those of the offline smoothing.
        stays: an event goes on while the smoothed score is strictly above this; None for the detector's threshold.
        batch: segments per pass; None for one in streams, and in files for as many as in the extraction of the
            features, at most 8.
    """

    look_ahead: int | None = None
    stays: float | None = None
    batch: int | None = None


@dataclass(frozen=True)
class ScoredSegment:
    """A segment with its final scores; frames are half-open, seconds count from the beginning of the video.

    `score` is the probe's, `smoothed` the locator's; both are None where the segment could not be read, and `reason`
    says why. `wall` is the time of day of its last frame in seconds since 1970 (UTC); None for files.
    """

    video: str
    segment: int
    start_frame: int
    stop_frame: int
    start_second: float
    stop_second: float
    score: float | None
    smoothed: float | None
    state: State
    reason: str = ""
    wall: float | None = None

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values, without an empty reason and a missing time of day."""
        found = asdict(self).items()
        return {name: value for name, value in found if (value is not None or name in _ALWAYS) and value != ""}


_ALWAYS = ("score", "smoothed")


@dataclass
class StreamTimes:
    """Times of a stream: wall-clock seconds, seconds of video, and the latencies of segments.

    A latency is the time between taking a segment from the decoder and its raw score, including the wait for the rest
    of its batch.
    """

    started: float = field(default_factory=time.monotonic)
    wall_seconds: float = 0.0
    video_seconds: float = 0.0
    latencies: deque[float] = field(default_factory=lambda: deque(maxlen=MOST_LATENCIES))

    @property
    def real_time_factor(self) -> float | None:
        """Seconds of video per second of wall clock; above 1 is faster than the video plays."""
        return self.video_seconds / self.wall_seconds if self.wall_seconds > 0 else None

    def latency(self, percentile: float) -> float | None:
        """Return a percentile of the latencies in seconds."""
        return float(np.percentile(list(self.latencies), percentile)) if self.latencies else None

    def words(self) -> str:
        """Return the real-time factor and the latencies in words; "" as long as there are none."""
        factor, middle, late = self.real_time_factor, self.latency(50), self.latency(95)
        if factor is None or middle is None or late is None:
            return ""
        return (
            f"{factor:.1f} x real time, latency of a segment {1000 * middle:.0f} ms (p50), {1000 * late:.0f} ms (p95)"
        )


class DetectionStream:
    """Detection in one video.

    Args:
        video: name of the video.
        scorer: scorer of the segments.
        options: settings of the locator.
        batch: segments per pass, used if the options give none.
    """

    def __init__(self, video: str, scorer: SegmentScorer, options: DetectionOptions, batch: int = 1) -> None:
        locator = scorer.detector.locator
        stays = locator.threshold if options.stays is None else options.stays
        self.video, self.times = video, StreamTimes()
        self._scorer, self._batch = scorer, options.batch or batch
        self._smoother = OnlineSmoother(locator, options.look_ahead)
        self._tracker = EventTracker(video, Hysteresis(locator.threshold, stays))
        self._waiting: deque[tuple[Segment, float]] = deque()
        self._taken: list[float] = []

    @property
    def delay(self) -> int:
        """Number of segments after which a smoothed score is final."""
        return self._smoother.delay

    def run(self, segments: Iterable[Segment]) -> Iterator[ScoredSegment | Event]:
        """Yield each segment once its scores are final, and each event once it has closed.

        Raises:
            VadprobeError: if the source broke off; all that was found until then is yielded before.
            KeyboardInterrupt: if the run was interrupted, likewise.
        """
        error: BaseException | None = None
        try:
            for batch in self._batches(segments):
                for segment, score in zip(batch, self._scored(batch), strict=True):
                    if segment.follows_gap:
                        yield from self._end()
                    self._waiting.append((_without_frames(segment), score))
                    yield from self._final(self._smoother.add(score))
        except (VadprobeError, KeyboardInterrupt) as caught:
            error = caught
        yield from self._end()
        if error is not None:
            raise error

    def _batches(self, segments: Iterable[Segment]) -> Iterator[list[Segment]]:
        """Yield segments in batches; the segments before an error are yielded before it is raised."""
        batch: list[Segment] = []
        error: VadprobeError | None = None
        try:
            for segment in segments:
                batch.append(segment)
                self._taken.append(time.monotonic())
                if len(batch) >= self._batch:
                    yield batch
                    batch, self._taken = [], []
        except VadprobeError as caught:
            error = caught
        if batch:
            yield batch
        if error is not None:
            raise error

    def _scored(self, batch: Sequence[Segment]) -> list[float]:
        scores = self._scorer.score(batch)
        now = time.monotonic()
        self.times.latencies.extend(now - taken for taken in self._taken)
        self.times.wall_seconds = now - self.times.started
        self.times.video_seconds += sum(segment.seconds for segment in batch)
        return [float(score) for score in scores]

    def _end(self) -> Iterator[ScoredSegment | Event]:
        """Finish the smoothing and the open event, as the video ends here or frames are missing."""
        yield from self._final(self._smoother.finish())
        event = self._tracker.finish()
        if event is not None:
            yield event

    def _final(self, smoothed: Sequence[float]) -> Iterator[ScoredSegment | Event]:
        for value in smoothed:
            segment, score = self._waiting.popleft()
            state, event = self._tracker.add(segment.span, value, segment.wall)
            if event is not None:
                yield event
            span = segment.span
            yield ScoredSegment(
                self.video,
                segment.index,
                span.start_frame,
                span.stop_frame,
                span.start_second,
                span.stop_second,
                None if math.isnan(score) else score,
                None if math.isnan(value) else value,
                state,
                segment.reason,
                None if segment.wall is None else segment.wall[1],
            )


def _without_frames(segment: Segment) -> Segment:
    return Segment(segment.index, segment.span, None, segment.reason, segment.follows_gap, segment.wall)


Item = TypeVar("Item")
_END = object()


def ahead(items: Iterator[Item], count: int) -> Iterator[Item]:
    """Yield the items of an iterator that runs in a thread of its own, at most `count` ahead of its consumer.

    Raises:
        Exception: the iterator's own error, after the items before it.
    """
    waiting: queue.Queue[Any] = queue.Queue(maxsize=count)
    stopped = threading.Event()

    def put(item: object) -> bool:
        while not stopped.is_set():
            try:
                waiting.put(item, timeout=0.1)
            except queue.Full:
                continue
            return True
        return False

    def work() -> None:
        try:
            for item in items:
                if not put((item, None)):
                    return
        except Exception as error:  # noqa: BLE001 -- handed to the consumer, which raises it
            put((None, error))
        put((_END, None))

    thread = threading.Thread(target=work, name="decode-ahead", daemon=True)
    thread.start()
    try:
        while True:
            item, error = waiting.get()
            if error is not None:
                raise error
            if item is _END:
                return
            yield item
    finally:
        stopped.set()
        thread.join()  # the iterator's file may be read by the next one
