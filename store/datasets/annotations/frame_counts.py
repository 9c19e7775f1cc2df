"""Frame counts of videos from a table, for evaluation without the video files."""

import re
from dataclasses import dataclass
from pathlib import Path

from vadprobe.store.datasets.annotations.conventions import MAX_FRAME
from vadprobe.store.datasets.annotations.names import video_name
from vadprobe.store.datasets.annotations.rows.csv_rows import read_csv
from vadprobe.store.datasets.annotations.rows.rows import Reading, Row, RowError, read_rows
from vadprobe.store.errors import VadprobeError


@dataclass(frozen=True)
class FrameCount:
    """Number of frames of a video."""

    video_id: str
    n_frames: int


def read_frame_counts(path: Path) -> Reading[FrameCount]:
    """Read a CSV table of `video,frames`.

    The first line is a header if its second word holds "frame", "count" or "length" and no digit, and a row if not. A
    row is rejected if it has not two columns, its count is not a whole number above 0, or it repeats a video.

    Raises:
        VadprobeError: if the file cannot be read or has no row.
    """
    rows = read_csv(path, "frame count file")
    if rows and len(rows[0].fields) > 1 and re.fullmatch(r"\D*(frame|count|length)\D*", rows[0].fields[1].lower()):
        rows = rows[1:]
    if not rows:
        raise VadprobeError(f"the frame count file {path} has no row; write rows of 'video,frames'.")

    def parse(row: Row) -> FrameCount:
        if len(row.fields) != 2 or not row.fields[0] or not re.fullmatch(r"[0-9]{1,12}", row.fields[1]):
            raise RowError("a video name and its whole number of frames", "correct the row; a header is 'video,frames'")
        count = int(row.fields[1])
        if not 0 < count < MAX_FRAME:
            raise RowError("a number of frames above 0", "remove the row if the video is empty")
        return FrameCount(video_name(row.fields[0]), count)

    return read_rows(path, rows, parse, lambda count: count.video_id)
