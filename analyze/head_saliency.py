"""How well every attention head separates normal from anomalous samples: HeadHunt-VAD's four metrics (HH3 to HH6).

Source: HeadHunt-VAD, equations 3 to 6, with the choices the paper leaves open made as in the convention "paper".
All four are the same after shifting, rotating or scaling a head's features, so heads of any magnitude compare. They are
calibration numbers: with few samples every head looks separable, so never quote a chosen head's value as a result.
"""

from collections.abc import Callable, Mapping

import numpy as np

from vadprobe.analyze.gaussian import invertible, is_regular, ledoit_wolf
from vadprobe.analyze.samples import Separated, checked_labels, checked_units, separate, squared_distances
from vadprobe.analyze.two_means import two_means

_BLOCK_BYTES = 1 << 24
"""Working memory of a block of heads; larger blocks leave the processor's cache and are slower."""

_Kernel = Callable[[Separated], np.ndarray]


def lda(features: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Fisher's discriminant ratio (HH3): squared distance of the class means in units of the within-class covariance.

    ``(mu_a - mu_n)' S^-1 (mu_a - mu_n)``, S the covariance of the class-centred samples of both classes, shrunk by
    Ledoit and Wolf. scikit-learn's ``shrinkage="auto"`` is another number: it shrinks each class alone, standardised.

    Args:
        features: (..., n, d), any real dtype, finite; computed in float64 after centring. n < d is fine.
        labels: (n,) bool or int, 1 = anomalous, at least two of each class.

    Returns:
        (...,) float64 >= 0. 0 where all samples are equal. NaN where S has no inverse although the samples differ: both
        classes are constant, or the class-centred samples are all plus or minus one vector (d > 1).

    Raises:
        VadprobeError: if shapes or labels do not fit, a class has fewer than two samples, or a feature is not finite.
    """
    return _mapped(features, labels, {"": _lda})[""]


def symmetric_kl(features: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Mean of both Kullback-Leibler divergences between Gaussians fitted to the classes, in nats (HH4).

    ``[tr(Sn^-1 Sa) + tr(Sa^-1 Sn) - 2d + D'(Sn^-1 + Sa^-1) D] / 4``, Sn and Sa the classes' covariances, each shrunk by
    Ledoit and Wolf, D the difference of their means. The log-determinants of the two directions cancel.

    Args:
        features: (..., n, d), as for :func:`lda`.
        labels: (n,) bool or int, 1 = anomalous, at least two of each class.

    Returns:
        (...,) float64 >= 0. 0 where all samples are equal. NaN where a class's covariance has no inverse although the
        samples differ: the class is constant, or (for d > 1) takes two values equally often. So it is NaN for every
        head when a class has two samples: three per class are the least that can tell.

    Raises:
        VadprobeError: as :func:`lda`.
    """
    return _mapped(features, labels, {"": _symmetric_kl})[""]


def maximum_mean_discrepancy(features: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Distance of the class means in the feature space of a Gaussian kernel (HH5).

    The square root of the V-statistic ``mean K_aa + mean K_nn - 2 mean K_an`` (self-pairs included, so it is biased
    upwards), ``K = exp(-|x - y|^2 / (2 m^2))``, m the median distance of all pairs of samples, both classes pooled.

    Args:
        features: (..., n, d), as for :func:`lda`.
        labels: (n,) bool or int, 1 = anomalous, at least two of each class.

    Returns:
        (...,) float64 in [0, sqrt(2)], exact to about 1e-8 near 0. 0 where all samples are equal. Where more than half
        of the pairs are equal samples, m is 0 and the kernel is its limit: 1 for equal samples, 0 for others.

    Raises:
        VadprobeError: as :func:`lda`.
    """
    return _mapped(features, labels, {"": _maximum_mean_discrepancy})[""]


def cluster_information(features: np.ndarray, labels: np.ndarray, seed: int, n_init: int = 10) -> np.ndarray:
    """Normalised mutual information of the labels and a two-means clustering of the raw features (HH6).

    Mutual information over the geometric mean of both entropies; the clustering is :func:`.two_means.two_means`.

    Args:
        features: (..., n, d), as for :func:`lda`.
        labels: (n,) bool or int, 1 = anomalous, at least two of each class.
        seed: of the k-means++ starts. Every head gets the same random numbers, whatever stands beside it. The order of
            the samples decides, with the seed, which starts are tried.
        n_init: number of starts, the lowest inertia wins.

    Returns:
        (...,) float64 in [0, 1]. 0 where all samples are equal: they form one cluster, which says nothing.

    Raises:
        VadprobeError: as :func:`lda`.
    """
    return _mapped(features, labels, {"": _cluster_information(seed, n_init)})[""]


def head_metrics(features: np.ndarray, labels: np.ndarray, seed: int) -> dict[str, np.ndarray]:
    """All four metrics of HeadHunt-VAD (HH3 to HH6), sharing what they have in common.

    Args:
        features: (..., n, d), for example (blocks, heads, n, head_dim); see :func:`lda`.
        labels: (n,) bool or int, 1 = anomalous, at least two of each class.
        seed: of the two-means clustering; see :func:`cluster_information`.

    Returns:
        "lda", "symmetric_kl", "maximum_mean_discrepancy", "cluster_information": each (...,) float64, the same to the
        last bit as the function of that name, and for any cut of the leading axes.

    Raises:
        VadprobeError: as :func:`lda`.
    """
    kernels: dict[str, _Kernel] = {
        "lda": _lda,
        "symmetric_kl": _symmetric_kl,
        "maximum_mean_discrepancy": _maximum_mean_discrepancy,
        "cluster_information": _cluster_information(seed, 10),
    }
    return _mapped(features, labels, kernels)


def _mapped(features: np.ndarray, labels: np.ndarray, kernels: Mapping[str, _Kernel]) -> dict[str, np.ndarray]:
    """Apply the kernels to blocks of heads that fit the processor's cache."""
    features = np.asarray(features)
    units = checked_units(features)
    n, dimension = units.shape[1:]
    anomalous = checked_labels(labels, n)
    basis = min(n + 1, dimension)
    step = max(1, _BLOCK_BYTES // (8 * (3 * n * dimension + 4 * n * n + 4 * basis * basis)))
    results = {name: np.empty(len(units)) for name in kernels}
    for start in range(0, len(units), step):
        block = separate(units[start : start + step], anomalous)
        for name, kernel in kernels.items():
            results[name][start : start + step] = kernel(block)
    return {name: values.reshape(features.shape[:-2]) for name, values in results.items()}


def _lda(block: Separated) -> np.ndarray:
    covariance, shrinkage = ledoit_wolf(block.rows, block.dimension)
    regular = is_regular(shrinkage)
    difference = block.difference[:, :, None]
    values = (difference * np.linalg.solve(invertible(covariance, regular), difference)).sum(axis=(1, 2))
    return _settled(block, regular, values)


def _symmetric_kl(block: Separated) -> np.ndarray:
    rows = [block.rows.compress(mine, axis=1) for mine in (~block.anomalous, block.anomalous)]
    shrunk = [ledoit_wolf(mine, block.dimension) for mine in rows]
    regular = is_regular(shrunk[0][1]) & is_regular(shrunk[1][1])
    normal, anomalous = (invertible(covariance, regular) for covariance, _ in shrunk)
    inverses = np.linalg.inv(normal), np.linalg.inv(anomalous)
    difference = block.difference[:, :, None]
    quadratic = (difference * ((inverses[0] + inverses[1]) @ difference)).sum(axis=(1, 2))
    traces = _inner(inverses[0], anomalous) + _inner(inverses[1], normal)
    # Outside the basis both covariances are multiples of the identity: what shrinking added to each.
    outside = block.dimension - block.rows.shape[-1]
    added = [
        np.where(regular, intensity * (mine**2).sum(axis=(1, 2)) / mine.shape[1], 1.0)
        for mine, (_, intensity) in zip(rows, shrunk, strict=True)
    ]
    traces += outside * (added[0] / added[1] + added[1] / added[0])
    return _settled(block, regular, np.maximum(traces - 2 * block.dimension + quadratic, 0.0) / 4)


def _maximum_mean_discrepancy(block: Separated) -> np.ndarray:
    centred = block.centred
    heads, n = centred.shape[:2]
    pairs = np.flatnonzero(np.triu(np.ones((n, n), dtype=bool), 1))
    squared = squared_distances(centred, centred).reshape(heads, n * n).take(pairs, axis=1)
    median = _median_root(squared)[:, None]
    scale = np.where(median > 0, 2 * median**2, 1.0)
    exponent = np.where(median > 0, squared / scale, np.where(squared > 0, np.inf, 0.0))
    classes = np.where(block.anomalous, 1 / block.anomalous.sum(), -1 / (~block.anomalous).sum())
    weights = np.outer(classes, classes).ravel()[pairs]
    # The weights of all pairs add up to 0, so K - 1 in place of K is the same sum, without its cancellation.
    return np.asarray(np.sqrt(np.maximum(2 * (weights * np.expm1(-exponent)).sum(axis=-1), 0.0)))


def _cluster_information(seed: int, n_init: int) -> _Kernel:
    draws = np.random.default_rng(seed).random((n_init, 2))

    def kernel(block: Separated) -> np.ndarray:
        values = _normalised_information(block.anomalous, two_means(block.centred, draws))
        return np.where(block.constant, 0.0, values)

    return kernel


def _settled(block: Separated, regular: np.ndarray, values: np.ndarray) -> np.ndarray:
    """NaN where there is no inverse; but equal samples differ in no respect, and 0 is their exact value."""
    return np.where(block.constant, 0.0, np.where(regular, values, np.nan))


def _inner(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """tr(A B) of symmetric matrices, (heads,)."""
    return np.asarray((left * right).reshape(len(left), -1).sum(axis=-1))


def _median_root(squared: np.ndarray) -> np.ndarray:
    """Median over the last axis of the square roots, (heads,): for an even number, the mean of the two middle roots."""
    count = squared.shape[-1]
    ordered = np.partition(squared, count // 2, axis=-1)  # one kth is much faster than two
    upper = np.sqrt(ordered[:, count // 2])
    if count % 2:
        return np.asarray(upper)
    return np.asarray((np.sqrt(ordered[:, : count // 2].max(axis=-1)) + upper) / 2)


def _normalised_information(labels: np.ndarray, clusters: np.ndarray) -> np.ndarray:
    """Mutual information of labels (n,) and clusters (heads, n), both bool, over their geometric mean entropy."""
    n = len(labels)
    shared = np.stack([[(clusters == k)[:, labels == c].sum(axis=-1) for k in (False, True)] for c in (False, True)])
    of_label, of_cluster = shared.sum(axis=1), shared.sum(axis=0)
    # Whole numbers inside the logarithm: independent labels and clusters give exactly 0.
    ratio = n * shared / np.maximum(of_label[:, None] * of_cluster[None], 1)
    information = (shared * np.log(np.where(shared > 0, ratio, 1.0))).sum(axis=(0, 1))
    entropies = [-(counts * np.log(np.maximum(counts, 1) / n)).sum(axis=0) for counts in (of_label, of_cluster)]
    scale = np.sqrt(entropies[0] * entropies[1])
    return np.asarray(np.clip(information / np.where(scale > 0, scale, 1.0), 0.0, 1.0))
