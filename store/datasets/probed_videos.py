"""The list of probed video files: one row for each video, readable or not."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields

import pyarrow as pa

from vadprobe.store.errors import StoreError
from vadprobe.store.files.location import StorePath, is_there
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
        ("note", pa.string()),
    ]
)


@dataclass(frozen=True)
class VideoFacts:
    """Facts of one video file, as stage 1 found them when it opened the file.

    Attributes:
        video_id: the video's name.
        split: "train", "validation" or "test".
        n_frames: number of frames; None for an unreadable video.
        fps: frames a second; None for an unreadable video.
        fingerprint: digest of the file's size, beginning and end (`fingerprint_file`).
        reason: why the video is not readable; None if it is.
        reader: the library that counted the frames, "decord" or "PyAV"; None if unreadable, or not recorded.
        note: a sentence on what is unusual about a readable file; "" if nothing is, None if not recorded.
    """

    video_id: str
    split: str
    n_frames: int | None
    fps: float | None
    fingerprint: str
    reason: str | None = None
    reader: str | None = None
    note: str | None = None


def write_video_facts(videos: Sequence[VideoFacts], path: StorePath) -> None:
    """Write the list as Parquet, whole or not at all."""
    write_parquet(pa.Table.from_pylist([asdict(video) for video in videos], schema=_SCHEMA), path)


def read_video_facts(path: StorePath) -> tuple[VideoFacts, ...]:
    """Read the list that `write_video_facts` wrote; empty if there is no such file, or it may not be read.

    Raises:
        StoreError: if the file is not readable as Parquet or lacks a column.
    """
    if not is_there(path):
        return ()
    names = [field.name for field in fields(VideoFacts)]
    try:
        table = read_parquet(path)
        # Lists written before readers and notes were recorded lack those columns.
        missing = [name for name in names if name not in table.column_names and name not in ("reader", "note")]
        if missing:
            raise pa.ArrowInvalid(f"it has no column {', '.join(missing)}")
        rows = table.select([name for name in names if name in table.column_names]).to_pylist()
    except (pa.ArrowException, OSError) as error:
        raise StoreError(f"{path} cannot be read ({error}); delete it and run 'vadprobe plan' again.") from error
    return tuple(VideoFacts(**row) for row in rows)
