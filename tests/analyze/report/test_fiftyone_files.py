"""Files for FiftyOne: frames from 1 and both included, every scored video, confidences of events and clips."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa

from tests.support.builders import all_features, committed_store
from vadprobe.analyze.report.fiftyone_files import write_embeddings, write_fiftyone
from vadprobe.analyze.saliency.selection import Selection
from vadprobe.store.datasets.dataset import Dataset
from vadprobe.store.datasets.video import Interval, Video
from vadprobe.store.reading.feature_store import FeatureStore


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


def test_embeddings_are_what_the_detector_reads_of_every_scored_clip(tmp_path: Path) -> None:
    store = FeatureStore.open(committed_store(tmp_path, 300).path)
    rows = [205, 3, 200, 102]
    clips = [store.clips.clip(row) for row in rows]
    scores = pa.table(
        {
            "video_id": [clip.video_id for clip in clips],
            "start_frame": [clip.start_frame for clip in clips],
            "score": [0.5, 0.1, float("nan"), 0.9],
        }
    )
    videos = {clip.video_id: f"/videos/{clip.video_id}.mp4" for clip in clips}
    selection = Selection("head", "heads", ((1, 2), (0, 0)))
    array, index = write_embeddings(store, selection, scores, videos, tmp_path)
    wanted = all_features(store.spec, "head_outputs")[:, [1, 0], [2, 0]]
    order = sorted((205, 3, 102), key=lambda row: (store.clips.clip(row).video_id, store.clips.clip(row).start_frame))
    found = np.load(array)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, wanted[order].reshape(3, -1))
    told = json.loads(index.read_text())
    assert (told["unit"], told["indices"]) == ("head", [[1, 2], [0, 0]])
    for row, clip in zip(order, told["clips"], strict=True):
        it = store.clips.clip(row)
        assert clip == {
            "video_id": it.video_id, "filepath": videos[it.video_id], "support": [it.start_frame + 1, it.stop_frame],
        }  # fmt: skip
