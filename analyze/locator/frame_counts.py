"""Counts of detected frames at every (sigma, threshold), without expanding frames or looping over thresholds.

For each score, the number k of thresholds strictly below it is found. Summing frames by k, and then from the largest k
down, gives the counts of all thresholds at once. Videos are padded once, for the widest kernel; padding has no frames,
so it need not be removed. The clips are processed in blocks that fit the processor's cache. Counts are whole numbers,
exact in float64.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from vadprobe.analyze.evaluation.scored_clips import ScoredClips
from vadprobe.analyze.locator.smoothing import MIRRORED, Smoothing, filter_padded, first_clips, pad_videos

_BLOCK = 2**14  # clips of a block, few enough to stay in the processor's cache
_SMALLEST_STEP = 1e-300  # smallest step whose inverse is finite
_MAX_EXACT = 2**53  # float64 sums of integers are exact up to here


@dataclass(frozen=True, eq=False)
class FrameCounts:
    """Numbers of frames above each threshold, by fold of videos.

    `true_positives` and `false_positives` are (folds, sigmas, thresholds) int64; `positives` and `negatives`, (folds,)
    int64, count all frames with a known score. `n_unknown` counts the clips that are left out because their score is
    NaN.
    """

    true_positives: np.ndarray
    false_positives: np.ndarray
    positives: np.ndarray
    negatives: np.ndarray
    n_unknown: int


def count_frames(
    clips: ScoredClips,
    sigmas: Sequence[float],
    thresholds: Sequence[float],
    folds: np.ndarray | None = None,
    smoothing: Smoothing = MIRRORED,
) -> FrameCounts:
    """Count anomalous and normal frames whose smoothed score is strictly above each threshold, for every sigma.

    Args:
        clips: unsmoothed and finite, the clips of a video contiguous; a NaN score is unknown and left out.
        sigmas: in clips, >= 0, at least one.
        thresholds: finite, in any order, repeats allowed, at least one.
        folds: (n,) integers from 0, the fold of each clip's video; None puts all videos into fold 0.
        smoothing: edge and reach.

    Raises:
        VadprobeError: as `smoothing.smooth`.
    """
    places = _Places(clips, folds, max(smoothing.radius(float(sigma)) for sigma in sigmas), smoothing)
    steps = Thresholds(np.asarray(thresholds, dtype=np.float64))
    above = np.stack([_count_above(places, steps, float(sigma)) for sigma in sigmas], axis=2)
    return FrameCounts(above[0, :, :, 1:], above[1, :, :, 1:], above[0, :, 0, 0], above[1, :, 0, 0], places.n_unknown)


class Thresholds:
    """Ascending thresholds, prepared to count for many scores how many of them lie below.

    If the thresholds are evenly spaced (within a sixteenth of a step), one multiplication finds the nearest, and one
    comparison with it decides exactly. A binary search takes ten times as long.
    """

    def __init__(self, thresholds: np.ndarray) -> None:
        self.order = np.argsort(thresholds, kind="stable")
        self._ascending = thresholds[self.order]
        self._next = np.append(self._ascending, np.inf)
        with np.errstate(over="ignore", invalid="ignore"):  # infinite steps are not evenly spaced
            offsets = self._ascending - self._ascending[0]
            step = offsets[-1] / max(1, len(offsets) - 1)
            even = step > _SMALLEST_STEP and np.abs(offsets - step * np.arange(len(offsets))).max() <= step / 16
        self._per_step = 1 / step if even else None
        # Allocated once: new memory for each block costs more than the arithmetic.
        self._numbers, self._below, self._above = np.empty((2, _BLOCK)), np.empty(_BLOCK, int), np.empty(_BLOCK, bool)

    def below(self, scores: np.ndarray) -> np.ndarray:
        """Return the number of thresholds strictly below each of at most `_BLOCK` scores without NaN, (n,) int64.

        The next call overwrites the result.
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
    """Clips of padded videos with their numbers of frames, which are 0 for padding and unknown clips."""

    def __init__(self, clips: ScoredClips, folds: np.ndarray | None, radius: int, smoothing: Smoothing) -> None:
        self._smoothing = smoothing
        padded = pad_videos(first_clips(clips.groups), len(clips), radius, smoothing.edge)
        self.scores = padded.spread(clips.scores)
        self.folds = None if folds is None else padded.spread(folds)
        self.n_folds = 1 if folds is None else int(folds.max(initial=0)) + 1
        # If they fit, both counts are stored in one number: multiples of `unit`, and the remainder.
        self.unit = int(clips.negatives.sum()) + 1
        packs = self.unit * (int(clips.positives.sum()) + 1) < _MAX_EXACT
        parts = [clips.positives * self.unit + clips.negatives] if packs else [clips.positives, clips.negatives]
        self.weights = [np.zeros(len(self.scores)) for _ in parts]
        unknown = np.flatnonzero(np.isnan(clips.scores))
        self.n_unknown = len(unknown)
        for weight, part in zip(self.weights, parts, strict=True):
            weight[padded.places] = part
            weight[padded.places[unknown]] = 0

    def unpack(self, sums: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Return the numbers of positive and negative frames in summed weights."""
        whole = [part.astype(np.int64) for part in sums]
        return (whole[0] // self.unit, whole[0] % self.unit) if len(whole) == 1 else (whole[0], whole[1])

    def blocks(self, sigma: float) -> Iterator[tuple[slice, np.ndarray]]:
        """Yield smoothed scores, block by block, 0 where unknown."""
        margin = self._smoothing.radius(sigma)
        for start in range(0, len(self.scores), _BLOCK):
            stop = min(start + _BLOCK, len(self.scores))
            first = max(0, start - margin)
            smoothed = filter_padded(self.scores[first : stop + margin], sigma, self._smoothing)
            smoothed = smoothed[start - first : stop - first]
            yield slice(start, stop), np.nan_to_num(smoothed) if self.n_unknown else smoothed


def _count_above(places: _Places, thresholds: Thresholds, sigma: float) -> np.ndarray:
    """Count frames as (positive and negative, folds, 1 + thresholds) int64: all, then those above each threshold."""
    n_cells = len(thresholds.order) + 1
    size = places.n_folds * n_cells
    sums = [np.zeros(size) for _ in places.weights]
    for block, smoothed in places.blocks(sigma):
        # One number stands for (fold, thresholds below the score); a count of frames by it gives all cells at once.
        cell = thresholds.below(smoothed)
        if places.folds is not None:
            cell += n_cells * places.folds[block]
        for kind, weight in enumerate(places.weights):
            sums[kind] += np.bincount(cell, weights=weight[block], minlength=size)
    frames = np.stack(places.unpack(sums)).reshape(2, places.n_folds, n_cells)
    # Above threshold k are the scores with more than k thresholds below them: cumulative sums from the last cell.
    found = np.cumsum(frames[:, :, ::-1], axis=2)[:, :, ::-1]
    found[:, :, 1 + thresholds.order] = found[:, :, 1:].copy()
    return found
