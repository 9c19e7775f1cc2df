"""Slow oracles of the saliency metrics and rankings, written from the papers' definitions, one head or layer at a time.

They share no code and no algebra with the kernels: loops and scikit-learn take the place of batches, log-determinants
are computed that cancel in the kernel, bins use exact fractions, and all partitions replace Lloyd's iterations.
"""

import itertools
import math
from fractions import Fraction

import numpy as np
from scipy.spatial.distance import pdist
from scipy.stats import entropy, zscore
from sklearn.covariance import LedoitWolf
from sklearn.metrics import normalized_mutual_info_score
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.preprocessing import minmax_scale


def mean_and_variance(values):
    """Return the exactly rounded mean and population variance of a list of numbers."""
    values = [Fraction(float(value)) for value in values]
    mean = sum(values) / len(values)
    return mean, sum((value - mean) ** 2 for value in values) / len(values)


def gaussian_kl(layer, labels, swapped=False):
    """Return eqs. 1 and 2 (HiProbe-VAD) of one layer (n, D), and the number of dimensions with a floored variance."""
    total, floored = 0.0, 0
    for column in np.asarray(layer, dtype=np.float64).T:
        (mean_p, var_p), (mean_q, var_q) = (
            mean_and_variance(column[labels == c]) for c in ((1, 0) if swapped else (0, 1))
        )
        floor = mean_and_variance(column)[1] / 1000
        if floor == 0:
            continue
        floored += var_p < floor or var_q < floor
        p, q = max(var_p, floor), max(var_q, floor)
        total += (math.log(q / p) + float((p + (mean_p - mean_q) ** 2) / q) - 1) / 2
    return total / layer.shape[1], floored


def discriminant_ratio(layer, labels):
    """Return eqs. 3 and 4 (HiProbe-VAD) of one layer (n, D)."""
    ratios = []
    for column in np.asarray(layer, dtype=np.float64).T:
        (mean_n, var_n), (mean_a, var_a) = (mean_and_variance(column[labels == c]) for c in (0, 1))
        ratios.append(float((mean_a - mean_n) ** 2 / (var_a + var_n + Fraction(1e-12))))
    return math.fsum(ratios) / len(ratios)


def binned_entropy(layer, n_bins=32):
    """Return the entropy, eqs. 5 and 6 (HiProbe-VAD), of one layer (n, D): bins by exact fractions."""
    bits = []
    for column in np.asarray(layer, dtype=np.float64).T:
        values = [Fraction(value) for value in column.tolist()]
        lowest, highest = min(values), max(values)
        counts = [0] * n_bins
        for value in values:
            share = (value - lowest) / (highest - lowest) if highest > lowest else Fraction(0)
            counts[min(math.floor(share * n_bins), n_bins - 1)] += 1
        bits.append(entropy(counts, base=2))
    return math.fsum(bits) / len(bits)


def shrunk_covariance(centred):
    """Return Ledoit and Wolf's (covariance, intensity) from their definition (lemma 3.3)."""
    n, d = centred.shape
    outer = [np.outer(row, row) for row in centred]
    sample = sum(outer) / n
    target = np.trace(sample) / d * np.eye(d)
    distance = np.sum((sample - target) ** 2)
    error = min(sum(np.sum((one - sample) ** 2) for one in outer) / n**2, distance)
    intensity = error / distance if distance > 0 else 0.0
    return intensity * target + (1 - intensity) * sample, intensity


def _exact_means(head, labels):
    return [
        [
            sum(map(Fraction, column)) / len(column)
            for column in np.asarray(head, dtype=np.float64)[labels == c].T.tolist()
        ]
        for c in (0, 1)
    ]


def _class_centred(head, labels):
    return [
        np.array([[float(Fraction(x) - m) for x, m in zip(row, means, strict=True)] for row in rows.tolist()])
        for rows, means in zip(
            (np.asarray(head, dtype=np.float64)[labels == c] for c in (0, 1)), _exact_means(head, labels), strict=True
        )
    ]


def _mean_difference(head, labels):
    normal, anomalous = _exact_means(head, labels)
    return np.array([float(a - n) for a, n in zip(anomalous, normal, strict=True)])


def lda(head, labels):
    """Return LDA, eq. 3 (HeadHunt-VAD), of one head (n, d), with scikit-learn's Ledoit-Wolf."""
    within = np.concatenate(_class_centred(head, labels))
    covariance = LedoitWolf(assume_centered=True).fit(within).covariance_
    difference = _mean_difference(head, labels)
    return difference @ np.linalg.solve(covariance, difference)


def symmetric_kl(head, labels):
    """Return eq. 4 (HeadHunt-VAD) of one head (n, d): the mean of both full divergences, with log-determinants."""
    normal, anomalous = (
        LedoitWolf(assume_centered=True).fit(centred).covariance_ for centred in _class_centred(head, labels)
    )
    difference = _mean_difference(head, labels)

    def divergence(p, q):
        log_ratio = np.linalg.slogdet(q)[1] - np.linalg.slogdet(p)[1]
        inverse = np.linalg.inv(q)
        return (log_ratio + np.trace(inverse @ p) - len(p) + difference @ inverse @ difference) / 2

    return (divergence(normal, anomalous) + divergence(anomalous, normal)) / 2


def squared_discrepancy(head, labels):
    """Return MMD, eq. 5 (HeadHunt-VAD), of one head (n, d) before the root, by scipy's distances and a kernel."""
    head = np.asarray(head, dtype=np.float64)
    kernel = rbf_kernel(head, gamma=1 / (2 * np.median(pdist(head)) ** 2))
    a, n = labels == 1, labels == 0
    return kernel[np.ix_(a, a)].mean() + kernel[np.ix_(n, n)].mean() - 2 * kernel[np.ix_(a, n)].mean()


def exact_squared_discrepancy(head, labels):
    """Return the same from differences of single samples, exact however far apart other samples lie."""
    head = np.asarray(head, dtype=np.float64)
    median = np.median(pdist(head))
    signs = np.where(labels == 1, 1 / np.sum(labels == 1), -1 / np.sum(labels == 0))
    terms = [
        p * q * math.exp(-(math.dist(x, y) ** 2) / (2 * median**2))
        for p, x in zip(signs, head, strict=True)
        for q, y in zip(signs, head, strict=True)
    ]
    return math.fsum(terms)


def kmeans2(head, draws):
    """Return the clusters of eq. 6 (HeadHunt-VAD) of one head (n, d), by loops, from the start of least inertia."""
    points = [tuple(point) for point in np.asarray(head, dtype=np.float64).tolist()]
    best = None
    for u, v in draws:
        labels = _lloyd(points, _start(points, u, v))
        inertia = partition_inertia(np.array(points), labels)
        if best is None or inertia < best[0]:
            best = (inertia, labels)
    return best[1]


def _start(points, u, v):
    first = points[math.floor(u * len(points))]
    weights = [math.dist(point, first) ** 2 for point in points]
    running = 0.0
    for point, weight in zip(points, weights, strict=True):
        running += weight
        if running > v * sum(weights):
            return first, point
    return first, first


def _lloyd(points, centres):
    labels = None
    while True:
        moved = [int(math.dist(point, centres[1]) < math.dist(point, centres[0])) for point in points]
        if moved == labels:
            return labels
        labels = moved
        clusters = [[point for point, label in zip(points, labels, strict=True) if label == k] for k in (0, 1)]
        centres = [
            tuple(math.fsum(axis) / len(cluster) for axis in zip(*cluster, strict=True)) if cluster else centre
            for cluster, centre in zip(clusters, centres, strict=True)
        ]


def partition_inertia(head, labels):
    """Sum of squared distances to the cluster means."""
    labels = np.asarray(labels)
    return sum(float(np.sum((head[labels == k] - head[labels == k].mean(axis=0)) ** 2)) for k in set(labels.tolist()))


def least_inertia(head):
    """Return the least inertia of all partitions of the samples into two."""
    return min(partition_inertia(head, (0, *rest)) for rest in itertools.product((0, 1), repeat=len(head) - 1))


def clustering_nmi(head, labels, draws):
    """Return NMI, eq. 6 (HeadHunt-VAD), of one head (n, d)."""
    return normalized_mutual_info_score(labels, kmeans2(head, draws), average_method="geometric")


def layer_saliency(metrics):
    """Return DLSP, eqs. 5 and 6 (HiProbe-VAD): the sum of scipy's z-scores; a constant metric gives 0."""
    return sum(np.zeros(len(v)) if len(set(v)) == 1 else zscore(np.asarray(v), ddof=0) for v in metrics.values())


def robust_saliency(metrics, weight):
    """Return RHI, eqs. 7 to 9 (HeadHunt-VAD): (mean, instability, robust) of every head, by scikit-learn's min-max."""
    saliency = []
    for of_prompt in metrics.values():
        scaled = [minmax_scale(values.reshape(-1, 1)).reshape(values.shape) for values in of_prompt.values()]
        saliency.append(sum(scaled) / len(scaled))
    mean = sum(saliency) / len(saliency)
    instability = np.sqrt(sum((one - mean) ** 2 for one in saliency) / len(saliency))
    return mean, instability, mean - weight * instability
