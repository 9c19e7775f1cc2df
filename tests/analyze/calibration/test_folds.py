"""Folds of whole videos: partition, stratification, and independence of the rows' order."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support import profiles
from vadprobe.analyze.calibration.folds import video_folds
from vadprobe.store.errors import VadprobeError

laws = profiles.laws(60)


@st.composite
def videos(draw):
    """Rows of videos with at least n_folds of each class; (labels, groups, n_folds, seed)."""
    n_folds = draw(st.integers(2, 5))
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    classes = np.repeat([0, 1], [draw(st.integers(n_folds, 12)) for _ in range(2)])
    codes = generator.choice(1000, len(classes), replace=False)
    rows = generator.integers(1, 6, len(classes))
    groups = np.repeat(codes, rows)
    labels = np.repeat(classes, rows) * (generator.random(len(groups)) < 0.6)
    labels[np.cumsum(rows) - 1] = classes  # one anomalous row makes the video anomalous
    order = generator.permutation(len(groups))
    return labels[order], groups[order], n_folds, draw(st.integers(0, 99))


def by_video(values, groups, reduce):
    return np.array([reduce(values[groups == code]) for code in np.unique(groups)])


@given(videos())
@laws
def test_videos_are_whole_and_classes_spread_evenly(case):
    labels, groups, n_folds, seed = case
    folds = video_folds(labels, groups, n_folds, seed)
    assert folds.dtype == np.int64
    assert (by_video(folds, groups, np.ptp) == 0).all(), "a video is in two folds"
    of_video, anomalous = by_video(folds, groups, np.max), by_video(labels, groups, np.max)
    for members in (of_video, of_video[anomalous == 1], of_video[anomalous == 0]):
        sizes = np.bincount(members, minlength=n_folds)
        assert len(sizes) == n_folds
        assert np.ptp(sizes) <= 1
        assert sizes.min() >= 1


@given(videos(), st.randoms(use_true_random=False))
@laws
def test_neither_the_order_nor_the_number_of_rows_changes_a_videos_fold(case, random):
    labels, groups, n_folds, seed = case
    folds = video_folds(labels, groups, n_folds, seed)
    order = np.array(random.sample(range(len(labels)), len(labels)))
    assert (video_folds(labels[order], groups[order], n_folds, seed) == folds[order]).all()
    anomalous = by_video(labels, groups, np.max)
    expected = by_video(folds, groups, np.max)
    assert (video_folds(anomalous.astype(bool), np.unique(groups), n_folds, seed) == expected).all()


def test_the_seed_decides():
    labels, groups = np.repeat([0, 1], 20), np.arange(40)
    assert (video_folds(labels, groups, 5, 3) == video_folds(labels, groups, 5, 3)).all()
    assert (video_folds(labels, groups, 5, 3) != video_folds(labels, groups, 5, 4)).any()
    # Over many seeds a video visits every fold equally often.
    visits = np.bincount([video_folds(labels, groups, 5, seed)[7] for seed in range(1000)])
    assert visits.min() > 150


def test_as_many_folds_as_videos_of_a_class():
    folds = video_folds(np.array([0, 0, 0, 1, 1]), np.array([9, 8, 7, 6, 5]), 2, 0)
    assert sorted(np.bincount(folds)) == [2, 3]
    assert sorted(folds[3:]) == [0, 1]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"n_folds": 4}, "4 normal and 3 anomalous videos.* too few anomalous ones, and n_folds can be 3 at most"),
        ({"labels": np.array([0, 1, 1, 1, 1, 1, 1])}, "1 normal and 6 anomalous .* too few normal .* below two videos"),
        ({"groups": np.zeros(7, dtype=int)}, "0 normal and 1 anomalous"),
        ({"n_folds": 1}, "n_folds must be at least 2, got 1"),
    ],
)
def test_what_cannot_be_divided_is_refused(change, words):
    case = {"labels": np.array([0, 0, 0, 0, 1, 1, 1]), "groups": np.arange(7), "n_folds": 2, "seed": 0}
    assert video_folds(**case).shape == (7,)
    with pytest.raises(VadprobeError, match=words):
        video_folds(**(case | change))
