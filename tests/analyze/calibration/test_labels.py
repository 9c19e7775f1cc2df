"""Labels and features that cannot be used are refused in a sentence that names the class, shape or place."""

import math

import numpy as np
import pytest

from vadprobe.analyze.calibration.labels import checked_labels, checked_units
from vadprobe.store.errors import VadprobeError


@pytest.mark.parametrize("dtype", [bool, int, np.uint8, float])
def test_two_samples_per_class_are_enough(dtype):
    assert checked_labels(np.array([0, 1, 1, 0], dtype=dtype), 4).tolist() == [False, True, True, False]


@pytest.mark.parametrize(("label", "name"), [(1, "anomalous"), (0, "normal")])
@pytest.mark.parametrize("count", [0, 1])
def test_a_class_of_fewer_than_two_samples_is_named(label, name, count):
    labels = np.full(6, 1 - label)
    labels[:count] = label
    with pytest.raises(VadprobeError, match=rf"there are {count} {name} samples \(label {label}\) among 6"):
        checked_labels(labels, 6)


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        ([0, 0, 1], r"must have the shape \(4,\), one per sample, got \(3,\)"),
        ([[0], [0], [1], [1]], r"got \(4, 1\)"),
        ([0, 1, 2, 1], r"must be 1 \(anomalous\) or 0 \(normal\), got \[0, 1, 2\]"),
        ([0, 0, 0.5, 1], "must be 1"),
        ([0, 0, math.nan, 1], "must be 1"),
    ],
)
def test_wrong_labels_are_refused(labels, words):
    with pytest.raises(VadprobeError, match=words):
        checked_labels(labels, 4)


def test_leading_axes_are_made_one():
    assert checked_units(np.ones((2, 3, 4, 5), dtype=np.float32)).shape == (6, 4, 5)
    assert checked_units(np.ones((4, 5))).shape == (1, 4, 5)
    assert checked_units(np.ones((0, 4, 5))).shape == (0, 4, 5)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_value_that_is_not_finite_is_located(value):
    features = np.ones((4, 3, 12, 5))
    features[2, 1, 7, 3] = features[3, 2, 0, 0] = value
    with pytest.raises(VadprobeError, match=r"2 of 12 positions.*first at \(2, 1\), sample 7, dimension 3"):
        checked_units(features)


@pytest.mark.parametrize("shape", [(3,), (2, 4, 0), (2, 0, 3)])
def test_features_without_samples_or_dimensions_are_refused(shape):
    with pytest.raises(VadprobeError, match=r"must have the shape \(\.\.\., n, d\)"):
        checked_units(np.ones(shape))
