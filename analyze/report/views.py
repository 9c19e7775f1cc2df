"""Tables and charts as the page and the CSV files beside it take them."""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from vadprobe.analyze.report.evaluation_text import number

Value = str | int | float | None


@dataclass(frozen=True)
class PageTable:
    """One table: headings, rows of words and numbers, and the numbers of columns that are words.

    `name` is its id in the page and its CSV file; `kinds` gives a row its look ("measured", "baseline"); None is
    unknown. `digits` are decimals of numbers that are no whole numbers. `shown` limits the rows in the page.
    """

    name: str
    caption: str
    head: Sequence[str]
    rows: Sequence[Sequence[Value]]
    words: frozenset[int] = frozenset({0})
    kinds: Sequence[str] = ()
    digits: int = 4
    shown: int = 1000

    def kind(self, place: int) -> str:
        """Return the look of a row."""
        return self.kinds[place] if self.kinds else ""

    def text(self, value: Value) -> str:
        """Return a cell as the page shows it."""
        if isinstance(value, float) and self.digits != 4:
            return f"{value:.{self.digits}f}"
        return number(value) if value is None or isinstance(value, float) else str(value)

    @property
    def cells(self) -> list[list[tuple[str, Value, bool]]]:
        """Rows of the page as (text, value to sort by, is a number)."""
        return [
            [(self.text(value), value, place not in self.words) for place, value in enumerate(row)]
            for row in self.rows[: self.shown]
        ]

    def csv(self) -> bytes:
        """Encode as CSV with every digit; unknown numbers are empty."""
        text = io.StringIO(newline="")
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(self.head)
        writer.writerows([["" if value is None else _inert(value) for value in row] for row in self.rows])
        return text.getvalue().encode()


def _inert(value: Value) -> Value:
    """Return a word that no spreadsheet takes for a formula."""
    return f"'{value}" if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")) else value


@dataclass(frozen=True)
class PageChart:
    """One chart: `data` is drawn by the function of the script that `kind` names; `label` is its accessible name."""

    name: str
    kind: str
    title: str
    label: str
    data: Mapping[str, Any]
    caption: str = ""
    table: PageTable | None = None


@dataclass(frozen=True)
class PagePicture:
    """A picture that is drawn already, as PNG in base64."""

    title: str
    caption: str
    data: str


@dataclass(frozen=True)
class Group:
    """Tables, charts and pictures under one heading, with what a reader must know of them."""

    title: str
    tables: Sequence[PageTable] = ()
    charts: Sequence[PageChart] = ()
    pictures: Sequence[PagePicture] = ()
    notes: Sequence[str] = ()
    lines: Sequence[str] = field(default=())
