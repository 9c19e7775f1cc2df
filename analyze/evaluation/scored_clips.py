"""Scored clips with their frame counts and videos: the input of every metric and search over thresholds."""

from dataclasses import dataclass

import numpy as np

from vadprobe.analyze.evaluation.metrics import Ranking, rank


@dataclass(frozen=True, eq=False)
class ScoredClips:
    """Clips with one score each, in any order unless a function wants them by video.

    `scores` (n,) float64, higher is more anomalous. `positives` and `negatives` (n,) int64 count the anomalous
    and normal frames of each clip. `groups` (n,) integers are the code of each clip's video. Arrays of other types
    are converted.
    """

    scores: np.ndarray
    positives: np.ndarray
    negatives: np.ndarray
    groups: np.ndarray

    def __post_init__(self) -> None:
        for name, dtype in (("scores", np.float64), ("positives", np.int64), ("negatives", np.int64), ("groups", None)):
            object.__setattr__(self, name, np.asarray(getattr(self, name), dtype=dtype))

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
        """Rank the clips by `metrics.rank`, whatever their videos. Errors as there."""
        return rank(self.scores, self.positives, self.negatives)
