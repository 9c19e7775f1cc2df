"""From clip scores to where an anomaly is: smoothing over time, a threshold, merged intervals (HH12, HP10)."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy.ndimage import correlate1d

from vadprobe.store.errors import VadprobeError

_TRUNCATE = 4.0  # standard deviations; scipy's default


@dataclass(frozen=True)
class Locator:
    """Smooth with ``sigma`` (clips), then call a clip anomalous where its score is strictly above ``threshold``."""

    sigma: float
    threshold: float

    def __post_init__(self) -> None:
        _check_sigma(self.sigma)
        if not np.isfinite(self.threshold):
            raise VadprobeError(f"the locator's threshold is {self.threshold}; a finite number is wanted.")

    def to_json(self) -> dict[str, Any]:
        """The locator as plain JSON values."""
        return asdict(self)

    @staticmethod
    def from_json(value: dict[str, Any]) -> "Locator":
        """The inverse of :meth:`to_json`."""
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


def smooth(scores: np.ndarray, sigma: float, groups: np.ndarray | None = None) -> np.ndarray:
    """Gaussian smoothing of clip scores over time, each video by itself (HP and HH12).

    For known scores this is ``scipy.ndimage.gaussian_filter1d`` with mode "reflect" and truncate 4, bit for bit,
    however many videos are passed together. A NaN score (a failed clip) stays NaN and does not spread: its neighbours
    are weighted means over the known clips.

    Args:
        scores: (n,) one per clip, the clips of a video in order.
        sigma: standard deviation in clips, >= 0; 0 smooths nothing.
        groups: (n,) video of each clip (any integers); the clips of a video must be contiguous. None: one video.

    Returns:
        (n,) float64. A constant video stays what it is up to rounding; a video of one clip likewise.

    Raises:
        VadprobeError: if sigma is negative or not finite, the shapes differ, or a video's clips are not contiguous.
    """
    _check_sigma(sigma)
    scores = np.array(scores, dtype=np.float64)
    groups = np.zeros(len(scores), dtype=np.int64) if groups is None else np.asarray(groups)
    starts, lengths = _runs(scores, groups)
    radius = int(_TRUNCATE * sigma + 0.5)
    if radius == 0 or len(scores) == 0:
        return scores
    offsets = np.arange(-radius, radius + 1)
    weights = np.exp(-0.5 / (sigma * sigma) * offsets**2)
    weights /= weights.sum()
    gather, inner = _reflected(starts, lengths, radius)
    known = ~np.isnan(scores)
    smoothed = np.asarray(correlate1d(np.where(known, scores, 0.0)[gather], weights)[inner])
    if not known.all():
        missing = correlate1d((~known).astype(np.float64)[gather], weights)[inner] > 0
        present = correlate1d(known.astype(np.float64)[gather], weights)[inner]
        smoothed[missing & known] /= present[missing & known]
        smoothed[~known] = np.nan
    return smoothed


def _check_sigma(sigma: float) -> None:
    if not (np.isfinite(sigma) and sigma >= 0):
        raise VadprobeError(f"sigma is {sigma}; a finite number of clips, 0 or more, is wanted.")


def _runs(scores: np.ndarray, groups: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """First clip and number of clips of each video."""
    if scores.ndim != 1 or scores.shape != groups.shape:
        raise VadprobeError(f"scores have shape {scores.shape}, groups {groups.shape}; one of each per clip is wanted.")
    starts = np.flatnonzero(np.concatenate([[True], groups[1:] != groups[:-1]])[: len(groups)])
    codes, counts = np.unique(groups[starts], return_counts=True)
    if np.any(counts > 1):
        raise VadprobeError(
            f"the clips of video {codes[counts > 1][0]} are not contiguous; sort the rows by video and start frame, "
            "smoothing runs over time."
        )
    return starts, np.diff(starts, append=len(groups))


def _reflected(starts: np.ndarray, lengths: np.ndarray, radius: int) -> tuple[np.ndarray, np.ndarray]:
    """Index that pads each video by ``radius`` reflected clips on both sides, and where its own clips then lie."""
    padded = lengths + 2 * radius
    ends = np.cumsum(padded)
    position = np.arange(ends[-1]) - np.repeat(ends - padded, padded) - radius
    length = np.repeat(lengths, padded)
    inner = np.flatnonzero((position >= 0) & (position < length))
    phase = position % (2 * length)
    inside = np.where(phase < length, phase, 2 * length - 1 - phase)
    return np.repeat(starts, padded) + inside, inner


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
        sigmas: in clips. ``thresholds``: any order. Among equal F1 the first sigma wins, then the first threshold.

    Returns:
        The whole grid with its best locator. If no cell finds a positive frame, all F1 are 0 and the first cell wins.

    Raises:
        VadprobeError: if the grid is empty or not finite, the shapes differ, or the known frames are of one class.
    """
    taus = np.asarray(thresholds, dtype=np.float64)
    if len(sigmas) == 0 or taus.ndim != 1 or len(taus) == 0 or not np.all(np.isfinite(taus)):
        raise VadprobeError(
            f"the grid has sigmas {list(sigmas)} and thresholds {list(thresholds)}; at least one finite number is "
            "wanted in each."
        )
    scores = np.asarray(scores, dtype=np.float64)
    counts = np.stack([np.asarray(positives), np.asarray(negatives)])
    if counts.shape != (2, len(scores)):
        raise VadprobeError(
            f"positives and negatives have shape {counts.shape[1:]} for {len(scores)} scores; one per clip is wanted."
        )
    known = ~np.isnan(scores)
    n_positives, n_negatives = (int(total) for total in counts[:, known].sum(axis=1))
    if n_positives == 0 or n_negatives == 0:
        raise VadprobeError(
            f"the validation clips with a score have {n_positives} anomalous and {n_negatives} normal frames; the grid "
            "search needs both. Name validation videos with frame labels, or use a fixed locator."
        )
    grid = np.stack(
        [_f1_of(smooth(scores, sigma, groups)[known], counts[:, known], taus, n_positives) for sigma in sigmas]
    )
    row, column = divmod(int(np.argmax(grid)), len(taus))
    return LocatorGrid(
        sigmas=tuple(float(sigma) for sigma in sigmas),
        thresholds=tuple(taus.tolist()),
        f1=grid,
        locator=Locator(float(sigmas[row]), float(taus[column])),
        n_unknown=int((~known).sum()),
    )


def _f1_of(scores: np.ndarray, counts: np.ndarray, thresholds: np.ndarray, n_positives: int) -> np.ndarray:
    """(len(thresholds),) frame F1. A score exceeds the first ``below`` thresholds in ascending order."""
    order = np.argsort(thresholds, kind="stable")
    below = np.searchsorted(thresholds[order], scores, side="left")
    true_positives, false_positives = (
        np.cumsum(np.bincount(below, weights=frames, minlength=len(order) + 1)[::-1])[::-1][1:] for frames in counts
    )
    values = np.empty(len(order))
    values[order] = 2 * true_positives / (true_positives + false_positives + n_positives)
    return values


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


@dataclass(frozen=True)
class CF:
    locators: object
    smoothed: object


def cross_fitted_grid(scores, positives, negatives, groups, sigmas, thresholds, folds):
    locs = [
        frame_f1_grid(
            scores[folds != f], positives[folds != f], negatives[folds != f], groups[folds != f], sigmas, thresholds
        ).locator
        for f in range(folds.max() + 1)
    ]
    sm = np.empty(len(scores))
    for f, l in enumerate(locs):
        sm[folds == f] = smooth(scores[folds == f], l.sigma, groups[folds == f])
    return CF(tuple(locs), sm)
