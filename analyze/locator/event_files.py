"""Files `events.parquet` and `events.json`: the segments that a locator detected, beside the scores."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from vadprobe.analyze.locator.segments import (
    KINDS,
    LocatedTruth,
    VideoSegments,
    cut_segments,
    overlap_with_truth,
)
from vadprobe.store.errors import VadprobeError
from vadprobe.store.files.atomic_files import write_json
from vadprobe.store.files.location import StorePath
from vadprobe.store.files.parquet import metadata_in, names_of, read_parquet, with_metadata, with_notes, write_parquet

EVENTS_PARQUET, EVENTS_JSON = "events.parquet", "events.json"
VERSION = 1
"""Version of both files; it changes when a column changes its name, type or meaning."""

MOST_IN_JSON = 50_000
"""Largest number of segments in the JSON file, about 20 MB; scores of single frames may give many more."""

COLUMNS: Mapping[str, tuple[pa.DataType, str]] = {
    "video_id": (pa.string(), "name of the video"),
    "split": (pa.string(), "split of the video; null without one"),
    "kind": (
        pa.string(),
        "'anomalous': every score strictly above the threshold; 'normal': at or below it; 'unknown': no clip could be "
        "read",
    ),
    "start_frame": (pa.int64(), "first frame, counted from 0"),
    "stop_frame": (pa.int64(), "the frame after the last"),
    "start_second": (pa.float64(), "start_frame over the frame rate; null where that is not known"),
    "stop_second": (pa.float64(), "stop_frame over the frame rate; null where that is not known"),
    "peak_score": (pa.float64(), "highest smoothed score; null if unknown"),
    "peak_frame": (pa.int64(), "middle frame of the earliest run of clips that has it; null if unknown"),
    "mean_score": (pa.float64(), "mean smoothed score over the frames; null if unknown"),
    "true_fraction": (pa.float64(), "share of the frames that are truly anomalous; null where the truth is unknown"),
    "iou": (
        pa.float64(),
        "greatest IoU of an anomalous segment with a true interval, 0 where it meets none; null for other kinds, and "
        "where the truth is unknown",
    ),
}
"""Type and meaning of every column, in order."""

_SCHEMA = pa.schema([(name, kind) for name, (kind, _) in COLUMNS.items()])
_METADATA = "events"


@dataclass(frozen=True, eq=False)
class ScoredVideos:
    """Clips of videos with smoothed scores, in order of time within each video, and facts of the videos.

    `names`, `splits` and `fps` (NaN if not known) have one entry per video, and `codes` (n,) indexes them.
    `start_frames`, `stop_frames` and `scores` (n,) have one entry per clip.
    """

    names: Sequence[str]
    splits: Sequence[str | None]
    fps: np.ndarray
    codes: np.ndarray
    start_frames: np.ndarray
    stop_frames: np.ndarray
    scores: np.ndarray

    @property
    def n_frames(self) -> np.ndarray:
        """Frame behind the last clip of each video, (videos,); 0 for a video without clips."""
        found = np.zeros(len(self.names), dtype=np.int64)
        np.maximum.at(found, self.codes, self.stop_frames)
        return found


def events_table(videos: ScoredVideos, threshold: float, truth: LocatedTruth) -> pa.Table:
    """Return one row per segment, sorted by video and start, with the columns `COLUMNS`.

    Args:
        videos: the clips with their smoothed scores.
        threshold: a score strictly above it is anomalous.
        truth: known anomalies, which give each segment's overlap with the truth.
    """
    found = cut_segments(videos.scores, videos.start_frames, videos.stop_frames, videos.codes, threshold)
    fractions, ious = overlap_with_truth(found, truth)
    fps = np.asarray(videos.fps, dtype=np.float64)[found.groups]
    columns = {
        "video_id": names_of(videos.names, found.groups),
        "split": names_of(videos.splits, found.groups),
        "kind": names_of(KINDS, found.kinds),
        "start_frame": found.start_frames,
        "stop_frame": found.stop_frames,
        "start_second": _nulls(found.start_frames / fps),
        "stop_second": _nulls(found.stop_frames / fps),
        **_scores(found),
        "true_fraction": _nulls(fractions),
        "iou": _nulls(ious),
    }
    return pa.table(columns, schema=_SCHEMA)


def _scores(found: VideoSegments) -> dict[str, pa.Array]:
    return {
        "peak_score": _nulls(found.peaks),
        "peak_frame": pa.array(found.peak_frames, pa.int64(), mask=found.peak_frames < 0),
        "mean_score": _nulls(found.means),
    }


def _nulls(values: np.ndarray) -> pa.Array:
    return pa.array(values, pa.float64(), mask=np.isnan(values))


def write_events(table: pa.Table, folder: Path, origin: Mapping[str, Any], notes: Sequence[str] = ()) -> None:
    """Write both files, each whole or not at all.

    Args:
        table: from `events_table`.
        folder: of the results.
        origin: facts about the scores, as plain JSON values: dataset, preset, `sigma` and `threshold`.
        notes: what a reader must know.
    """
    head = {"version": VERSION, **origin}
    write_parquet(with_notes(with_metadata(table, _METADATA, head), notes), folder / EVENTS_PARQUET)
    kinds = pc.value_counts(table["kind"]).to_pylist()
    counts = dict.fromkeys(KINDS, 0) | {found["values"]: found["counts"] for found in kinds}
    fits = table.num_rows <= MOST_IN_JSON
    left_out = () if fits else (f"The {table.num_rows} segments are in {EVENTS_PARQUET} alone: too many for JSON.",)
    write_json(
        folder / EVENTS_JSON,
        {
            **head,
            "notes": [*notes, *left_out],
            "columns": {name: meaning for name, (_, meaning) in COLUMNS.items()},
            "counts": counts,
            "segments": table.to_pylist() if fits else None,
        },
    )


def read_events(path: StorePath) -> pa.Table:
    """Read `events.parquet`.

    Raises:
        FileNotFoundError: if there is none.
        VadprobeError: if it cannot be read, or is of another version.
    """
    try:
        table = read_parquet(path)
    except FileNotFoundError:
        raise
    except (OSError, pa.ArrowException) as error:
        raise VadprobeError(f"the events {path} cannot be read ({error}); analyze again.") from error
    version = (metadata_in(table.schema, _METADATA) or {}).get("version")
    if version != VERSION:
        raise VadprobeError(f"the events {path} must be of version {VERSION}, got {version}; analyze again.")
    return table


def dataset_of(table: pa.Table) -> str:
    """Return the name of the dataset of events that `read_events` read."""
    return str(metadata_in(table.schema, _METADATA).get("dataset"))
