"""An event with its generated text, and the protocol of explainers of one video's events."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from vadprobe.detect.online.events import Event
from vadprobe.detect.segments import Segment
from vadprobe.detect.stream import ScoredSegment
from vadprobe.extract.model.texts.explanations import Explanation


@dataclass(frozen=True)
class ExplainedEvent:
    """An event with its generated text; where there is none, `explanation` is None and `reason` says why."""

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


class EventExplainer(Protocol):
    """Explains the events of one video during its detection, with greedy texts. No score depends on a text."""

    def keep(self, segments: Iterable[Segment]) -> Iterable[Segment]:
        """Pass the segments on unchanged, and keep the frames that are needed later."""

    def take(self, found: ScoredSegment | Event) -> Iterator[ExplainedEvent]:
        """Take a segment or an event, in their order; yield the events that are explained now."""

    def finish(self) -> Iterator[ExplainedEvent]:
        """Yield the remaining events with their texts, as the video has ended."""

    def give_up(self, reason: str) -> Iterator[ExplainedEvent]:
        """Yield the remaining events without texts, each with a reason."""


class NoExplainer:
    """Explains nothing."""

    def keep(self, segments: Iterable[Segment]) -> Iterable[Segment]:
        """Return the segments."""
        return segments

    def take(self, found: ScoredSegment | Event) -> Iterator[ExplainedEvent]:
        """Yield nothing."""
        yield from ()

    def finish(self) -> Iterator[ExplainedEvent]:
        """Yield nothing."""
        yield from ()

    def give_up(self, reason: str) -> Iterator[ExplainedEvent]:
        """Yield nothing."""
        yield from ()
