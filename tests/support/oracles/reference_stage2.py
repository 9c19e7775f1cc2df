"""Slow oracles of stage 2 from features to a selection, from the definitions, one head, layer or draw at a time.

They use scikit-learn, scipy, exact fractions and loops, and another algebra than ``reference``: generalised
eigenvalues for the divergence, pairs of samples for the discrepancy, scikit-learn's iterations for the clusters.
"""

import itertools
import math
import statistics
import warnings
from fractions import Fraction

import numpy as np
from scipy.linalg import eigh
from scipy.spatial.distance import mahalanobis, pdist
from sklearn.cluster import KMeans
from sklearn.covariance import LedoitWolf
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import normalized_mutual_info_score, silhouette_score
from sklearn.metrics.pairwise import rbf_kernel

HEAD_METRICS = ("lda", "symmetric_kl", "maximum_mean_discrepancy", "cluster_information")
LAYER_METRICS = ("gaussian_kl", "discriminant_ratio", "binned_entropy")


def classes(samples, labels):
    """The anomalous and the normal samples, float64."""
    samples, labels = np.asarray(samples, dtype=np.float64), np.asarray(labels).astype(int)
    return samples[labels == 1], samples[labels == 0]


def quiet_clusters(samples, **options):
    """scikit-learn's two clusters and their inertia; equal samples make one cluster, of which it warns."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = KMeans(2, **options).fit(samples)
    return model.labels_, model.inertia_


# The convention "headhunt-code".


def scatter(head, labels):
    """Within-class scatter of one head (n, d) plus 1e-6 I."""
    parts = [(len(part) - 1) * np.atleast_2d(np.cov(part, rowvar=False)) for part in classes(head, labels)]
    return sum(parts) + 1e-6 * np.eye(head.shape[1])


def code_lda(head, labels):
    """Fisher's ratio along the direction that the pseudo-inverse of the scatter gives."""
    anomalous, normal = classes(head, labels)
    within, difference = scatter(head, labels), anomalous.mean(axis=0) - normal.mean(axis=0)
    direction = np.linalg.pinv(within) @ difference
    denominator = direction @ within @ direction
    return 0.0 if denominator < 1e-9 else float((direction @ difference) ** 2 / denominator)


def exact_code_lda(head, labels):
    """The same ratio by exact fractions: D' Sw^-1 D, by elimination. Not for a denominator below 1e-9."""
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
    """Mean of both divergences of the classes' Ledoit-Wolf Gaussians, each covariance plus 1e-10 I, at most 1e6."""
    gaussians = [
        (part.mean(axis=0), LedoitWolf().fit(part).covariance_ + 1e-10 * np.eye(head.shape[1]))
        for part in classes(head, labels)
    ]

    def divergence(p, q):
        (mean_p, cov_p), (mean_q, cov_q) = p, q
        difference = mean_q - mean_p
        quadratic = difference @ np.linalg.solve(cov_q, difference)
        log_ratio = np.linalg.slogdet(cov_q)[1] - np.linalg.slogdet(cov_p)[1]
        return (np.trace(np.linalg.solve(cov_q, cov_p)) + quadratic - len(difference) + log_ratio) / 2

    anomalous, normal = gaussians
    try:
        mean = (divergence(anomalous, normal) + divergence(normal, anomalous)) / 2
    except np.linalg.LinAlgError:  # 1e-10 is lost beside large variances: no inverse, endlessly far apart
        mean = math.inf
    return float(np.clip(mean, 0, 1e6))


def code_mmd(head, labels):
    """Squared discrepancy, the kernel's width from the median of the squared distances that are not 0."""
    anomalous, normal = classes(head, labels)
    distances = pdist(np.concatenate([anomalous, normal]), "sqeuclidean")
    distances = distances[distances > 0]
    gamma = 1 / (2 * np.median(distances)) if len(distances) else 1.0
    within = rbf_kernel(anomalous, gamma=gamma).mean() + rbf_kernel(normal, gamma=gamma).mean()
    return max(float(within - 2 * rbf_kernel(anomalous, normal, gamma=gamma).mean()), 0.0)


def code_nmi(head, labels):
    """Information of scikit-learn's two clusters, anomalous samples first; arithmetic normalisation."""
    anomalous, normal = classes(head, labels)
    clusters, _ = quiet_clusters(np.concatenate([anomalous, normal]), random_state=42, n_init="auto")
    truth = [1] * len(anomalous) + [0] * len(normal)
    return float(normalized_mutual_info_score(truth, clusters, average_method="arithmetic"))


# The convention "paper".


def paper_lda(head, labels):
    """LDA, eq. 3 (HeadHunt-VAD): squared Mahalanobis distance of the class means."""
    anomalous, normal = classes(head, labels)
    means = anomalous.mean(axis=0), normal.mean(axis=0)
    centred = np.concatenate([anomalous - means[0], normal - means[1]])
    return mahalanobis(*means, LedoitWolf(assume_centered=True).fit(centred).precision_) ** 2


def paper_kl(head, labels):
    """Eq. 4 (HeadHunt-VAD) from the generalised eigenvalues l of both covariances: l - 1 - log l in each direction."""
    anomalous, normal = classes(head, labels)
    difference = anomalous.mean(axis=0) - normal.mean(axis=0)
    covariances = [LedoitWolf().fit(part).covariance_ for part in (anomalous, normal)]
    both = []
    for p, q in (covariances, covariances[::-1]):
        ratios = eigh(p, q, eigvals_only=True)
        both.append((np.sum(ratios - 1 - np.log(ratios)) + difference @ np.linalg.solve(q, difference)) / 2)
    return sum(both) / 2


def paper_mmd(head, labels):
    """MMD, eq. 5 (HeadHunt-VAD), pair by pair: the root of the V-statistic."""
    anomalous, normal = (part.tolist() for part in classes(head, labels))
    median = statistics.median(math.dist(x, y) for x, y in itertools.combinations(anomalous + normal, 2))

    def kernel(left, right):
        values = [math.exp(-(math.dist(x, y) ** 2) / (2 * median**2)) for x in left for y in right]
        return math.fsum(values) / len(values)

    return math.sqrt(max(kernel(anomalous, anomalous) + kernel(normal, normal) - 2 * kernel(anomalous, normal), 0.0))


def paper_nmi(head, labels, draws):
    """NMI, eq. 6 (HeadHunt-VAD), of scikit-learn's iterations of least inertia; ``draws`` (starts, 2)."""
    head = np.asarray(head, dtype=np.float64)
    found = []
    for u, v in draws:
        first = math.floor(u * len(head))
        squared = [math.dist(row, head[first]) ** 2 for row in head]
        running = list(itertools.accumulate(squared))
        second = next((k for k, total in enumerate(running) if total > v * running[-1]), first)
        found.append(quiet_clusters(head, init=head[[first, second]], n_init=1, tol=0.0))
    best = min(found, key=lambda pair: pair[1])[0]
    return float(normalized_mutual_info_score(np.asarray(labels).astype(int), best, average_method="geometric"))


def head_metrics(head, labels, seed, convention="paper"):
    """The four metrics of one head (n, d), by name."""
    if convention == "headhunt-code":
        values = [metric(head, labels) for metric in (code_lda, code_kl, code_mmd, code_nmi)]
    else:
        draws = np.random.default_rng(seed).random((10, 2))
        values = [metric(head, labels) for metric in (paper_lda, paper_kl, paper_mmd)]
        values.append(paper_nmi(head, labels, draws))
    return dict(zip(HEAD_METRICS, values, strict=True))


# Ranking: RHI and DLSP from raw features.


def min_max(values):
    """Onto [0, 1], exactly; equal values are 0."""
    values = [Fraction(float(value)) for value in values]
    low, high = min(values), max(values)
    return [(value - low) / (high - low) if high > low else Fraction(0) for value in values]


def rhi(features, labels, seed, convention="paper", weight=0.5, top=5, names=HEAD_METRICS):
    """RHI, eqs. 7 to 9 (HeadHunt-VAD), by prompt: {head: (mean, instability, robust)} and the best heads."""
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


def layer_metrics(layer, labels, n_bins=32):
    """Eqs. 1 to 6 (HiProbe-VAD) of one layer (n, D), dimension by dimension in exact moments, by name."""
    per_dimension = []
    parts = [np.asarray(layer, dtype=np.float64), *classes(layer, labels)]
    for columns in zip(*(part.T.tolist() for part in parts), strict=True):
        everything, a, n = ([Fraction(x) for x in column] for column in columns)
        if max(everything) == min(everything):
            per_dimension.append((0.0, 0.0, 0.0))
            continue
        difference = statistics.mean(a) - statistics.mean(n)
        variance_a, variance_n = statistics.pvariance(a), statistics.pvariance(n)
        floor = statistics.pvariance(everything) / 1000
        p, q = max(variance_n, floor), max(variance_a, floor)  # as printed: normal || anomalous
        divergence = (math.log(q / p) + float((p + difference**2) / q) - 1) / 2
        ratio = float(difference**2 / (variance_a + variance_n + Fraction(1e-12)))
        width = (max(everything) - min(everything)) / n_bins
        bins = [min(math.floor((x - min(everything)) / width), n_bins - 1) for x in everything]
        shares = [bins.count(k) / len(bins) for k in set(bins)]
        per_dimension.append((divergence, ratio, -math.fsum(share * math.log2(share) for share in shares)))
    values = [math.fsum(axis) / len(axis) for axis in zip(*per_dimension, strict=True)]
    return dict(zip(LAYER_METRICS, values, strict=True))


def dlsp(layers, labels):
    """DLSP, eqs. 1 to 7 (HiProbe-VAD), from layers 1 to L, (L, n, D): S of every layer, and the chosen number."""
    metrics = [layer_metrics(layer, labels) for layer in layers]
    total = [0.0] * len(layers)
    for name in LAYER_METRICS:
        values = [one[name] for one in metrics]
        if max(values) > min(values):
            mean, deviation = statistics.fmean(values), statistics.pstdev(values)
            total = [sum_so_far + (value - mean) / deviation for sum_so_far, value in zip(total, values, strict=True)]
    return total, 1 + total.index(max(total))


def silhouettes(layers, labels):
    """Figure 3 of HiProbe-VAD: scikit-learn's silhouette of the true labels for every layer."""
    return [silhouette_score(np.asarray(layer, dtype=np.float64), np.asarray(labels).astype(int)) for layer in layers]


# What chance gives, and what another draw gives.


def null(features, labelings, metrics):
    """Metric to (labelings, units): ``metrics(unit, labels)`` from scratch for every labelling of (units, n, d)."""
    rows = [[metrics(unit, labels) for unit in features] for labels in labelings]
    return {name: np.array([[one[name] for one in row] for row in rows]) for name in rows[0][0]}


def single_p_values(observed, values):
    """(1 + how many labellings reach the observed value) / (1 + labellings), unit by unit."""
    return [(1 + sum(row[k] >= observed[k] for row in values)) / (1 + len(values)) for k in range(len(observed))]


def family_p_values(observed, values):
    """The same against the greatest value of any unit of each labelling."""
    greatest = [max(row) for row in values]
    return [(1 + sum(value >= one for value in greatest)) / (1 + len(values)) for one in observed]


def selection_shares(selections):
    """Of several selections, the share that holds each unit that any of them holds."""
    counts = {}
    for units in selections:
        for unit in set(units):
            counts[unit] = counts.get(unit, 0) + 1
    return {unit: count / len(selections) for unit, count in counts.items()}
