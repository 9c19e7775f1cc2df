"""Frame metrics from counts, against scikit-learn on expanded frames, pair counting, and published values."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import f1_score

from tests.support.oracles.reference_evaluation import expand, metrics_on_frames, pair_auc
from tests.support.profiles import laws
from vadprobe.analyze.evaluation.metrics import average_precision, clip_counts, f1, precision_recall_area, rank, roc_auc
from vadprobe.store.errors import VadprobeError

METRICS = (roc_auc, average_precision, precision_recall_area)


FEW_SCORES = st.integers(-3, 3).map(float)


@st.composite
def units(draw, scores=FEW_SCORES):
    """Scores with many ties and frame counts of both classes; some units have no frame."""
    rows = draw(st.lists(st.tuples(scores, st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=12))
    rows += [(draw(scores), 1, 0), (draw(scores), 0, 1)]
    values, positives, negatives = zip(*rows, strict=True)
    return np.array(values), np.array(positives), np.array(negatives)


def values_of(scores, positives, negatives):
    ranking = rank(scores, positives, negatives)
    return [metric(ranking) for metric in METRICS]


@laws(150)
@given(units() | units(st.floats(-1e9, 1e9)))
def test_equal_to_scikit_learn_on_expanded_frames(sample):
    expected = metrics_on_frames(*expand(*sample))
    np.testing.assert_allclose(values_of(*sample), expected, rtol=0, atol=1e-12)


@laws(100)
@given(units())
def test_auc_is_the_share_of_pairs_won_to_the_last_bit(sample):
    truth, frames = expand(*sample)
    assert roc_auc(rank(*sample)) == pair_auc(truth, frames)


@laws(100)
@given(units(), st.integers(-4, 4), st.booleans())
def test_f1_and_counts_above_a_threshold_are_strict(sample, threshold, between):
    threshold += 0.5 * between
    truth, frames = expand(*sample)
    found = frames > threshold
    ranking = rank(*sample)
    assert ranking.above(threshold) == (int(np.sum(found & (truth == 1))), int(np.sum(found & (truth == 0))))
    assert f1(ranking, threshold) == pytest.approx(f1_score(truth, found, zero_division=0.0), abs=1e-15)


@laws(100)
@given(units(), st.randoms(use_true_random=False))
def test_order_of_units_changes_no_bit(sample, random):
    order = list(range(len(sample[0])))
    random.shuffle(order)
    assert values_of(*(part[order] for part in sample)) == values_of(*sample)


@laws(100)
@given(units())
def test_splitting_a_unit_into_units_of_equal_score_changes_no_bit(sample):
    scores, positives, negatives = sample
    split = (
        np.concatenate([scores, scores, scores]),
        np.concatenate([positives // 2, positives - positives // 2, 0 * positives]),
        np.concatenate([negatives - negatives // 3, 0 * negatives, negatives // 3]),
    )
    assert values_of(*split) == values_of(*sample)


@laws(100)
@given(units())
def test_rising_transforms_change_no_bit_and_reversal_mirrors_the_auc(sample):
    scores, positives, negatives = sample
    assert values_of(np.exp(scores) / 50 - 7, positives, negatives) == values_of(*sample)
    mirrored = roc_auc(rank(-scores, positives, negatives))
    assert mirrored == pytest.approx(1 - roc_auc(rank(*sample)), abs=1e-15)
    assert roc_auc(rank(scores, negatives, positives)) == pytest.approx(mirrored, abs=1e-15)


@laws(100)
@given(units(), st.integers(2, 1000))
def test_counting_every_frame_several_times_changes_nothing(sample, times):
    scores, positives, negatives = sample
    repeated = values_of(scores, times * positives, times * negatives)
    np.testing.assert_allclose(repeated, values_of(*sample), rtol=0, atol=1e-14)


@laws(100)
@given(st.integers(1, 500), st.integers(1, 500), st.sampled_from([0.5, 0.0, -2.0, math.inf, -math.inf]))
def test_a_constant_score(n_positives, n_negatives, score):
    ranking = rank(np.full(2, score), np.array([n_positives, 0]), np.array([0, n_negatives]))
    share = Fraction(n_positives, n_positives + n_negatives)
    assert roc_auc(ranking) == 0.5
    assert average_precision(ranking) == pytest.approx(float(share), abs=1e-15)
    assert precision_recall_area(ranking) == pytest.approx(float((1 + share) / 2), abs=1e-15)


def test_a_constant_score_on_ucf_sized_frames_gets_the_published_values():
    ranking = rank(np.full(1, 0.5), np.array([84182]), np.array([1111808 - 84182]))
    assert roc_auc(ranking) == 0.5
    assert average_precision(ranking) == pytest.approx(0.0757, abs=5e-5)
    assert precision_recall_area(ranking) == pytest.approx(0.5379, abs=5e-5)


def test_worked_example():
    """Scores 3, 2, 2, 1 with 1+0, 1+1, 0+2, 1+0 frames: 9 pairs, won 3 + (0 + 3/2) + 0 = 4.5."""
    ranking = rank(np.array([1.0, 2.0, 3.0, 2.0]), np.array([1, 1, 1, 0]), np.array([0, 1, 0, 2]))
    assert ranking.thresholds.tolist() == [3, 2, 1]
    assert ranking.true_positives.tolist() == [1, 2, 3]
    assert ranking.false_positives.tolist() == [0, 3, 3]
    assert roc_auc(ranking) == 4.5 / 9
    assert average_precision(ranking) == pytest.approx((1 + 2 / 5 + 3 / 6) / 3)
    assert precision_recall_area(ranking) == pytest.approx((1 + (1 + 2 / 5) / 2 + (2 / 5 + 3 / 6) / 2) / 3)
    assert f1(ranking, 2.0) == 2 * 1 / (2 * 1 + 0 + 2)
    assert f1(ranking, 3.0) == 0
    assert f1(ranking, -math.inf) == 2 * 3 / (2 * 3 + 3)


@pytest.mark.parametrize(("positives", "negatives"), [([2, 3], [0, 0]), ([0, 0], [2, 3])])
def test_one_class_says_nothing(positives, negatives):
    ranking = rank(np.array([0.1, 0.9]), np.array(positives), np.array(negatives))
    assert not ranking.has_both_classes
    assert all(math.isnan(metric(ranking)) for metric in METRICS)
    assert math.isnan(f1(ranking, 0.5))


def test_units_without_frames_change_nothing_even_above_all_others():
    with_empty = values_of(np.array([0.2, 0.8, 9.0]), np.array([1, 2, 0]), np.array([3, 1, 0]))
    assert with_empty == values_of(np.array([0.2, 0.8]), np.array([1, 2]), np.array([3, 1]))


def test_floats_that_differ_in_the_last_bit_are_not_ties():
    above = np.nextafter(0.5, 1)
    assert roc_auc(rank(np.array([above, 0.5]), np.array([1, 0]), np.array([0, 1]))) == 1.0
    assert roc_auc(rank(np.array([0.0, -0.0]), np.array([1, 0]), np.array([0, 1]))) == 0.5


def test_counts_far_beyond_int32_stay_exact():
    """60 million frames: 2 x pairs is about 1e15; the one swapped pair is still seen."""
    positives, negatives = np.array([30_000_000, 1]), np.array([1, 30_000_000])
    pairs = (30_000_001) ** 2
    won = 2 * 30_000_000 * 30_000_000 + 30_000_000 + 30_000_000  # doubled: wins twice, ties once
    assert roc_auc(rank(np.array([1.0, 0.0]), positives, negatives)) == won / (2 * pairs)


MANY = st.integers(0, 2**29)


@st.composite
def large_units(draw):
    """Up to six units of up to half a billion frames of each class."""
    rows = draw(st.lists(st.tuples(FEW_SCORES, MANY, MANY), min_size=1, max_size=6))
    values, positives, negatives = zip(*rows, (draw(FEW_SCORES), 1, 1), strict=True)
    return np.array(values), np.array(positives), np.array(negatives)


@laws(300)
@given(large_units())
def test_large_counts_are_as_exact_as_fractions(sample):
    """Pairs reach 1e19, past int64: the AUC is the exact fraction rounded once, the others are sums of a few terms."""
    levels = sorted(set(sample[0].tolist()), reverse=True)
    rows = list(zip(*(part.tolist() for part in sample), strict=True))
    P, N = sum(row[1] for row in rows), sum(row[2] for row in rows)
    won, step, area, precision, found, above = 0, Fraction(0), Fraction(0), Fraction(1), 0, 0
    for level in levels:
        p, n = (sum(row[k] for row in rows if row[0] == level) for k in (1, 2))
        won += n * (2 * found + p)
        found, above = found + p, above + p + n
        before, precision = precision, Fraction(found, above) if above else precision
        step += precision * Fraction(p, P)
        area += (before + precision) / 2 * Fraction(p, P)
    got = values_of(*sample)
    assert got[0] == won / (2 * P * N)  # integers: divided exactly, rounded once
    np.testing.assert_allclose(got[1:], [float(step), float(area)], rtol=0, atol=1e-14)


@pytest.mark.parametrize(
    ("scores", "positives", "negatives", "words"),
    [
        ([0.1, math.nan, math.nan], [1, 1, 1], [1, 1, 1], "2 of 3 scores are NaN"),
        ([], [], [], "got 0 in 0"),
        ([0.1], [0], [0], "got 0 in 1"),
        ([0.1], [2**32], [1], "from 1 to 4294967295 frames"),
    ],
)
def test_refusals(scores, positives, negatives, words):
    with pytest.raises(VadprobeError, match=words):
        rank(np.array(scores), np.array(positives), np.array(negatives))


@laws(100)
@given(st.lists(st.booleans(), min_size=1, max_size=60), st.integers(1, 20))
def test_clip_counts_are_the_counts_of_the_slices(truth, length):
    starts = np.arange(0, len(truth), length)
    stops = np.minimum(starts + length, len(truth))  # the last clip may be short
    positives, negatives = clip_counts(np.array(truth), starts, stops)
    assert positives.tolist() == [sum(truth[a:b]) for a, b in zip(starts, stops, strict=True)]
    assert (positives + negatives).tolist() == (stops - starts).tolist()
    assert positives.dtype == negatives.dtype == np.int64


def test_clip_counts_of_overlapping_and_empty_clips():
    positives, negatives = clip_counts(np.array([True, False, True]), np.array([0, 0, 2, 1]), np.array([3, 2, 3, 1]))
    assert positives.tolist() == [2, 1, 1, 0]
    assert negatives.tolist() == [1, 1, 0, 0]
