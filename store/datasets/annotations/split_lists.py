"""Lists of video names, one per line: the train and test lists that come with datasets."""

import re
from dataclasses import dataclass
from pathlib import Path

from vadprobe.store.datasets.annotations.conventions import MAX_FRAME
from vadprobe.store.datasets.annotations.names import video_name
from vadprobe.store.datasets.annotations.rows.rows import Reading, Row, RowError, read_rows, rows_of_text


@dataclass(frozen=True)
class Listed:
    """One line of a list. `folder` stands before the name; `label` and `n_frames` may be None."""

    video_id: str
    folder: str = ""
    label: int | None = None
    n_frames: int | None = None


def read_split_list(path: Path) -> Reading[Listed]:
    """Read a list of videos: `[folder/]name` or `name first last label` per line.

    The second form is MSAD's, with frames counted from 0 and the last one included, so a video has `last + 1` frames.
    Names may carry a video extension; they hold no white space. A line that is malformed or repeats a name is rejected.

    Raises:
        VadprobeError: if the file cannot be read or has no line.
    """

    def parse(row: Row) -> Listed:
        folder, _, _ = row.fields[0].rpartition("/")
        name = video_name(row.fields[0])
        if not name:
            raise RowError("a video name", "correct the line")
        if len(row.fields) == 1:
            return Listed(name, folder)
        if len(row.fields) == 4 and re.fullmatch(r"0 [0-9]{1,12} [01]", " ".join(row.fields[1:])):
            return Listed(name, folder, int(row.fields[3]), min(int(row.fields[2]), MAX_FRAME) + 1)
        raise RowError("a video name alone, or 'name 0 last-frame label' with label 0 or 1", "correct the line")

    return read_rows(path, rows_of_text(path, "split list"), parse, lambda listed: listed.video_id)
