"""Grid search for smoothing and threshold by frame F1; every cell is computed exactly."""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from vadprobe.analyze.evaluation.scored_clips import ScoredClips
from vadprobe.analyze.locator.frame_counts import count_frames
from vadprobe.analyze.locator.locator import Locator
from vadprobe.analyze.locator.smoothing import MIRRORED, Smoothing
from vadprobe.store.errors import VadprobeError


@dataclass(frozen=True, eq=False)
class LocatorGrid:
    """Frame F1 of every (sigma, threshold), and the best pair.

    `f1` is (len(sigmas), len(thresholds)) float64. `n_unknown` counts the clips with a NaN score, whose frames are in
    no cell.
    """

    sigmas: tuple[float, ...]
    thresholds: tuple[float, ...]
    f1: np.ndarray
    locator: Locator
    n_unknown: int


def frame_f1_grid(
    clips: ScoredClips, sigmas: Sequence[float], thresholds: Sequence[float], smoothing: Smoothing = MIRRORED
) -> LocatorGrid:
    """Find the (sigma, threshold) of the best frame F1 on validation videos.

    A frame is called anomalous if its clip's smoothed score is strictly above the threshold. Frames are counted, not
    expanded. Never pass clips whose results are reported.

    Args:
        clips: unsmoothed, the clips of a video contiguous; a NaN score is unknown and not counted.
        sigmas: in clips, >= 0, in any order.
        thresholds: in any order. Among pairs of equal F1, compared exactly by counts, the first sigma is chosen, then
            the first threshold.
        smoothing: edge and reach, for every sigma.

    Returns:
        The whole grid with its best locator. If no cell finds a positive frame, all F1 are 0 and the first pair is
        best.

    Raises:
        VadprobeError: as `smoothing.smooth`, or if the known frames are of one class.
    """
    counts = count_frames(clips, sigmas, thresholds, smoothing=smoothing)
    n_positives, n_negatives = int(counts.positives.sum()), int(counts.negatives.sum())
    if n_positives == 0 or n_negatives == 0:
        raise VadprobeError(
            f"the validation clips with a score have {n_positives} anomalous and {n_negatives} normal frames; the grid "
            "search needs both. Name validation videos with frame labels, or use a fixed locator."
        )
    cells = counts.true_positives[0], counts.false_positives[0]
    row, column = first_best(*cells, n_positives)
    return LocatorGrid(
        sigmas=tuple(float(sigma) for sigma in sigmas),
        thresholds=tuple(float(threshold) for threshold in thresholds),
        f1=frame_f1(*cells, n_positives),
        locator=Locator(float(sigmas[row]), float(thresholds[column]), smoothing.edge, smoothing.truncate),
        n_unknown=counts.n_unknown,
    )


def frame_f1(true_positives: np.ndarray, false_positives: np.ndarray, n_positives: int) -> np.ndarray:
    """Return F1 = 2 TP / (2 TP + FP + FN) from whole counts, rounded once; `n_positives` must be at least 1."""
    return np.asarray(2 * true_positives / (true_positives + false_positives + n_positives))


def first_best(true_positives: np.ndarray, false_positives: np.ndarray, n_positives: int) -> tuple[int, ...]:
    """Return the index of the first cell, in C order, of the largest F1; equally rounded ones are compared exactly."""
    rounded = frame_f1(true_positives, false_positives, n_positives)
    best, winner = Fraction(-1), 0
    for cell in np.flatnonzero(rounded == rounded.max()).tolist():
        found = int(true_positives.flat[cell])
        value = Fraction(2 * found, found + int(false_positives.flat[cell]) + n_positives)
        if value > best:
            best, winner = value, cell
    return tuple(int(part) for part in np.unravel_index(winner, rounded.shape))
