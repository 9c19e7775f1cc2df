"""The trivial baselines, against the values known for the real test sets and a frame-by-frame rewrite."""

import csv
import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference_evaluation import NO_SHARED, SHARED, frame_counts, metrics_on_frames

from vadprobe.analyze.baselines import trivial_baselines
from vadprobe.store.annotations import annotate, label_by_name, read_ucf_crime, read_xd_violence, xd_violence_name
from vadprobe.store.datasets import Dataset
from vadprobe.store.errors import VadprobeError
from vadprobe.store.records import Interval, Video

needs_shared = pytest.mark.skipif(not SHARED.is_dir(), reason=NO_SHARED)


def dataset_of(lengths, anomalies):
    """Videos of the given lengths; ``anomalies`` maps a video's position to its interval."""
    videos = tuple(Video(f"v{i}", "", n_frames=length, label=int(i in anomalies)) for i, length in enumerate(lengths))
    return Dataset("made", SHARED, videos, tuple(Interval(f"v{i}", *span) for i, span in anomalies.items()))


def by_frames(dataset):
    truth, rows = [], {"video_flat": [], "shorter": [], "centre": []}
    for video in dataset.videos:
        for frame in range(video.n_frames):
            inside = [i.start_frame <= frame < i.stop_frame for i in dataset.intervals_of(video.video_id)]
            truth.append(int(any(inside)))
            rows["video_flat"].append(video.label)
            rows["shorter"].append(-video.n_frames)
            rows["centre"].append(-abs(frame - video.n_frames / 2) / video.n_frames)
    return {name: metrics_on_frames(np.array(truth), np.array(values)) for name, values in rows.items()}


def real_dataset(name):
    folder = {"ucf": "ucf-crime", "xd": "xd-violence"}[name]
    videos = tuple(Video(video, "", n_frames=frames) for video, frames in frame_counts(folder).items())
    dataset = Dataset(name, SHARED, videos)
    if name == "ucf":
        lines = read_ucf_crime(SHARED / folder / "Temporal_Anomaly_Annotation_for_Testing_Videos.txt")
    else:
        dataset = label_by_name(dataset, xd_violence_name)
        lines = read_xd_violence(SHARED / folder / "annotations.txt")
    return annotate(dataset, lines)


@needs_shared
@pytest.mark.parametrize("name", ["ucf", "xd"])
def test_the_real_test_sets_give_the_known_values(name):
    """All five printed digits, of three metrics and three baselines."""
    expected = json.loads((SHARED / "expected.json").read_text())["trivial"][name]
    dataset = real_dataset(name)
    got = trivial_baselines(dataset, dataset.videos)
    assert got.keys() == expected.keys()
    for baseline, values in expected.items():
        measured = [got[baseline][metric] for metric in ("auc", "ap", "ap_trapezoid")]
        np.testing.assert_allclose(measured, values, rtol=0, atol=6e-6, err_msg=baseline)


lengths_and_anomalies = st.lists(st.integers(1, 12), min_size=2, max_size=5).flatmap(
    lambda lengths: st.tuples(
        st.just(lengths),
        st.dictionaries(st.integers(1, len(lengths) - 1), st.tuples(st.integers(0, 3), st.integers(1, 9)), min_size=1),
    )
)


@settings(max_examples=50, deadline=None)
@given(lengths_and_anomalies, st.randoms(use_true_random=False))
def test_equal_to_frames_one_by_one_in_any_order_of_videos(sample, random):
    lengths, anomalies = sample
    spans = {
        i: (min(start, lengths[i] - 1), min(start, lengths[i] - 1) + width) for i, (start, width) in anomalies.items()
    }
    dataset = dataset_of(lengths, spans)
    expected = by_frames(dataset)
    videos = list(dataset.videos)
    random.shuffle(videos)
    for name, metrics in trivial_baselines(dataset, videos).items():
        np.testing.assert_allclose(list(metrics.values()), expected[name], rtol=0, atol=1e-12)


def test_only_the_listed_videos_count():
    dataset = dataset_of([10, 20, 30], {1: (5, 9), 2: (0, 30)})
    alone = dataset_of([10, 20], {1: (5, 9)})
    assert trivial_baselines(dataset, dataset.videos[:2]) == trivial_baselines(alone, alone.videos)


def test_one_class_is_nan():
    dataset = dataset_of([10, 20], {})
    values = [value for metrics in trivial_baselines(dataset, dataset.videos).values() for value in metrics.values()]
    assert len(values) == 9
    assert all(math.isnan(value) for value in values)


def test_a_fully_anomalous_video_is_found_perfectly_by_its_label_and_not_at_all_by_the_centre():
    dataset = dataset_of([10, 10], {1: (0, 10)})
    got = trivial_baselines(dataset, dataset.videos)
    assert got["video_flat"] == {"auc": 1.0, "ap": 1.0, "ap_trapezoid": 1.0}
    assert got["shorter"]["auc"] == got["centre"]["auc"] == 0.5


@pytest.mark.parametrize("gap", [{"n_frames": None, "label": 0}, {"n_frames": 5, "label": None}])
def test_unknown_frame_counts_and_labels_are_refused_by_name(gap):
    videos = (Video("whole", "", n_frames=4, label=0), Video("gap", "", **gap))
    with pytest.raises(VadprobeError, match="1 of 2 videos have no frame count or no label, first 'gap'"):
        trivial_baselines(Dataset("made", SHARED, videos), videos)


def test_no_video_is_an_error():
    with pytest.raises(VadprobeError, match="0 frames"):
        trivial_baselines(Dataset("made", SHARED, ()), ())


@needs_shared
def test_the_frame_counts_are_read_as_stated():
    with (SHARED / "xd-violence" / "test_frame_counts.csv").open() as file:
        assert sum(int(row["frames"]) for row in csv.DictReader(file)) == 2335801
