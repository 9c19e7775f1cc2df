"""Sizes, counts and tables as people read them."""

from collections.abc import Sequence

_UNITS = ("kB", "MB", "GB", "TB", "PB")


def size_text(n_bytes: int) -> str:
    """Return bytes in decimal units with three digits: `0 B`, `182 B`, `4.20 MB`, `1,013 PB`."""
    if n_bytes < 1000:
        return f"{n_bytes} B"
    value, power = n_bytes / 1000, 0
    while value >= 999.5 and power < len(_UNITS) - 1:
        value, power = value / 1000, power + 1
    digits = 2 if value < 9.995 else 1 if value < 99.95 else 0
    return f"{value:,.{digits}f} {_UNITS[power]}"


def counted(count: int, noun: str, plural: str | None = None) -> str:
    """Return a count with its noun: `1 row`, `1,024 rows`."""
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"


def columns(head: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[str] = ()) -> list[str]:
    """Lay out a table with aligned columns, two spaces between them; columns named in `right` end flush."""
    widths = [max(len(row[place]) for row in (head, *rows)) for place in range(len(head))]
    return [
        "  ".join(
            cell.rjust(width) if name in right else cell.ljust(width)
            for name, cell, width in zip(head, row, widths, strict=True)
        ).rstrip()
        for row in (head, *rows)
    ]


def short(text: str, length: int = 100) -> str:
    """Put a text on one line, cut where it is longer."""
    line = " ".join(text.split())
    return line if len(line) <= length else line[: length - 1].rstrip() + "…"


def ranges(numbers: Sequence[int]) -> str:
    """Join ascending numbers, neighbours as ranges: `0-3, 7`; empty for none."""
    parts: list[str] = []
    start = previous = None
    for number in (*numbers, None):
        if start is None or previous is None:
            start = previous = number
            continue
        if number is None or number != previous + 1:
            parts.append(str(start) if start == previous else f"{start}-{previous}")
            start = number
        previous = number
    return ", ".join(parts)
