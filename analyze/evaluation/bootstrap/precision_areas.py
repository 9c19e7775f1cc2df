"""Areas under the precision-recall curves of many resamples at once.

A level is a distinct score. Recall grows only at levels with a positive frame, so only these are computed. The frames
that each level adds in each resample are a sparse matrix (levels x videos) times the multiplicities (videos x
resamples), exact in float32 while the numbers stay below 2**24. Cumulative sums are computed in groups of eight levels
by a product with a triangular matrix of ones, whose first row carries the sum so far; this takes half as long as adding
row to row. Counts are integers, so their order of summation does not matter. The products of added frames and precision
are summed in fixed blocks of levels, so the result does not depend on anything else in any bit.
"""

from typing import TYPE_CHECKING

import numpy as np

from vadprobe.analyze.evaluation.bootstrap.video_units import VideoUnits

if TYPE_CHECKING:
    from scipy import sparse

_GROUP = 8  # levels in one product with the triangular matrix
_GROUPS = 8  # groups of levels computed together, which is part of the order of summation
_MAX_SINGLE = 2**24  # float32 holds whole numbers up to here


class PrecisionAreas:
    """Levels of sorted units, prepared for any multiplicities.

    A group has two kinds of rows: positive frames at its levels, and all frames since the level before. Each kind
    begins with an empty row for the sum so far. With `trapezoid` the trapezoid area can be computed too.
    """

    def __init__(self, units: VideoUnits, trapezoid: bool) -> None:
        step, on_step, n_steps = units.steps()
        rows = step // _GROUP * 2 * (_GROUP + 1) + step % _GROUP + 1
        positive, flagged = np.flatnonzero(units.positives), np.flatnonzero(step < n_steps)
        frames = np.concatenate([units.positives[positive], (units.positives + units.negatives)[flagged]])
        rows = np.concatenate([rows[positive], rows[flagged] + _GROUP + 1])
        self._most = float(np.bincount(rows, weights=frames).max(initial=0))
        shape = -(-n_steps // _GROUP) * 2 * (_GROUP + 1), units.n_videos
        columns = np.concatenate([units.video[positive], units.video[flagged]])
        gains = _matrix(frames.astype(self._number_type(1.0)), rows, columns, shape)
        height = _GROUPS * 2 * (_GROUP + 1)
        self._blocks = [gains[top : top + height] for top in range(0, shape[0], height)]
        self._ties = self._tied(units, step, on_step) if trapezoid else None

    def _tied(
        self, units: VideoUnits, step: np.ndarray, on_step: np.ndarray
    ) -> dict[int, tuple[np.ndarray, "sparse.csr_array"]]:
        """Return by block the levels where negative and positive frames tie, and the counts (levels, videos) there."""
        tied = np.flatnonzero(on_step & (units.negatives > 0))
        levels, row = np.unique(step[tied], return_inverse=True)
        counts = _matrix(
            units.negatives[tied].astype(np.float64), row, units.video[tied], (len(levels), units.n_videos)
        )
        blocks, first = np.unique(levels // (_GROUP * _GROUPS), return_index=True)
        bounds = [*first.tolist(), len(levels)]
        return {
            block: (levels[begin:end] % (_GROUP * _GROUPS), counts[begin:end])
            for block, begin, end in zip(blocks.tolist(), bounds[:-1], bounds[1:], strict=True)
        }

    def _number_type(self, most_drawn: float) -> type[np.floating]:
        return np.float32 if self._most * most_drawn < _MAX_SINGLE else np.float64

    def sums(self, drawn: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Sum added positive frames times precision over levels, with the precision at each level and before it.

        Args:
            drawn: (videos, resamples) float64 multiplicities, at least two resamples, since NumPy sums a single column
                in another order.

        Returns:
            `at`, `before`: (resamples,) float64, whose mean is the trapezoid's sum. `before` is 0 without `trapezoid`.
        """
        number, n_resamples = self._number_type(float(drawn.max())), drawn.shape[1]
        multiplicities = drawn.astype(number, copy=False)
        gained = np.empty((_GROUPS, 2, _GROUP + 1, n_resamples))
        reached = np.zeros((_GROUPS, 2, _GROUP + 1, n_resamples))
        flagged, precision = np.empty((2, _GROUPS, _GROUP, n_resamples))
        at, before = np.zeros(n_resamples), np.zeros(n_resamples)
        for index, block in enumerate(self._blocks):
            n = block.shape[0] // (2 * (_GROUP + 1))
            gained[:n] = (block.astype(number, copy=False) @ multiplicities).reshape(n, *gained.shape[1:])
            _accumulate(gained[:n], reached)
            gains = gained[:n, 0, 1:]
            _divide(reached[:n, 0, 1:], reached[:n, 1, 1:], precision[:n])
            at += np.einsum("glr,glr->r", gains, precision[:n])
            if self._ties is not None:
                np.subtract(reached[:n, 1, 1:], gains, out=flagged[:n])
                if index in self._ties:
                    levels, negatives = self._ties[index]
                    flagged.reshape(-1, n_resamples)[levels] -= negatives @ drawn
                _divide(reached[:n, 0, :-1], flagged[:n], precision[:n])
                before += np.einsum("glr,glr->r", gains, precision[:n])
            reached[-1, :, -1] = reached[n - 1, :, -1]
        return at, before


def _matrix(frames: np.ndarray, rows: np.ndarray, videos: np.ndarray, shape: tuple[int, int]) -> "sparse.csr_array":
    """Return a sparse matrix of frames by row and video, with repeated entries summed."""
    from scipy import sparse

    index: type[np.signedinteger] = np.int32 if shape[0] < 2**31 else np.int64
    return sparse.csr_array(sparse.coo_array((frames, (rows.astype(index), videos.astype(index))), shape=shape))


def _accumulate(gained: np.ndarray, reached: np.ndarray) -> None:
    """Accumulate (groups, kinds, 1 + levels, resamples); a group's first row is the last row of the group before."""
    triangle = np.tril(np.ones((_GROUP + 1, _GROUP + 1)))
    so_far = reached[-1, :, -1]
    for group, sums in zip(gained, reached, strict=False):
        group[:, 0] = so_far
        np.matmul(triangle, group, out=sums)
        so_far = sums[:, -1]


def _divide(true_positives: np.ndarray, flagged: np.ndarray, precision: np.ndarray) -> None:
    """Compute the precision at each level; it is 1 where a resample has no frame yet, as at recall 0."""
    with np.errstate(invalid="ignore"):
        np.divide(true_positives, flagged, out=precision)
    if not flagged[0, 0].all():  # numbers of frames only grow, so this is rare after the first block
        precision[flagged == 0] = 1
