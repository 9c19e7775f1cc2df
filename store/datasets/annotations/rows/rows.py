"""Rows of a file: each one is read, or rejected with its line, what was expected and what to do.

No reader drops a row silently: every row is read or is in `rejected`. Blank lines are not rows.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from vadprobe.store.datasets.video import Interval, Split
from vadprobe.store.errors import VadprobeError
from vadprobe.store.files.location import StorePath
from vadprobe.store.files.stand_ins import stand_in

Entry = TypeVar("Entry")
_SHOWN = 80
_NAMED = 3
_INVISIBLE = re.compile("[\\x00-\\x1f\\x7f-\\x9f\\u200b\\u2028\\u2029\\u2060\\ufeff\\ud800-\\udfff]")


@dataclass(frozen=True)
class Annotation:
    """One video as a file describes it; parts that the file does not have are None.

    `category` is the word of the file. `intervals` are anomalous frames, half-open; normal videos have none.
    """

    video_id: str
    label: int | None
    category: str | None = None
    intervals: tuple[Interval, ...] = ()
    n_frames: int | None = None
    fps: float | None = None
    split: Split | None = None
    path: str | None = None


@dataclass(frozen=True)
class Rejection:
    """One row that could not be read."""

    path: StorePath
    row: int
    got: str
    expected: str
    remedy: str
    unit: str = "line"

    @classmethod
    def of(cls, error: VadprobeError, path: StorePath, row: int, text: str, unit: str) -> "Rejection":
        """Make a rejection of the error that a row's parser raised."""
        if isinstance(error, RowError):
            return cls(path, row, text, error.expected, error.remedy, unit)
        return cls(path, row, text, "a possible value", str(error).rstrip("."), unit)

    @property
    def sentence(self) -> str:
        """Sentence for users: the file, the line, the row, what was expected, and what to do."""
        got = self.got if len(self.got) <= _SHOWN else self.got[: _SHOWN - 1] + "…"
        return f"{self.path}, {self.unit} {self.row}: got {got!r}, expected {self.expected}; {self.remedy}."


class RowError(VadprobeError):
    """Error of a row that cannot be read. Parsers raise it; the reader makes a `Rejection` of it."""

    def __init__(self, expected: str, remedy: str) -> None:
        super().__init__(f"expected {expected}; {remedy}")
        self.expected = expected
        self.remedy = remedy


@dataclass(frozen=True)
class Reading(Generic[Entry]):
    """Result of reading all rows of one file: `entries` in order, `rejected` rows, and `notes` about other things."""

    path: StorePath
    n_rows: int
    entries: tuple[Entry, ...]
    rejected: tuple[Rejection, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def n_rejected(self) -> int:
        """Number of rows that could not be read."""
        return len(self.rejected)

    @property
    def n_read(self) -> int:
        """Number of rows that were read; one entry may come from several rows."""
        return self.n_rows - self.n_rejected

    def checked(self) -> tuple[Entry, ...]:
        """Return the entries, if every row was read.

        Raises:
            VadprobeError: with the sentences of the first rejected rows.
        """
        if not self.rejected:
            return self.entries
        sentences = " ".join(rejection.sentence for rejection in self.rejected[:_NAMED])
        more = len(self.rejected) - _NAMED
        if more > 0:
            sentences += f" {more} more of its {self.n_rows} rows are wrong; 'vadprobe dataset audit' names them all."
        raise VadprobeError(sentences)


@dataclass(frozen=True)
class Row:
    """One row of a file: its line (or entry) number from 1, its text, and its fields."""

    number: int
    text: str
    fields: tuple[str, ...] = ()


def read_text(path: StorePath, what: str) -> str:
    """Read a UTF-8 text file with or without a byte order mark; `what` is the kind of file, for messages.

    Raises:
        VadprobeError: if there is no such file, it cannot be opened, is a pointer to a file that was not fetched, or is
            not UTF-8 text.
    """
    if isinstance(path, Path) and (instead := stand_in(path)):
        raise VadprobeError(f"the {what} {path} {instead}.")
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise VadprobeError(f"there is no {what} {path}; check the path.") from error
    except IsADirectoryError as error:
        raise VadprobeError(f"the {what} {path} is a folder; name the file in it.") from error
    except UnicodeDecodeError as error:
        before = error.object[: error.start].replace(b"\r\n", b"\n")
        line = before.count(b"\n") + before.count(b"\r") + 1
        raise VadprobeError(
            f"the {what} {path} is not UTF-8 text, first in line {line} ({error.reason}); save it as UTF-8."
        ) from error
    except OSError as error:
        raise VadprobeError(f"the {what} {path} cannot be opened ({error.strerror}); check its permissions.") from error
    except ValueError as error:  # a null character in the path
        raise VadprobeError(f"the {what} {str(path)!r} cannot be opened ({error}); correct the path.") from error


def check_name(name: str) -> None:
    """Refuse an empty name, or one with invisible characters.

    Examples are a byte order mark in the middle of joined files, a line break within quotes, or a lone surrogate in
    JSON. Such a name would match no other file's name, or could not be written.

    Raises:
        RowError: if the name is refused.
    """
    if not name:
        raise RowError("a video name", "name the video")
    check_visible("a video name", name)


def check_visible(what: str, text: str) -> None:
    """Refuse text with control characters, line breaks, byte order marks or lone surrogates.

    Raises:
        RowError: naming the first such character.
    """
    found = _INVISIBLE.search(text)
    if found:
        raise RowError(f"{what} without invisible characters (U+{ord(found[0]):04X} in {text!r})", "remove them")


def rows_of_text(path: StorePath, what: str) -> list[Row]:
    """Read the rows of a text file, with fields split at any white space; blank lines are no rows.

    Only line feeds, carriage returns and pairs of both end a line, so line numbers are those of an editor.

    Raises:
        VadprobeError: if the file cannot be read, or has no row.
    """
    lines = enumerate(read_text(path, what).split("\n"), start=1)
    rows = [Row(number, line.strip(), tuple(line.split())) for number, line in lines if line.strip()]
    if not rows:
        raise VadprobeError(f"the {what} {path} has no row; check that it is the right file.")
    return rows


def read_rows(
    path: StorePath,
    rows: Sequence[Row],
    parse: Callable[[Row], Entry],
    key: Callable[[Entry], str],
    notes: Iterable[str] = (),
    unit: str = "line",
) -> Reading[Entry]:
    """Parse every row. Malformed rows and second rows of a video are rejected; all others are read.

    Args:
        path: the file.
        rows: its rows.
        parse: makes an entry of a row; raises a `VadprobeError` if it cannot.
        key: returns the video's name of an entry, which `check_name` checks.
        notes: notes of the reading.
        unit: word for a row in messages: "line", or "entry" in a file without lines.
    """
    entries: list[Entry] = []
    rejected: list[Rejection] = []
    first: dict[str, int] = {}
    for row in rows:
        try:
            entry = parse(row)
            check_name(key(entry))
            earlier = first.setdefault(key(entry), row.number)
            if earlier != row.number:
                raise RowError(f"one row per video ({key(entry)!r} is on {unit} {earlier})", "join or rename the rows")
            entries.append(entry)
        except VadprobeError as error:
            rejected.append(Rejection.of(error, path, row.number, row.text, unit))
    return Reading(path, len(rows), tuple(entries), tuple(rejected), tuple(notes))
