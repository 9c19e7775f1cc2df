"""Captions that are shown: drawn by a seed, half of anomalies, each with its truth beside it."""

from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest

from vadprobe.flows.jobs.texts.captions import caption_lines, sampled_captions
from vadprobe.store.datasets.dataset import Dataset
from vadprobe.store.datasets.video import Interval, Video
from vadprobe.store.files.parquet import write_parquet


@pytest.fixture
def truth() -> Dataset:
    videos = (
        Video("a", "a.mp4", 96, 25.0, "test", 1, "Fall"),
        Video("b", "b.mp4", 96, 25.0, "test", 0, "Normal"),
        Video("c", "c.mp4", 96, 25.0, "validation", 0, "Normal"),
    )
    return Dataset("set", Path(), videos, (Interval("a", 36, 84, "Fall"),))


@pytest.fixture
def texts(tmp_path: Path, truth: Dataset) -> Path:
    rows = [
        {"video_id": v.video_id, "split": v.split, "start_frame": s, "stop_frame": s + 24, "text": f"{v.video_id} {s}"}
        for v in truth.videos
        for s in range(0, 96, 24)
    ]
    write_parquet(pa.Table.from_pylist(rows), tmp_path / "texts.parquet")
    return tmp_path / "texts.parquet"


def test_the_truth_is_that_of_the_frames(texts: Path, truth: Dataset) -> None:
    less = replace(truth, intervals=(Interval("a", 40, 73, "Fall"),))
    found = sampled_captions(texts, less, seed=0, count=20)
    assert {one.start_frame: one.truth for one in found if one.video_id == "a"} == {
        0: "nothing",
        24: "partly Fall",
        48: "Fall",
        72: "partly Fall",
    }
    assert [one.truth for one in found if one.video_id == "b"] == ["nothing"] * 4
    assert {one.video_id for one in found} == {"a", "b"}
    for one in found:
        assert one.text == f"{one.video_id} {one.start_frame}"
    exactly_half = replace(truth, intervals=(Interval("a", 36, 48, "Fall"),))
    assert [one.truth for one in sampled_captions(texts, exactly_half, seed=0, count=20) if one.has_event] == ["Fall"]


def test_a_seed_draws_the_same_and_half_of_each(texts: Path, truth: Dataset) -> None:
    first = sampled_captions(texts, truth, seed=3, count=4)
    assert first == sampled_captions(texts, truth, seed=3, count=4)
    assert [one.truth for one in first] == ["Fall", "Fall", "nothing", "nothing"]
    assert any(sampled_captions(texts, truth, seed, 4) != first for seed in range(5))
    lines = list(caption_lines(first))
    assert lines[0].startswith("4 test segments, drawn by a seed: 2 with an anomaly (half")
    assert all(one.text in "\n".join(lines) for one in first)


def test_without_labels_nothing_is_claimed(texts: Path, truth: Dataset) -> None:
    unknown = replace(truth, videos=tuple(replace(video, label=None) for video in truth.videos), intervals=())
    found = sampled_captions(texts, unknown, seed=0, count=6)
    assert [one.truth for one in found] == ["unknown"] * 6
