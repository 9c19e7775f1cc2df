"""Progress of stage 1 as an artifact of the run and as lines of its log."""

import logging
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from uuid import UUID

from prefect.artifacts import create_progress_artifact, update_progress_artifact

from vadprobe.flows.runs.extraction.spans import clips_per_second, working_seconds
from vadprobe.flows.runs.faults import without_server
from vadprobe.flows.runs.labels import artifact_key

if TYPE_CHECKING:
    from vadprobe.extract.pipeline.claim_loop import Listener
    from vadprobe.extract.pipeline.extraction import Extractor
    from vadprobe.extract.pipeline.stream import PartitionOutcome

UPDATE_SECONDS = 5.0
"""Seconds between two updates of the artifact; each is a request of some tens of milliseconds."""

COUNT_SECONDS = 30.0
"""Seconds between two counts of what other workers have finished; each reads the records of all partitions left."""

_LOGGER = logging.getLogger(__name__)


@dataclass
class SpanProgress:
    """Count of the clips that were pending when a run began, published every few seconds.

    Attributes:
        extractor: the extractor that computes.
        total: number of clips that were pending.
        name: first word of the artifact's key.
        done: number of clips tried here.
        failed: number of clips tried here that could not be read.
        elsewhere: number of clips in partitions that other workers have finished.
    """

    extractor: "Extractor"
    total: int
    name: str = "progress"
    done: int = 0
    failed: int = 0
    elsewhere: int = 0
    _written: int = 0
    _artifact: UUID | None = None
    _due: float = 0.0
    _counted: float = field(default_factory=time.monotonic)

    @classmethod
    def begin(cls, extractor: "Extractor", name: str = "progress") -> "SpanProgress":
        """Return a count that begins with the clips pending now."""
        return cls(extractor, _n_clips(extractor), name)

    def listener(self) -> "Listener":
        """Return the listener that an extraction calls as it gets on."""
        from vadprobe.extract.pipeline.claim_loop import Listener

        return Listener(tell=self._tell, clip_done=self._clip_done, finished=self._finished)

    def count(self) -> None:
        """Count the clips of partitions that other workers have finished."""
        self.elsewhere = max(0, self.total - _n_clips(self.extractor) - self._written)
        self._counted = time.monotonic()

    def publish(self) -> None:
        """Publish the current count."""
        begun = time.monotonic()
        percent = 100.0 * min(1.0, (self.done + self.elsewhere) / max(1, self.total))
        with without_server(at_once=True):
            if self._artifact is None:
                spec = self.extractor.plan.samplings[0].writers[0].spec
                key = artifact_key(self.name, self.extractor.dataset.name, spec.backbone.key)
                made: Any = create_progress_artifact(percent, key=key, description=self.sentence())
                self._artifact = made
            else:
                update_progress_artifact(self._artifact, percent, description=self.sentence())
        now = time.monotonic()
        self._due = now + max(UPDATE_SECONDS, 10 * (now - begun))  # a server that is slow, or away, takes a tenth

    def sentence(self) -> str:
        """Return a sentence on the clips done, the pace, and the time left at the pace of all workers."""
        known = min(self.total, self.done + self.elsewhere)
        words = [f"{known} of {self.total} clips"]
        if self.elsewhere:
            words.append(f"{self.elsewhere} of them by other workers")
        if pace := clips_per_second(self.extractor):
            seconds = working_seconds(self.extractor)
            words.append(f"{pace:.1f} clips/s")
            words.append(f"{self.extractor.timings.video_seconds / seconds:.1f}x real time")
            if known < self.total:
                left = _duration((self.total - known) / (pace + self.elsewhere / seconds))
                words.append(f"about {left} left" + ("" if self.elsewhere else " if no other worker helps"))
        if self.failed:
            words.append(f"{self.failed} not readable")
        return ", ".join(words)

    def _clip_done(self, computed: bool) -> None:
        self.done += 1
        self.failed += not computed
        if time.monotonic() >= self._due:
            self.publish()

    def _tell(self, text: str) -> None:
        """Log a message about waiting, and publish the progress of other workers."""
        _LOGGER.info(text)
        self.count()
        self.publish()

    def _finished(self, outcome: "PartitionOutcome") -> None:
        self._written += self.extractor.n_rows(*outcome.key)
        if time.monotonic() - self._counted >= COUNT_SECONDS:
            self.count()
        sampling = self.extractor.plan.samplings[outcome.key.position]
        _LOGGER.info("%s, partition %d written; %s", sampling.sampling.key, outcome.key.partition, self.sentence())
        for row, reason in outcome.failures.items():
            clip = sampling.clips.clip(row)
            place = f"{clip.video_id} frames {clip.start_frame}-{clip.stop_frame - 1}"
            _LOGGER.warning("Clip not readable: %s: %s", place, reason)


def _n_clips(extractor: "Extractor") -> int:
    """Count the clips that are pending now."""
    return sum(extractor.n_rows(*key) for key in extractor.pending())


def _duration(seconds: float) -> str:
    """Return a duration in words."""
    for unit, length in (("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"
