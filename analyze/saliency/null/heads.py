"""The metrics of every head under many labellings at once; what labels do not change is computed once.

Inner products, distances, the kernel and the two-means clustering of a head's samples do not depend on labels. With
them, one matrix product gives the MMDs of all labellings as quadratic forms, and the NMI needs only counts.
"""

from collections.abc import Iterator, Mapping

import numpy as np

from vadprobe.analyze.calibration.labels import checked_units
from vadprobe.analyze.saliency.heads import gaussian_metrics
from vadprobe.analyze.saliency.kernels.gaussian import class_moments
from vadprobe.analyze.saliency.kernels.gaussian_dual import Products
from vadprobe.analyze.saliency.kernels.head_blocks import Gaussian, block_heads, clusters, of_few, start_draws
from vadprobe.analyze.saliency.kernels.mmd import kernel_matrices
from vadprobe.analyze.saliency.kernels.nmi import MEANS, Mean, arithmetic_mean, nmi_of_counts
from vadprobe.analyze.saliency.kernels.reference_code import CODE_GAUSSIANS, RANDOM_STATE, completed
from vadprobe.analyze.saliency.kernels.sklearn_kmeans import sklearn_kmeans
from vadprobe.analyze.saliency.readings import HEADS, Convention, HeadReadings
from vadprobe.analyze.saliency.samples import ClassCentred, centre_classes


def head_null(
    features: np.ndarray,
    labelings: np.ndarray,
    seed: int,
    convention: Convention = "paper",
    readings: HeadReadings = HEADS,
) -> dict[str, np.ndarray]:
    """Return all four metrics of every head under every labelling, as `heads.head_metrics` does for one labelling.

    Args:
        features: (..., n, d), as for `heads.head_metrics`.
        labelings: (n_labelings, n) bool or int, 1 = anomalous, at least two of each class in every row, from
            `permutations.permuted_labels`.
        seed: of the two-means clustering.
        convention: "paper" or "headhunt-code".
        readings: of the equations, by "paper".

    Returns:
        The metrics by the names of `head_metrics`, each (n_labelings, ...) float64, equal to its values within 1e-8
        (the NMI exactly) and NaN where they are NaN.

    Raises:
        VadprobeError: if a feature is not finite.
    """
    features, labelings = np.asarray(features), np.asarray(labelings).astype(bool)
    units = checked_units(features)
    code = convention == "headhunt-code"
    gaussians: Mapping[str, Gaussian] = CODE_GAUSSIANS if code else gaussian_metrics(readings)
    names = (*gaussians, "maximum_mean_discrepancy", "cluster_information")
    results = {name: np.empty((len(labelings), len(units))) for name in names}
    draws = start_draws(seed, readings.kmeans_starts)
    is_square, mean = code or readings.mmd == "square", MEANS[readings.nmi_mean]
    step = block_heads(*units.shape[1:])
    for start in range(0, len(units), step):
        here = slice(start, start + step)
        block = centre_classes(units[here], labelings[0])
        squared = np.maximum(_quadratic_forms(kernel_matrices(block, code), labelings[:, block.order]), 0.0)
        results["maximum_mean_discrepancy"][:, here] = squared if is_square else np.sqrt(squared)
        results["cluster_information"][:, here] = (
            _code_information(block, labelings) if code else _information(block, labelings, draws, mean)
        )
        for number, metrics in enumerate(_gaussian_metrics(block, labelings, gaussians)):
            for name, of_heads in metrics.items():
                results[name][number, here] = of_heads
        for name in names:
            results[name][:, here][:, block.constant] = 0.0
    if code:
        for number, labeling in enumerate(labelings):
            own = completed({name: results[name][number] for name in names}, units, labeling)
            for name in names:
                results[name][number] = own[name]
    return {name: values.reshape(len(labelings), *features.shape[:-2]) for name, values in results.items()}


def _gaussian_metrics(
    block: ClassCentred, labelings: np.ndarray, gaussians: Mapping[str, Gaussian]
) -> Iterator[dict[str, np.ndarray]]:
    """Yield the metrics of both classes' Gaussians, (heads,) each, labelling by labelling."""
    few = block.n_samples <= block.dimension
    gram = block.centred_gram if few else None
    for labeling in labelings:
        if gram is None:
            own = centre_classes(block.units, labeling)
            classes = class_moments(own.vectors, own.n_normal, own.exponents)
            yield {name: of_moments(classes, own.dimension) for name, (_, of_moments) in gaussians.items()}
            continue
        products = _relabelled(block, gram, labeling[block.order])
        values = {name: of_products(products) for name, (of_products, _) in gaussians.items()}
        for name, gaussian in gaussians.items():
            for head in np.flatnonzero(np.isnan(values[name])):
                values[name][head] = of_few(centre_classes(block.units[[head]], labeling), gaussian)[0]
        yield values


def _relabelled(block: ClassCentred, gram: np.ndarray, anomalous: np.ndarray) -> Products:
    """Return the inner products of class-centred samples from `gram` (heads, n, n) of samples minus their common mean.

    `anomalous` (n,) bool are labels in the block's order.
    """
    n, n_anomalous = len(anomalous), int(anomalous.sum())
    order = np.argsort(anomalous, kind="stable")
    n_normal = n - n_anomalous
    means = np.stack([~anomalous / n_normal, anomalous / n_anomalous])
    rows = np.eye(n)[order] - means[anomalous[order].astype(np.int64)]
    combinations = np.concatenate([rows, means[1:] - means[:1]])
    products = combinations @ gram @ combinations.T
    return Products(
        products[:, :-1, :-1], products[:, -1, :-1], products[:, -1, -1], n_normal, block.dimension, block.exponents
    )


def _quadratic_forms(kernels: np.ndarray, labelings: np.ndarray) -> np.ndarray:
    """Return `w'Kw`, (n_labelings, heads), of kernels (heads, n, n) and the class weights w of each labelling."""
    counts = labelings.sum(axis=1, keepdims=True)
    weights = np.where(labelings, 1 / counts, -1 / (labelings.shape[1] - counts))
    return np.asarray(np.einsum("hli,li->lh", weights @ kernels, weights))


def _information(block: ClassCentred, labelings: np.ndarray, draws: np.ndarray, mean: Mean) -> np.ndarray:
    """Return the NMI, (n_labelings, heads), with clusters that all labellings share."""
    found = clusters(block, draws).astype(np.float64)
    own = labelings[:, block.order]
    second = np.stack([~own @ found.T, own @ found.T]).astype(np.int64)
    of_class = np.stack([(~own).sum(axis=1), own.sum(axis=1)])[:, :, None]
    return nmi_of_counts(second, of_class, mean)


def _code_information(block: ClassCentred, labelings: np.ndarray) -> np.ndarray:
    """Return the public code's NMI, (n_labelings, heads), whose clusters depend on the order of the classes."""
    rows, place, information = block.centred, np.argsort(block.order), []
    for labeling in labelings:
        anomalous, normal = place[labeling], place[~labeling]
        found = sklearn_kmeans(rows, np.concatenate([anomalous, normal]), RANDOM_STATE)
        second = np.stack([found[:, normal].sum(axis=1), found[:, anomalous].sum(axis=1)])
        of_class = np.array([[len(normal)], [len(anomalous)]])
        information.append(nmi_of_counts(second, of_class, arithmetic_mean))
    return np.stack(information)
