"""The draw of training videos and the rows and labels it gives."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.oracles.reference_evaluation import NO_SHARED, SHARED
from tests.support.profiles import laws
from vadprobe.analyze.calibration.calibration import calibration_rows, draw_videos
from vadprobe.store.datasets.annotations.names import ucf_crime_name, video_name, xd_violence_name
from vadprobe.store.datasets.dataset import Dataset
from vadprobe.store.datasets.video import Interval, Video
from vadprobe.store.errors import VadprobeError
from vadprobe.store.format.clip_table import ClipTable
from vadprobe.store.format.sampling import Sampling


def training(n_normal, n_anomalous, n_frames=50):
    labels = [0] * n_normal + [1] * n_anomalous
    return [Video(f"v{i:04d}", "", n_frames, 25.0, "train", label) for i, label in enumerate(labels)]


def counts(videos):
    return [sum(video.label == label for video in videos) for label in (0, 1)]


def test_the_published_calibration_sizes():
    """HP: 1 % of UCF-Crime's 800 + 810 is 16, of XD-Violence's 2049 + 1905 is 40."""
    assert counts(draw_videos(training(800, 810), 0.01, 0)) == [8, 8]
    assert counts(draw_videos(training(2049, 1905), 0.01, 0)) == [21, 19]


@pytest.mark.skipif(not SHARED.is_dir(), reason=NO_SHARED)
def test_draws_from_the_real_training_lists():
    ucf = [video_name(Path(row).name) for row in (SHARED / "ucf-crime" / "Anomaly_Train.txt").read_text().split()]
    xd = (SHARED / "xd-violence" / "train_videos.txt").read_text().splitlines()
    for names, rule, expected in ((ucf, ucf_crime_name, [8, 8]), (xd, xd_violence_name, [21, 19])):
        videos = [Video(name, "", split="train", label=rule(name)[0]) for name in names]
        draws = [draw_videos(videos, 0.01, seed) for seed in range(5)]
        assert [counts(draw) for draw in draws] == [expected] * 5
        assert len({tuple(video.video_id for video in draw) for draw in draws}) == 5


@laws(50)
@given(
    st.integers(4, 60),
    st.integers(4, 60),
    st.floats(0.05, 1),
    st.integers(0, 2**40),
    st.randoms(use_true_random=False),
)
def test_laws_of_the_draw(n_normal, n_anomalous, fraction, seed, random):
    videos = training(n_normal, n_anomalous)
    total = round(fraction * len(videos))
    anomalous = round(total * n_anomalous / len(videos))
    if min(anomalous, total - anomalous) < 2:
        with pytest.raises(VadprobeError, match="at least two"):
            draw_videos(videos, fraction, seed)
        return
    drawn = draw_videos(videos, fraction, seed)
    assert counts(drawn) == [total - anomalous, anomalous]
    assert [video.video_id for video in drawn] == sorted({video.video_id for video in drawn})
    random.shuffle(videos)
    others = [replace(videos[0], video_id="test", split="test"), Video("val", "", split="validation")]
    assert draw_videos(others + videos, fraction, seed) == drawn, "neither order nor other splits matter"
    assert set(drawn) <= set(draw_videos(videos, min(1.0, fraction * 1.5), seed)), "larger draws hold smaller ones"


def test_seeds_differ_and_every_video_can_be_drawn():
    videos = training(10, 10)
    draws = [draw_videos(videos, 0.2, seed) for seed in range(100)]
    assert draws[3] == draw_videos(videos, 0.2, 3)
    assert len({tuple(video.video_id for video in draw) for draw in draws}) > 80
    often = np.array([sum(video in draw for draw in draws) for video in videos])
    assert often.min() >= 5
    assert often.max() <= 40
    assert set(draw_videos(videos, 1.0, 0)) == set(videos)


def test_normal_and_anomalous_draws_are_not_the_same_positions():
    """With one random stream for both classes, equally large classes would be drawn in step."""
    videos = training(50, 50)
    drawn = [int(video.video_id[1:]) for video in draw_videos(videos, 0.2, 0)]
    assert {i for i in drawn if i < 50} != {i - 50 for i in drawn if i >= 50}


@pytest.mark.parametrize(
    ("n_normal", "n_anomalous", "words"),
    [
        (
            20,
            20,
            r"draws 1 of 20 normal and 1 of 20 anomalous ones; .* two normal videos, .* draw of 4 videos .* 0.1\)",
        ),
        (36, 4, r"2 of 36 normal and 0 of 4 anomalous ones; .* at least two anomalous .* draw of 15 videos .* 0.375\)"),
        (39, 1, r"0 of 1 anomalous ones; .* at least two anomalous .* no fraction gives that"),
        (40, 0, r"0 of 0 anomalous ones; .* at least two anomalous .* no fraction gives that"),
        (0, 40, r"0 of 0 normal and 2 of 40 anomalous ones; .* at least two normal .* no fraction gives that"),
    ],
)
def test_too_small_draws_name_the_class_the_counts_and_the_remedy(n_normal, n_anomalous, words):
    with pytest.raises(VadprobeError, match=words):
        draw_videos(training(n_normal, n_anomalous), 0.05, 0)


def test_the_remedy_is_right():
    assert min(counts(draw_videos(training(36, 4), 0.375, 0))) == 2
    with pytest.raises(VadprobeError, match="draws 13 of 36 normal and 1 of 4 anomalous"):
        draw_videos(training(36, 4), 14 / 40, 0)


@pytest.mark.parametrize(
    ("videos", "words"),
    [
        ([replace(video, split="test") for video in training(9, 9)], "none of the 18 videos is in split 'train'"),
        ([*training(9, 9), Video("zz", "", split="train")], "1 of 19 training videos have no label, first 'zz'"),
    ],
)
def test_impossible_draws_are_refused(videos, words):
    with pytest.raises(VadprobeError, match=words):
        draw_videos(videos, 0.5, 0)


def table_of(videos, unit="segment"):
    sampling = Sampling("video", None, 2) if unit == "video" else Sampling("segment", 20, 2)
    return ClipTable.build(videos, [""] * len(videos), sampling)


def four_videos():
    """Clips of 20, 20 and 10 frames each; two anomalous videos with intervals."""
    videos = training(3, 3)
    intervals = (Interval("v0003", 10, 21), Interval("v0004", 45, 99), Interval("v0005", 0, 50))
    return videos, Dataset("made", Path(), tuple(videos), intervals)


def test_whole_videos_are_one_row_each():
    videos, dataset = four_videos()
    table = table_of(videos, "video")
    drawn = [videos[4], videos[1], videos[0], videos[3]]
    got = calibration_rows(table, drawn, dataset, segment_label="video", seed=7, fraction=0.5)
    assert got.rows.tolist() == got.groups.tolist() == [0, 1, 3, 4]
    assert got.labels.tolist() == [0, 0, 1, 1]
    assert (got.unit, got.seed, got.fraction, got.clips_digest) == ("video", 7, 0.5, table.digest)
    assert got.rows.dtype == got.labels.dtype == got.groups.dtype == np.int64


def test_segments_with_the_label_of_their_video():
    videos, dataset = four_videos()
    got = calibration_rows(
        table_of(videos), [videos[0], videos[4]], dataset, segment_label="video", seed=0, fraction=0.5
    )
    assert got.unit == "segment"
    assert got.rows.tolist() == [0, 1, 2, 12, 13, 14]
    assert got.groups.tolist() == [0, 0, 0, 4, 4, 4]
    assert got.labels.tolist() == [0, 0, 0, 1, 1, 1]


def test_segments_with_the_label_of_the_intervals():
    """[10, 21) covers half of clip 0 and one frame of clip 1; [45, 99) covers 5 of the 10 frames of the last clip."""
    videos, dataset = four_videos()
    drawn = [videos[0], videos[3], videos[4], videos[5]]
    got = calibration_rows(table_of(videos), drawn, dataset, segment_label="interval", seed=0, fraction=0.5)
    assert got.labels.tolist() == [0, 0, 0, 1, 0, 0, 0, 0, 1, 1, 1, 1]
    assert (got.segment_label, got.positive_share) == ("interval", 0.5)


@laws(30)
@given(st.permutations(range(6)))
def test_the_order_of_drawn_videos_changes_nothing(order):
    videos, dataset = four_videos()
    got = calibration_rows(
        table_of(videos), [videos[i] for i in order], dataset, segment_label="interval", seed=0, fraction=1.0
    )
    same = calibration_rows(table_of(videos), videos, dataset, segment_label="interval", seed=0, fraction=1.0)
    assert got.to_json() == same.to_json()


def test_rows_that_cannot_be_right_are_refused():
    videos, dataset = four_videos()
    settings_of = {"seed": 0, "fraction": 0.5}
    with pytest.raises(VadprobeError, match="each sample is a whole video"):
        calibration_rows(table_of(videos, "video"), videos, dataset, segment_label="interval", **settings_of)
    bare = replace(dataset, intervals=dataset.intervals[:2])
    with pytest.raises(VadprobeError, match=r"1 of 6 drawn videos are anomalous without an interval.*'v0005'"):
        calibration_rows(table_of(videos), videos, bare, segment_label="interval", **settings_of)
    with pytest.raises(VadprobeError, match="there are 1 anomalous samples"):
        calibration_rows(table_of(videos, "video"), videos[:4], dataset, segment_label="video", **settings_of)


def test_the_digest_covers_the_draw():
    videos, dataset = four_videos()
    got = calibration_rows(table_of(videos), videos, dataset, segment_label="interval", seed=5, fraction=0.1)
    json.dumps(got.to_json(), allow_nan=False)
    assert replace(got, seed=6).digest != got.digest == replace(got).digest
