"""Scored clips with their frame counts and videos: the input of every metric and search over thresholds."""

from dataclasses import dataclass

import numpy as np

from vadprobe.analyze.evaluation.metrics import Ranking, checked_counts, rank
from vadprobe.store.errors import VadprobeError


@dataclass(frozen=True, eq=False)
class ScoredClips:
    """Clips with one score each, in any order unless a function wants them by video.

    ``scores`` (n,) float64, higher is more anomalous. ``positives`` and ``negatives`` (n,) int64 count the anomalous
    and normal frames of each clip. ``groups`` (n,) integers are the code of each clip's video. Arrays of other types
    are converted.

    Raises:
        VadprobeError: if the shapes differ, a count is negative or not an integer, or a code is not an integer.
    """

    scores: np.ndarray
    positives: np.ndarray
    negatives: np.ndarray
    groups: np.ndarray

    def __post_init__(self) -> None:
        values = {
            "scores": np.asarray(self.scores, dtype=np.float64),
            "positives": checked_counts("positives", self.positives),
            "negatives": checked_counts("negatives", self.negatives),
            "groups": np.asarray(self.groups),
        }
        shapes = [part.shape for part in values.values()]
        if values["scores"].ndim != 1 or len(set(shapes)) > 1:
            raise VadprobeError(
                "scores, positives, negatives and groups must have one number per clip each, got the shapes "
                f"{', '.join(map(str, shapes))}."
            )
        if not np.issubdtype(values["groups"].dtype, np.integer):
            raise VadprobeError(f"groups must be integer video codes, got the dtype {values['groups'].dtype}.")
        for name, value in values.items():
            object.__setattr__(self, name, value)

    def __len__(self) -> int:
        return len(self.scores)

    @property
    def n_frames(self) -> np.ndarray:
        """Frames of each clip, (n,)."""
        return np.asarray(self.positives + self.negatives)

    def take(self, chosen: np.ndarray) -> "ScoredClips":
        """Return some of the clips, by a mask or by positions."""
        return ScoredClips(self.scores[chosen], self.positives[chosen], self.negatives[chosen], self.groups[chosen])

    def ranking(self) -> Ranking:
        """Rank the clips by ``metrics.rank``, whatever their videos. Errors as there."""
        return rank(self.scores, self.positives, self.negatives)
