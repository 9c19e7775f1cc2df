"""Each reading of the metrics changes what it says, by a value computed with NumPy alone."""

import math

import numpy as np
import pytest
from sklearn.metrics import normalized_mutual_info_score

from tests.support.samples.heads import samples
from vadprobe.analyze.saliency.heads import head_metrics
from vadprobe.analyze.saliency.kernels.kmeans2 import kmeans2
from vadprobe.analyze.saliency.layers import layer_metrics
from vadprobe.analyze.saliency.null.heads import head_null
from vadprobe.analyze.saliency.null.layers import layer_null
from vadprobe.analyze.saliency.ranking import dlsp
from vadprobe.analyze.saliency.readings import HeadReadings, LayerReadings
from vadprobe.store.errors import VadprobeError

FEATURES, LABELS = samples(3, heads=(4,), n=14, d=6)
NORMAL, ANOMALOUS = FEATURES[:, LABELS == 0], FEATURES[:, LABELS == 1]


def layers(**readings):
    return layer_metrics(FEATURES, LABELS, LayerReadings(**readings))


def test_the_entropy_has_as_many_bins_as_asked_for():
    for bins in (2, 8, 50):
        expected = []
        for layer in FEATURES:
            entropies = []
            for values in layer.T:
                position = (values - values.min()) * bins / (values.max() - values.min())
                counts = np.unique(np.minimum(position.astype(int), bins - 1), return_counts=True)[1] / len(values)
                entropies.append(-(counts * np.log2(counts)).sum())
            expected.append(np.mean(entropies))
        np.testing.assert_allclose(layers(entropy_bins=bins)["binned_entropy"], expected, rtol=1e-12)


def test_the_divergence_swapped_is_that_of_swapped_labels():
    swapped = layers(kl_direction="anomalous-normal")
    np.testing.assert_allclose(
        swapped["gaussian_kl"], layer_metrics(FEATURES, 1 - LABELS)["gaussian_kl"], rtol=1e-12, atol=0
    )
    variances = NORMAL.var(axis=1), ANOMALOUS.var(axis=1)
    squared = (NORMAL.mean(axis=1) - ANOMALOUS.mean(axis=1)) ** 2
    expected = (np.log(variances[0] / variances[1]) + (variances[1] + squared) / variances[0] - 1) / 2
    np.testing.assert_allclose(swapped["gaussian_kl"], expected.mean(axis=1), rtol=1e-9)
    assert swapped["gaussian_kl"].tolist() != layers()["gaussian_kl"].tolist()


def test_the_floor_is_a_fraction_of_the_whole_variance_and_may_be_none():
    tight = FEATURES.copy()
    tight[:, LABELS == 1] = 1e-3 * ANOMALOUS + 2.0
    normal, anomalous = tight[:, LABELS == 0], tight[:, LABELS == 1]
    for floor in (0.0, 1e-3, 0.2):
        least = floor * tight.var(axis=1)
        variances = [np.maximum(mine.var(axis=1), least) for mine in (normal, anomalous)]
        squared = (normal.mean(axis=1) - anomalous.mean(axis=1)) ** 2
        expected = (np.log(variances[1] / variances[0]) + (variances[0] + squared) / variances[1] - 1) / 2
        found = layer_metrics(tight, LABELS, LayerReadings(variance_floor=floor))
        np.testing.assert_allclose(found["gaussian_kl"], expected.mean(axis=1), rtol=1e-8)
        counts = [(mine.var(axis=1) < least) for mine in (normal, anomalous)]
        assert found["floored_dimensions"].tolist() == (counts[0] | counts[1]).sum(axis=1).tolist()


def test_epsilon_is_added_to_the_variances():
    for epsilon in (0.0, 1e-12, 5.0):
        ratio = (NORMAL.mean(axis=1) - ANOMALOUS.mean(axis=1)) ** 2
        ratio /= NORMAL.var(axis=1) + ANOMALOUS.var(axis=1) + epsilon
        found = layers(ratio_epsilon=epsilon)["discriminant_ratio"]
        np.testing.assert_allclose(found, ratio.mean(axis=1), rtol=1e-9)


@pytest.mark.parametrize(
    ("readings", "metric", "key"),
    [
        ({"variance_floor": 0.0}, "gaussian_kl", "variance_floor"),
        ({"ratio_epsilon": 0.0}, "discriminant_ratio", "ratio_epsilon"),
    ],
)
def test_without_a_floor_or_an_epsilon_a_constant_class_is_infinite_and_named(readings, metric, key):
    constant = FEATURES.copy()
    constant[2, :, 1] = LABELS
    constant[:, :, 0] = 7.0  # over all samples: 0 under every reading
    found = layer_metrics(constant, LABELS, LayerReadings(**readings))
    assert np.isinf(found[metric]).tolist() == [False, False, True, False]
    with pytest.raises(VadprobeError, match=rf"{metric} must be finite, got inf at layer 3 .*saliency\.{key} above 0"):
        dlsp(found)


@pytest.mark.parametrize(
    "readings",
    [
        LayerReadings(),
        LayerReadings(7, "anomalous-normal", 0.0, 0.5),
        LayerReadings(variance_floor=0.1, ratio_epsilon=0.0),
    ],
)
def test_layers_under_labels_by_chance_are_read_alike(readings):
    labelings = np.stack([LABELS, np.roll(LABELS, 3)])
    null = layer_null(FEATURES, labelings, readings)
    for number, labeling in enumerate(labelings):
        for name, values in layer_metrics(FEATURES, labeling, readings).items():
            np.testing.assert_allclose(null[name][number], values, rtol=1e-8)


def heads(**readings):
    return head_metrics(FEATURES, LABELS, 5, readings=HeadReadings(**readings))


def test_the_square_of_the_discrepancy_is_its_square():
    squared = heads(mmd="square")["maximum_mean_discrepancy"]
    np.testing.assert_allclose(np.sqrt(squared), heads()["maximum_mean_discrepancy"], rtol=1e-12)
    for head, value in zip(FEATURES, squared, strict=True):
        distances = np.sqrt(((head[:, None] - head[None]) ** 2).sum(axis=-1))
        kernel = np.exp(-(distances**2) / (2 * np.median(distances[np.triu_indices(14, 1)]) ** 2))
        one, other = LABELS == 1, LABELS == 0
        expected = kernel[one][:, one].mean() + kernel[other][:, other].mean() - 2 * kernel[one][:, other].mean()
        assert value == pytest.approx(expected, rel=1e-8)


def test_starts_and_mean_of_mutual_information():
    for starts in (1, 3, 10):
        draws = np.random.default_rng(5).random((starts, 2))
        clusters = kmeans2(FEATURES, draws)
        for mean in ("geometric", "arithmetic"):
            expected = [normalized_mutual_info_score(LABELS, found, average_method=mean) for found in clusters]
            found = heads(kmeans_starts=starts, nmi_mean=mean)["cluster_information"]
            np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)
    assert heads(nmi_mean="arithmetic")["cluster_information"].tolist() != heads()["cluster_information"].tolist()


def test_heads_under_labels_by_chance_are_read_alike():
    labelings = np.stack([LABELS, np.roll(LABELS, 3)])
    readings = HeadReadings(0.5, "square", 2, "arithmetic")
    null = head_null(FEATURES, labelings, 5, readings=readings)
    for number, labeling in enumerate(labelings):
        for name, values in head_metrics(FEATURES, labeling, 5, readings=readings).items():
            np.testing.assert_allclose(null[name][number], values, rtol=1e-8, atol=1e-12)


def test_the_public_code_has_its_own_constants_whatever_is_read():
    code = head_metrics(FEATURES, LABELS, 5, "headhunt-code")
    other = head_metrics(FEATURES, LABELS, 5, "headhunt-code", HeadReadings("oas", "root", 3))
    assert all(code[name].tolist() == other[name].tolist() for name in code)
    assert not any(math.isnan(value) for value in code["lda"])
