"""Lists of video names, one per line: the train and test lists that come with datasets."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from vadprobe.store.datasets.annotations.conventions import MAX_FRAME
from vadprobe.store.datasets.annotations.names import video_name
from vadprobe.store.datasets.annotations.rows.rows import Reading, Row, RowError, read_rows, rows_of_text


@dataclass(frozen=True)
class Listed:
    """One line of a list. `folder` is the text before the name; `label` and `n_frames` are None if not given."""

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

    def numbers(values: tuple[str, ...]) -> tuple[int, int]:
        if not re.fullmatch(r"0 [0-9]{1,12} [01]", " ".join(values)):
            raise RowError("a video name alone, or 'name 0 last-frame label' with label 0 or 1", "correct the line")
        return int(values[2]), min(int(values[1]), MAX_FRAME) + 1

    return _read(path, numbers)


def read_tad_list(path: Path) -> Reading[Listed]:
    """Read a list of TAD's videos: `[folder/]name`, or UMIL's `folder/name 0 frames class` with class 0 for normal.

    Raises:
        VadprobeError: if the file cannot be read or has no line.
    """

    def numbers(values: tuple[str, ...]) -> tuple[int, int]:
        if not re.fullmatch(r"0 0*[1-9][0-9]{0,11} [0-7]", " ".join(values)):
            raise RowError("a video name alone, or 'name 0 frames class' with a class from 0 to 7", "correct the line")
        return int(values[2] != "0"), int(values[1])

    return _read(path, numbers)


def _read(path: Path, numbers: Callable[[tuple[str, ...]], tuple[int, int]]) -> Reading[Listed]:
    """Read lines with a name alone, or with numbers from which `numbers` computes label and number of frames."""

    def parse(row: Row) -> Listed:
        folder, _, _ = row.fields[0].rpartition("/")
        name = video_name(row.fields[0])
        if not name:
            raise RowError("a video name", "correct the line")
        if len(row.fields) == 1:
            return Listed(name, folder)
        return Listed(name, folder, *numbers(row.fields[1:]))

    return read_rows(path, rows_of_text(path, "split list"), parse, lambda listed: listed.video_id)
