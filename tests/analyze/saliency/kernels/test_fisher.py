"""Fisher's ratio from its definition, and its laws."""

import numpy as np
import pytest

from vadprobe.analyze.saliency.kernels.fisher import fisher_ratio

LABELS = np.arange(14) % 2


def features(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(3, 2, 14, 5)) + 0.7 * LABELS[:, None]


def test_it_is_the_distance_of_the_means_over_both_traces() -> None:
    values = features()
    for index in np.ndindex(3, 2):
        normal, anomalous = values[index][LABELS == 0], values[index][LABELS == 1]
        distance = ((normal.mean(axis=0) - anomalous.mean(axis=0)) ** 2).sum()
        spread = np.trace(np.cov(normal.T, ddof=0)) + np.trace(np.cov(anomalous.T, ddof=0))
        assert fisher_ratio(values, LABELS)[index] == pytest.approx(distance / spread)


def test_shifts_turns_scales_and_order_change_nothing() -> None:
    values, found = features(), fisher_ratio(features(), LABELS)
    turned = np.linalg.qr(np.random.default_rng(1).normal(size=(5, 5)))[0]
    order = np.random.default_rng(2).permutation(14)
    for other, labels in (
        (values + 100, LABELS),
        (values @ turned, LABELS),
        (values * 1e200, LABELS),
        (values * 1e-200, LABELS),
        (values[..., order, :], LABELS[order]),
        (values, 1 - LABELS),
    ):
        np.testing.assert_allclose(fisher_ratio(other, labels), found, rtol=1e-9)


def test_constant_classes_are_unknown_and_equal_samples_are_zero() -> None:
    assert np.isnan(fisher_ratio(np.broadcast_to(LABELS[:, None], (14, 3)), LABELS))
    assert fisher_ratio(np.full((14, 3), 0.1), LABELS) == 0
