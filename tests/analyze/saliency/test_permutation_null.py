"""Permuted labels, the metrics under them against the metrics one by one, and what chance makes of both."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support import profiles
from tests.support.samples.heads import samples
from vadprobe.analyze.saliency.heads import head_metrics
from vadprobe.analyze.saliency.layers import layer_metrics
from vadprobe.analyze.saliency.null.heads import head_null
from vadprobe.analyze.saliency.null.layers import layer_null
from vadprobe.analyze.saliency.null.permutations import chance, permuted_labels

SEED = 3
laws = profiles.laws(25)


def labelings_of(seed, n, count=5, least=3):
    """Any labelings of n samples with at least `least` of each class, of varying sizes."""
    generator = np.random.default_rng(seed)
    rows = np.zeros((count, n), dtype=np.int64)
    for row in rows:
        row[generator.permutation(n)[: generator.integers(least, n - least + 1)]] = 1
    return rows


@laws
@given(st.integers(0, 2**32 - 1), st.lists(st.tuples(st.booleans(), st.integers(1, 4)), min_size=4, max_size=12))
def test_labels_move_by_whole_groups_and_their_numbers_of_groups_stay(seed, videos):
    labels = np.repeat([int(label) for label, _ in videos], [size for _, size in videos])
    groups = np.repeat(np.arange(len(videos)), [size for _, size in videos])
    if min(labels.sum(), len(labels) - labels.sum()) < 2:
        return
    order = np.random.default_rng(seed).permutation(len(labels))
    drawn = permuted_labels(labels[order], groups[order], 7, seed)
    assert drawn.shape == (7, len(labels))
    assert drawn.dtype == np.int64
    for row in drawn:
        of_group = [set(row[groups[order] == group].tolist()) for group in range(len(videos))]
        assert all(len(own) == 1 for own in of_group)
        assert sum(own == {1} for own in of_group) == sum(label for label, _ in videos)
        assert 2 <= row.sum() <= len(row) - 2
    assert (drawn == permuted_labels(labels[order], groups[order], 7, seed)).all()


def test_all_labellings_of_few_videos_are_drawn_about_equally_often():
    labels, groups = np.array([1, 1, 0, 0, 0, 0]), np.array(list("aabbcc"))
    drawn = permuted_labels(labels, groups, 600, 0)
    counts = {tuple(row): int((drawn == row).all(axis=1).sum()) for row in drawn}
    assert set(counts) == {(1, 1, 0, 0, 0, 0), (0, 0, 1, 1, 0, 0), (0, 0, 0, 0, 1, 1)}
    assert min(counts.values()) > 150


def test_every_sample_its_own_group_moves_samples():
    drawn = permuted_labels(np.array([1, 1, 0, 0]), np.arange(4), 300, 1)
    expected = {row for row in itertools.product((0, 1), repeat=4) if sum(row) == 2}
    assert {tuple(row) for row in drawn.tolist()} == expected


def test_a_draw_that_leaves_a_class_one_sample_is_drawn_again():
    """One anomalous video of two samples, and one of one sample beside it: the label must not go there."""
    drawn = permuted_labels(np.array([1, 1, 0, 0, 0]), np.array([0, 0, 1, 2, 2]), 50, 2)
    assert {tuple(row) for row in drawn.tolist()} == {(1, 1, 0, 0, 0), (0, 0, 0, 1, 1)}


@pytest.mark.parametrize(("n", "d"), [(12, 5), (16, 40), (20, 20), (40, 64), (9, 1), (270, 6)])
@pytest.mark.parametrize("convention", ["paper", "headhunt-code"])
def test_heads_under_labelings_are_heads_under_each_labelling(n, d, convention):
    features, _ = samples(n, heads=(2, 3), n=n, d=d)
    labelings = labelings_of(d, n)
    null = head_null(features, labelings, SEED, convention)
    for number, labels in enumerate(labelings):
        for name, values in head_metrics(features, labels, SEED, convention).items():
            assert null[name].shape == (5, 2, 3)
            # Of few samples the scatter of the code's LDA has a condition of up to 1e11.
            tolerance = 1e-6 if (name, convention) == ("lda", "headhunt-code") else 1e-8
            np.testing.assert_allclose(null[name][number], values, rtol=tolerance, atol=1e-12, err_msg=name)
            if name == "cluster_information":
                assert null[name][number].tolist() == values.tolist()


@pytest.mark.parametrize("convention", ["paper", "headhunt-code"])
def test_degenerate_heads_are_under_labelings_what_they_are_under_each(convention):
    generator = np.random.default_rng(0)
    features = generator.normal(size=(5, 10, 4))
    features[0] = 0.1
    features[1, :8] = features[1, 0]
    features[2, :, 1] = 7.0
    features[3] = features[3, generator.integers(0, 4, 10)]
    features[4] = np.array([[1.0] * 4, [-1.0] * 4] * 5)
    for d in (4, 30):
        wide = np.concatenate([features] * (1 if d == 4 else 8), axis=2)[..., :d]
        labelings = labelings_of(1, 10, count=6, least=2)
        null = head_null(wide, labelings, SEED, convention)
        for number, labels in enumerate(labelings):
            for name, values in head_metrics(wide, labels, SEED, convention).items():
                if name in {"lda", "symmetric_kl"} and convention == "headhunt-code":
                    continue  # noise of singular matrices
                # A discrepancy of 0 is the root of means of ten samples' kernels that cancel to eps.
                lost = np.sqrt(10 * np.finfo(np.float64).eps)
                np.testing.assert_allclose(null[name][number], values, rtol=1e-8, atol=lost, err_msg=name)


@laws
@given(st.integers(0, 2**32 - 1), st.integers(6, 20), st.integers(1, 30), st.sampled_from([1e-200, 1.0, 1e200]))
def test_heads_of_any_shape_and_scale(seed, n, d, scale):
    features, _ = samples(seed, heads=(2,), n=n, d=d)
    labelings = labelings_of(seed, n, count=3)
    null = head_null(scale * features, labelings, SEED)
    for number, labels in enumerate(labelings):
        for name, values in head_metrics(scale * features, labels, SEED).items():
            np.testing.assert_allclose(null[name][number], values, rtol=1e-7, atol=1e-9, err_msg=name)


def test_cutting_the_heads_changes_no_bit():
    features, _ = samples(2, heads=(6,), n=14, d=30)
    labelings = labelings_of(2, 14)
    whole = head_null(features, labelings, SEED)
    for name, values in whole.items():
        single = [head_null(features[[head]], labelings, SEED)[name][:, 0] for head in range(6)]
        assert values.T.tolist() == [one.tolist() for one in single], name


@laws
@given(st.integers(0, 2**32 - 1), st.integers(4, 40), st.integers(1, 40))
def test_layers_under_labelings_are_layers_under_each_labelling(seed, n, dimensions):
    generator = np.random.default_rng(seed)
    features = generator.normal(size=(2, n, dimensions)) * 10.0 ** generator.uniform(-3, 3, (2, 1, dimensions))
    features[1, :, 0] = 5.0
    features[0, : n // 2, -1] = 1.0
    labelings = labelings_of(seed, n, count=4, least=2)
    labelings[0] = np.arange(n) < n // 2
    null = layer_null(features, labelings)
    for number, labels in enumerate(labelings):
        for name, values in layer_metrics(features, labels).items():
            assert null[name].shape == (4, 2)
            np.testing.assert_allclose(null[name][number], values, rtol=1e-8, atol=1e-13, err_msg=name)


def test_more_labelings_and_dimensions_than_one_block():
    features = np.random.default_rng(3).normal(size=(1, 50, 3000)).astype(np.float32)
    labelings = labelings_of(3, 50, count=70)
    null = layer_null(features, labelings)
    for number in (0, 31, 32, 69):
        for name, values in layer_metrics(features, labelings[number]).items():
            np.testing.assert_allclose(null[name][number], values, rtol=1e-9, err_msg=name)


def test_p_values_by_hand():
    null = np.array([[1.0, 5.0], [2.0, 0.0], [3.0, 1.0]])
    found = chance(np.array([2.0, 4.0]), null)
    assert found.p_value.tolist() == [3 / 4, 2 / 4]
    assert found.familywise.tolist() == [4 / 4, 2 / 4]  # the largest are 5, 2 and 3
    assert found.quantile == pytest.approx([2.9, 4.6])


def test_a_null_value_equal_but_for_rounding_counts():
    assert chance(np.array(1.0), np.array([1.0 - 1e-12, 1.0 - 1e-6])).p_value == 2 / 3


def test_what_is_unknown_is_no_part_of_a_count():
    null = np.array([[1.0, math.nan, math.nan], [math.nan, math.nan, 9.0], [3.0, math.nan, 1.0]])
    found = chance(np.array([2.0, 1.0, math.nan]), null)
    np.testing.assert_array_equal(found.p_value, [2 / 3, math.nan, math.nan])
    np.testing.assert_array_equal(found.familywise, [3 / 4, 1, math.nan])
    np.testing.assert_allclose(found.quantile, [2.9, math.nan, 8.6])


@laws
@given(st.integers(0, 2**32 - 1), st.integers(1, 30))
def test_p_values_are_bounded_and_the_family_is_never_surer(seed, n):
    generator = np.random.default_rng(seed)
    found = chance(generator.normal(size=(2, 3)), generator.normal(size=(n, 2, 3)))
    assert (found.p_value >= 1 / (n + 1)).all()
    assert (found.familywise >= found.p_value).all()
    assert (found.familywise <= 1).all()


def test_a_planted_head_is_beyond_chance_and_the_others_are_not():
    generator = np.random.default_rng(5)
    labels = np.arange(40) % 2
    features = generator.normal(size=(12, 40, 8))
    features[7] += 2 * labels[:, None]
    labelings = permuted_labels(labels, np.arange(40), 60, 0)
    for name, null in head_null(features, labelings, SEED).items():
        familywise = chance(head_metrics(features, labels, SEED)[name], null).familywise
        assert np.flatnonzero(familywise < 0.05).tolist() == [7], name
