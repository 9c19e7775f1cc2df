"""Cross-fitted locators for sets without a validation split: each fold's pair is the best on the other folds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from vadprobe.analyze.evaluation.scored_clips import ScoredClips
from vadprobe.analyze.locator.frame_counts import FrameCounts, count_frames
from vadprobe.analyze.locator.grid import first_best
from vadprobe.analyze.locator.locator import Locator
from vadprobe.analyze.locator.smoothing import MIRRORED, Smoothing, smooth
from vadprobe.store.errors import VadprobeError


@dataclass(frozen=True, eq=False)
class CrossFittedLocator:
    """Locators that were chosen without the videos they are applied to, and their frame F1.

    `locators` has for each fold the pair of best frame F1 on the **other** folds. `smoothed` (n,) float64 is every
    clip's score smoothed with the sigma of its own fold, NaN where the score is NaN. `f1` is the frame F1 of all
    decisions together, each by the threshold of its own fold. `n_unknown` counts the clips with a NaN score, which no
    number covers.
    """

    locators: Mapping[int, Locator]
    smoothed: np.ndarray
    f1: float
    n_unknown: int

    def to_json(self) -> dict[str, Any]:
        """Return the pairs and the F1 as plain JSON values, without `smoothed`, which follows from scores and pairs."""
        pairs = {str(fold): locator.to_json() for fold, locator in self.locators.items()}
        return {"locators": pairs, "f1": self.f1, "n_unknown": self.n_unknown}


def cross_fitted_grid(
    clips: ScoredClips,
    sigmas: Sequence[float],
    thresholds: Sequence[float],
    folds: np.ndarray,
    smoothing: Smoothing = MIRRORED,
) -> CrossFittedLocator:
    """Find for every fold of videos the (sigma, threshold) of best frame F1 on the other folds.

    No video's labels reach its own pair. The frames are counted once, fold by fold, and summed for each choice. Any two
    folds are tuned on mostly the same videos, so an interval over folds would be too narrow.

    Args:
        clips: unsmoothed, the clips of a video contiguous; a NaN score is unknown and not counted.
        sigmas: in clips, >= 0, in any order.
        thresholds: in any order. Among pairs of equal F1, compared exactly by counts, the first sigma is chosen, then
            the first threshold.
        folds: (n,) integers, the fold of each clip's video, at least two different ones; codes may have gaps.
        smoothing: edge and reach, for every sigma.

    Raises:
        VadprobeError: as `smoothing.smooth`, or if for some fold the frames of all others are of one class.
    """
    codes, fold_of_clip = np.unique(folds, return_inverse=True)
    counts = count_frames(clips, sigmas, thresholds, fold_of_clip, smoothing)
    cells = [_best_elsewhere(counts, fold, code) for fold, code in enumerate(codes.tolist())]
    locators = {
        code: Locator(float(sigmas[row]), float(thresholds[column]), smoothing.edge, smoothing.truncate)
        for code, (row, column) in zip(codes.tolist(), cells, strict=True)
    }
    smoothed = np.full(len(clips), np.nan)
    for sigma in {locator.sigma for locator in locators.values()}:
        mine = np.isin(folds, [code for code, locator in locators.items() if locator.sigma == sigma])
        smoothed[mine] = smooth(clips.scores[mine], sigma, clips.groups[mine], smoothing)
    found, wrong = (
        sum(int(kind[fold, row, column]) for fold, (row, column) in enumerate(cells))
        for kind in (counts.true_positives, counts.false_positives)
    )
    f1 = 2 * found / (found + wrong + int(counts.positives.sum()))
    return CrossFittedLocator(locators, smoothed, f1, counts.n_unknown)


def _best_elsewhere(counts: FrameCounts, fold: int, code: int) -> tuple[int, ...]:
    """Return the first best (sigma, threshold) on all folds but one, as indices into the grid."""
    others = np.arange(len(counts.positives)) != fold
    n_positives, n_negatives = int(counts.positives[others].sum()), int(counts.negatives[others].sum())
    if n_positives == 0 or n_negatives == 0:
        raise VadprobeError(
            f"the videos outside fold {code} have {n_positives} anomalous and {n_negatives} normal frames with a "
            "score; both are needed. Spread the anomalous videos over the folds, or take fewer folds."
        )
    true_positives, false_positives = (
        kind[others].sum(axis=0) for kind in (counts.true_positives, counts.false_positives)
    )
    return first_best(true_positives, false_positives, n_positives)
