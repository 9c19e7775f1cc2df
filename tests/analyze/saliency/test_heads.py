"""The head metrics of HeadHunt-VAD against scikit-learn and the definitions, by hand, and by the laws they obey."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import normalized_mutual_info_score

from tests.support import profiles
from tests.support.oracles import reference
from tests.support.samples.heads import each, samples
from vadprobe.analyze.saliency.heads import clustering_nmi, head_metrics, lda, maximum_mean_discrepancy, symmetric_kl
from vadprobe.analyze.saliency.kernels import head_blocks
from vadprobe.analyze.saliency.kernels.kmeans2 import kmeans2
from vadprobe.analyze.saliency.samples import centre_classes, squared_distances
from vadprobe.store.errors import VadprobeError

SEED = 7
DRAWS = np.random.default_rng(SEED).random((10, 2))
BY_LABELS = (lda, symmetric_kl, maximum_mean_discrepancy)
METRICS = (*BY_LABELS, lambda features, labels: clustering_nmi(features, labels, SEED))
SHAPES = ((8, 3), (10, 40), (16, 16), (16, 15), (16, 17), (16, 18), (40, 8), (12, 128), (6, 1), (60, 2))


draws = st.builds(samples, st.integers(0, 2**32 - 1), st.just((2, 2)), st.integers(6, 24), st.integers(1, 40))
laws = profiles.laws(30)


def assert_definitions(features, labels, rtol):
    metrics = head_metrics(features, labels, SEED)
    np.testing.assert_allclose(metrics["lda"], each(reference.lda, features, labels), rtol=rtol)
    divergences = each(reference.symmetric_kl, features, labels)
    np.testing.assert_allclose(metrics["symmetric_kl"], divergences, rtol=rtol, atol=rtol / 100)
    squared = each(reference.squared_discrepancy, features, labels)
    np.testing.assert_allclose(metrics["maximum_mean_discrepancy"] ** 2, squared, rtol=rtol, atol=1e-15)
    information = each(reference.clustering_nmi, features, labels, DRAWS)
    # At most four terms p log p of about eps each, over entropies of a third at least.
    np.testing.assert_allclose(metrics["cluster_information"], information, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize(("shape", "seed"), profiles.thinned(SHAPES, range(3), strength=1))
def test_equal_to_the_definitions(shape, seed):
    assert_definitions(*samples(seed, n=shape[0], d=shape[1]), rtol=1e-10)


@laws
@given(draws)
def test_equal_to_the_definitions_for_any_shape(sample):
    assert_definitions(*sample, rtol=1e-8)


@pytest.mark.parametrize(("n", "d"), [(300, 6), (280, 290) if profiles.LONG else (258, 260)])
def test_many_samples_are_compared_in_strips_to_the_same_values(n, d):
    features, labels = samples(21, heads=(2 if profiles.LONG else 1,), n=n, d=d)
    metrics = head_metrics(features, labels, SEED)
    squared = each(reference.squared_discrepancy, features, labels)
    np.testing.assert_allclose(metrics["maximum_mean_discrepancy"] ** 2, squared, rtol=1e-9, atol=1e-15)
    np.testing.assert_allclose(metrics["lda"], each(reference.lda, features, labels), rtol=1e-9)
    np.testing.assert_allclose(metrics["symmetric_kl"], each(reference.symmetric_kl, features, labels), rtol=1e-9)
    clusters = kmeans2(features, DRAWS)
    expected = [normalized_mutual_info_score(labels, members, average_method="geometric") for members in clusters]
    np.testing.assert_allclose(metrics["cluster_information"], expected, rtol=1e-9, atol=1e-15)


def test_strips_and_single_heads_give_the_same_bits():
    features, labels = samples(22, heads=(3,), n=270, d=5)
    for name, values in head_metrics(features, labels, SEED).items():
        assert values.tolist() == [float(head_metrics(head, labels, SEED)[name]) for head in features], name


@pytest.mark.parametrize("d", [30, 90])
def test_classes_that_are_nearly_one_line_keep_their_digits(d):
    """Plus or minus one vector, and a little noise: hardly shrunk, so that Woodbury's two terms nearly cancel."""
    generator = np.random.default_rng(23)
    labels = np.array([0] * 8 + [1] * 8)
    line = generator.normal(size=(2, 1, d)) * np.tile([1, -1], 4)[:, None]
    features = line.reshape(16, d) + 1e-3 * generator.normal(size=(16, d)) + labels[:, None]
    metrics = head_metrics(features, labels, SEED)
    assert float(metrics["symmetric_kl"]) == pytest.approx(reference.symmetric_kl(features, labels), rel=1e-7)
    assert float(metrics["lda"]) == pytest.approx(reference.lda(features, labels), rel=1e-8)


def test_a_median_far_below_the_largest_distance_keeps_its_digits():
    """One sample a million times as far away as the others are apart; integers, so all distances are exact."""
    features = np.random.default_rng(24).integers(-9, 9, (20, 7)).astype(float)
    features[4] += 2.0**23
    labels = np.arange(20) % 2
    squared = reference.exact_squared_discrepancy(features, labels)
    assert float(maximum_mean_discrepancy(features, labels)) ** 2 == pytest.approx(squared, rel=1e-10)


def test_worked_example_in_one_dimension():
    """Normal 0 and 2, anomalous 5 and 9: means 1 and 7, variances 1 and 4, within 2.5; one dimension is not shrunk."""
    features, labels = np.array([[0.0], [9.0], [2.0], [5.0]]), np.array([0, 1, 0, 1])
    metrics = head_metrics(features, labels, 0)
    assert metrics["lda"] == pytest.approx(36 / 2.5)
    assert metrics["symmetric_kl"] == pytest.approx((4 + 1 / 4 - 2 + 36 + 36 / 4) / 4)
    median = 4.5  # of the distances 2, 3, 4, 5, 7, 9

    def kernel(distance):
        return math.exp(-(distance**2) / (2 * median**2))

    across = (kernel(9) + kernel(5) + kernel(7) + kernel(3)) / 4
    assert metrics["maximum_mean_discrepancy"] ** 2 == pytest.approx((1 + kernel(4) + 1 + kernel(2)) / 2 - 2 * across)
    assert metrics["cluster_information"] == pytest.approx(1)  # the clusters are {0, 2} and {5, 9}


def test_worked_example_of_clusters_that_agree_with_three_of_four_labels():
    """0, 1, 2 and 10: one sample is by itself. Its class has another one, which lies with both of the other class."""
    features, labels = np.array([[0.0], [1.0], [2.0], [10.0]]), np.array([0, 1, 0, 1])
    information = 0.5 * math.log(4 / 3) + 0.25 * math.log(2 / 3) + 0.25 * math.log(2)
    entropies = math.log(2), -0.25 * math.log(0.25) - 0.75 * math.log(0.75)
    assert clustering_nmi(features, labels, 0) == pytest.approx(information / math.sqrt(math.prod(entropies)))


@laws
@given(draws)
def test_shrinking_is_what_makes_few_samples_of_many_dimensions_finite(sample):
    metrics = head_metrics(*sample, SEED)
    assert all(np.isfinite(values).all() and (values >= 0).all() for values in metrics.values())
    assert (metrics["cluster_information"] <= 1).all()
    assert (metrics["maximum_mean_discrepancy"] <= math.sqrt(2)).all()


@laws
@given(draws)
def test_swapping_the_labels_changes_nothing(sample):
    features, labels = sample
    for name, values in head_metrics(features, 1 - labels, SEED).items():
        expected = head_metrics(features, labels, SEED)[name]
        np.testing.assert_allclose(values, expected, rtol=1e-9, atol=1e-12, err_msg=name)


@laws
@given(draws, st.randoms(use_true_random=False))
def test_the_order_of_samples_matters_only_to_the_starts_of_the_clustering(sample, random):
    features, labels = sample
    order = random.sample(range(len(labels)), len(labels))
    for metric in BY_LABELS:
        shuffled = metric(features[..., order, :], labels[order])
        np.testing.assert_allclose(shuffled, metric(features, labels), rtol=1e-8, atol=1e-10)


@laws
@given(draws, st.integers(-900, 900))
def test_a_power_of_two_changes_no_bit(sample, exponent):
    features, labels = sample
    expected = head_metrics(features, labels, SEED)
    for name, values in head_metrics(np.ldexp(features, exponent), labels, SEED).items():
        assert values.tolist() == expected[name].tolist(), name


@pytest.mark.parametrize("scale", [1e-300, 1e-30, 3.0, 1e30, 1e300])
@pytest.mark.parametrize("d", [4, 30])
def test_rotating_scaling_and_shifting_changes_nothing(scale, d):
    features, labels = samples(9, n=14, d=d)
    rotation = np.linalg.qr(np.random.default_rng(0).normal(size=(d, d)))[0]
    moved = (features @ rotation + np.linspace(-3, 3, d)) * scale
    expected = head_metrics(features, labels, SEED)
    for name, values in head_metrics(moved, labels, SEED).items():
        np.testing.assert_allclose(values, expected[name], rtol=1e-9, err_msg=name)


def test_a_large_common_offset_costs_no_digits():
    """2**30 added to integers: both sets of features are exact, so only centring can tell them apart."""
    generator = np.random.default_rng(0)
    features, labels = generator.integers(-50, 50, (3, 15, 4)).astype(float), np.arange(15) % 2
    for name, values in head_metrics(features + 2.0**30, labels, SEED).items():
        np.testing.assert_allclose(values, head_metrics(features, labels, SEED)[name], rtol=1e-12, err_msg=name)


@pytest.mark.parametrize("d", [3, 40])
def test_a_class_much_tighter_than_the_other_keeps_its_digits(d):
    """Normal samples within 2**-30 of their mean, a unit away from wide anomalous ones; all values are exact."""
    generator = np.random.default_rng(4)
    labels = np.array([0] * 6 + [1] * 6)
    features = generator.integers(-64, 64, (12, d)).astype(float)
    features[:6] = 1024 + features[:6] * 2.0**-30
    assert float(symmetric_kl(features, labels)) == pytest.approx(reference.symmetric_kl(features, labels), rel=1e-9)


@laws
@given(draws, st.integers(1, 4))
def test_added_constant_dimensions_change_distances_and_clusters_in_nothing(sample, count):
    features, labels = sample
    padded = np.concatenate([features, np.full((*features.shape[:-1], count), 0.1)], axis=-1)
    metrics, expected = head_metrics(padded, labels, SEED), head_metrics(features, labels, SEED)
    for name in ("maximum_mean_discrepancy", "cluster_information"):
        np.testing.assert_allclose(metrics[name], expected[name], rtol=1e-8, atol=1e-8)
    np.testing.assert_allclose(metrics["lda"], each(reference.lda, padded, labels), rtol=1e-8)
    divergences = each(reference.symmetric_kl, padded, labels)
    np.testing.assert_allclose(metrics["symmetric_kl"], divergences, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize(("n", "d"), [(8, 3), (12, 40), (30, 6)])
@pytest.mark.parametrize("block_bytes", [1, 1 << 16, 1 << 30])
def test_cutting_the_heads_into_blocks_changes_no_bit(n, d, block_bytes, monkeypatch):
    features, labels = samples(11, heads=(3, 5), n=n, d=d, dtype=np.float32)
    whole = head_metrics(features, labels, SEED)
    monkeypatch.setattr(head_blocks, "BLOCK_BYTES", block_bytes)
    single = {index: head_metrics(features[index], labels, SEED) for index in np.ndindex(3, 5)}
    for name, values in head_metrics(features, labels, SEED).items():
        assert values.shape == (3, 5)
        assert values.tolist() == whole[name].tolist()
        assert values.ravel().tolist() == [float(one[name]) for one in single.values()]
    rows = np.concatenate([head_metrics(features[k : k + 1], labels, SEED)["symmetric_kl"] for k in range(3)])
    assert rows.tolist() == whole["symmetric_kl"].tolist()


def test_views_and_other_number_types_give_the_same_bits():
    features, labels = samples(12, heads=(4,), n=10, d=20, dtype=np.float32)
    expected = head_metrics(features.astype(float), labels.astype(bool), SEED)
    stored = np.asfortranarray(np.moveaxis(features, 1, 0))  # as a store holds them: samples first
    for name, values in head_metrics(np.moveaxis(stored, 0, 1), labels, SEED).items():
        assert values.tolist() == expected[name].tolist()
    assert (features == samples(12, heads=(4,), n=10, d=20, dtype=np.float32)[0]).all()


def test_the_dictionary_holds_each_metric():
    features, labels = samples(13)
    metrics = head_metrics(features, labels, SEED)
    assert list(metrics) == ["lda", "symmetric_kl", "maximum_mean_discrepancy", "cluster_information"]
    for metric in BY_LABELS:
        assert metrics[metric.__name__].tolist() == metric(features, labels).tolist()
    assert metrics["cluster_information"].tolist() == clustering_nmi(features, labels, SEED).tolist()


@pytest.mark.parametrize("value", [0.0, 0.1, -3e300, 5e-324])
@pytest.mark.parametrize("d", [1, 3, 50])
def test_a_head_that_never_changes_is_zero_in_every_metric(value, d):
    metrics = head_metrics(np.full((2, 7, d), value), np.array([0, 1, 0, 1, 0, 1, 1]), SEED)
    assert all(values.tolist() == [0, 0] for values in metrics.values())


def test_classes_constant_at_different_points_have_no_covariance():
    features, labels = np.full((5, 4), 0.1), np.array([0, 1, 0, 1, 1])
    features[labels == 1] = 0.7
    metrics = head_metrics(features, labels, SEED)
    assert np.isnan(metrics["lda"])
    assert np.isnan(metrics["symmetric_kl"])
    # Six of ten pairs differ, so the median is the one distance there is.
    assert metrics["maximum_mean_discrepancy"] == pytest.approx(math.sqrt(2 - 2 * math.exp(-0.5)))
    assert metrics["cluster_information"] == pytest.approx(1)


def test_one_constant_class_is_unknown_to_the_divergence_alone():
    features, labels = samples(14, heads=(3,), n=12, d=6)
    features[1, labels == 0] = 0.3
    metrics = head_metrics(features, labels, SEED)
    assert np.isnan(metrics["symmetric_kl"]).tolist() == [False, True, False]
    for name in ("lda", "maximum_mean_discrepancy", "cluster_information"):
        assert np.isfinite(metrics[name]).all()
    assert metrics["lda"][1] == pytest.approx(reference.lda(features[1], labels), rel=1e-10)


@pytest.mark.parametrize("d", [2, 9, 30])
def test_two_samples_of_a_class_are_too_few_for_its_covariance(d):
    features, labels = samples(15, n=10, d=d, least=2)
    labels[:] = [0, 1, 0, 0, 0, 1, 0, 0, 0, 0]
    metrics = head_metrics(features, labels, SEED)
    assert np.isnan(metrics["symmetric_kl"]).all()
    np.testing.assert_allclose(metrics["lda"], each(reference.lda, features, labels), rtol=1e-9)
    labels[2] = 1
    assert np.isfinite(symmetric_kl(features, labels)).all()


@laws
@given(draws, st.integers(2, 3))
def test_repeated_samples_are_no_new_information_to_means_and_distances(sample, times):
    features, labels = sample
    repeated, again = np.repeat(features, times, axis=-2), np.repeat(labels, times)
    np.testing.assert_allclose(lda(repeated, again), each(reference.lda, repeated, again), rtol=1e-8)
    divergences = each(reference.symmetric_kl, repeated, again)
    np.testing.assert_allclose(symmetric_kl(repeated, again), divergences, rtol=1e-8, atol=1e-10)
    squared = each(reference.squared_discrepancy, repeated, again)
    np.testing.assert_allclose(maximum_mean_discrepancy(repeated, again) ** 2, squared, rtol=1e-8, atol=1e-14)


@pytest.mark.parametrize("d", [2, 60])
def test_equal_samples_have_distance_zero_exactly(d):
    rows = np.random.default_rng(d).normal(size=(1, 4, d))[:, [0, 1, 0, 2, 3, 3, 3]]
    zero = squared_distances(rows, rows)[0] == 0
    kinds = np.array([0, 1, 0, 2, 3, 3, 3])
    assert (zero == (kinds[:, None] == kinds)).all()


def test_a_median_distance_of_zero_leaves_the_kernel_that_tells_equal_from_unequal():
    """Six of eight samples are equal: 15 of 28 pairs. Normal 4 of 4, anomalous 2 of 4 and two others."""
    point = np.random.default_rng(6).normal(size=30)
    others = np.random.default_rng(7).normal(size=(2, 30))
    features, labels = np.concatenate([np.tile(point, (6, 1)), others]), np.array([0, 0, 0, 0, 1, 1, 1, 1])
    within_normal, within_anomalous, across = 1, (2 * 2 + 2) / 16, 4 * 2 / 16
    expected = math.sqrt(within_normal + within_anomalous - 2 * across)
    assert float(maximum_mean_discrepancy(features, labels)) == pytest.approx(expected, rel=1e-12)


def test_classes_of_the_same_samples_do_not_differ():
    half = np.random.default_rng(8).normal(size=(2, 6, 5))
    metrics = head_metrics(np.concatenate([half, half], axis=1), np.repeat([0, 1], 6), SEED)
    for name, values in metrics.items():
        # The discrepancy is the root of means of twelve samples' kernels, about 1 each, that cancel to eps.
        np.testing.assert_allclose(values, 0, atol=np.sqrt(12 * np.finfo(np.float64).eps), err_msg=name)
        assert (values >= 0).all()


def test_a_median_of_an_even_and_an_odd_number_of_pairs():
    """Of 4 samples there are 6 pairs, of 6 there are 15: halves of the middle two, and the middle one."""
    for n in (4, 6):
        features, labels = samples(n, n=n, d=3, least=2)
        squared = each(reference.squared_discrepancy, features, labels)
        np.testing.assert_allclose(maximum_mean_discrepancy(features, labels) ** 2, squared, rtol=1e-12)


@pytest.mark.parametrize("d", [3, 30])
def test_separation_keeps_all_lengths_and_angles(d):
    features, labels = samples(17, heads=(3,), n=9, d=d)
    block = centre_classes(features, labels == 1)
    assert block.rows.shape == (3, 9, d)
    for head, centred in zip(features[:, block.order], block.centred, strict=True):
        expected = (head - head.mean(axis=0)) @ (head - head.mean(axis=0)).T
        scale = np.trace(expected) / np.trace(centred @ centred.T)
        assert math.log2(scale) == pytest.approx(round(math.log2(scale)), abs=1e-9)
        np.testing.assert_allclose(scale * centred @ centred.T, expected, atol=1e-10 * np.trace(expected))


def test_planted_heads_outrank_the_others():
    generator = np.random.default_rng(20)
    labels = np.arange(40) % 2
    features = generator.normal(size=(5, 6, 40, 16))
    for index in ((1, 2), (3, 5)):
        features[index] += 3 * labels[:, None]
    for name, values in head_metrics(features, labels, SEED).items():
        best = {tuple(int(i) for i in np.unravel_index(k, (5, 6))) for k in np.argsort(-values, axis=None)[:2]}
        assert best == {(1, 2), (3, 5)}, name


def test_no_heads_give_no_values():
    for values in head_metrics(np.empty((3, 0, 4, 5)), np.array([0, 0, 1, 1]), SEED).values():
        assert values.shape == (3, 0)


@pytest.mark.parametrize("metric", METRICS)
def test_samples_that_cannot_be_compared_are_refused(metric):
    with pytest.raises(VadprobeError, match="0 anomalous samples"):
        metric(np.ones((2, 6, 3)), np.zeros(6, dtype=int))
    with pytest.raises(VadprobeError, match="not finite at 2 of 2"):
        metric(np.full((2, 4, 3), math.nan), np.array([0, 0, 1, 1]))
