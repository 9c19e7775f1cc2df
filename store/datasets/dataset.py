"""A dataset: videos with splits and labels, their anomalous intervals, and the folder of their files.

Labels live here and never in a feature store, so a corrected annotation costs no GPU time.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from vadprobe.store.datasets.video import Interval, Split, Video
from vadprobe.store.errors import VadprobeError
from vadprobe.store.files.atomic_files import read_json
from vadprobe.store.files.digests import digest_json
from vadprobe.store.files.parquet import read_parquet, write_parquet


@dataclass(frozen=True)
class Dataset:
    """Videos and their ground truth. Paths of videos are relative to `folder`.

    `missing` names videos of the dataset without a file. `held_out` names test videos that were moved to the validation
    split.
    """

    name: str
    folder: Path
    videos: tuple[Video, ...]
    intervals: tuple[Interval, ...] = ()
    missing: tuple[str, ...] = ()
    held_out: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        counts = Counter(video.video_id for video in self.videos)
        twice = sorted(video_id for video_id, count in counts.items() if count > 1)
        if twice:
            paths = [video.path for video in self.videos if video.video_id == twice[0]]
            raise VadprobeError(
                f"dataset {self.name!r}: {len(twice)} video names occur more than once, first {twice[0]!r} "
                f"({', '.join(paths)}). Scores are joined by name, so rename one of the files."
            )
        unknown = sorted({interval.video_id for interval in self.intervals} - counts.keys())
        if unknown:
            raise VadprobeError(
                f"dataset {self.name!r}: {len(unknown)} annotated videos are not among the {len(self.videos)} videos, "
                f"first {unknown[0]!r}. Check the video folder and the annotation's names."
            )

    @cached_property
    def by_id(self) -> dict[str, Video]:
        """Videos by name."""
        return {video.video_id: video for video in self.videos}

    def of_split(self, split: Split) -> tuple[Video, ...]:
        """Return the videos of one split, in the dataset's order."""
        return tuple(video for video in self.videos if video.split == split)

    def intervals_of(self, video_id: str) -> tuple[Interval, ...]:
        """Return the anomalous intervals of one video, by start."""
        return self._by_video.get(video_id, ())

    @cached_property
    def _by_video(self) -> dict[str, tuple[Interval, ...]]:
        found: dict[str, list[Interval]] = {}
        for interval in sorted(self.intervals, key=lambda interval: (interval.start_frame, interval.stop_frame)):
            found.setdefault(interval.video_id, []).append(interval)
        return {video_id: tuple(intervals) for video_id, intervals in found.items()}

    def truth(self, video_id: str, n_frames: int) -> np.ndarray:
        """Return (n_frames,) bool, True where a frame is anomalous; intervals are cut at the end of the video."""
        truth = np.zeros(n_frames, dtype=bool)
        for interval in self.intervals_of(video_id):
            truth[interval.start_frame : interval.stop_frame] = True
        return truth

    @cached_property
    def truth_digest(self) -> str:
        """SHA-256 of names, splits, labels and intervals; a result names it, so its ground truth is known."""
        return digest_json(
            {
                "videos": sorted([video.video_id, video.split, video.label] for video in self.videos),
                "intervals": sorted([i.video_id, i.start_frame, i.stop_frame] for i in self.intervals),
            }
        )


DRAWN_SET_CARD = "surveillance.json"
"""Name of the file beside the videos of a generated surveillance set."""

_VIDEOS = pa.schema(
    {
        "video_id": pa.string(),
        "path": pa.string(),
        "n_frames": pa.int64(),
        "fps": pa.float64(),
        "split": pa.string(),
        "label": pa.int8(),
        "category": pa.string(),
    }
)
_INTERVALS = pa.schema(
    [("video_id", pa.string()), ("start_frame", pa.int64()), ("stop_frame", pa.int64()), ("category", pa.string())]
)
"""Columns of the two files of a manifest."""


def write_manifest(dataset: Dataset, folder: Path) -> None:
    """Write `videos.parquet` and `intervals.parquet`: the plain form of a dataset with its truth."""
    for name, rows, schema in (("videos", dataset.videos, _VIDEOS), ("intervals", dataset.intervals, _INTERVALS)):
        write_parquet(pa.Table.from_pylist([asdict(row) for row in rows], schema), folder / f"{name}.parquet")


def read_manifest(name: str, folder: Path, manifest: Path) -> Dataset:
    """Read what `write_manifest` wrote; the videos lie in `folder`."""
    videos = _read_rows(manifest / "videos.parquet", _VIDEOS, ("video_id", "path", "split"))
    intervals = _read_rows(manifest / "intervals.parquet", _INTERVALS, ("video_id", "start_frame", "stop_frame"))
    return Dataset(name, folder, tuple(Video(**row) for row in videos), tuple(Interval(**row) for row in intervals))


def is_drawn(dataset: Dataset) -> bool:
    """Return True if every video is one that the generated surveillance set drew, as the card beside them says.

    The card lies beside the video folder, and the set's manifest names the videos that were drawn. Only names of videos
    are compared, not the dataset's name and not the files: a file that was replaced under its name is not noticed.
    """
    home = dataset.folder.parent
    try:
        card = read_json(home / DRAWN_SET_CARD)
        listed = {row["path"] for row in _read_rows(home / "manifest" / "videos.parquet", _VIDEOS, ("path",))}
    except (OSError, ValueError, VadprobeError):
        return False
    return isinstance(card, dict) and "seed" in card and {video.path for video in dataset.videos} <= listed


def _read_rows(path: Path, schema: pa.Schema, required: Sequence[str]) -> list[dict[str, Any]]:
    try:
        table = read_parquet(path)
    except FileNotFoundError as error:
        raise VadprobeError(
            f"the manifest has no file {path.name} ({path}); 'manifest' in [dataset], or --annotations, must name a "
            "folder with videos.parquet and intervals.parquet, or a table (.csv, .jsonl, .parquet)."
        ) from error
    except (pa.ArrowException, OSError) as error:
        raise VadprobeError(f"the manifest file {path} is not readable as Parquet: {error}") from error
    missing = [column for column in required if column not in table.column_names]
    if missing:
        raise VadprobeError(
            f"the manifest file {path} lacks the columns {', '.join(missing)}; it has {', '.join(table.column_names)}."
        )
    return list(table.select([column for column in table.column_names if column in schema.names]).to_pylist())
