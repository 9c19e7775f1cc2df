"""Frames found at every (sigma, threshold), counted without expanding frames or looping over thresholds (HH12).

A score lies above the first so many of the ascending thresholds; counting the frames by that number gives every
threshold at once. Videos are padded once, for the widest kernel; frames at padding count 0, so nothing is cut out
again. The clips are walked in blocks that stay in the cache. Counts are whole numbers, exact in float64.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from vadprobe.analyze.evaluation.metrics import checked_counts
from vadprobe.analyze.locator.smoothing import filter_padded, first_clips, pad_videos, smoothing_radius
from vadprobe.store.errors import VadprobeError

_BLOCK = 2**14  # clips worked on together: few enough to stay in the cache
_SMALLEST_STEP = 1e-300  # its inverse is finite
_MAX_EXACT = 2**53  # float64 sums of integers are exact up to here


@dataclass(frozen=True, eq=False)
class FrameCounts:
    """Frames above each threshold, by fold of videos.

    ``true_positives`` and ``false_positives`` are (folds, sigmas, thresholds) int64, ``positives`` and ``negatives``
    (folds,) int64, all frames with a known score. ``n_unknown`` counts the clips left out because their score is NaN.
    """

    true_positives: np.ndarray
    false_positives: np.ndarray
    positives: np.ndarray
    negatives: np.ndarray
    n_unknown: int


def count_frames(
    scores: np.ndarray,
    positives: np.ndarray,
    negatives: np.ndarray,
    groups: np.ndarray,
    sigmas: Sequence[float],
    thresholds: Sequence[float],
    folds: np.ndarray | None = None,
) -> FrameCounts:
    """Anomalous and normal frames whose smoothed score is strictly above each threshold, for every sigma.

    Args:
        scores: (n,) unsmoothed clip scores; NaN is unknown and left out.
        positives, negatives: (n,) integers, anomalous and normal frames of each clip.
        groups: (n,) video of each clip, contiguous.
        sigmas: in clips, >= 0. ``thresholds``: any order, equal ones allowed.
        folds: (n,) integers from 0, the fold of each clip's video. None: all videos are fold 0.

    Raises:
        VadprobeError: if the grid is empty or not finite, the shapes differ, a score is infinite, or counts are
            negative or not integers.
    """
    taus = np.asarray(thresholds, dtype=np.float64)
    if len(sigmas) == 0 or taus.ndim != 1 or len(taus) == 0 or not np.all(np.isfinite(taus)):
        raise VadprobeError(
            f"the grid has sigmas {list(sigmas)} and thresholds {list(thresholds)}; at least one finite number is "
            "wanted in each."
        )
    scores = np.asarray(scores, dtype=np.float64)
    counts = checked_counts("positives", positives), checked_counts("negatives", negatives)
    if not scores.shape == counts[0].shape == counts[1].shape:
        raise VadprobeError(
            f"positives and negatives have shapes {counts[0].shape} and {counts[1].shape} for {len(scores)} scores; "
            "one per clip is wanted."
        )
    if np.isinf(scores).any():
        raise VadprobeError(
            f"{int(np.isinf(scores).sum())} of {len(scores)} scores are infinite; probabilities are wanted, NaN where "
            "one is unknown."
        )
    places = _Places(scores, counts, np.asarray(groups), folds, max(smoothing_radius(float(s)) for s in sigmas))
    steps = Thresholds(taus)
    above = np.stack([_count_above(places, steps, float(sigma)) for sigma in sigmas], axis=2)
    return FrameCounts(above[0, :, :, 1:], above[1, :, :, 1:], above[0, :, 0, 0], above[1, :, 0, 0], places.n_unknown)


class Thresholds:
    """Thresholds in ascending order, ready to tell how many of them lie below many scores.

    For evenly spaced ones (within a sixteenth of a step) the nearest comes from one multiplication, and one comparison
    with it decides exactly; a search takes ten times as long.
    """

    def __init__(self, thresholds: np.ndarray) -> None:
        self.order = np.argsort(thresholds, kind="stable")
        self._ascending = thresholds[self.order]
        self._next = np.append(self._ascending, np.inf)
        with np.errstate(over="ignore", invalid="ignore"):  # infinite steps are not even
            offsets = self._ascending - self._ascending[0]
            step = offsets[-1] / max(1, len(offsets) - 1)
            even = step > _SMALLEST_STEP and np.abs(offsets - step * np.arange(len(offsets))).max() <= step / 16
        self._per_step = 1 / step if even else None
        # Made once: fresh memory for each block costs more than the arithmetic.
        self._numbers, self._below, self._above = np.empty((2, _BLOCK)), np.empty(_BLOCK, int), np.empty(_BLOCK, bool)

    def below(self, scores: np.ndarray) -> np.ndarray:
        """(n,) int64, thresholds strictly below each of at most ``_BLOCK`` scores without NaN.

        The result is overwritten by the next call.
        """
        if self._per_step is None:
            return np.asarray(np.searchsorted(self._ascending, scores, side="left"))
        (steps, following), below, above = self._numbers[:, : len(scores)], self._below[: len(scores)], self._above
        with np.errstate(over="ignore"):  # an infinity is clipped
            np.subtract(scores, self._ascending[0], out=steps)
            steps *= self._per_step
        steps += 0.5
        np.clip(steps, 0, len(self._ascending), out=steps)
        below[...] = steps
        self._next.take(below, out=following, mode="clip")
        below += np.greater(scores, following, out=above[: len(scores)])
        return below


class _Places:
    """The clips of padded videos and what they count; padding and unknown clips count nothing."""

    def __init__(
        self,
        scores: np.ndarray,
        counts: tuple[np.ndarray, np.ndarray],
        groups: np.ndarray,
        folds: np.ndarray | None,
        radius: int,
    ) -> None:
        padded = pad_videos(first_clips(scores, groups), len(scores), radius)
        self.scores = padded.spread(scores)
        self.folds = None if folds is None else padded.spread(folds)
        self.n_folds = 1 if folds is None else int(folds.max(initial=0)) + 1
        # Both counts in one number where they fit: whole multiples of ``unit`` and the rest.
        self.unit = int(counts[1].sum()) + 1
        packs = self.unit * (int(counts[0].sum()) + 1) < _MAX_EXACT
        parts = [counts[0] * self.unit + counts[1]] if packs else list(counts)
        self.weights = [np.zeros(len(self.scores)) for _ in parts]
        unknown = np.flatnonzero(np.isnan(scores))
        self.n_unknown = len(unknown)
        for weight, part in zip(self.weights, parts, strict=True):
            weight[padded.places] = part
            weight[padded.places[unknown]] = 0

    def unpack(self, sums: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Positive and negative frames of summed weights."""
        whole = [part.astype(np.int64) for part in sums]
        return (whole[0] // self.unit, whole[0] % self.unit) if len(whole) == 1 else (whole[0], whole[1])

    def blocks(self, sigma: float) -> Iterator[tuple[slice, np.ndarray]]:
        """Smoothed scores, block by block, 0 where unknown."""
        margin = smoothing_radius(sigma)
        for start in range(0, len(self.scores), _BLOCK):
            stop = min(start + _BLOCK, len(self.scores))
            first = max(0, start - margin)
            smoothed = filter_padded(self.scores[first : stop + margin], sigma)[start - first : stop - first]
            yield slice(start, stop), np.nan_to_num(smoothed) if self.n_unknown else smoothed


def _count_above(places: _Places, thresholds: Thresholds, sigma: float) -> np.ndarray:
    """(2, folds, 1 + thresholds) int64, positive and negative frames: all, then above each threshold as given."""
    n_cells = len(thresholds.order) + 1
    size = places.n_folds * n_cells
    sums = [np.zeros(size) for _ in places.weights]
    for block, smoothed in places.blocks(sigma):
        cell = thresholds.below(smoothed)
        if places.folds is not None:
            cell += n_cells * places.folds[block]
        for kind, weight in enumerate(places.weights):
            sums[kind] += np.bincount(cell, weights=weight[block], minlength=size)
    frames = np.stack(places.unpack(sums)).reshape(2, places.n_folds, n_cells)
    found = np.cumsum(frames[:, :, ::-1], axis=2)[:, :, ::-1]
    found[:, :, 1 + thresholds.order] = found[:, :, 1:].copy()
    return found


def frame_f1(true_positives: np.ndarray, false_positives: np.ndarray, n_positives: int) -> np.ndarray:
    """2 TP / (2 TP + FP + FN) of whole counts, each quotient rounded once; ``n_positives`` is at least 1."""
    return np.asarray(2 * true_positives / (true_positives + false_positives + n_positives))


def first_best(true_positives: np.ndarray, false_positives: np.ndarray, n_positives: int) -> tuple[int, ...]:
    """Index of the first cell, row after row, of the largest F1: among those rounded alike, whole numbers decide."""
    rounded = frame_f1(true_positives, false_positives, n_positives)
    best, winner = Fraction(-1), 0
    for cell in np.flatnonzero(rounded == rounded.max()).tolist():
        found = int(true_positives.flat[cell])
        value = Fraction(2 * found, found + int(false_positives.flat[cell]) + n_positives)
        if value > best:
            best, winner = value, cell
    return tuple(int(part) for part in np.unravel_index(winner, rounded.shape))
