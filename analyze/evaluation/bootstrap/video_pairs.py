"""Counts of frame pairs, one positive and one negative, in the right order of scores, between every two videos.

Let W_ij be the number of pairs of a positive frame of video i and a negative frame of video j in which the positive one
has the higher score, a tie counting half. A resample that draws video i `m_i` times has `sum over i, j of m_i m_j W_ij`
such pairs. So W is counted once, and the AUCs of any number of resamples are products of small matrices. Pairs count
twice and ties once, so all counts are integers.
"""

from typing import TYPE_CHECKING

import numpy as np

from vadprobe.analyze.evaluation.bootstrap.video_units import VideoUnits
from vadprobe.analyze.evaluation.group_metrics import roc_auc_of_groups
from vadprobe.analyze.evaluation.scored_clips import ScoredClips

if TYPE_CHECKING:
    from scipy import sparse

_MAX_EXACT = 2.0**53  # float64 sums of integers are exact to here
_MAX_CELLS = 2**24  # entries of W, 128 MB; for more, resamples are counted one by one


class VideoPairs:
    """Doubled counts of pairs in the right order, of sorted units, computed once in time (units x positive videos)."""

    def __init__(self, units: VideoUnits) -> None:
        self._units = units
        self._positive = np.flatnonzero(units.video_positives)
        small = units.n_videos * len(self._positive) <= _MAX_CELLS
        self._won = _count_pairs(units, self._positive) if small else None

    def doubled(self, drawn: np.ndarray, among: np.ndarray) -> np.ndarray:
        """Return the doubled number of pairs in the right order in each resample, (resamples,) int64.

        Args:
            drawn: (videos, resamples) float64 multiplicities.
            among: (videos,) bool, True for videos whose negative frames count.
        """
        if self._won is None:
            return np.array([self._doubled_once(times * among, times) for times in drawn.T.astype(np.int64)])
        negatives = drawn[among]
        most = 2 * (self._units.video_positives @ drawn) * (self._units.video_negatives[among] @ negatives)
        dtype = np.float64 if most.max() < _MAX_EXACT else np.int64
        by_video = self._won[among].astype(dtype, copy=False).T @ negatives.astype(dtype, copy=False)
        return np.asarray(np.einsum("vr,vr->r", drawn[self._positive].astype(dtype), by_video)).astype(np.int64)

    def _doubled_once(self, negative_times: np.ndarray, positive_times: np.ndarray) -> np.int64:
        """Return the doubled number of pairs of one resample, counted over all units."""
        units = self._units
        gained = np.bincount(units.level, weights=units.positives * positive_times[units.video]).astype(np.int64)
        lost = np.bincount(units.level, weights=units.negatives * negative_times[units.video]).astype(np.int64)
        return np.int64(np.sum(lost * (2 * np.cumsum(gained) - gained)))

    def auc_of_each(self) -> np.ndarray:
        """Return the AUC of each video alone, (videos,), NaN where its frames are of one class."""
        units = self._units
        if self._won is None:
            clips = ScoredClips(-units.level, units.positives, units.negatives, units.video)
            return roc_auc_of_groups(clips, units.n_videos)
        auc = np.full(units.n_videos, np.nan)
        mine = self._positive
        doubled = self._won[mine, np.arange(len(mine))].astype(np.int64)
        pairs = units.video_positives[mine].astype(np.int64) * units.video_negatives[mine].astype(np.int64)
        auc[mine] = exact_ratio(doubled, 2 * pairs)
        return auc


def _count_pairs(units: VideoUnits, positive: np.ndarray) -> np.ndarray:
    """Return W, doubled and transposed, (videos, videos with positives), as float64 where that is exact, else int64.

    Levels with a positive frame are visited by descending score: a negative frame is below all positive frames of
    higher levels, which are counted per video, and ties with those of its own level.
    """
    step, on_step, n_steps = units.steps()
    most = 2 * units.video_positives.sum() * units.video_negatives.sum()
    dtype = np.float64 if most < _MAX_EXACT else np.int64
    column = np.zeros(units.n_videos, dtype=np.int32)
    column[positive] = np.arange(len(positive))
    shape = n_steps, units.n_videos
    gaining, losing = np.flatnonzero(units.positives), np.flatnonzero((units.negatives > 0) & (step < n_steps))
    tied = losing[on_step[losing]]
    positives, negatives = units.positives.astype(dtype), units.negatives.astype(dtype)
    gains = _by_step(positives[gaining], step[gaining], column[units.video[gaining]], (n_steps, len(positive)))
    losses = _by_step(2 * negatives[losing], step[losing], units.video[losing], shape)
    ties = _by_step(negatives[tied], step[tied], units.video[tied], shape)
    # Negative frames below the last step are below every positive frame; ties count once, other pairs twice.
    lowest = 2 * units.video_negatives.astype(dtype) - losses.sum(axis=0)
    won = np.multiply.outer(lowest, units.video_positives[positive].astype(dtype))
    won += (ties.T @ gains).toarray()
    # Blocks of steps: the negative frames of a block are paired with the positive frames of all higher levels.
    height = max(1, min(n_steps, max(256, 2 * units.n_videos)))
    reached = np.zeros((height + 1, len(positive)), dtype=dtype)
    for top in range(0, n_steps, height):
        n = min(height, n_steps - top)
        gains[top : top + n].toarray(out=reached[1 : n + 1])
        _accumulate(reached[: n + 1])
        won += losses[top : top + n].T @ reached[:n]
        reached[0] = reached[n]
    return np.asarray(won)


def _accumulate(rows: np.ndarray) -> None:
    """Compute cumulative sums in place, row by row; NumPy's cumsum along this axis takes ten times as long."""
    before = rows[0]
    for row in rows[1:]:
        np.add(before, row, out=row)
        before = row


def _by_step(frames: np.ndarray, step: np.ndarray, video: np.ndarray, shape: tuple[int, int]) -> "sparse.csr_array":
    """Return the numbers of frames by level and video, as a sparse matrix, of units by descending score."""
    from scipy import sparse

    begins = np.zeros(shape[0] + 1, dtype=np.int64)
    np.cumsum(np.bincount(step, minlength=shape[0]), out=begins[1:])
    return sparse.csr_array((frames, video, begins.astype(np.int32)), shape=shape)


def exact_ratio(numerators: np.ndarray, denominators: np.ndarray) -> np.ndarray:
    """Divide integers with each quotient rounded once (NumPy would round int64 operands first); NaN for a divisor 0."""
    pairs = zip(numerators.tolist(), denominators.tolist(), strict=True)
    return np.array([top / bottom if bottom else float("nan") for top, bottom in pairs])
