"""Results in the JSON files that FiftyOne reads as temporal detections; FiftyOne itself is not needed to write them.

`data.json` names the video files; `truth.json`, `events.json` and `clips.json` hold detections by the same names, each
with its first and last frame, counted from 1 and both included, as FiftyOne counts.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from vadprobe.store.datasets.dataset import Dataset
from vadprobe.store.files.atomic_files import write_json

_Found = tuple[str, str, int, int, float | None]
"""Video, label, first frame, the frame after the last, both from 0, and a confidence."""

FILES = ("data.json", "truth.json", "events.json", "clips.json")
"""Names of the files."""


def write_fiftyone(truth: Dataset, scores: pa.Table, events: pa.Table, videos: Path, folder: Path) -> tuple[Path, ...]:
    """Write the scored videos of an analysis as `FiftyOneTemporalDetectionDataset` has them.

    Args:
        truth: videos with their intervals.
        scores: as in `scores.parquet`; a clip becomes a detection "clip" with its score as confidence.
        events: as in `events.parquet`; the anomalous segments become detections with their highest score.
        videos: folder of the video files.
        folder: where the files are written; made if missing.

    Returns:
        The paths, in the order of `FILES`.
    """
    names = list(dict.fromkeys(scores["video_id"].to_pylist()))
    intervals = [i for i in truth.intervals if i.video_id in set(names)]
    labelled = [(i.video_id, i.category or "anomalous", i.start_frame, i.stop_frame, None) for i in intervals]
    segments = [
        (row["video_id"], "anomalous", row["start_frame"], row["stop_frame"], row["peak_score"])
        for row in events.to_pylist()
        if row["kind"] == "anomalous"
    ]
    clips = [
        (row["video_id"], "clip", row["start_frame"], row["stop_frame"], row["score"])
        for row in scores.select(["video_id", "start_frame", "stop_frame", "score"]).to_pylist()
        if row["score"] is not None and not math.isnan(row["score"])
    ]
    found = {name: str((videos / truth.by_id[name].path).absolute()) for name in names if name in truth.by_id}
    contents: Sequence[Mapping[str, Any]] = (found, *(_detections(names, part) for part in (labelled, segments, clips)))
    folder.mkdir(parents=True, exist_ok=True)
    paths = tuple(folder / name for name in FILES)
    for path, content in zip(paths, contents, strict=True):
        write_json(path, dict(content))
    return paths


def _detections(names: Iterable[str], found: Sequence[_Found]) -> dict[str, Any]:
    """Return detections by video; a video without one has an empty list."""
    classes = sorted({label for _, label, *_ in found})
    labels: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
    for name, label, start, stop, confidence in found:
        # FiftyOne's support is [first, last], counted from 1: the half-open frames [a, b) from 0 are [a + 1, b].
        detection: dict[str, Any] = {"label": classes.index(label), "support": [start + 1, stop]}
        labels[name].append(detection if confidence is None else {**detection, "confidence": confidence})
    return {"classes": classes, "labels": labels}
