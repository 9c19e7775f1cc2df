"""The metrics with the constants of HeadHunt-VAD's public code; the oracles are in test_stage2_oracles.py."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.cluster import KMeans

from tests.support import profiles
from tests.support.oracles import reference_stage2 as oracle
from tests.support.samples.heads import samples
from vadprobe.analyze.saliency.heads import head_metrics
from vadprobe.analyze.saliency.kernels.reference_code import reference_code_metrics
from vadprobe.analyze.saliency.kernels.sklearn_kmeans import sklearn_kmeans
from vadprobe.analyze.saliency.null.heads import head_null
from vadprobe.analyze.saliency.ranking import rhi
from vadprobe.store.errors import VadprobeError


@pytest.mark.parametrize(("n", "d", "heads"), [(16, 128, 200), (40, 32, 150), (200, 8, 60), (9, 2, 200)])
def test_clusters_are_those_of_scikit_learn(n, d, heads):
    heads = heads if profiles.LONG else heads // 2
    generator = np.random.default_rng(n)
    features = generator.normal(size=(heads, n, d)) * generator.uniform(0.1, 3, (heads, 1, d))
    features += (generator.random((n, 1)) < 0.3) * generator.normal(size=(heads, 1, d))
    position = generator.permutation(n)
    rows = features - features.mean(axis=1, keepdims=True)
    found = sklearn_kmeans(rows, position, 42)
    for head, clusters in zip(features, found, strict=True):
        expected = KMeans(2, random_state=42, n_init="auto").fit_predict(head[position])
        assert clusters[position].tolist() == (expected == 1).tolist()


def test_other_random_states_are_scikit_learns_too():
    features = np.random.default_rng(1).normal(size=(60, 25, 6))
    position = np.arange(25)
    for state in (0, 7):
        found = sklearn_kmeans(features - features.mean(axis=1, keepdims=True), position, state)
        for head, clusters in zip(features, found, strict=True):
            expected = KMeans(2, random_state=state, n_init="auto").fit_predict(head)
            assert clusters.tolist() == (expected == 1).tolist()


def test_worked_example_in_one_dimension():
    """Normal 0 and 2, anomalous 5 and 9: scatters 2 and 8, means 1 and 7, six different squared distances."""
    features, labels = np.array([[0.0], [9.0], [2.0], [5.0]]), np.array([0, 1, 0, 1])
    metrics = reference_code_metrics(features, labels)
    assert metrics["lda"] == pytest.approx(36 / (10 + 1e-6))
    assert metrics["symmetric_kl"] == pytest.approx((4 + 1 / 4 - 2 + 36 + 36 / 4) / 4)
    width = (16 + 25) / 2  # of the squared distances 4, 9, 16, 25, 49, 81

    def kernel(distance):
        return math.exp(-(distance**2) / (2 * width))

    across = (kernel(9) + kernel(5) + kernel(7) + kernel(3)) / 4
    assert metrics["maximum_mean_discrepancy"] == pytest.approx((1 + kernel(4) + 1 + kernel(2)) / 2 - 2 * across)
    assert metrics["cluster_information"] == pytest.approx(1)


def test_equal_samples_are_no_part_of_the_median():
    """Five of six samples are equal: the one distance there is is the median, where the printed median is 0."""
    features = np.zeros((6, 3))
    features[5] = [1.0, 2.0, 2.0]
    labels = np.array([0, 0, 0, 1, 1, 1])
    expected = 1 + (1 + 4 + 4 * math.exp(-0.5)) / 9 - 2 * (2 + math.exp(-0.5)) / 3
    assert reference_code_metrics(features, labels)["maximum_mean_discrepancy"] == pytest.approx(expected, rel=1e-12)


def test_a_divergence_without_bound_is_cut_off():
    features, labels = samples(4, heads=(3,), n=10, d=30)
    features[1, labels == 0] = 0.3
    metrics = reference_code_metrics(features, labels)
    assert metrics["symmetric_kl"][1] == 1e6
    assert (metrics["symmetric_kl"][[0, 2]] < 1e6).all()
    assert np.isfinite(metrics["lda"]).all()


@pytest.mark.parametrize("d", [1, 3, 40])
@pytest.mark.parametrize("value", [0.0, 0.1, -3e300])
def test_a_head_that_never_changes_is_zero_in_every_metric(d, value):
    metrics = reference_code_metrics(np.full((2, 7, d), value), np.array([0, 1, 0, 1, 0, 1, 1]))
    assert all(values.tolist() == [0, 0] for values in metrics.values())


@profiles.laws(25)
@given(st.integers(0, 2**32 - 1), st.integers(4, 20), st.integers(1, 30))
def test_cutting_the_heads_changes_no_bit_and_all_values_are_in_range(seed, n, d):
    features, labels = samples(seed, n=n, d=d, least=2)
    metrics = reference_code_metrics(features, labels)
    for name, values in metrics.items():
        assert values.shape == (2, 3)
        assert ((values >= 0) & np.isfinite(values)).all()
        single = [float(reference_code_metrics(features[i, j], labels)[name]) for i in range(2) for j in range(3)]
        assert values.ravel().tolist() == single
    assert (metrics["cluster_information"] <= 1).all()
    assert (metrics["symmetric_kl"] <= 1e6).all()


def test_head_metrics_takes_the_convention_by_name():
    features, labels = samples(6)
    expected = reference_code_metrics(features, labels)
    for seed in (0, 1):
        for name, values in head_metrics(features, labels, seed, "headhunt-code").items():
            assert values.tolist() == expected[name].tolist()
    assert head_metrics(features, labels, 0)["lda"].tolist() != expected["lda"].tolist()


@pytest.mark.parametrize("label", [0, 1])
def test_a_class_of_one_sample_is_refused_where_the_code_gives_zero(label):
    labels = np.full(6, 1 - label)
    labels[2] = label
    with pytest.raises(VadprobeError, match=rf"1 {('normal', 'anomalous')[label]} samples"):
        reference_code_metrics(np.ones((2, 6, 3)), labels)


@pytest.mark.parametrize("scale", [1e-5, 1e3, 1e5, 1e6])
@pytest.mark.parametrize("dimension", [3, 12])
def test_two_samples_of_a_class_at_any_scale_give_values_without_a_warning(scale: float, dimension: int) -> None:
    generator = np.random.default_rng(0)
    features = generator.normal(size=(20, 8, dimension)) * scale
    metrics = reference_code_metrics(features, np.array([1, 1, 0, 0, 0, 0, 0, 0]))
    assert all(np.isfinite(values).all() for values in metrics.values())


def two_anomalous(seed: int, n: int = 16, d: int = 24) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Random float32 features of 16 videos, two of them anomalous, under two prompts; a few heads tell them apart."""
    generator = np.random.default_rng(seed)
    labels = generator.permutation(np.arange(n) < 2).astype(int)
    prompts = {}
    for prompt in ("coarse", "detailed"):
        features = generator.normal(size=(4, 5, n, d)).astype(np.float32)
        for head in ((0, 1), (1, 3), (3, 0), (2, 2)):
            features[head] += (labels[:, None] * generator.normal(size=d)).astype(np.float32)
        prompts[prompt] = features
    return prompts, labels


@pytest.mark.parametrize("seed", range(4))
def test_the_five_heads_of_sixteen_videos_with_two_anomalous_ones_are_the_codes(seed):
    prompts, labels = two_anomalous(seed)
    found = {prompt: head_metrics(features, labels, 0, "headhunt-code") for prompt, features in prompts.items()}
    for prompt, features in prompts.items():
        expected = [oracle.code_kl(features[head], labels) for head in np.ndindex(4, 5)]
        assert found[prompt]["symmetric_kl"].ravel().tolist() == expected
        assert set(expected) == {0.0, 1e6}, "rounding noise of either sign"
    assert list(rhi(found).heads) == oracle.rhi(prompts, labels, 0, "headhunt-code")[1]


def test_two_samples_of_a_class_by_chance_are_those_of_one_labelling():
    prompts, labels = two_anomalous(1)
    labelings = np.stack([labels, np.roll(labels, 1)])
    null = head_null(prompts["coarse"], labelings, 0, "headhunt-code")["symmetric_kl"]
    for number, labeling in enumerate(labelings):
        expected = head_metrics(prompts["coarse"], labeling, 0, "headhunt-code")["symmetric_kl"]
        assert null[number].tolist() == expected.tolist()


def test_a_covariance_without_an_inverse_counts_as_no_divergence():
    """Two samples (c, c) and (-c, -c): all entries are c^2 exactly, and 1e-10 on the diagonal is lost beside them."""
    features, labels = np.zeros((2, 8, 2)), np.array([1, 1, 0, 0, 0, 0, 0, 0])
    features[:] = np.random.default_rng(0).normal(size=(8, 2))
    features[1, :2] = [[2.0**20, 2.0**20], [-(2.0**20), -(2.0**20)]]
    with pytest.raises(np.linalg.LinAlgError):
        np.linalg.inv(np.full((2, 2), 2.0**40) + 1e-10 * np.eye(2))
    assert reference_code_metrics(features, labels)["symmetric_kl"][1] == 0 == oracle.code_kl(features[1], labels)
