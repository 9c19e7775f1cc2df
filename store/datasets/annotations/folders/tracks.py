"""The track files of UBnormal: one for each anomalous video, a line for each anomalous object."""

import re
from collections.abc import Iterable
from pathlib import Path

from vadprobe.store.datasets.annotations.conventions import MAX_FRAME
from vadprobe.store.datasets.annotations.rows.rows import Annotation, Reading, Row, RowError, read_rows, read_text
from vadprobe.store.datasets.video import Interval
from vadprobe.store.errors import VadprobeError

_WHAT = "track file"
_CORRECTED, _TRACKS = "_new_tracks.txt", "_tracks.txt"
_NUMBER = re.compile(r"([0-9]{1,13})(\.0*)?([eE]\+?0+)?")


def read_ubnormal(folder: Path) -> Reading[Annotation]:
    """Read the files `<video>_tracks.txt` at any depth below a folder: `id,start,end` per line.

    Frames are counted from 0 and the last one is included, as in the set's own scripts. Frames of several objects are
    joined. If `<video>_new_tracks.txt` exists too, only that file is read. A file is rejected if it has no line, or a
    malformed one.

    Returns:
        One entry per anomalous video, by name; normal videos have no such file.

    Raises:
        VadprobeError: if the folder is missing or holds no track file.
    """
    try:
        found = sorted(path for path in folder.rglob(f"*{_TRACKS}") if not path.name.startswith("."))
    except OSError as error:
        raise VadprobeError(f"the folder of tracks {folder} cannot be opened ({error}); check the path.") from error
    corrected = {path.with_name(path.name.removesuffix(_CORRECTED) + _TRACKS) for path in found if _is_corrected(path)}
    files = [path for path in found if path not in corrected]
    if not files:
        raise VadprobeError(
            f"there is no {_WHAT} (<video>{_TRACKS}) below {folder}; name the folder that holds UBnormal's scenes."
        )
    by_number = dict(enumerate(files, start=1))

    def parse(row: Row) -> Annotation:
        path = by_number[row.number]
        name = path.name.removesuffix(_CORRECTED if _is_corrected(path) else _TRACKS)
        lines = [line for line in read_text(path, _WHAT).splitlines() if line.strip()]
        if not lines:
            raise RowError("a line for each anomalous object", "restore the file, or remove it if the video is normal")
        spans = _joined(_span(number, line) for number, line in enumerate(lines, start=1))
        return Annotation(name, 1, None, tuple(Interval(name, start, stop) for start, stop in spans))

    rows = [Row(number, path.name) for number, path in by_number.items()]
    notes = [f"{len(corrected)} track files have a corrected one beside them, which is used"] if corrected else []
    return read_rows(folder, rows, parse, lambda annotation: annotation.video_id, notes, unit="file")


def _is_corrected(path: Path) -> bool:
    return path.name.endswith(_CORRECTED)


def _span(number: int, line: str) -> tuple[int, int]:
    """Return the frames of a line, half-open."""
    fields = [_NUMBER.fullmatch(field) for field in re.split(r"\s*[,;]\s*|\s+", line.strip())]
    values = [int(field[1]) for field in fields if field]
    if len(fields) != 3 or len(values) != 3 or not values[1] <= values[2] < MAX_FRAME:
        raise RowError(f"'id,start,end' with start at most end, got {line[:40]!r} in line {number}", "correct the line")
    return values[1], values[2] + 1


def _joined(spans: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Join spans that overlap or touch."""
    found: list[tuple[int, int]] = []
    for start, stop in sorted(spans):
        if found and start <= found[-1][1]:
            found[-1] = found[-1][0], max(found[-1][1], stop)
        else:
            found.append((start, stop))
    return found
