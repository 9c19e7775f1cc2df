"""Maximum mean discrepancy (MMD) with a Gaussian kernel whose width is the median distance of the samples."""

from collections.abc import Callable
from functools import lru_cache

import numpy as np

from vadprobe.analyze.saliency.samples import ClassCentred, scaled

ALL_AT_ONCE = 256
"""Largest number of samples for which all inner products of a head are in memory; for more, strips of rows are."""

_STRIP = 128
"""Rows of a strip; the distances of a strip fit the processor's cache."""

_PIECE = 1 << 15
"""Number of distances to which the kernel is applied at a time."""

_DEGENERATE = 1e-5
"""Smallest ratio of the squared median distance to the largest squared norm that inner products resolve."""


def mmd(block: ClassCentred) -> np.ndarray:
    """Return the square root of `mean K_aa + mean K_nn - 2 mean K_an`, self-pairs included, (heads,).

    `K = exp(-|x - y|^2 / (2 m^2))`, with the median distance m of all pairs. If m is 0, the kernel is its limit: 1 for
    equal samples, 0 for others.
    """
    return np.asarray(np.sqrt(squared_mmd(block)))


def squared_mmd(block: ClassCentred) -> np.ndarray:
    """Return the square of `mmd`, (heads,)."""
    return _by_heads(block, lambda squared: median_root(squared) ** 2, _exact_width)


def reference_mmd(block: ClassCentred) -> np.ndarray:
    """Return `mean K_aa + mean K_nn - 2 mean K_an`, (heads,), as the method's public code does, without the root.

    `K = exp(-g |x - y|^2)` with g = 1 / (2 w), where w is the median of the non-zero squared distances. If all are 0, g
    is 1.
    """
    return _by_heads(block, _middle_squared, _exact_code_width)


def kernel_matrices(block: ClassCentred, code: bool = False) -> np.ndarray:
    """Return `K - 1` of all pairs of samples, (heads, n, n), with the kernel of `mmd` or `reference_mmd`.

    It does not depend on labels. For a labelling with n_a anomalous and n_n normal samples, let w be 1 / n_a for
    anomalous samples and -1 / n_n for normal ones. Then the quadratic form `w' (K - 1) w` is the squared MMD;
    subtracting 1 changes nothing, since w sums to 0.
    """
    from scipy.spatial.distance import squareform

    heads, n = len(block.vectors), block.n_samples
    result = np.array(block.half_squared_distances)
    pairs = result.reshape(heads, n * n).take(_pairs(block.n_normal, n), axis=1)
    widths = _middle_squared(pairs) if code else median_root(pairs) ** 2
    longest = np.sqrt(block.gram.diagonal(axis1=1, axis2=2).max(axis=1)) + np.sqrt(block.distance)
    known = widths > _DEGENERATE * longest**2
    result *= (-0.5 / np.where(known, widths, 1.0))[:, None, None]
    np.expm1(result, out=result)
    for head in np.flatnonzero(~known):
        result[head] = squareform(_exact_kernel(block, int(head), _exact_code_width if code else _exact_width))
    return result


def median_root(squared: np.ndarray) -> np.ndarray:
    """Return the median of the square roots over the last axis, (heads,); the mean of the two middle ones if even."""
    lower, upper = _middle(squared)
    return np.asarray((np.sqrt(np.maximum(lower, 0.0)) + np.sqrt(np.maximum(upper, 0.0))) / 2)


def _middle_squared(squared: np.ndarray) -> np.ndarray:
    """Return the median of non-zero squared distances, (heads,); 0 where some may be 0 and the head is recomputed."""
    lower, upper = _middle(squared)
    smallest = squared.min(axis=-1)
    return np.where(smallest > _DEGENERATE * upper, (lower + upper) / 2, 0.0)


def _middle(squared: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the two middle values over the last axis; the same one twice for an odd number."""
    count = squared.shape[-1]
    ordered = np.partition(squared, count // 2, axis=-1)  # `partition` is much faster with one kth than with two
    upper = ordered[:, count // 2]
    return (upper if count % 2 else ordered[:, : count // 2].max(axis=-1)), upper


def _by_heads(
    block: ClassCentred, width: Callable[[np.ndarray], np.ndarray], exact_width: Callable[[np.ndarray], float]
) -> np.ndarray:
    """Return squared MMDs with `K = exp(-|x - y|^2 / (2 width))`; `width` maps squared distances (heads, pairs)."""
    heads, n = len(block.vectors), block.n_samples
    if n <= ALL_AT_ONCE:
        # Half squared distances give the same result, since they are measured in units of their median.
        squared = block.half_squared_distances.reshape(heads, n * n).take(_pairs(block.n_normal, n), axis=1)
        widths = width(squared)
        values = _from_width(squared, widths, block.n_normal, n)
        norms = block.gram.diagonal(axis1=1, axis2=2)
    else:
        widths, values = np.empty(heads), np.empty(heads)
        for one in range(heads):
            squared = pairs_in_strips(block, one)[None]
            widths[one] = width(squared)[0]
            values[one] = _from_width(squared, widths[[one]], block.n_normal, n)[0]
        norms = np.einsum("hij,hij->hi", block.rows, block.rows)
    # Distances from inner products have rounding errors of the longest vectors; a median of that size is recomputed.
    longest = np.sqrt(norms.max(axis=1)) + np.sqrt(block.distance)
    for head in np.flatnonzero(widths <= _DEGENERATE * longest**2):
        values[head] = _exact(block, int(head), exact_width)
    return np.asarray(np.maximum(values, 0.0))


@lru_cache(maxsize=8)
def _pairs(n_normal: int, n: int) -> np.ndarray:
    """Return flat indices into (n, n) of the pairs of normal samples, of both classes, and of anomalous samples."""
    first, second = np.triu_indices(n, 1)
    kind = (first >= n_normal).astype(np.int64) + (second >= n_normal)
    pairs = np.asarray((first * n + second)[np.argsort(kind, kind="stable")])
    pairs.setflags(write=False)
    return pairs


def _from_width(squared: np.ndarray, width: np.ndarray, n_normal: int, n: int) -> np.ndarray:
    """Return squared MMDs from squared distances (heads, pairs) in the order of `_pairs`, which are overwritten."""
    n_anomalous = n - n_normal
    exponents = -0.5 / np.where(width > 0, width, 1.0)
    counts = n_normal * (n_normal - 1) // 2, n_normal * n_anomalous, n_anomalous * (n_anomalous - 1) // 2
    sums, stop = [], 0
    for count in counts:
        start, stop = stop, stop + count
        total = np.zeros(len(squared))
        for first in range(start, stop, _PIECE):
            piece = squared[:, first : min(first + _PIECE, stop)]
            piece *= exponents[:, None]
            total += np.exp(piece, out=piece).sum(axis=-1)
        sums.append(total)
    # Each pair is twice in its matrix, and each self-pair, with K = 1, once.
    within = (n_normal + 2 * sums[0]) / n_normal**2 + (n_anomalous + 2 * sums[2]) / n_anomalous**2
    return np.asarray(within - 2 * sums[1] / (n_normal * n_anomalous))


def pairs_in_strips(block: ClassCentred, head: int) -> np.ndarray:
    """Return the squared distances of one head, (pairs,), in the order of `_pairs`."""
    n_normal, n = block.n_normal, block.n_samples
    rows, difference = block.rows[head], block.difference[head]
    normal, anomalous = rows[:n_normal], rows[n_normal:]
    result = np.empty(n * (n - 1) // 2)
    used = _fill_triangle(result, normal)
    # Pairs of both classes: the anomalous rows are shifted by the difference of the means.
    across = result[used : used + n_normal * (n - n_normal)].reshape(n_normal, n - n_normal)
    left, right = _left(normal), _right(anomalous + difference)
    for start in range(0, n_normal, _STRIP):
        np.matmul(left[start : start + _STRIP], right.T, out=across[start : start + _STRIP])
    _fill_triangle(result[used + across.size :], anomalous)
    return result


def _fill_triangle(target: np.ndarray, rows: np.ndarray) -> int:
    """Write the squared distances of all pairs of rows, each once, to the start of `target`; return their number."""
    n, used = len(rows), 0
    left, right = _left(rows), _right(rows)
    for start in range(0, n, _STRIP):
        stop = min(start + _STRIP, n)
        # A strip of rows: the triangle of its own pairs, then the rectangle of its pairs with all later rows.
        pairs = _upper(stop - start)
        own = left[start:stop] @ right[start:stop].T
        own.ravel().take(pairs, out=target[used : used + len(pairs)], mode="clip")
        used += len(pairs)
        beside = target[used : used + (stop - start) * (n - stop)].reshape(stop - start, n - stop)
        np.matmul(left[start:stop], right[stop:].T, out=beside)
        used += beside.size
    return used


@lru_cache(maxsize=8)
def _upper(n: int) -> np.ndarray:
    """Return flat indices into (n, n) of the entries above the diagonal, row by row."""
    pairs = np.flatnonzero(np.triu(np.ones((n, n), dtype=bool), 1))
    pairs.setflags(write=False)
    return pairs


def _left(rows: np.ndarray) -> np.ndarray:
    """Return rows (-2x, |x|^2, 1) whose inner products with those of `_right`, (y, 1, |y|^2), are |x - y|^2."""
    return np.column_stack([-2 * rows, np.einsum("ij,ij->i", rows, rows), np.ones(len(rows))])


def _right(rows: np.ndarray) -> np.ndarray:
    return np.column_stack([rows, np.ones(len(rows)), np.einsum("ij,ij->i", rows, rows)])


def _exact(block: ClassCentred, head: int, exact_width: Callable[[np.ndarray], float]) -> float:
    """Return the squared MMD of one head from differences of its samples, which are exactly 0 for equal ones."""
    n, n_normal = block.n_samples, block.n_normal
    weights = np.where(np.arange(n) < n_normal, -1 / n_normal, 1 / (n - n_normal))
    first, second = np.triu_indices(n, 1)
    # The weights of all pairs sum to 0, so K - 1 gives the same sum as K, with less cancellation.
    return 2 * float((weights[first] * weights[second] * _exact_kernel(block, head, exact_width)).sum())


def _exact_kernel(block: ClassCentred, head: int, exact_width: Callable[[np.ndarray], float]) -> np.ndarray:
    """Return `K - 1` of the pairs of one head's samples, in the order of scipy's `pdist`."""
    from scipy.spatial.distance import pdist

    samples = scaled(block.units[head : head + 1])[0, block.order]
    squared = pdist(samples - samples[0], "sqeuclidean")
    width = exact_width(squared)
    return np.asarray(np.expm1(squared / (-2 * width)) if width > 0 else np.where(squared > 0, -1.0, 0.0))


def _exact_width(squared: np.ndarray) -> float:
    return float(np.median(np.sqrt(squared))) ** 2


def _exact_code_width(squared: np.ndarray) -> float:
    different = squared[squared > 0]
    return float(np.median(different)) if len(different) else 0.5
