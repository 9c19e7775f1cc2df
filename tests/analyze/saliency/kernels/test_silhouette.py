"""Silhouettes of the classes in layers against the definition, by hand, and where they are unknown."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support import profiles
from vadprobe.analyze.saliency.kernels.silhouette import silhouettes
from vadprobe.store.errors import VadprobeError


def by_definition(layer, labels):
    """One layer (n, D), sample by sample."""
    coefficients = []
    for own, sample in enumerate(layer):
        distances = [math.dist(sample, other) for other in layer]
        near = np.mean([distances[k] for k in range(len(layer)) if labels[k] == labels[own] and k != own])
        far = np.mean([distances[k] for k in range(len(layer)) if labels[k] != labels[own]])
        coefficients.append((far - near) / max(near, far) if max(near, far) > 0 else 0.0)
    return np.mean(coefficients)


def test_worked_example():
    """Normal 0 and 1, anomalous 4 and 5: the outer two have a = 1 and b = 4.5, the inner two b = 3.5."""
    features, labels = np.array([[0.0], [4.0], [1.0], [5.0]]), np.array([0, 1, 0, 1])
    assert silhouettes(features, labels) == pytest.approx((3.5 / 4.5 + 2.5 / 3.5) / 2)


@profiles.laws(25)
@given(st.integers(0, 2**32 - 1), st.integers(4, 15), st.integers(1, 20), st.sampled_from([1e-250, 1.0, 1e250]))
def test_equal_to_the_definition_at_any_scale(seed, n, dimensions, scale):
    generator = np.random.default_rng(seed)
    labels = np.arange(n) % 2
    features = generator.normal(size=(2, 2, n, dimensions)) + labels[:, None] * generator.uniform(0, 3)
    found = silhouettes(scale * features, labels)
    expected = [[by_definition(layer, labels) for layer in pair] for pair in features]
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)


def test_a_layer_that_never_changes_is_unknown_and_layers_do_not_touch():
    features = np.random.default_rng(0).normal(size=(3, 6, 4)).astype(np.float32)
    features[1] = 0.1
    labels = np.array([0, 0, 0, 1, 1, 1])
    found = silhouettes(features, labels)
    assert np.isnan(found).tolist() == [False, True, False]
    assert found[2] == silhouettes(features[2], labels)
    assert silhouettes(features[:0], labels).shape == (0,)


def test_a_class_of_one_sample_and_wrong_values_are_refused():
    features = np.ones((2, 4, 3))
    with pytest.raises(VadprobeError, match="1 anomalous samples"):
        silhouettes(features, np.array([0, 0, 0, 1]))
    features[1, 2, 0] = math.nan
    with pytest.raises(VadprobeError, match=r"first at \(1,\), sample 2, dimension 0"):
        silhouettes(features, np.array([0, 0, 1, 1]))
