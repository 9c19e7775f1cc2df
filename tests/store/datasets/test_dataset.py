"""Datasets: names are unique, truth marks exactly the annotated frames, manifests survive Parquet, folders are read."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.profiles import laws
from tests.support.strategies import MODERATE, intervals, video_lists
from vadprobe.store.datasets.dataset import Dataset, read_manifest, write_manifest
from vadprobe.store.datasets.video import SPLITS, Interval, Video
from vadprobe.store.errors import VadprobeError


@st.composite
def datasets(draw):
    """Datasets of a few videos, some annotated."""
    videos = draw(video_lists())
    names = st.sampled_from([video.video_id for video in videos]) if videos else st.nothing()
    found = draw(st.lists(intervals(names), max_size=6)) if videos else []
    return Dataset("any", Path("videos"), tuple(videos), tuple(found))


def one_video(*found, **changes):
    return Dataset("day", Path("videos"), (Video("a", "a.mp4", 20, 25.0, **changes),), found)


@MODERATE
@given(datasets(), st.integers(0, 300))
def test_truth_marks_exactly_the_frames_of_the_intervals(dataset, n_frames):
    for video in dataset.videos:
        truth = dataset.truth(video.video_id, n_frames)
        assert truth.dtype == np.bool_
        mine = [interval for interval in dataset.intervals if interval.video_id == video.video_id]
        starts = [one.start_frame for one in dataset.intervals_of(video.video_id)]
        assert starts == sorted(one.start_frame for one in mine)
        for frame in range(n_frames):
            assert truth[frame] == any(one.start_frame <= frame < one.stop_frame for one in mine)


def test_an_interval_is_cut_at_the_end_of_the_video():
    dataset = one_video(Interval("a", 5, 7), Interval("a", 18, 100), Interval("a", 50, 60))
    assert np.flatnonzero(dataset.truth("a", 20)).tolist() == [5, 6, 18, 19]
    assert dataset.truth("a", 0).tolist() == []
    assert one_video().truth("a", 3).tolist() == [False] * 3


def test_one_interval_may_be_annotated_with_and_without_category():
    dataset = one_video(Interval("a", 5, 7), Interval("a", 5, 7, "fire"))
    assert dataset.truth("a", 20).sum() == 2


@MODERATE
@given(datasets())
def test_every_video_is_in_one_split_and_found_by_name(dataset):
    assert sorted(video.video_id for split in SPLITS for video in dataset.of_split(split)) == sorted(dataset.by_id)
    assert all(dataset.by_id[video.video_id] is video for video in dataset.videos)
    for split in SPLITS:
        positions = [dataset.videos.index(video) for video in dataset.of_split(split)]
        assert positions == sorted(positions)


@MODERATE
@given(datasets(), st.randoms(use_true_random=False))
def test_the_truth_digest_ignores_order_and_what_is_not_truth(dataset, random):
    videos = [replace(video, path="moved.mp4", n_frames=None, fps=None, category=None) for video in dataset.videos]
    found = list(dataset.intervals)
    random.shuffle(videos)
    random.shuffle(found)
    assert Dataset("other", Path("moved"), tuple(videos), tuple(found)).truth_digest == dataset.truth_digest


def test_the_truth_digest_changes_with_the_truth():
    variants = [
        one_video(),
        one_video(label=0),
        one_video(label=1),
        one_video(split="train"),
        one_video(Interval("a", 5, 7)),
        one_video(Interval("a", 5, 8)),
        one_video(Interval("a", 4, 7)),
        one_video(Interval("a", 5, 7), Interval("a", 5, 7)),
        Dataset("day", Path("videos"), (Video("b", "a.mp4", 20, 25.0),)),
    ]
    assert len({variant.truth_digest for variant in variants}) == len(variants)


def test_two_videos_of_one_name_are_refused():
    videos = (Video("a", "x/a.mp4"), Video("b", "b.mp4"), Video("a", "y/a.avi"))
    with pytest.raises(VadprobeError, match=r"'day': 1 video names .* first 'a' \(x/a.mp4, y/a.avi\).*rename"):
        Dataset("day", Path("videos"), videos)


def test_an_annotation_of_an_unknown_video_is_refused():
    with pytest.raises(VadprobeError, match=r"'day': 2 annotated videos are not among the 1 videos, first 'b'"):
        one_video(Interval("a", 0, 1), Interval("c", 0, 1), Interval("b", 0, 1))


@laws(25)
@given(datasets())
def test_a_manifest_survives_parquet(tmp_path_factory, dataset):
    folder = tmp_path_factory.getbasetemp() / "manifest"
    write_manifest(dataset, folder)
    assert read_manifest("any", Path("videos"), folder) == dataset
    assert sorted(path.name for path in folder.iterdir()) == ["intervals.parquet", "videos.parquet"]


@pytest.fixture
def manifest(tmp_path):
    """A folder with the manifest of one annotated video."""
    write_manifest(one_video(Interval("a", 5, 7), label=1), tmp_path)
    return tmp_path


def test_columns_a_manifest_does_not_know_are_ignored(manifest):
    table = pq.read_table(manifest / "videos.parquet").append_column("camera", pa.array(["north"]))
    pq.write_table(table.drop_columns(["category", "fps"]), manifest / "videos.parquet")
    (video,) = read_manifest("day", Path("videos"), manifest).videos
    assert video == Video("a", "a.mp4", 20, None, label=1)


@pytest.mark.parametrize(
    ("name", "column"), [("videos", "video_id"), ("videos", "path"), ("videos", "split"), ("intervals", "stop_frame")]
)
def test_a_manifest_without_a_column_is_refused(manifest, name, column):
    path = manifest / f"{name}.parquet"
    pq.write_table(pq.read_table(path).drop_columns([column]), path)
    with pytest.raises(VadprobeError, match=rf"{path} lacks the columns {column}; it has .*category"):
        read_manifest("day", Path("videos"), manifest)


@pytest.mark.parametrize("name", ["videos", "intervals"])
def test_a_manifest_that_is_damaged_or_missing_is_named(manifest, name):
    path = manifest / f"{name}.parquet"
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(VadprobeError, match=rf"{path} is not readable as Parquet"):
        read_manifest("day", Path("videos"), manifest)
    path.unlink()
    with pytest.raises(VadprobeError, match=rf"no file {name}.parquet \({path}\); 'manifest' in \[dataset\], or --ann"):
        read_manifest("day", Path("videos"), manifest)


def test_wrong_values_of_a_manifest_are_refused(manifest):
    path = manifest / "videos.parquet"
    table = pq.read_table(path)
    position = table.column_names.index("split")
    pq.write_table(table.set_column(position, "split", pa.array(["testing"])), path)
    with pytest.raises(VadprobeError, match=r"'a': split must be one of train, validation, test, got 'testing'"):
        read_manifest("day", Path("videos"), manifest)
