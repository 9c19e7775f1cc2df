"""What probing the video files found: one row per video, readable or not."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields

import pyarrow as pa

from vadprobe.store.errors import StoreError
from vadprobe.store.files.location import StorePath
from vadprobe.store.files.parquet import read_parquet, write_parquet

_SCHEMA = pa.schema(
    [
        ("video_id", pa.string()),
        ("split", pa.string()),
        ("n_frames", pa.int64()),
        ("fps", pa.float64()),
        ("fingerprint", pa.string()),
        ("reason", pa.string()),
        ("reader", pa.string()),
    ]
)


@dataclass(frozen=True)
class ProbedVideo:
    """One video file. ``reason`` is None for a readable video, else why not; then the counts are None.

    ``reader`` is the library that counted the frames, ``"decord"`` or ``"PyAV"``; None for an unreadable video, and
    where it was not recorded.
    """

    video_id: str
    split: str
    n_frames: int | None
    fps: float | None
    fingerprint: str
    reason: str | None = None
    reader: str | None = None


def write_probes(videos: Sequence[ProbedVideo], path: StorePath) -> None:
    """Write as Parquet, whole or not at all."""
    write_parquet(pa.Table.from_pylist([asdict(video) for video in videos], schema=_SCHEMA), path)


def read_probes(path: StorePath) -> tuple[ProbedVideo, ...]:
    """Read what ``write_probes`` wrote; empty when there is no such file.

    Raises:
        StoreError: if the file is not readable as Parquet or lacks a column.
    """
    if not path.exists():
        return ()
    names = [field.name for field in fields(ProbedVideo)]
    try:
        table = read_parquet(path)
        # Lists written before readers were recorded lack that column.
        missing = [name for name in names if name not in table.column_names and name != "reader"]
        if missing:
            raise pa.ArrowInvalid(f"it has no column {', '.join(missing)}")
        rows = table.select([name for name in names if name in table.column_names]).to_pylist()
    except (pa.ArrowException, OSError) as error:
        raise StoreError(f"{path} cannot be read ({error}); delete it and run 'vadprobe plan' again.") from error
    return tuple(ProbedVideo(**row) for row in rows)
