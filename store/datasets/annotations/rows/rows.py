"""What became of a file's rows: each one is read, or rejected with its line, what was wanted and what to do.

No reader drops a row in silence: ``n_rows == len(entries) + len(rejected)`` always holds. Blank lines are not rows.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from vadprobe.store.datasets.video import Interval, Split
from vadprobe.store.errors import VadprobeError
from vadprobe.store.files.location import StorePath

Entry = TypeVar("Entry")
_SHOWN = 80
_SAID = 160
_NAMED = 3
_INVISIBLE = re.compile("[\\x00-\\x1f\\x7f-\\x9f\\u200b\\u2028\\u2029\\u2060\\ufeff\\ud800-\\udfff]")


@dataclass(frozen=True)
class Annotation:
    """What a file says about one video; a part it does not speak of is None.

    ``category`` is the source's own word. ``intervals`` are anomalous frames, half-open; normal videos have none.
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
    wanted: str
    remedy: str
    unit: str = "line"

    @property
    def sentence(self) -> str:
        """File, line, what was got, what is wanted, what to do."""
        got = self.got if len(self.got) <= _SHOWN else self.got[: _SHOWN - 1] + "…"
        return f"{self.path}, {self.unit} {self.row}: got {got!r}, wanted {self.wanted}; {self.remedy}."


class RowError(VadprobeError):
    """Raised inside a row's parser; the reader turns it into a ``Rejection`` with file and line."""

    def __init__(self, wanted: str, remedy: str) -> None:
        super().__init__(f"wanted {wanted}; {remedy}")
        self.wanted = wanted
        self.remedy = remedy


@dataclass(frozen=True)
class Reading(Generic[Entry]):
    """All rows of one file: ``entries`` were read, in order, ``rejected`` were not; ``notes`` say what else is."""

    path: StorePath
    n_rows: int
    entries: tuple[Entry, ...]
    rejected: tuple[Rejection, ...] = ()
    notes: tuple[str, ...] = ()

    def checked(self) -> tuple[Entry, ...]:
        """The entries, if every row was read.

        Raises:
            VadprobeError: naming file, line, what was got, what is wanted and what to do for the first rejected rows.
        """
        if not self.rejected:
            return self.entries
        sentences = " ".join(rejection.sentence for rejection in self.rejected[:_NAMED])
        more = len(self.rejected) - _NAMED
        rest = f" {more} more of its {self.n_rows} rows are wrong; 'vadprobe dataset audit' names them all." * (
            more > 0
        )
        raise VadprobeError(sentences + rest)


@dataclass(frozen=True)
class Row:
    """One row of a file: its line (or entry) number from 1, its text, and its fields."""

    number: int
    text: str
    fields: tuple[str, ...] = ()


def read_text(path: StorePath, what: str) -> str:
    """The text of a file.

    Args:
        path: the file, UTF-8 with or without a byte order mark.
        what: what it should be, for the message.

    Raises:
        VadprobeError: if there is no such file, it cannot be opened, or it is not UTF-8 text.
    """
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
    """Refuse a name that no other file can have: an empty one, or one with characters nobody sees.

    A byte order mark in the middle of a joined file, a line break inside of quotes or half of a surrogate pair in JSON
    would make another video of the name, or break whatever writes it.

    Raises:
        RowError: saying what is wanted.
    """
    if not name:
        raise RowError("a video name", "name the video")
    check_visible("a video name", name)


def check_visible(what: str, text: str) -> None:
    """Refuse text with control characters, line breaks, byte order marks or halves of surrogate pairs.

    Raises:
        RowError: naming the first such character.
    """
    found = _INVISIBLE.search(text)
    if found:
        raise RowError(f"{what} without invisible characters (U+{ord(found[0]):04X} in {text!r})", "remove them")


def visible(text: str) -> str:
    """Text that can be printed anywhere: halves of surrogate pairs are written as escapes."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def one_line(error: BaseException) -> str:
    """What another library says of an error, short and on one line."""
    said = " ".join(str(error).split()) or type(error).__name__
    return visible(said if len(said) <= _SAID else said[: _SAID - 1] + "…")


def rows_of_text(path: StorePath, what: str) -> list[Row]:
    """Rows of a text file with fields split at any white space; blank lines are no rows.

    Line feeds, carriage returns and pairs of both end a line and nothing else does, so line numbers are those of an
    editor.

    Raises:
        VadprobeError: if the file cannot be read, or has no row.
    """
    lines = enumerate(read_text(path, what).split("\n"), start=1)
    rows = [Row(number, line.strip(), tuple(line.split())) for number, line in lines if line.strip()]
    if not rows:
        raise VadprobeError(f"the {what} {path} has no row; is it the right file?")
    return rows


def read_rows(
    path: StorePath,
    rows: Sequence[Row],
    parse: Callable[[Row], Entry],
    key: Callable[[Entry], str],
    notes: Iterable[str] = (),
    unit: str = "line",
) -> Reading[Entry]:
    """Parse every row; a malformed one, or a second one of the same key, is rejected and the others are read.

    ``key`` gives the video's name, which must be one (``check_name``).

    ``unit`` is what the rows' numbers count: "line", or "entry" of a file without lines.
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
        except RowError as error:
            rejected.append(Rejection(path, row.number, row.text, error.wanted, error.remedy, unit))
        except VadprobeError as error:
            rejected.append(Rejection(path, row.number, row.text, "a possible value", str(error).rstrip("."), unit))
    return Reading(path, len(rows), tuple(entries), tuple(rejected), tuple(notes))
