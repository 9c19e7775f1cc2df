"""Scoring segments with a detector: one score per clip, smoothed once within its video, and the detected events."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from vadprobe.analyze.compute.scheduling import Scheduler
from vadprobe.analyze.compute.step_cache import StepCache
from vadprobe.analyze.detector.detector import Detector
from vadprobe.analyze.evaluation.ground_truth import GroundTruth
from vadprobe.analyze.evaluation.segment_scores import SegmentScores
from vadprobe.analyze.features.cached_scores import segment_probabilities
from vadprobe.analyze.features.inputs import AnalysisInputs
from vadprobe.analyze.locator.event_files import ScoredVideos, events_table
from vadprobe.analyze.locator.segments import located_truth
from vadprobe.analyze.locator.smoothing import smooth
from vadprobe.store.datasets.dataset import Dataset
from vadprobe.store.files.parquet import names_of, with_notes, write_parquet
from vadprobe.store.format.clip_table import ClipTable

_ROW_GROUP = 1 << 16  # rows: a reader that wants a few videos of a large set reads a few groups


@dataclass(frozen=True, eq=False)
class Scores:
    """Scores of some rows of a clip table, in row order; a clip that could not be read is NaN.

    `rows` (n,) are rows of the table, `raw` (n,) the probe's probabilities, `smoothed` (n,) the detector's scores.
    """

    table: ClipTable
    rows: np.ndarray
    raw: np.ndarray
    smoothed: np.ndarray

    def write(self, path: Path, truth: Dataset, notes: Sequence[str] = ()) -> None:
        """Write as Parquet, one row per clip, in row groups; frames are half-open.

        The split of a video that the truth lacks is null. `notes` are what a reader must know, kept in the file's
        metadata.
        """
        values = {"raw_score": self.raw, "score": self.smoothed}
        self.write_columns(path, truth, values, notes)

    def write_columns(
        self, path: Path, truth: Dataset, values: Mapping[str, np.ndarray], notes: Sequence[str] = ()
    ) -> None:
        """Write values (n,) of the rows, by column name, beside the columns of their clips; see `write`."""
        codes = self.table.video_codes[self.rows]
        table = pa.table(
            {
                "video_id": names_of(self.table.video_ids, codes),
                "split": names_of(self._splits(truth), codes),
                "index": self.table.indices[self.rows],
                "start_frame": self.table.start_frames[self.rows],
                "stop_frame": self.table.stop_frames[self.rows],
                **values,
            }
        )
        write_parquet(with_notes(table, notes), path, _ROW_GROUP)

    def laid(self, truth: GroundTruth, values: np.ndarray) -> SegmentScores:
        """Return one value per row (n,), laid on the videos of a ground truth; rows of other videos are left out."""
        table, rows = self.table, self.rows
        names = [table.video_ids[code] for code in table.video_codes[rows]]
        return SegmentScores.of_videos(truth, names, table.start_frames[rows], table.stop_frames[rows], values)

    def events(self, threshold: float, truth: Dataset) -> pa.Table:
        """Return the segments at a threshold on the smoothed scores, with the columns `event_files.COLUMNS`."""
        table, rows = self.table, self.rows
        videos = ScoredVideos(
            names=table.video_ids,
            splits=self._splits(truth),
            fps=table.fps,
            codes=table.video_codes[rows].astype(np.int64),
            start_frames=table.start_frames[rows],
            stop_frames=table.stop_frames[rows],
            scores=self.smoothed,
        )
        return events_table(videos, threshold, located_truth(truth, table.video_ids, videos.n_frames))

    def _splits(self, truth: Dataset) -> list[str | None]:
        """Return the split of each video of the clip table; None for a video that the truth lacks."""
        return [truth.by_id[name].split if name in truth.by_id else None for name in self.table.video_ids]


def score(
    inputs: AnalysisInputs, detector: Detector, rows: np.ndarray, cache: StepCache, scheduler: Scheduler
) -> Scores:
    """Score some rows of the scored store; the scores are kept under the digest of exactly these rows.

    Raises:
        VadprobeError: if the store's features are not those the detector was fitted on.
    """
    store = inputs.store
    detector.check(store.spec)
    raw = segment_probabilities(inputs, detector.selection, detector.probe, rows, cache, scheduler)
    smoothed = smooth(raw, detector.locator.sigma, store.clips.video_codes[rows], detector.locator.smoothing)
    return Scores(store.clips, rows, raw, smoothed)
