"""From clip scores to where an anomaly is: smoothing over time, a threshold, merged intervals (HH12, HP10)."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from vadprobe.analyze.locator.grid import count_frames, first_best, frame_f1
from vadprobe.analyze.locator.smoothing import smooth, smoothing_radius
from vadprobe.store.errors import VadprobeError

__all__ = ["Locator", "LocatorGrid", "adaptive_threshold", "events", "frame_f1_grid", "smooth"]


@dataclass(frozen=True)
class Locator:
    """Smooth with ``sigma`` (clips), then call a clip anomalous where its score is strictly above ``threshold``."""

    sigma: float
    threshold: float

    def __post_init__(self) -> None:
        smoothing_radius(self.sigma)  # refuses what is none
        if not np.isfinite(self.threshold):
            raise VadprobeError(f"the locator's threshold is {self.threshold}; a finite number is wanted.")

    def to_json(self) -> dict[str, Any]:
        """The locator as plain JSON values."""
        return asdict(self)

    @staticmethod
    def from_json(value: dict[str, Any]) -> "Locator":
        """The inverse of ``to_json``."""
        return Locator(**value)


@dataclass(frozen=True, eq=False)
class LocatorGrid:
    """Frame F1 of every (sigma, threshold), and the best pair.

    ``f1`` is (len(sigmas), len(thresholds)) float64. ``n_unknown`` counts the clips left out because their score is
    NaN; their frames are in no cell.
    """

    sigmas: tuple[float, ...]
    thresholds: tuple[float, ...]
    f1: np.ndarray
    locator: Locator
    n_unknown: int


def frame_f1_grid(
    scores: np.ndarray,
    positives: np.ndarray,
    negatives: np.ndarray,
    groups: np.ndarray,
    sigmas: Sequence[float],
    thresholds: Sequence[float],
) -> LocatorGrid:
    """The (sigma, threshold) of the best frame F1 on validation videos, from every cell of the grid, exactly (HH12).

    A frame is called anomalous where its clip's smoothed score is strictly above the threshold. Frames are counted,
    not expanded. Never pass rows whose results are reported.

    Args:
        scores: (n,) unsmoothed clip scores; NaN is unknown and left out of the counts.
        positives, negatives: (n,) integers, anomalous and normal frames of each clip.
        groups: (n,) video of each clip, contiguous.
        sigmas: in clips. ``thresholds``: any order. Among equal F1, compared as whole numbers, the first sigma wins,
            then the first threshold.

    Returns:
        The whole grid with its best locator. If no cell finds a positive frame, all F1 are 0 and the first cell wins.

    Raises:
        VadprobeError: if the grid is empty or not finite, the shapes differ, a score is infinite, counts are negative
            or not integers, or the known frames are of one class.
    """
    counts = count_frames(scores, positives, negatives, groups, sigmas, thresholds)
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
        locator=Locator(float(sigmas[row]), float(thresholds[column])),
        n_unknown=counts.n_unknown,
    )


def adaptive_threshold(probabilities: np.ndarray, kappa: float) -> float:
    """HP10: mean + kappa * population standard deviation (ddof 0) over **all** calibration samples' probabilities.

    It mostly encodes the share of anomalous samples: say so where it is printed. It may exceed 1 and then finds
    nothing; a constant probability is its own threshold, and nothing is strictly above it.

    Args:
        probabilities: (n,) of both classes together.
        kappa: in standard deviations.

    Raises:
        VadprobeError: if there is no probability, or one is not finite.
    """
    probabilities = np.asarray(probabilities, dtype=np.float64)
    if probabilities.size == 0 or not np.all(np.isfinite(probabilities)):
        raise VadprobeError(
            f"{int((~np.isfinite(probabilities)).sum())} of {probabilities.size} calibration probabilities are not "
            "finite; at least one, and only known ones, are wanted."
        )
    return float(probabilities.mean() + kappa * probabilities.std())


def events(scores: np.ndarray, starts: np.ndarray, stops: np.ndarray, threshold: float) -> np.ndarray:
    """Frame intervals of one video whose clips score strictly above ``threshold``, touching ones merged.

    Args:
        scores: (n,) smoothed scores; a NaN (unknown) clip is not above and ends an event.
        starts, stops: (n,) integers, clips ``[start, stop)``, half-open, in any order.
        threshold: a finite number.

    Returns:
        (m, 2) int64, disjoint ``[start_frame, stop_frame)`` in order; (0, 2) if nothing is above.

    Raises:
        VadprobeError: if the threshold is not finite or the shapes differ.
    """
    scores, starts, stops = np.asarray(scores), np.asarray(starts), np.asarray(stops)
    if not scores.shape == starts.shape == stops.shape:
        raise VadprobeError(
            f"scores, starts and stops have shapes {scores.shape}, {starts.shape}, {stops.shape}; one each per clip."
        )
    if not np.isfinite(threshold):
        raise VadprobeError(f"the threshold is {threshold}; a finite number is wanted.")
    order = np.argsort(starts, kind="stable")
    order = order[(scores > threshold)[order]]
    starts, reached = starts[order], np.maximum.accumulate(stops[order])
    first = np.flatnonzero(np.concatenate([[True], starts[1:] > reached[:-1]])[: len(order)])
    last = np.append(first[1:], len(order))[: len(first)] - 1
    return np.stack([starts[first], reached[last]], axis=1).astype(np.int64)
