"""The ground truth of a split, read under any convention of a text annotation."""

import logging
from dataclasses import dataclass
from pathlib import Path

from vadprobe.analyze.evaluation.ground_truth import GroundTruth, ground_truth
from vadprobe.flows.jobs.job import Job
from vadprobe.store.datasets.annotations.conventions import IntervalConvention
from vadprobe.store.datasets.configuration import DatasetConfig
from vadprobe.store.datasets.joining import naming
from vadprobe.store.datasets.probed_videos import VideoFacts, read_video_facts
from vadprobe.store.datasets.sources import read_source, refuse
from vadprobe.store.datasets.validation_split import held_out_notes
from vadprobe.store.datasets.video import Split
from vadprobe.store.errors import VadprobeError
from vadprobe.store.files.text import counted
from vadprobe.store.progress import Progress

_LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True)
class TruthReader:
    """Reader of a split's ground truth under any convention of the two numbers "s e" of a text annotation."""

    config: DatasetConfig
    workspace: Path
    split: Split
    probed: tuple[VideoFacts, ...] | None

    @property
    def fps(self) -> dict[str, float]:
        """Frames per second of the videos whose files are known."""
        return {facts.video_id: facts.fps for facts in self.probed or () if facts.fps is not None}

    def open(self, convention: IntervalConvention) -> tuple[GroundTruth, tuple[str, ...]]:
        """Return the truth, and sentences on what did not fit when its files were joined."""
        config = self.config.model_copy(update={"intervals": convention, "videos": None})
        source = read_source(config, self.workspace, self.probed)
        rejected = [rejection for reading in source.readings for rejection in reading.rejected]
        if rejected and convention != self.config.intervals:
            first = rejected[0]
            raise VadprobeError(
                f"read in this way, {counted(len(rejected), 'interval')} would begin before frame 0 or be "
                f"empty, first in line {first.row}: {first.got[:60]!r}"
            )
        joined = source.joined()
        refuse(joined)
        found = tuple(f"{f.kind}: {f.message} ({naming(f.videos)})." for f in joined.findings if f.videos)
        if self.split == "test":
            found += held_out_notes(joined.dataset.name, joined.dataset.held_out)
        return ground_truth(joined.dataset, joined.dataset.of_split(self.split)), found


def facts_of(
    config: DatasetConfig, workspace: Path, job: Job | None, progress: Progress
) -> tuple[VideoFacts, ...] | None:
    """Return the facts of the video files, from stage 1 of a job or counted now; None if there are no files."""
    if job is not None and (probed := read_video_facts(job.layout.videos)):
        return probed
    if config.videos is None:
        return None
    from vadprobe.extract.video.frame_counting import count_frames

    parts = read_source(config, workspace).parts
    counted, findings = count_frames(parts.folder, parts.files or {}, decode=False, progress=progress)
    for finding in findings:
        _LOGGER.warning("%s: %s.", finding.kind, finding.message)
    return counted
