"""Export of results as JSON files that FiftyOne reads as temporal detections; FiftyOne is not needed to write them.

`data.json` names the video files. `truth.json`, `events.json` and `clips.json` hold detections by the same names, each
with its first and last frame, counted from 1 and both included, as in FiftyOne. `embeddings.npy` holds the features of
every clip that the detector reads, `embeddings.json` the clip of each row.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from vadprobe.analyze.features.selected import n_selected, read_stored
from vadprobe.analyze.saliency.selection import Selection
from vadprobe.store.datasets.dataset import Dataset
from vadprobe.store.exchange.array_files import write_npy
from vadprobe.store.files.atomic_files import write_json
from vadprobe.store.reading.feature_store import FeatureStore

_Found = tuple[str, str, int, int, float | None]
"""(video, label, first frame, frame after the last, confidence), with frames counted from 0."""

FILES = ("data.json", "truth.json", "events.json", "clips.json")
"""Names of the files."""

EMBEDDINGS = ("embeddings.npy", "embeddings.json")
"""Names of the files of embeddings."""

_ROWS = 1024


def write_fiftyone(truth: Dataset, scores: pa.Table, events: pa.Table, videos: Path, folder: Path) -> tuple[Path, ...]:
    """Write the scored videos of an analysis in the form of `FiftyOneTemporalDetectionDataset`.

    Args:
        truth: videos with their intervals.
        scores: rows of `scores.parquet`; each clip becomes a detection "clip" with its score as confidence.
        events: rows of `events.parquet`; anomalous segments become detections with their highest score as confidence.
        videos: folder of the video files.
        folder: folder to write to; created if missing.

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
        if not _is_unknown(row["score"])
    ]
    found = {name: str((videos / truth.by_id[name].path).absolute()) for name in names if name in truth.by_id}
    contents: Sequence[Mapping[str, Any]] = (found, *(_detections(names, part) for part in (labelled, segments, clips)))
    folder.mkdir(parents=True, exist_ok=True)
    paths = tuple(folder / name for name in FILES)
    for path, content in zip(paths, contents, strict=True):
        write_json(path, dict(content))
    return paths


def write_embeddings(
    store: FeatureStore, selection: Selection, scores: pa.Table, videos: Mapping[str, str], folder: Path
) -> tuple[Path, ...]:
    """Write the features that a detector reads, of every clip in `clips.json`, as one array.

    `embeddings.npy` is (clips, features) float32, sorted by video name and first frame. `embeddings.json` has, for each
    row, the video, its file, and the first and last frame of the clip as in `clips.json`.

    Args:
        store: the scored features.
        selection: layers or heads that the detector reads.
        scores: rows of `scores.parquet`.
        videos: file of each video by name, as in `data.json`.
        folder: folder to write to.

    Returns:
        The paths, in the order of `EMBEDDINGS`.
    """
    wanted = scores.select(["video_id", "start_frame", "score"]).to_pylist()
    known = {(row["video_id"], row["start_frame"]) for row in wanted if not _is_unknown(row["score"])}
    rows = [(store.clips.clip(row), row) for row in store.clips.rows_of({name for name, _ in known}).tolist()]
    found = sorted(
        (clip.video_id, clip.start_frame, clip.stop_frame, row)
        for clip, row in rows
        if (clip.video_id, clip.start_frame) in known
    )
    numbers = np.array([row for *_, row in found], dtype=np.int64)
    spans = (numbers[first : first + _ROWS] for first in range(0, len(numbers), _ROWS))
    blocks = (read_stored(store, selection, span).astype(np.float32) for span in spans)
    array, index = (folder / name for name in EMBEDDINGS)
    write_npy(array, (len(numbers), n_selected(store, selection)), np.dtype(np.float32), blocks)
    clips = [
        {"video_id": name, "filepath": videos.get(name), "support": [start + 1, stop]} for name, start, stop, _ in found
    ]
    write_json(index, {"unit": selection.unit, "indices": [list(i) for i in selection.indices], "clips": clips})
    return array, index


def _is_unknown(score: float | None) -> bool:
    return score is None or math.isnan(score)


def _detections(names: Iterable[str], found: Sequence[_Found]) -> dict[str, Any]:
    """Return detections by video; a video without one has an empty list."""
    classes = sorted({label for _, label, *_ in found})
    labels: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
    for name, label, start, stop, confidence in found:
        # FiftyOne counts [first, last] from 1, so the half-open frames [a, b) from 0 become [a + 1, b].
        detection: dict[str, Any] = {"label": classes.index(label), "support": [start + 1, stop]}
        labels[name].append(detection if confidence is None else {**detection, "confidence": confidence})
    return {"classes": classes, "labels": labels}
