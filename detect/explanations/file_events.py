"""Explanations of events in a video file, once it has been read to its end."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from vadprobe.detect.detector import Detector
from vadprobe.detect.explanations.explained import ExplainedEvent
from vadprobe.detect.online.events import Event
from vadprobe.detect.segments import Segment
from vadprobe.detect.stream import ScoredSegment
from vadprobe.extract.model.texts.explanations import BATCH, Explainer, ExplanationRequest
from vadprobe.extract.video.decoder import Decoder
from vadprobe.store.errors import VideoError
from vadprobe.store.format.sampling import sample_frames


class FileExplainer:
    """Explains the events of a video file in batches, from frames that are read again.

    The frames are spread evenly over the event; there are as many as the detector sees of a segment.

    Args:
        detector: a loaded detector; its weights also generate the texts.
        path: the video file.
    """

    def __init__(self, detector: Detector, path: Path) -> None:
        self._detector, self._path = detector, path
        self._events: list[Event] = []

    def keep(self, segments: Iterable[Segment]) -> Iterable[Segment]:
        """Return the segments; no frame is kept, as the file can be read again."""
        return segments

    def take(self, found: ScoredSegment | Event) -> Iterator[ExplainedEvent]:
        """Note an event; yield nothing yet."""
        if isinstance(found, Event):
            self._events.append(found)
        yield from ()

    def finish(self) -> Iterator[ExplainedEvent]:
        """Yield every event with its text."""
        if not self._events:
            return
        explainer = Explainer(self._detector.scorer.forward.backbone)
        with Decoder(self._detector.deadline) as decoder:
            while self._events:
                some = self._events[:BATCH]
                yield from self._explained(explainer, decoder, some)
                self._events = self._events[BATCH:]

    def give_up(self, reason: str) -> Iterator[ExplainedEvent]:
        """Yield every event that has no text yet, with a reason."""
        yield from (ExplainedEvent(event, None, reason) for event in self._events)
        self._events = []

    def _explained(self, explainer: Explainer, decoder: Decoder, events: Sequence[Event]) -> list[ExplainedEvent]:
        n_frames = self._detector.fitted.features.sampling.frames_per_clip
        requests, reasons = {}, {}
        for place, event in enumerate(events):
            span = (event.start_frame, event.stop_frame)
            try:
                frames = decoder.read_clip(self._path, sample_frames(*span, n_frames))
            except VideoError as error:
                reasons[place] = str(error)
                continue
            seconds = event.stop_second - event.start_second
            requests[place] = explainer.prepare(ExplanationRequest(event.video, *span, frames, seconds=seconds))
        found = dict(zip(requests, explainer.explain(list(requests.values())), strict=True))
        return [ExplainedEvent(event, found.get(place), reasons.get(place)) for place, event in enumerate(events)]
