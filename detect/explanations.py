"""Explanations of detected events in video files: the backbone's own generated text about the frames of each."""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vadprobe.analyze.locator.explanation_files import notice
from vadprobe.detect.detector import Detector
from vadprobe.detect.online.events import Event
from vadprobe.extract.model.texts.explanations import BATCH, Explainer, Explanation, ExplanationRequest
from vadprobe.extract.video.decoder import Decoder
from vadprobe.store.errors import VideoError
from vadprobe.store.files.atomic_files import write_bytes
from vadprobe.store.format.sampling import sample_frames

EXPLANATIONS = "explanations.jsonl"
"""Name of their file beside the events."""


@dataclass(frozen=True)
class ExplainedEvent:
    """An event with its generated text; None, with the `reason`, where its frames could not be read."""

    event: Event
    explanation: Explanation | None
    reason: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        found = self.explanation
        return {
            **{name: getattr(self.event, name) for name in ("video", "start_frame", "stop_frame")},
            "generated": True,
            "text": None if found is None else found.text,
            "is_whole": None if found is None else found.is_whole,
            "reason": self.reason,
            "prompt": None if found is None else found.prompt,
            "settings": None if found is None else dict(found.settings),
            "digest": None if found is None else found.digest,
        }

    def line(self) -> str:
        """Return the text, marked as generated."""
        if self.explanation is None:
            return f"not explained: {self.reason}"
        return f"generated: {' '.join(self.explanation.text.split())}"


def explain_events(detector: Detector, events: Sequence[tuple[Event, Path]]) -> Iterator[ExplainedEvent]:
    """Explain events of video files with the detector's backbone, greedily, some of them side by side.

    The frames are spread over the event, as many as the detector sees of a segment. No score depends on a text.

    Args:
        detector: loaded; its weights serve both.
        events: each with the file it was found in.
    """
    explainer = Explainer(detector.scorer.forward.backbone)
    n_frames = detector.fitted.features.sampling.frames_per_clip
    with Decoder(detector.deadline) as decoder:
        for first in range(0, len(events), BATCH):
            some = events[first : first + BATCH]
            requests, reasons = {}, {}
            for place, (event, path) in enumerate(some):
                span = (event.start_frame, event.stop_frame)
                try:
                    frames = decoder.read_clip(path, sample_frames(*span, n_frames))
                except VideoError as error:
                    reasons[place] = str(error)
                    continue
                seconds = event.stop_second - event.start_second
                request = ExplanationRequest(event.video, *span, frames, seconds=seconds)
                requests[place] = explainer.prepare(request)
            found = dict(zip(requests, explainer.explain(list(requests.values())), strict=True))
            for place, (event, _) in enumerate(some):
                yield ExplainedEvent(event, found.get(place), reasons.get(place))


def texts_by_video(events: Sequence[Event], found: Sequence[ExplainedEvent]) -> dict[str, dict[int, str]]:
    """Return the texts by video and position of the event among all those of its video, as curves number them."""
    said = {(one.event.video, one.event.start_frame): one.explanation for one in found}
    texts: dict[str, dict[int, str]] = {}
    counts: Counter[str] = Counter()
    for event in events:
        explanation = said.get((event.video, event.start_frame))
        if explanation is not None:
            texts.setdefault(event.video, {})[counts[event.video]] = explanation.text
        counts[event.video] += 1
    return texts


def write_explanations(folder: Path, found: Sequence[ExplainedEvent], backbone: str) -> Path:
    """Write one JSON object a line beside the events, the first of which says that all texts are generated."""
    lines = [{"notice": notice(backbone), "version": 1}, *(one.to_json() for one in found)]
    path = folder / EXPLANATIONS
    write_bytes(path, "".join(json.dumps(line, allow_nan=False) + "\n" for line in lines).encode())
    return path
