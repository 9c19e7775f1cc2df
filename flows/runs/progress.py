"""Progress of stage 1 as an artifact of the run and as lines of its log."""

import logging
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from uuid import UUID

from prefect.artifacts import create_progress_artifact, update_progress_artifact

from vadprobe.flows.runs.labels import artifact_key
from vadprobe.flows.runs.spans import clips_per_second, working_seconds

if TYPE_CHECKING:
    from vadprobe.extract.pipeline.claim_loop import Listener
    from vadprobe.extract.pipeline.extraction import Extractor
    from vadprobe.extract.pipeline.open_partition import PartitionKey
    from vadprobe.extract.pipeline.stream import PartitionOutcome

UPDATE_SECONDS = 5.0
"""Seconds between two updates of the artifact; each is a request of some tens of milliseconds."""

_LOGGER = logging.getLogger(__name__)


@dataclass
class SpanProgress:
    """Count of the clips of a run, published every few seconds."""

    extractor: "Extractor"
    total: int
    done: int = 0
    failed: int = 0
    _artifact: UUID | None = None
    _published: float = field(default=-UPDATE_SECONDS)

    @classmethod
    def begin(cls, extractor: "Extractor") -> "SpanProgress":
        """Return a count that begins with what is pending now."""
        return cls(extractor, sum(extractor.n_rows(*key) for key in extractor.pending()))

    def listener(self) -> "Listener":
        """Return what an extraction calls as it gets on."""
        from vadprobe.extract.pipeline.claim_loop import Listener

        return Listener(
            tell=_LOGGER.info, clip_done=self._clip_done, finished=self._finished, elsewhere=self._elsewhere
        )

    def publish(self) -> None:
        """Show the state of now."""
        percent = 100.0 * min(1.0, self.done / max(1, self.total))
        if self._artifact is None:
            spec = self.extractor.plan.samplings[0].writers[0].spec
            key = artifact_key("progress", self.extractor.dataset.name, spec.backbone.key)
            made: Any = create_progress_artifact(percent, key=key, description=self.sentence())
            self._artifact = made
        else:
            update_progress_artifact(self._artifact, percent, description=self.sentence())
        self._published = time.monotonic()

    def sentence(self) -> str:
        """Return how far the run is, its pace, and the time left at that pace."""
        words = [f"{self.done} of {self.total} clips"]
        if pace := clips_per_second(self.extractor):
            words.append(f"{pace:.1f} clips/s")
            words.append(f"{self.extractor.timings.video_seconds / working_seconds(self.extractor):.1f}x real time")
            if self.done < self.total:
                words.append(f"about {_duration((self.total - self.done) / pace)} left if no other worker helps")
        if self.failed:
            words.append(f"{self.failed} not readable")
        return ", ".join(words)

    def _clip_done(self, computed: bool) -> None:
        self.done += 1
        self.failed += not computed
        if time.monotonic() - self._published >= UPDATE_SECONDS:
            self.publish()

    def _finished(self, outcome: "PartitionOutcome") -> None:
        sampling = self.extractor.plan.samplings[outcome.key.position]
        _LOGGER.info("%s, partition %d written; %s", sampling.sampling.key, outcome.key.partition, self.sentence())
        for row, reason in outcome.failures.items():
            clip = sampling.clips.clip(row)
            place = f"{clip.video_id} frames {clip.start_frame}-{clip.stop_frame - 1}"
            _LOGGER.warning("Clip not readable: %s: %s", place, reason)

    def _elsewhere(self, key: "PartitionKey") -> None:
        self.done += self.extractor.n_rows(*key)


def _duration(seconds: float) -> str:
    """Return a duration as people say it."""
    for unit, length in (("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"
