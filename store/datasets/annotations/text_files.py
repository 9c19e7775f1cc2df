"""The text annotations of UCF-Crime, MSAD, XD-Violence and TAD.

The files do not say which convention their pairs `s e` follow, so it is an argument. Another convention changes the AUC
by at most 0.02.
"""

import re
from pathlib import Path

from vadprobe.store.datasets.annotations.conventions import DEFAULT_CONVENTION, MAX_FRAME, IntervalConvention, convert
from vadprobe.store.datasets.annotations.names import tad_name, video_name, xd_violence_name
from vadprobe.store.datasets.annotations.rows.rows import Annotation, Reading, Row, RowError, read_rows, rows_of_text
from vadprobe.store.errors import VadprobeError

_WHAT = "annotation file"
NORMAL_CLASSES = frozenset({"Normal", "MSAD"})
"""Class names of normal videos in UCF-Crime and MSAD."""


def read_ucf_crime(path: Path, convention: IntervalConvention = DEFAULT_CONVENTION) -> Reading[Annotation]:
    """Read UCF-Crime's or MSAD's temporal annotation: `name class s1 e1 [s2 e2 ...]` per line.

    Fields are split at any white space, so double spaces, CRLF and a missing final newline do not matter; neither does
    `.mp4` after the name. A pair `-1 -1` means none. A line is rejected if it is malformed, an anomalous video has
    no interval, a normal one (class "Normal" or "MSAD") has one, or the video has a line already.

    Args:
        path: the text file, UTF-8.
        convention: what `s e` means.

    Returns:
        One entry per line, in the file's order; categories as the file writes them, "Normal" for both normal classes.

    Raises:
        VadprobeError: if the file cannot be read or has no line.
    """

    def parse(row: Row) -> Annotation:
        if len(row.fields) < 4 or len(row.fields) % 2:
            raise RowError("a name, a class and one or more pairs of frame numbers", "complete or remove the line")
        name, category, *numbers = row.fields
        label = int(category not in NORMAL_CLASSES)
        category = category if label else "Normal"
        intervals = convert(video_name(name), category, numbers, convention)
        if label != bool(intervals):
            expected = "an interval for an anomalous class" if label else "-1 -1 for a normal video"
            raise RowError(expected, f"correct the line (normal classes are {', '.join(sorted(NORMAL_CLASSES))})")
        return Annotation(video_name(name), label, category, intervals)

    return read_rows(path, rows_of_text(path, _WHAT), parse, lambda annotation: annotation.video_id)


def read_xd_violence(path: Path, convention: IntervalConvention = DEFAULT_CONVENTION) -> Reading[Annotation]:
    """Read XD-Violence's `annotations.txt`: `name s e [s e ...]` per line.

    Some names end in `.mp4` and some do not. The file lists anomalous videos only; normal test videos are known by
    their names. `annotations_multiclasses.txt` has another format with other intervals, and its lines are rejected.

    Args:
        path: the text file, UTF-8.
        convention: what `s e` means.

    Returns:
        One entry per line, in the file's order, all with label 1 and the category codes of the name.

    Raises:
        VadprobeError: if the file cannot be read or has no line.
    """

    def parse(row: Row) -> Annotation:
        if len(row.fields) < 3 or not len(row.fields) % 2:
            raise RowError("a name and one or more pairs of frame numbers", "complete or remove the line")
        name, *numbers = row.fields
        video_id = video_name(name)
        intervals = convert(video_id, _anomalous_codes(video_id), numbers, convention)
        if not intervals:
            raise RowError("at least one interval", "remove the line if the video is normal")
        return Annotation(video_id, 1, intervals[0].category, intervals)

    return read_rows(path, rows_of_text(path, _WHAT), parse, lambda annotation: annotation.video_id)


def _anomalous_codes(video_id: str) -> str:
    try:
        label, codes = xd_violence_name(video_id)
    except VadprobeError:
        label, codes = 0, ""
    if not label:
        raise RowError("a name that ends in '_label_' and codes of anomalies", "correct the name")
    return codes


def read_tad(path: Path, convention: IntervalConvention = DEFAULT_CONVENTION) -> Reading[Annotation]:
    """Read TAD's annotation: `name frames s e [s e ...]`, or UMIL's `folder/name frames class s e [s e ...]`, per line.

    Normal videos have the pair `-1 -1`, or the class 0, whose pair is the whole video and is ignored. The class is the
    number at the beginning of an anomalous video's name. Pairs may end behind the last frame, as many of UMIL's do.

    Args:
        path: the text file, UTF-8.
        convention: what `s e` means. Both forms have intervals that begin at 0.

    Returns:
        One entry per line, in the file's order, with the number of frames, and labels and categories of the names.

    Raises:
        VadprobeError: if the file cannot be read or has no line.
    """

    def parse(row: Row) -> Annotation:
        if len(row.fields) < 4:
            raise RowError("a name, its number of frames and pairs of frame numbers", "complete or remove the line")
        video_id, (count, *numbers) = video_name(row.fields[0]), row.fields[1:]
        try:
            label, category = tad_name(video_id)
        except VadprobeError as error:
            raise RowError("a TAD video name, such as 01_Accident_006 or Normal_008", "correct the name") from error
        if not re.fullmatch(r"[0-9]{1,12}", count) or not 0 < int(count) < MAX_FRAME:
            raise RowError("a number of frames above 0 after the name", "correct the line")
        has_class = len(numbers) % 2 == 1
        if has_class and numbers[0] != (video_id[1] if label else "0"):
            raise RowError("the class that the name begins with, 0 for a normal video", "correct the line")
        intervals = convert(video_id, category, numbers[has_class:], convention)
        if has_class and not label:
            intervals = ()
        if label != bool(intervals):
            raise RowError("an interval for an anomalous video" if label else "-1 -1 for a normal video", "correct it")
        return Annotation(video_id, label, category, intervals, n_frames=int(count))

    return read_rows(path, rows_of_text(path, _WHAT), parse, lambda annotation: annotation.video_id)
