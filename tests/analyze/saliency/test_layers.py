"""The layer metrics of HiProbe-VAD against exact fractions, by hand, and by the laws they obey."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support import profiles
from tests.support.oracles import reference
from vadprobe.analyze.saliency.layers import binned_entropy, discriminant_ratio, gaussian_kl, layer_metrics
from vadprobe.store.errors import VadprobeError

METRICS = (gaussian_kl, discriminant_ratio)


def floored_dimensions(features, labels):
    """Count of layer_metrics."""
    return layer_metrics(features, labels)["floored_dimensions"]


def samples(seed, layers=3, n=12, dimensions=5, dtype=np.float64):
    """Layers whose dimensions have different means, spreads and separations; (features, labels)."""
    generator = np.random.default_rng(seed)
    labels = np.zeros(n, dtype=int)
    labels[generator.permutation(n)[: generator.integers(2, n - 1)]] = 1
    spread = 10.0 ** generator.uniform(-2, 2, (layers, 1, dimensions))
    shift = labels[:, None] * generator.normal(size=(layers, 1, dimensions))
    features = (generator.normal(size=(layers, n, dimensions)) + shift) * spread + generator.normal()
    return features.astype(dtype), labels


draws = st.builds(samples, st.integers(0, 2**32 - 1), st.integers(1, 4), st.integers(4, 20), st.integers(1, 30))
laws = profiles.laws(40)


@laws
@given(draws)
def test_equal_to_the_definitions(sample):
    features, labels = sample
    expected = [reference.gaussian_kl(layer, labels) for layer in features]
    np.testing.assert_allclose(gaussian_kl(features, labels), [value for value, _ in expected], rtol=1e-11)
    assert floored_dimensions(features, labels).tolist() == [count for _, count in expected]
    ratios = [reference.discriminant_ratio(layer, labels) for layer in features]
    np.testing.assert_allclose(discriminant_ratio(features, labels), ratios, rtol=1e-11)
    bits = [reference.binned_entropy(layer) for layer in features]
    np.testing.assert_allclose(binned_entropy(features), bits, rtol=1e-12, atol=1e-13)


def test_worked_example():
    """One dimension, normal 0 and 2, anomalous 5 and 9: means 1 and 7, variances 1 and 4, total 11.5."""
    features, labels = np.array([[[0.0], [9.0], [2.0], [5.0]]]), np.array([0, 1, 0, 1])
    assert gaussian_kl(features, labels) == pytest.approx([(math.log(4) + (1 + 36) / 4 - 1) / 2])
    assert discriminant_ratio(features, labels) == pytest.approx([36 / 5])
    assert binned_entropy(features) == [2]
    assert floored_dimensions(features, labels) == [0]


def test_a_class_variance_below_the_floor_is_raised_and_counted():
    """Normal -1 and 1, anomalous 3 and 3: total variance 0.5 * 1 + 0.25 * 9, of which a thousandth replaces the 0."""
    features, labels = np.array([[-1.0], [1.0], [3.0], [3.0]]), np.array([0, 0, 1, 1])
    floor = 2.75e-3
    assert gaussian_kl(features, labels) == pytest.approx((math.log(floor) + 10 / floor - 1) / 2)
    assert floored_dimensions(features, labels) == 1
    assert floored_dimensions(features, 1 - labels) == 1


def test_a_class_variance_just_above_the_floor_is_left_alone():
    labels = np.array([0, 0, 1, 1])
    for factor, count in ((0.99, 1), (1.01, 0)):
        # Equal means: the total variance is (1 + v) / 2, and v = 1 / 1999 meets the floor.
        half = math.sqrt(factor / 1999)
        assert floored_dimensions(np.array([[-1.0], [1.0], [-half], [half]]), labels) == count


def test_a_dimension_constant_within_both_classes_has_only_epsilon_below_it():
    features, labels = np.array([[0.1], [0.1], [0.1], [0.4], [0.4], [0.4]]), np.array([0, 0, 0, 1, 1, 1])
    assert discriminant_ratio(features, labels) == pytest.approx(0.09e12, rel=1e-12)
    assert floored_dimensions(features, labels) == 1


@laws
@given(draws, st.integers(1, 9), st.sampled_from([0.0, 0.1, -1e30, 3e-310]))
def test_constant_dimensions_count_as_zero(sample, count, value):
    features, labels = sample
    padded = np.concatenate([features, np.full((*features.shape[:2], count), value)], axis=2)
    share = features.shape[2] / padded.shape[2]
    metrics, expected = layer_metrics(padded, labels), layer_metrics(features, labels)
    for name in ("gaussian_kl", "discriminant_ratio", "binned_entropy"):
        np.testing.assert_allclose(metrics[name], share * expected[name], rtol=1e-12)
    assert metrics["floored_dimensions"].tolist() == expected["floored_dimensions"].tolist()


@pytest.mark.parametrize("value", [0.0, 0.1, -7e300, 5e-324])
def test_a_constant_layer_is_zero_in_every_metric(value):
    metrics = layer_metrics(np.full((2, 7, 3), value), np.array([0, 1, 0, 1, 0, 1, 1]))
    assert all((values == 0).all() for values in metrics.values())


def test_evenly_spread_samples_fill_every_bin():
    """0 to 31 are one per bin; 32 as well falls into the last bin, which is closed, beside what was its own."""
    features = np.arange(33.0)[:, None]
    assert binned_entropy(np.arange(32.0)[:, None]) == 5
    assert binned_entropy(features) == pytest.approx((31 * math.log2(33) + 2 * math.log2(33 / 2)) / 33)
    assert binned_entropy(features[::-1] * -0.25 + 3) == pytest.approx(float(binned_entropy(features)))


@laws
@given(draws, st.integers(1, 4))
def test_entropy_is_bounded_by_bins_and_samples(sample, times):
    features = np.tile(sample[0], (1, times, 1)) + np.arange(times * sample[0].shape[1])[:, None]
    values = binned_entropy(features)
    assert (values >= 0).all()
    assert (values <= math.log2(min(32, features.shape[1])) + 1e-12).all()


@laws
@given(draws, st.randoms(use_true_random=False))
def test_the_order_of_samples_does_not_matter(sample, random):
    features, labels = sample
    order = random.sample(range(len(labels)), len(labels))
    shuffled, expected = layer_metrics(features[:, order], labels[order]), layer_metrics(features, labels)
    for name, values in expected.items():
        np.testing.assert_allclose(shuffled[name], values, rtol=1e-10, err_msg=name)


@laws
@given(draws)
def test_swapping_the_labels_swaps_the_direction(sample):
    features, labels = sample
    swapped = [reference.gaussian_kl(layer, labels, swapped=True)[0] for layer in features]
    np.testing.assert_allclose(gaussian_kl(features, 1 - labels), swapped, rtol=1e-11)
    np.testing.assert_allclose(
        discriminant_ratio(features, 1 - labels), discriminant_ratio(features, labels), rtol=1e-11
    )
    assert floored_dimensions(features, 1 - labels).tolist() == floored_dimensions(features, labels).tolist()


@laws
@given(draws, st.integers(-1000, 1000))
def test_a_power_of_two_changes_no_bit_of_what_is_free_of_scale(sample, exponent):
    features, labels = sample
    scaled = np.ldexp(features, exponent)
    for metric in (gaussian_kl, floored_dimensions):
        assert metric(scaled, labels).tolist() == metric(features, labels).tolist()
    assert binned_entropy(scaled).tolist() == binned_entropy(features).tolist()


@laws
@given(draws, st.floats(0.01, 100), st.floats(-1000, 1000))
def test_shifting_and_scaling_every_dimension(sample, scale, shift):
    features, labels = sample
    moved = scale * features + shift
    np.testing.assert_allclose(gaussian_kl(moved, labels), gaussian_kl(features, labels), rtol=1e-6)
    shifted = discriminant_ratio(features + shift, labels)
    np.testing.assert_allclose(shifted, discriminant_ratio(features, labels), rtol=1e-6)
    assert gaussian_kl(-features, labels).tolist() == gaussian_kl(features, labels).tolist()
    assert discriminant_ratio(-features, labels).tolist() == discriminant_ratio(features, labels).tolist()


@pytest.mark.parametrize("scale", [1e-300, 1e-12, 1e-6, 1e6, 1e300])
def test_epsilon_is_in_squared_units_of_the_features(scale):
    features, labels = samples(3)
    for layer in scale * features:
        expected = reference.discriminant_ratio(layer, labels)
        assert float(discriminant_ratio(layer, labels)) == pytest.approx(expected, rel=1e-11, abs=1e-300)


def test_a_large_common_offset_costs_no_digits():
    """2**30 added to integers: both sets of features are exact, so only centring can tell them apart."""
    generator = np.random.default_rng(0)
    features, labels = generator.integers(-50, 50, (2, 15, 4)).astype(float), np.arange(15) % 2
    for name, values in layer_metrics(features + 2.0**30, labels).items():
        np.testing.assert_allclose(values, layer_metrics(features, labels)[name], rtol=1e-13, err_msg=name)


@laws
@given(draws, st.integers(1, 5))
def test_repeating_every_sample_changes_nothing(sample, times):
    features, labels = sample
    repeated = layer_metrics(np.repeat(features, times, axis=1), np.repeat(labels, times))
    for name, values in layer_metrics(features, labels).items():
        np.testing.assert_allclose(repeated[name], values, rtol=1e-11, err_msg=name)


@laws
@given(draws)
def test_cutting_the_layers_into_blocks_changes_no_bit(sample):
    features, labels = sample
    whole = layer_metrics(features, labels)
    single = [layer_metrics(layer, labels) for layer in features]
    for name, values in whole.items():
        assert values.tolist() == [float(one[name]) for one in single]
        assert values.shape == (len(features),)
    nested = layer_metrics(features.reshape(1, len(features), 1, *features.shape[1:]), labels)
    assert all(values.shape == (1, len(features), 1) for values in nested.values())


def test_the_dictionary_holds_each_metric():
    features, labels = samples(1)
    metrics = layer_metrics(features, labels)
    assert list(metrics) == ["gaussian_kl", "discriminant_ratio", "binned_entropy", "floored_dimensions"]
    for metric in METRICS:
        assert metrics[metric.__name__].tolist() == metric(features, labels).tolist()
    assert metrics["binned_entropy"].tolist() == binned_entropy(features).tolist()
    assert [values.dtype for values in metrics.values()] == [np.float64] * 3 + [np.int64]


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.int16])
def test_other_number_types_are_computed_in_double_precision(dtype):
    features, labels = samples(2, dtype=dtype)
    for values, expected in zip(
        layer_metrics(features, labels).values(), layer_metrics(features.astype(float), labels.astype(bool)).values(),
        strict=True,
    ):  # fmt: skip
        assert values.tolist() == expected.tolist()


def test_features_are_not_changed():
    features, labels = samples(4)
    copy = features.copy()
    layer_metrics(features, labels)
    assert (features == copy).all()


def test_no_layers_give_no_values():
    metrics = layer_metrics(np.empty((0, 4, 3)), np.array([0, 0, 1, 1]))
    assert all(values.shape == (0,) for values in metrics.values())
    assert gaussian_kl(np.empty((2, 0, 4, 3)), np.array([0, 0, 1, 1])).shape == (2, 0)


@pytest.mark.parametrize("metric", [*METRICS, layer_metrics])
def test_samples_that_cannot_be_compared_are_refused(metric):
    with pytest.raises(VadprobeError, match="0 anomalous samples"):
        metric(np.ones((2, 6, 3)), np.zeros(6, dtype=int))
    with pytest.raises(VadprobeError, match="not finite at 2 of 2"):
        metric(np.full((2, 4, 3), math.nan), np.array([0, 0, 1, 1]))
