"""Sizes, counts, lists, errors and tables as people read them."""

from collections.abc import Iterable, Sequence
from itertools import groupby

_UNITS = ("kB", "MB", "GB", "TB", "PB")


def size_text(n_bytes: int) -> str:
    """Format bytes in decimal units with three digits: `0 B`, `182 B`, `4.20 MB`, `1,013 PB`."""
    if n_bytes < 1000:
        return f"{n_bytes} B"
    value, power = n_bytes / 1000, 0
    while value >= 999.5 and power < len(_UNITS) - 1:
        value, power = value / 1000, power + 1
    digits = 2 if value < 9.995 else 1 if value < 99.95 else 0
    return f"{value:,.{digits}f} {_UNITS[power]}"


def counted(count: int, noun: str, plural: str | None = None) -> str:
    """Format a count with its noun: `1 row`, `1,024 rows`."""
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"


def percent(fraction: float, digits: int = 0) -> str:
    """Format a fraction in per cent: `95 %`, or `0.5 %` with one digit."""
    return f"{100 * fraction:.{digits}f} %"


def first_few(items: Sequence[object], count: int = 3) -> str:
    """List the first items and count the others: `a, b, c and 1,021 more`."""
    shown = ", ".join(str(item) for item in items[:count])
    return shown if len(items) <= count else f"{shown} and {len(items) - count:,} more"


def ranges(numbers: Iterable[int]) -> str:
    """List ascending integers with consecutive ones joined: `0-3, 7`; empty text for none."""
    # Neighbours keep the same distance to their places in the list.
    runs = [[number for _, number in run] for _, run in groupby(enumerate(numbers), lambda pair: pair[1] - pair[0])]
    return ", ".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)


def short(text: str, length: int = 100) -> str:
    """Put a text on one line and cut it at `length` characters."""
    line = " ".join(text.split())
    return line if len(line) <= length else line[: length - 1].rstrip() + "…"


def visible(text: str) -> str:
    """Write lone surrogates as escapes, so that the text can be printed anywhere."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def error_text(error: BaseException, length: int = 200) -> str:
    """Return the first line of an error's message, cut at `length` characters.

    Of an operating system's error only the reason is returned (`No such file or directory`): the sentence around it
    names the file. For an error without a message it is the name of its type.
    """
    said = getattr(error, "strerror", None) or str(error)
    first = next((line for line in str(said).splitlines() if line.strip()), type(error).__name__)
    return visible(short(first, length))


def table(head: Sequence[str], rows: Sequence[Sequence[object]], right: Sequence[str] = ()) -> list[str]:
    """Align cells in columns, two spaces between them.

    Args:
        head: names of the columns.
        rows: cells of each row, as many as there are columns.
        right: names of the columns that are flush right, such as numbers.

    Returns:
        The line of the names, then one line for each row.
    """
    cells = [list(head), *([str(cell) for cell in row] for row in rows)]
    columns = [
        [cell.rjust(width) if name in right else cell.ljust(width) for cell in column]
        for name, column in zip(head, zip(*cells, strict=True), strict=True)
        for width in (max(map(len, column)),)
    ]
    return ["  ".join(row).rstrip() for row in zip(*columns, strict=True)]


def markdown_table(head: Sequence[str], rows: Sequence[Sequence[object]], right: Sequence[str] = ()) -> list[str]:
    """Write a table in Markdown; arguments as for `table`. Cells lose their line breaks, and bars are escaped."""
    rule = ["---:" if name in right else "---" for name in head]
    cells = [[" ".join(str(cell).split()).replace("|", "\\|") for cell in row] for row in (head, *rows)]
    return [f"| {' | '.join(row)} |" for row in (cells[0], rule, *cells[1:])]
