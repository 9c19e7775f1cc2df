"""The trivial baselines, against the values known for the real test sets and a frame-by-frame rewrite."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.oracles.reference_evaluation import (
    NO_SHARED,
    SHARED,
    MadeVideo,
    five_metrics,
    made_videos,
    real_truth,
    truth_of,
)
from tests.support.profiles import laws
from vadprobe.analyze.evaluation import baselines
from vadprobe.analyze.evaluation.baselines import trivial_baselines
from vadprobe.analyze.evaluation.ground_truth import ground_truth
from vadprobe.store.datasets.dataset import Dataset
from vadprobe.store.datasets.video import Video
from vadprobe.store.errors import VadprobeError

LAW = laws(150)
METRICS = ["auc", "ap_step", "pr_area_trapezoid", "auc_abnormal_only", "auc_macro"]
needs_shared = pytest.mark.skipif(not SHARED.is_dir(), reason=NO_SHARED)


def scored(video, score):
    """The video with a score for each of its frames."""
    frames = tuple((i, i + 1, float(score(i, video.n_frames))) for i in range(video.n_frames))
    return MadeVideo(video.name, video.label, video.category, video.intervals, frames)


def by_frames(videos):
    """Baseline to metrics, with every frame scored by itself."""
    generator = np.random.default_rng(0)
    draws = {video.name: generator.random(-(-video.n_frames // 16)) for video in sorted(videos, key=lambda v: v.name)}
    rules = {
        "video_flat": [scored(video, lambda i, n, label=video.label: label) for video in videos],
        "shorter": [scored(video, lambda i, n: -n) for video in videos],
        "centre": [scored(video, lambda i, n: -abs(i - n / 2) / (n / 2)) for video in videos],
        "random": [scored(video, lambda i, n, drawn=draws[video.name]: drawn[i // 16]) for video in videos],
    }
    return {name: five_metrics(given) for name, given in rules.items()}


def one_piece(name, label, n_frames, *intervals):
    return MadeVideo(name, label, None, intervals, ((0, n_frames, 0.0),))


@needs_shared
@pytest.mark.parametrize(("key", "name"), [("ucf", "ucf-crime"), ("xd", "xd-violence")])
def test_the_real_test_sets_give_the_known_values(key, name):
    """All five printed digits, of three metrics and three baselines; a random score gives what chance gives."""
    expected = json.loads((SHARED / "expected.json").read_text())["trivial"][key]
    truth = real_truth(name)
    got = trivial_baselines(truth)
    assert got.keys() == {*expected, "random"}
    for baseline, values in expected.items():
        measured = [got[baseline][metric] for metric in ("auc", "ap_step", "pr_area_trapezoid")]
        np.testing.assert_allclose(measured, values, rtol=0, atol=6e-6, err_msg=baseline)
    assert got["video_flat"]["auc_macro"] == got["shorter"]["auc_macro"] == 0.5
    assert got["video_flat"]["auc_abnormal_only"] == 0.5
    share = truth.n_positive.sum() / truth.n_frames.sum()
    chance = [got["random"][metric] for metric in METRICS]
    np.testing.assert_allclose(chance, [0.5, share, share, 0.5, 0.5], rtol=0, atol=0.02)


@LAW
@given(made_videos())
def test_equal_to_frames_one_by_one(videos):
    got = trivial_baselines(truth_of(videos))
    for name, wanted in by_frames(videos).items():
        assert list(got[name]) == METRICS
        np.testing.assert_allclose(list(got[name].values()), list(wanted.values()), rtol=0, atol=1e-12, err_msg=name)
    assert list(got) == ["video_flat", "shorter", "centre", "random"]


@laws(25)
@given(st.lists(st.tuples(st.integers(17, 70), st.integers(0, 60), st.integers(1, 20)), min_size=1, max_size=4))
def test_the_random_score_changes_every_sixteen_frames(rows):
    videos = [one_piece(f"v{i}", 1, n, (start, start + width)) for i, (n, start, width) in enumerate(rows)]
    got = trivial_baselines(truth_of(videos))["random"]
    np.testing.assert_allclose(list(got.values()), list(by_frames(videos)["random"].values()), rtol=0, atol=1e-12)


@LAW
@given(made_videos(), st.randoms(use_true_random=False))
def test_order_of_videos_changes_no_bit(videos, random):
    shuffled = random.sample(videos, len(videos))
    np.testing.assert_equal(trivial_baselines(truth_of(shuffled)), trivial_baselines(truth_of(videos)))


def test_only_the_videos_of_the_truth_count():
    videos = [one_piece("a", 0, 10), one_piece("b", 1, 20, (5, 9)), one_piece("c", 1, 30, (0, 30))]
    assert trivial_baselines(truth_of(videos).without(["c"])) == trivial_baselines(truth_of(videos[:2]))


@pytest.mark.parametrize("intervals", [(), ((0, 20),)])
def test_one_class_is_nan(intervals):
    metrics = trivial_baselines(truth_of([one_piece("a", 1, 10, *intervals), one_piece("b", 1, 20, *intervals)]))
    values = [value for numbers in metrics.values() for value in numbers.values()]
    assert len(values) == 4 * 5
    assert all(math.isnan(value) for value in values)


def test_a_fully_anomalous_video_is_found_perfectly_by_its_label_and_not_at_all_by_the_centre():
    got = trivial_baselines(truth_of([one_piece("a", 0, 10), one_piece("b", 1, 10, (0, 10))]))
    assert [got["video_flat"][metric] for metric in METRICS[:3]] == [1.0, 1.0, 1.0]
    assert np.isnan([got["video_flat"][metric] for metric in METRICS[3:]]).all()
    assert got["shorter"]["auc"] == got["centre"]["auc"] == 0.5


def test_by_hand():
    """Two frames of four in the middle of the longer video; the centre scores -1, -1/2, 0, -1/2 and -1, 0."""
    got = trivial_baselines(truth_of([one_piece("long", 1, 4, (1, 3)), one_piece("short", 0, 2)]))
    assert got["video_flat"]["auc"] == (2 * 2 + 2 * 2 / 2) / 8
    assert got["shorter"]["auc"] == (0 + 2 * 2 / 2) / 8
    assert got["centre"]["auc"] == ((1 + 1 / 2 + 1) + (1 + 1 + 1 + 1 / 2)) / 8
    assert got["centre"]["auc_macro"] == got["centre"]["auc_abnormal_only"] == (1 + 1 / 2 + 2) / 4
    assert got["video_flat"]["ap_step"] == 2 / 4
    assert got["video_flat"]["pr_area_trapezoid"] == (1 + 2 / 4) / 2


def test_videos_without_a_frame_are_an_error():
    videos = (Video("empty", "", n_frames=0, label=0),)
    with pytest.raises(VadprobeError, match="got 0 in 1"):
        trivial_baselines(ground_truth(Dataset("made", Path(), videos), videos))


def test_a_truth_is_measured_once(monkeypatch):
    videos = [one_piece("a", 1, 30, (3, 9)), one_piece("b", 0, 20)]
    first = trivial_baselines(truth_of(videos))
    first["random"]["auc"] = 2.0  # a caller's own copy
    monkeypatch.setattr(baselines, "_metrics", None)
    again = trivial_baselines(truth_of(videos))
    assert again["random"]["auc"] <= 1
    assert again["centre"] == first["centre"]
    with pytest.raises(TypeError):
        trivial_baselines(truth_of([videos[0], one_piece("b", 0, 21)]))
