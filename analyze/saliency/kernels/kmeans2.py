"""Two-means clustering of many heads at once: k-means++ starts, Lloyd's iterations, the best of several starts.

If the mean of all samples is 0, the two centres lie on a line through 0, and the sum s of the k samples in the second
cluster (of n in all) decides: a sample x is nearer the second centre if `x's > |s|^2 (1/k - 1/(n-k)) / 2`. So inner
products of the samples are enough, which is faster while there are fewer samples than twice the dimensions.
"""

import numpy as np

from vadprobe.analyze.saliency.samples import squared_distances

MAX_ITERATIONS = 300
"""Largest number of Lloyd's iterations, as in scikit-learn. They end when no sample moves; rounding of ties may not."""

_STAYING = 0.75
"""Heads that have converged are removed once less than this fraction of the heads is still moving."""


def kmeans2(rows: np.ndarray, draws: np.ndarray) -> np.ndarray:
    """Split the samples of every head into two clusters of least inertia.

    Each start draws two centres by k-means++ (Arthur and Vassilvitskii, 2007). The first is sample `floor(u n)`; the
    second is the first sample at which the cumulative sum of squared distances to the first centre exceeds `v` times
    their total. Lloyd's iterations run until no sample moves (tolerance 0). The start with the lowest inertia is used,
    the first of equal ones.

    Args:
        rows: (heads, n, r) float64.
        draws: (starts, 2) uniform numbers u, v in [0, 1), the same for every head.

    Returns:
        (heads, n) bool, True in the second cluster; which of the two is called second has no meaning. If all samples
        are equal, all are in one cluster. A sample equally far from both centres belongs to the first.
    """
    centred = rows - rows.mean(axis=1, keepdims=True)
    order = np.arange(rows.shape[1])
    if rows.shape[1] <= 2 * rows.shape[2]:
        squared = squared_distances(centred, centred)
        return clusters_of_products(centred @ centred.swapaxes(1, 2), squared, draws, order)
    return clusters_of_rows(centred, draws, order)


def clusters_of_products(gram: np.ndarray, squared: np.ndarray, draws: np.ndarray, order: np.ndarray) -> np.ndarray:
    """Run `kmeans2` on inner products and squared distances of centred samples, each (heads, n, n).

    `order` (n,) is the original position of each sample; the draws choose among the samples in their original order.
    """
    position = np.argsort(order)
    near = squared.take(position[_first(draws, len(order))], axis=1)
    second = position[_second(near.take(position, axis=2), draws)]
    return _settled(gram, np.asarray(np.take_along_axis(squared, second[:, :, None], axis=1) < near))


def clusters_of_rows(rows: np.ndarray, draws: np.ndarray, order: np.ndarray) -> np.ndarray:
    """Run `kmeans2` on centred samples (heads, n, r), for more samples than `clusters_of_products`."""
    position = np.argsort(order)
    first = position[_first(draws, len(order))]
    result = np.empty(rows.shape[:2], dtype=bool)
    for head, samples in enumerate(rows):
        near = squared_distances(samples[None, first], samples[None])
        second = position[_second(near.take(position, axis=2), draws)][0]
        members = squared_distances(samples[None, second], samples[None])[0] < near[0]
        result[head] = _settled_rows(samples, members)
    return result


def _first(draws: np.ndarray, n: int) -> np.ndarray:
    """Return the sample numbers of the first centres, (starts,)."""
    return np.minimum((draws[:, 0] * n).astype(np.int64), n - 1)


def _second(squared: np.ndarray, draws: np.ndarray) -> np.ndarray:
    """Return the sample numbers of the second centres, (heads, starts), from squared distances (heads, starts, n)."""
    running = squared.cumsum(axis=-1)
    below = running <= draws[:, 1, None] * running[:, :, -1:]
    return np.asarray(np.minimum(below.sum(axis=-1), squared.shape[-1] - 1))


def _settled(gram: np.ndarray, members: np.ndarray) -> np.ndarray:
    """Iterate from second clusters (heads, starts, n) bool; return the second cluster of the best start, (heads, n)."""
    n = members.shape[2]
    best = np.array(members[:, 0])
    moving = np.arange(len(members))
    for iteration in range(MAX_ITERATIONS):
        # Whole heads are removed, never single starts: products keep their shape, and so every bit of their result.
        chosen = members.astype(np.float64)
        products = chosen @ gram
        size = chosen.sum(axis=-1)
        length = np.einsum("hsi,hsi->hs", chosen, products)
        moved = products > (length * _middle(size, n))[:, :, None]
        changed = (moved != members).any(axis=(1, 2)) & (iteration < MAX_ITERATIONS - 1)
        if np.count_nonzero(changed) <= _STAYING * len(changed):
            # A split lowers the inertia by |s|^2 n / (k (n - k)), which is largest for the best start.
            separation = length / np.maximum(size * (n - size), 1)
            best[moving] = members[np.arange(len(members)), separation.argmax(axis=1)]
            moving, moved = moving[changed], moved[changed]
            if len(moving) == 0:
                break
            gram = gram[changed]
        members = moved
    return best


def _settled_rows(rows: np.ndarray, members: np.ndarray) -> np.ndarray:
    """Iterate one head: centred samples (n, r) and second clusters (starts, n) bool to the best (n,) bool."""
    n = len(rows)
    columns = np.ascontiguousarray(rows.T)
    best, most = np.asarray(members[0]), -1.0
    sums = members.astype(np.float64) @ rows
    for iteration in range(MAX_ITERATIONS):
        size = members.sum(axis=-1)
        length = np.einsum("si,si->s", sums, sums)
        moved = sums @ columns > (length * _middle(size, n))[:, None]
        changes = moved != members
        changed = changes.any(axis=-1) & (iteration < MAX_ITERATIONS - 1)
        if not changed.all():
            separation = np.where(changed, -1.0, length / np.maximum(size * (n - size), 1))
            winner = int(separation.argmax())
            if separation[winner] > most:
                best, most = members[winner], separation[winner]
            members, moved, changes, sums = members[changed], moved[changed], changes[changed], sums[changed]
            if len(members) == 0:
                break
        # Sums are updated by the samples that moved.
        touched = np.flatnonzero(changes.any(axis=0))
        difference = np.subtract(moved[:, touched], members[:, touched], dtype=np.float64)
        sums = sums + difference @ rows[touched]
        members = moved
    return best


def _middle(size: np.ndarray, n: int) -> np.ndarray:
    """Return `(1/k - 1/(n-k)) / 2`: times |s|^2, the threshold half way between the centres, (..., starts)."""
    return np.asarray((1 / np.maximum(size, 1) - 1 / np.maximum(n - size, 1)) / 2)
