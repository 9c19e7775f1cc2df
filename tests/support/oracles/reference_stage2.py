"""Slow oracles of stage 2 from features to a selection, and of the convention "headhunt-code", one head at a time.

The papers' metrics are those of `reference`; scikit-learn, exact fractions and loops give the others.
"""

import itertools
import math
import warnings
from fractions import Fraction

import numpy as np
from scipy.spatial.distance import pdist
from sklearn.cluster import KMeans
from sklearn.covariance import LedoitWolf
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import normalized_mutual_info_score
from sklearn.metrics.pairwise import rbf_kernel

from tests.support.oracles import reference

HEAD_METRICS = ("lda", "symmetric_kl", "maximum_mean_discrepancy", "cluster_information")
LAYER_METRICS = ("gaussian_kl", "discriminant_ratio", "binned_entropy")


def classes(samples, labels):
    """Return the anomalous and the normal samples, float64."""
    samples, labels = np.asarray(samples, dtype=np.float64), np.asarray(labels).astype(int)
    return samples[labels == 1], samples[labels == 0]


def scatter(head, labels):
    """Return the within-class scatter of one head (n, d) plus 1e-6 I."""
    parts = [(len(part) - 1) * np.atleast_2d(np.cov(part, rowvar=False)) for part in classes(head, labels)]
    return sum(parts) + 1e-6 * np.eye(head.shape[1])


def code_lda(head, labels):
    """Return Fisher's ratio along the direction that the pseudo-inverse of the scatter gives."""
    anomalous, normal = classes(head, labels)
    within, difference = scatter(head, labels), anomalous.mean(axis=0) - normal.mean(axis=0)
    direction = np.linalg.pinv(within) @ difference
    denominator = direction @ within @ direction
    return 0.0 if denominator < 1e-9 else float((direction @ difference) ** 2 / denominator)


def exact_code_lda(head, labels):
    """Return the same ratio by exact fractions: D' Sw^-1 D, by elimination; not for a denominator below 1e-9."""
    parts = [[[Fraction(x) for x in row] for row in part.tolist()] for part in classes(head, labels)]
    means = [[sum(axis) / len(part) for axis in zip(*part, strict=True)] for part in parts]
    difference = [a - n for a, n in zip(*means, strict=True)]
    size = len(difference)
    rows = [[Fraction(1e-6) * (i == j) for j in range(size)] + [difference[i]] for i in range(size)]
    for part, mean in zip(parts, means, strict=True):
        for sample in part:
            centred = [x - m for x, m in zip(sample, mean, strict=True)]
            for i, j in itertools.product(range(size), repeat=2):
                rows[i][j] += centred[i] * centred[j]
    for i in range(size):
        rows[i] = [x / rows[i][i] for x in rows[i]]
        for k in range(size):
            if k != i:
                rows[k] = [x - rows[k][i] * y for x, y in zip(rows[k], rows[i], strict=True)]
    return float(sum(d * row[-1] for d, row in zip(difference, rows, strict=True)))


def code_kl(head, labels):
    """Return the mean of both divergences of the classes' Ledoit-Wolf Gaussians, each plus 1e-10 I, at most 1e6.

    The public code computes in float32. With two samples, the intensity of shrinking is its rounding noise, so in that
    case this function computes in float32 too.
    """
    parts = classes(head, labels)
    if min(map(len, parts)) == 2:
        parts = [part.astype(np.float32) for part in parts]
    gaussians = [
        (part.mean(axis=0), LedoitWolf().fit(part).covariance_ + 1e-10 * np.eye(head.shape[1])) for part in parts
    ]

    def divergence(p, q):
        (mean_p, cov_p), (mean_q, cov_q) = p, q
        difference = mean_q - mean_p
        inverse = np.linalg.inv(cov_q)
        log_ratio = np.linalg.slogdet(cov_q)[1] - np.linalg.slogdet(cov_p)[1]
        return (np.trace(inverse @ cov_p) + difference @ inverse @ difference - len(difference) + log_ratio) / 2

    anomalous, normal = gaussians
    try:
        mean = (divergence(anomalous, normal) + divergence(normal, anomalous)) / 2
    except np.linalg.LinAlgError:  # beside large variances 1e-10 is lost and there is no inverse, which counts as 0
        return 0.0
    return float(np.clip(mean, 0, 1e6))


def code_mmd(head, labels):
    """Return the squared MMD, the kernel's width from the median of the squared distances that are not 0."""
    anomalous, normal = classes(head, labels)
    distances = pdist(np.concatenate([anomalous, normal]), "sqeuclidean")
    distances = distances[distances > 0]
    gamma = 1 / (2 * np.median(distances)) if len(distances) else 1.0
    within = rbf_kernel(anomalous, gamma=gamma).mean() + rbf_kernel(normal, gamma=gamma).mean()
    return max(float(within - 2 * rbf_kernel(anomalous, normal, gamma=gamma).mean()), 0.0)


def code_nmi(head, labels):
    """Return the NMI of scikit-learn's two clusters, anomalous samples first; arithmetic normalisation."""
    anomalous, normal = classes(head, labels)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # equal samples make one cluster
        clusters = KMeans(2, random_state=42, n_init="auto").fit_predict(np.concatenate([anomalous, normal]))
    truth = [1] * len(anomalous) + [0] * len(normal)
    return float(normalized_mutual_info_score(truth, clusters, average_method="arithmetic"))


def head_metrics(head, labels, seed, convention="paper"):
    """Return the four metrics of one head (n, d), by name."""
    if convention == "headhunt-code":
        values = [metric(head, labels) for metric in (code_lda, code_kl, code_mmd, code_nmi)]
    else:
        draws = np.random.default_rng(seed).random((10, 2))
        squared = reference.squared_discrepancy(head, labels)
        values = [reference.lda(head, labels), reference.symmetric_kl(head, labels), math.sqrt(max(squared, 0.0))]
        values.append(reference.clustering_nmi(head, labels, draws))
    return dict(zip(HEAD_METRICS, values, strict=True))


def min_max(values):
    """Scale values onto [0, 1], exactly; equal values give 0."""
    values = [Fraction(float(value)) for value in values]
    low, high = min(values), max(values)
    return [(value - low) / (high - low) if high > low else Fraction(0) for value in values]


def rhi(features, labels, seed, convention="paper", weight=0.5, top=5, names=HEAD_METRICS):
    """Return {head: (mean, instability, robust)} by RHI, eqs. 7 to 9 (HeadHunt-VAD), and the best heads."""
    saliency = []
    for of_prompt in features.values():
        heads = list(np.ndindex(of_prompt.shape[:2]))
        metrics = [head_metrics(of_prompt[head], labels, seed, convention) for head in heads]
        scaled = [min_max([one[name] for one in metrics]) for name in names]
        saliency.append([sum(values) / len(names) for values in zip(*scaled, strict=True)])
    scores = {}
    for head, values in zip(heads, zip(*saliency, strict=True), strict=True):
        mean = sum(values) / len(values)
        instability = math.sqrt(sum((value - mean) ** 2 for value in values) / len(values))
        scores[head] = float(mean), instability, float(mean) - weight * instability
    return scores, sorted(scores, key=lambda head: (-scores[head][2], head))[:top]


def layer_metrics(layer, labels):
    """Return the three metrics of one layer (n, D), by name."""
    values = reference.gaussian_kl(layer, labels)[0], reference.discriminant_ratio(layer, labels)
    return dict(zip(LAYER_METRICS, (*values, reference.binned_entropy(layer)), strict=True))


def null(features, labelings, metrics):
    """Return (labelings, units) by metric: `metrics(unit, labels)` from scratch for each labelling and unit (n, d)."""
    rows = [[metrics(unit, labels) for unit in features] for labels in labelings]
    return {name: np.array([[one[name] for one in row] for row in rows]) for name in rows[0][0]}
