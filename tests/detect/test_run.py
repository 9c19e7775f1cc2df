"""A detection in several videos: files that are valid at every moment, and videos that cannot be read."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from tests.detect.conftest import Cached
from tests.detect.test_detector import Pictures, written
from vadprobe.detect import Detector, Event
from vadprobe.detect.run import Target, detect_in, targets_in
from vadprobe.detect.sources.frames import SourceError
from vadprobe.detect.sources.options import SourceOptions
from vadprobe.store.errors import VadprobeError


def named(*paths: Path) -> list[Target]:
    return list(targets_in([str(path) for path in paths], SourceOptions()))


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture
def detector(cached: Cached, tmp_path: Path) -> Any:
    with Detector.load(written(cached.detector("head"), tmp_path), device="cpu", threads=1) as loaded:
        yield loaded


class Broken(Pictures):
    def frames(self) -> Any:
        for frame in super().frames():
            if frame.index == 12:
                raise SourceError("the camera is gone")
            yield frame


def test_what_cannot_be_read_has_its_reason_and_the_next_video_goes_on(
    detector: Detector, video_folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "noise.mp4").write_bytes(b"no video at all" * 99)
    targets = [
        *named(tmp_path / "noise.mp4"),
        Target("camera", Broken(video_folder / "first.mp4")),
        *named(video_folder),
    ]
    out, seen = tmp_path / "out", []
    summary = detect_in(detector, targets, out, found=seen.append)
    assert not summary.is_whole
    assert [bool(video.reason) for video in summary.videos] == [True, True, False, False, False]
    assert [video.n_segments for video in summary.videos] == [0, 1, 3, 5, 1]
    scores, events = lines(out / "scores.jsonl"), lines(out / "events.jsonl")
    assert len(scores) == 10
    assert scores[0]["video"] == "camera"
    assert {"segment", "start_second", "score", "smoothed", "state"} <= scores[0].keys()
    assert len(events) == sum(isinstance(item, Event) for item in seen) > 0
    with (out / "events.csv").open() as table:
        assert [int(row["start_frame"]) for row in csv.DictReader(table)] == [e["start_frame"] for e in events]
    kept = json.loads((out / "summary.json").read_text())
    assert kept["videos"][1]["reason"] == "the camera is gone"
    assert kept["videos"][3]["latency_p95"] >= kept["videos"][3]["latency_p50"] > 0
    assert kept["videos"][3]["video_seconds"] == pytest.approx(3.3)
    assert (kept["smoothing"], kept["delay_segments"], kept["interrupted"]) == ("offline", 3, False)
    assert any("ended early: the camera is gone" in line for line in summary.lines())
    with pytest.raises(VadprobeError, match="holds an earlier detection"):
        detect_in(detector, targets, out)
    assert len(detect_in(detector, targets[2:], out, overwrite=True).videos) == 3
    assert len(lines(out / "scores.jsonl")) == 9


def test_an_interrupted_detection_leaves_valid_files(detector: Detector, video_folder: Path, tmp_path: Path) -> None:
    def interrupt(item: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        detect_in(detector, named(video_folder / "second.mp4"), tmp_path / "out", found=interrupt)
    assert len(lines(tmp_path / "out" / "scores.jsonl")) + len(lines(tmp_path / "out" / "events.jsonl")) == 1
    kept = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert kept["interrupted"] is True
    assert (tmp_path / "out" / "events.csv").read_text().startswith("video,start_frame")


class Interrupted(Pictures):
    def frames(self) -> Any:
        for frame in super().frames():
            if frame.index == 17:
                raise KeyboardInterrupt
            yield frame


def test_an_interrupted_stream_gives_what_waited_for_its_neighbours(
    detector: Detector, video_folder: Path, tmp_path: Path
) -> None:
    with pytest.raises(KeyboardInterrupt):
        detect_in(detector, [Target("camera", Interrupted(video_folder / "second.mp4"))], tmp_path / "out")
    assert [line["segment"] for line in lines(tmp_path / "out" / "scores.jsonl")] == [0, 1]


def test_videos_are_named_by_their_files_and_told_apart(tmp_path: Path) -> None:
    for name in ("a/x.mp4", "b/x.mp4", "b/y.avi", "b/notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    targets = named(tmp_path / "b", tmp_path / "a" / "x.mp4")
    assert [target.name for target in targets] == [str(tmp_path / "b/x.mp4"), "y.avi", str(tmp_path / "a/x.mp4")]
    (tmp_path / "empty").mkdir()
    with pytest.raises(VadprobeError, match="holds no video"):
        named(tmp_path / "empty")
    with pytest.raises(VadprobeError, match="does not exist"):
        named(tmp_path / "none.mp4")
