"""Two-means clustering of many heads at once: k-means++ starts, Lloyd's iterations, the best of several starts."""

import numpy as np

from vadprobe.analyze.samples import squared_distances

MAX_ITERATIONS = 300
"""Lloyd's iterations end when no sample moves; this bound (scikit-learn's) stops ties that rounding keeps alive."""


def two_means(rows: np.ndarray, draws: np.ndarray) -> np.ndarray:
    """Split the samples of every head into two clusters of least inertia.

    Each start draws two centres by k-means++ (Arthur and Vassilvitskii, 2007): the first is sample ``floor(u n)``, the
    second is the first sample at which the running sum of squared distances to the first exceeds ``v`` times their
    total. Lloyd's iterations run until no sample moves (tolerance 0). Of all starts the lowest inertia wins, the first
    of equals.

    Args:
        rows: (heads, n, r) float64.
        draws: (starts, 2) uniform numbers u, v in [0, 1), the same for every head.

    Returns:
        (heads, n) bool, True in the second cluster. Which of the two is called second means nothing. If all samples are
        equal, all are in one cluster. A sample equally far from both centres goes to the first.
    """
    centred = rows - rows.mean(axis=1, keepdims=True)
    members = _started(centred, draws)
    moving = np.arange(len(rows))
    for _ in range(MAX_ITERATIONS):
        # Only whole heads leave, never single starts: the products keep their shape, and so every bit.
        moved = _nearer_second(centred[moving], *_centres(centred[moving], members[moving]))
        changed = (moved != members[moving]).any(axis=(1, 2))
        members[moving] = moved
        moving = moving[changed]
        if len(moving) == 0:
            break
    best = _separation(centred, members).argmax(axis=1)
    return np.asarray(members[np.arange(len(rows)), best])


def _started(rows: np.ndarray, draws: np.ndarray) -> np.ndarray:
    """The samples nearer the second of two k-means++ centres, (heads, starts, n) bool."""
    n = rows.shape[1]
    first = np.minimum((draws[:, 0] * n).astype(np.int64), n - 1)
    centres = rows.take(first, axis=1)
    running = squared_distances(centres, rows).cumsum(axis=-1)
    below = running <= draws[:, 1, None] * running[:, :, -1:]
    second = np.minimum(below.sum(axis=-1), n - 1)
    return _nearer_second(rows, centres, np.take_along_axis(rows, second[:, :, None], axis=1))


def _centres(rows: np.ndarray, members: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean of the first and of the second cluster of each start, (heads, starts, r); an empty one is at 0, the mean."""
    n = rows.shape[1]
    count = members.sum(axis=-1)[:, :, None]
    second = members.astype(np.float64) @ rows
    first = rows.sum(axis=1)[:, None] - second
    return first / np.maximum(n - count, 1), second / np.maximum(count, 1)


def _nearer_second(rows: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Samples strictly nearer the second centre, (heads, starts, n) bool: beyond the middle along the connection."""
    direction = second - first
    middle = (direction * (first + second)).sum(axis=-1) / 2
    return np.asarray(direction @ rows.swapaxes(1, 2) > middle[:, :, None])


def _separation(rows: np.ndarray, members: np.ndarray) -> np.ndarray:
    """Squared deviation between the clusters, (heads, starts): the total minus the inertia."""
    first, second = _centres(rows, members)
    count = members.sum(axis=-1)
    return np.asarray(count * (rows.shape[1] - count) * ((second - first) ** 2).sum(axis=-1))
