"""Scored clips with their frame counts and videos: the input of metrics, bootstrap and locator grids."""

from dataclasses import dataclass

import numpy as np

from vadprobe.analyze.evaluation.metrics import Ranking, rank


@dataclass(frozen=True, eq=False)
class ScoredClips:
    """Clips with one score each, in any order unless a function needs them by video.

    Attributes:
        scores: (n,) float64, higher is more anomalous.
        positives, negatives: (n,) int64, numbers of anomalous and of normal frames.
        groups: (n,) integers, code of the clip's video.

    Arrays of other dtypes are converted.
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
        """Number of frames of each clip, (n,)."""
        return np.asarray(self.positives + self.negatives)

    def take(self, chosen: np.ndarray) -> "ScoredClips":
        """Return the clips at a mask, (n,) bool, or at positions."""
        return ScoredClips(self.scores[chosen], self.positives[chosen], self.negatives[chosen], self.groups[chosen])

    def ranking(self) -> Ranking:
        """Return the ranking of all clips by `metrics.rank`; errors as there."""
        return rank(self.scores, self.positives, self.negatives)
