"""Metrics of groups of frames, against scikit-learn on the expanded frames of each group."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from tests.support.oracles.reference_evaluation import (
    classes_by_frames,
    expand,
    made_videos,
    metrics_on_frames,
    pair_auc,
    pooled,
    scores_of,
    truth_of,
    video_auc_by_pairs,
)
from tests.support.profiles import laws
from vadprobe.analyze.evaluation.group_metrics import (
    class_results,
    false_alarm_rate,
    maxima,
    roc_auc_of_groups,
    video_auc,
)
from vadprobe.analyze.evaluation.metrics import roc_auc
from vadprobe.analyze.evaluation.scored_clips import ScoredClips

LAW = laws(200)
N_GROUPS = 5
SCORES = st.sampled_from((-math.inf, -1.0, -0.0, 0.0, 0.1, 0.1 + 1e-16, 0.3, math.inf))


@st.composite
def units(draw, scores=SCORES, min_size=0):
    """Units of some of five groups, in any order, with many ties; some have no frame."""
    row = st.tuples(scores, st.integers(0, 3), st.integers(0, 3), st.integers(0, N_GROUPS - 1))
    rows = draw(st.lists(row, min_size=min_size, max_size=20))
    columns = list(zip(*rows, strict=True)) or [(), (), (), ()]
    return ScoredClips(np.array(columns[0]), *(np.array(column, dtype=np.int64) for column in columns[1:]))


def columns_of(videos):
    """Clips, labels and categories of made videos without unknown scores."""
    truth = truth_of(videos)
    segments = scores_of(truth, videos)
    counts = truth.counts(segments.codes, segments.start_frames, segments.stop_frames)
    return ScoredClips(segments.scores, *counts, segments.codes), truth.labels, truth.categories


def assert_classes(found, wanted):
    assert list(found) == sorted(wanted)
    for name, numbers in wanted.items():
        for field, value in numbers.items():
            np.testing.assert_allclose(
                getattr(found[name], field), value, rtol=0, atol=1e-12, err_msg=f"{name} {field}"
            )


@LAW
@given(made_videos())
def test_the_slow_oracle_is_scikit_learn_where_both_classes_are(videos):
    np.testing.assert_allclose(pair_auc(*pooled(videos)), metrics_on_frames(*pooled(videos))[0], rtol=0, atol=1e-12)


@LAW
@given(units())
def test_the_auc_of_every_group_is_scikit_learns_on_its_frames_alone(sample):
    areas = roc_auc_of_groups(sample, N_GROUPS)
    assert areas.shape == (N_GROUPS,)
    for group in range(N_GROUPS):
        mine = sample.take(sample.groups == group)
        truth, values = expand(mine.scores, mine.positives, mine.negatives)
        if len(set(truth.tolist())) < 2:
            assert math.isnan(areas[group])
        else:  # infinite scores become finite ones of the same order, which is all scikit-learn takes
            assert areas[group] == pytest.approx(roc_auc_score(truth, np.clip(values, -9, 9)), abs=1e-12)


@LAW
@given(units(), st.randoms(use_true_random=False))
def test_neither_order_nor_cuts_nor_other_groups_change_a_bit_of_a_groups_auc(sample, random):
    areas = roc_auc_of_groups(sample, N_GROUPS)
    order = np.array(random.sample(range(len(sample)), len(sample)), dtype=int)
    half = sample.positives // 2
    cut = ScoredClips(
        np.tile(sample.scores, 2)[::-1],
        np.concatenate([half, sample.positives - half])[::-1],
        np.concatenate([sample.negatives, 0 * sample.negatives])[::-1],
        np.tile(sample.groups, 2)[::-1],
    )
    np.testing.assert_array_equal(roc_auc_of_groups(sample.take(order), N_GROUPS), areas)
    np.testing.assert_array_equal(roc_auc_of_groups(cut, N_GROUPS), areas)
    for group in range(N_GROUPS):
        mine = sample.take(sample.groups == group)
        alone = roc_auc_of_groups(replace(mine, groups=0 * mine.groups), 1)
        np.testing.assert_array_equal(alone, areas[group : group + 1])
        if mine.positives.any() and mine.negatives.any():
            assert areas[group] == roc_auc(mine.ranking())


def test_groups_of_long_videos_stay_exact():
    """Three groups of 40 million frames: all pairs won; one positive frame ties; and one negative frame is on top."""
    n = 20_000_000
    scores = np.array([1.0, 0.0, 1.0, 0.0, 0.0, 1.0, 0.0, 2.0])
    positives = np.array([n, 0, n - 1, 1, 0, n - 1, 1, 0])
    negatives = np.array([0, n, 0, 1, n - 1, 0, n - 1, 1])
    areas = roc_auc_of_groups(ScoredClips(scores, positives, negatives, [0, 0, 1, 1, 1, 2, 2, 2]), 3)
    doubled = [2 * n * n, 2 * (n - 1) * n + n, 2 * (n - 1) ** 2 + (n - 1)]
    assert areas.tolist() == [won / (2 * n * n) for won in doubled]


@LAW
@given(made_videos())
def test_every_class_is_scikit_learn_on_the_frames_of_its_videos(videos):
    assert_classes(class_results(*columns_of(videos)), classes_by_frames(videos))


def test_a_video_of_several_codes_counts_for_each_and_other_words_are_one_class():
    """Four anomalous videos of two frames, the first normal, and one normal video."""
    scores = np.array([0.1, 0.9, 0.5, 0.5, 0.9, 0.1, 0.2, 0.8, 0.95])
    positives = np.array([0, 1, 0, 1, 0, 1, 0, 1, 0])
    codes = np.array([0, 0, 1, 1, 2, 2, 3, 3, 4])
    labels = np.array([1, 1, 1, 1, 0])
    categories = ("B1-G", "G", "Hit-and-run", None, "Normal")
    found = class_results(ScoredClips(scores, positives, 1 - positives, codes), labels, categories)
    assert list(found) == ["B1", "G", "Hit-and-run", "unknown"]
    assert {name: (r.n_videos, r.n_frames, r.n_positive) for name, r in found.items()} == {
        "B1": (1, 2, 1),
        "G": (2, 4, 2),
        "Hit-and-run": (1, 2, 1),
        "unknown": (1, 2, 1),
    }
    assert {name: r.auc for name, r in found.items()} == {"B1": 1.0, "G": 3.5 / 4, "Hit-and-run": 0.0, "unknown": 1.0}
    assert found["G"].auc_with_normal == 3.5 / 6
    assert found["Hit-and-run"].pr_area_trapezoid == pytest.approx(1 / 2 * 1 / 2 * 1)
    assert found["Hit-and-run"].ap_step == pytest.approx(1 / 2)


def test_a_class_of_one_kind_of_frames_and_a_class_without_scores_are_nan():
    labels, categories = np.array([1, 1, 0]), ("Fire", "Water", None)
    found = class_results(ScoredClips([0.4, 0.5], [3, 0], [0, 2], [0, 2]), labels, categories)
    fire, water = found["Fire"], found["Water"]
    assert (fire.n_videos, fire.n_frames, fire.n_positive) == (1, 3, 3)
    assert np.isnan([fire.auc, fire.ap_step, fire.pr_area_trapezoid]).all()
    assert fire.auc_with_normal == 0.0
    assert (water.n_videos, water.n_frames, water.n_positive) == (1, 0, 0)
    assert np.isnan([water.auc, water.ap_step, water.pr_area_trapezoid, water.auc_with_normal]).all()


def test_without_anomalous_videos_there_are_no_classes():
    assert class_results(ScoredClips([0.5], [0], [4], [0]), np.array([0]), (None,)) == {}


@LAW
@given(made_videos(), st.sampled_from((-1.0, -0.75, -0.5, 0.0, 0.5, 0.6, 1.0)))
def test_false_alarms_are_frames_of_normal_videos_strictly_above(videos, threshold):
    clips, labels, _ = columns_of(videos)
    rate = false_alarm_rate(clips, labels, threshold)
    normal = [score for video in videos if video.label == 0 for score in video.frame_scores]
    if normal:
        assert rate == sum(score > threshold for score in normal) / len(normal)
    else:
        assert math.isnan(rate)


@LAW
@given(units())
def test_the_maxima_of_groups(sample):
    wanted = [max(sample.scores[sample.groups == group].tolist(), default=math.nan) for group in range(N_GROUPS)]
    np.testing.assert_array_equal(maxima(sample.scores, sample.groups, N_GROUPS), wanted)


@LAW
@given(made_videos())
def test_videos_are_told_apart_by_their_highest_score(videos):
    clips, labels, _ = columns_of(videos)
    found = video_auc(maxima(clips.scores, clips.groups, len(labels)), labels)
    np.testing.assert_allclose(found, video_auc_by_pairs(videos), rtol=0, atol=1e-15)


@pytest.mark.parametrize(
    ("video_scores", "labels", "wanted"),
    [
        ([0.9, 0.1, 0.5], [1, 0, 0], 1.0),
        ([0.5, 0.5], [1, 0], 0.5),
        ([0.2, 0.9, math.nan], [1, 0, 0], 0.0),
        ([math.inf, 3.0, -math.inf], [1, 0, 0], 1.0),
        ([0.9, math.nan], [1, 0], math.nan),
        ([0.9, 0.1], [1, 1], math.nan),
        ([math.nan, math.nan], [1, 0], math.nan),
    ],
)
def test_video_auc_by_hand(video_scores, labels, wanted):
    np.testing.assert_equal(video_auc(np.array(video_scores), np.array(labels)), wanted)


def test_nothing_known_is_nan_everywhere():
    nothing = ScoredClips(*[np.array([], dtype=np.int64)] * 4)
    assert np.isnan(roc_auc_of_groups(nothing, 2)).all()
    assert np.isnan(maxima(nothing.scores, nothing.groups, 2)).all()
    assert math.isnan(false_alarm_rate(nothing, np.array([0, 1]), 0.5))
