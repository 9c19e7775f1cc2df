"""Files for FiftyOne: frames from 1 and both included, every scored video, confidences of events and clips."""

import json
from pathlib import Path

import pyarrow as pa

from vadprobe.analyze.report.fiftyone_files import write_fiftyone
from vadprobe.store.datasets.dataset import Dataset
from vadprobe.store.datasets.video import Interval, Video


def test_intervals_events_and_clips_are_temporal_detections(tmp_path: Path) -> None:
    videos = [Video(name, f"sub/{name}.mp4", 72, 25.0, "test", label) for name, label in (("a", 1), ("b", 0), ("c", 1))]
    intervals = (Interval("a", 24, 48, "Fight"), Interval("a", 60, 61), Interval("c", 0, 5))
    truth = Dataset("set", tmp_path, tuple(videos), intervals)
    nan = float("nan")
    scores = pa.table(
        {
            "video_id": ["a", "a", "b"],
            "start_frame": [0, 24, 0],
            "stop_frame": [24, 48, 24],
            "score": [0.25, 0.75, nan],
        }
    )
    events = pa.table(
        {
            "video_id": ["a", "a"],
            "kind": ["normal", "anomalous"],
            "start_frame": [0, 24],
            "stop_frame": [24, 48],
            "peak_score": [0.25, 0.75],
        }
    )
    paths = write_fiftyone(truth, scores, events, tmp_path, tmp_path / "out")
    data, true, detected, clips = (json.loads(path.read_text()) for path in paths)
    assert data == {name: str(tmp_path / "sub" / f"{name}.mp4") for name in "ab"}
    assert true["classes"] == ["Fight", "anomalous"]
    assert true["labels"] == {"a": [{"label": 0, "support": [25, 48]}, {"label": 1, "support": [61, 61]}], "b": []}
    assert detected["labels"]["a"] == [{"label": 0, "support": [25, 48], "confidence": 0.75}]
    assert [one["support"] for one in clips["labels"]["a"]] == [[1, 24], [25, 48]]
    assert clips["labels"]["b"] == []
