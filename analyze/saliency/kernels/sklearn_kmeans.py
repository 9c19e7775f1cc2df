"""Two-means as scikit-learn's `KMeans(2, n_init="auto")` runs it, for many heads at once: one k-means++ start.

Its random numbers do not depend on the samples, so they are drawn once and serve all heads. Like scikit-learn's, the
iterations end when no sample changes its cluster, or when the centres have moved by less than a tolerance.
"""

import numpy as np

from vadprobe.analyze.saliency.samples import squared_distances

_MAX_ITERATIONS = 300

_TOLERANCE = 1e-4
"""Squared movement of both centres below which iterations end, in units of the mean variance of the dimensions."""

_TRIALS = 2
"""Number of second centres that are tried, floor(2 + log(2 clusters)); the one of least inertia is used."""


def sklearn_kmeans(rows: np.ndarray, position: np.ndarray, random_state: int) -> np.ndarray:
    """Return the clusters of `KMeans(2, random_state=random_state, n_init="auto")` with its other defaults.

    If a sample has the same distance from both centres, or two trials have the same inertia, rounding decides in both
    programs. Only then can the clusters differ.

    Args:
        rows: (heads, n, d) float64, the mean of all samples at 0.
        position: (n,) int64, the row of `rows` with each sample of scikit-learn's argument.
        random_state: seed of scikit-learn's legacy generator.

    Returns:
        (heads, n) bool by row, True in cluster 1. If all samples of a head are equal, all are False.
    """
    heads, n, dimension = rows.shape
    centres = _started(rows, position, random_state)
    tolerance = _TOLERANCE * np.einsum("hij,hij->h", rows, rows) / (n * dimension)
    result = np.zeros((heads, n), dtype=bool)
    moving = np.arange(heads)
    previous = None
    for _ in range(_MAX_ITERATIONS):
        second = _nearer_second(rows, centres)
        moved = _means(rows, second)
        still = np.ones(len(moving), dtype=bool) if previous is None else (second != previous).any(axis=1)
        shift = moved - centres
        within = np.einsum("hkd,hkd->h", shift, shift) <= tolerance
        # Centres that hardly moved are final; the samples are assigned to them once more.
        result[moving] = np.where((still & within)[:, None], _nearer_second(rows, moved), second)
        left = still & ~within
        if not left.any():
            break
        rows, centres, previous = rows[left], moved[left], second[left]
        moving, tolerance = moving[left], tolerance[left]
    else:
        result[moving] = _nearer_second(rows, centres)
    return result


def _started(rows: np.ndarray, position: np.ndarray, random_state: int) -> np.ndarray:
    """Draw both k-means++ centres, (heads, 2, d)."""
    from sklearn.utils import check_random_state

    n = rows.shape[1]
    generator = check_random_state(random_state)
    first = position[generator.choice(n, p=np.ones(n) / n)]
    numbers = generator.uniform(size=_TRIALS)
    near = squared_distances(rows[:, [first]], rows)
    running = near[:, 0].take(position, axis=1).cumsum(axis=-1)
    below = running[:, None, :] < (numbers * running[:, -1:])[:, :, None]
    trials = position[np.minimum(below.sum(axis=-1), n - 1)]
    tried = np.take_along_axis(rows, trials[:, :, None], axis=1)
    inertia = np.minimum(squared_distances(tried, rows), near).sum(axis=-1)
    best = inertia.argmin(axis=1)
    return np.stack([rows[:, first], tried[np.arange(len(rows)), best]], axis=1)


def _nearer_second(rows: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """Return (heads, n) bool, True for samples that are strictly nearer the second centre."""
    distances = np.einsum("hkd,hkd->hk", centres, centres)[:, :, None] - 2 * (centres @ rows.swapaxes(1, 2))
    return np.asarray(distances[:, 1] < distances[:, 0])


def _means(rows: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return the means of both clusters, (heads, 2, d); for an empty one the mean of all, as in scikit-learn."""
    members = np.stack([~second, second], axis=1).astype(np.float64)
    count = members.sum(axis=-1)
    members[count == 0] = 1.0
    return np.asarray(members @ rows / np.where(count == 0, rows.shape[1], count)[:, :, None])
