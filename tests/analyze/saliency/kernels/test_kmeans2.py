"""Two-means clusters against the sample-by-sample definition, all partitions, and scikit-learn."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.cluster import KMeans
from sklearn.metrics import normalized_mutual_info_score

from tests.support import profiles
from tests.support.oracles import reference
from tests.support.samples.heads import samples
from vadprobe.analyze.saliency.heads import clustering_nmi
from vadprobe.analyze.saliency.kernels.kmeans2 import kmeans2

SEED = 7
DRAWS = np.random.default_rng(SEED).random((10, 2))
laws = profiles.laws(30)


@laws
@given(st.integers(0, 2**32 - 1), st.integers(6, 24), st.integers(1, 40))
def test_clusters_are_those_of_the_sample_by_sample_definition(seed, n, d):
    heads, _ = samples(seed, (4,), n, d)
    found = kmeans2(heads, DRAWS)
    for head, members in zip(heads, found, strict=True):
        expected = np.array(reference.kmeans2(head, DRAWS), dtype=bool)
        assert (members == expected).all() or (members != expected).all()


@pytest.mark.parametrize(("n", "d"), [(7, 2), (9, 30)])
def test_the_best_of_ten_starts_is_near_the_best_of_all_partitions(n, d):
    heads = np.random.default_rng(n).normal(size=(12, n, d))
    many = np.random.default_rng(0).random((300, 2))
    for head, ten, all_starts in zip(heads, kmeans2(heads, DRAWS), kmeans2(heads, many), strict=True):
        least = reference.least_inertia(head)
        assert reference.partition_inertia(head, all_starts) == pytest.approx(least, rel=1e-12)
        assert least <= reference.partition_inertia(head, ten) * (1 + 1e-12) <= 1.1 * least


def test_the_least_numbers_draw_the_first_sample_and_the_first_that_differs_from_it():
    head = np.array([[[0.0], [0.0], [3.0], [4.0], [50.0]]])
    assert reference.kmeans2(head[0], [(0.0, 0.0)]) == [0, 0, 0, 0, 1]
    assert kmeans2(head, np.zeros((1, 2)))[0].tolist() == [False, False, False, False, True]


def test_a_sample_in_the_middle_goes_to_the_first_centre():
    assert kmeans2(np.array([[[0.0], [1.0], [2.0]]]), np.array([[0.0, 0.9]])).tolist() == [[False, False, True]]


def test_equal_samples_are_one_cluster():
    assert len(set(kmeans2(np.full((1, 7, 3), 0.1), DRAWS)[0].tolist())) == 1


def test_well_separated_clusters_are_scikit_learns():
    generator = np.random.default_rng(3)
    groups, labels = generator.random(30) < 0.4, (np.arange(30) % 3 == 0).astype(int)
    features = generator.normal(size=(4, 30, 6)) + 12 * groups[:, None] * generator.choice([-1, 1], (4, 1, 6))
    for head, value in zip(features, clustering_nmi(features, labels, SEED), strict=True):
        clusters = KMeans(2, n_init=10, tol=0, random_state=0).fit_predict(head)
        expected = normalized_mutual_info_score(labels, clusters, average_method="geometric")
        assert value == pytest.approx(expected, rel=1e-12)
    assert clustering_nmi(features, groups, SEED) == pytest.approx(np.ones(4))


def test_more_starts_never_find_worse_clusters():
    heads = np.random.default_rng(5).normal(size=(20, 25, 2))
    inertia = [
        [
            reference.partition_inertia(head, members)
            for head, members in zip(heads, kmeans2(heads, DRAWS[:k]), strict=True)
        ]
        for k in (1, 3, 10)
    ]
    assert (np.diff(inertia, axis=0) <= 1e-10).all()
    assert inertia[0] != inertia[2]


def test_another_seed_gives_other_starts_and_the_same_seed_the_same():
    features, labels = samples(16, heads=(200,), n=30, d=2)
    values = [clustering_nmi(features, labels, seed, n_init=1).tolist() for seed in (0, 1, 0)]
    assert values[0] == values[2] != values[1]
