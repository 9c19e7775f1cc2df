"""Tables, charts and pictures, as the page and the CSV files beside it show them."""

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Value = str | int | float | None

_LEAST_DECIMALS = 2


@dataclass(frozen=True)
class PageTable:
    """One table: headings, rows of words and numbers, and the indices of columns that hold words.

    `name` is its id in the page and the name of its CSV file. `kinds` gives the look of each row ("measured",
    "baseline"). None is unknown and shown as `missing`. `digits` are the decimals of numbers that are not whole;
    columns of larger numbers have fewer, so that five digits are left. `shown` limits the rows in the page. If the
    first column has videos and the second analyses, `opens_at` is the column with the frame that a click on the video
    opens, -1 for the beginning.
    """

    name: str
    caption: str
    head: Sequence[str]
    rows: Sequence[Sequence[Value]]
    words: frozenset[int] = frozenset({0})
    kinds: Sequence[str] = ()
    digits: int = 4
    shown: int = 1000
    opens_at: int | None = None
    missing: str = "unknown"

    def kind(self, place: int) -> str:
        """Return the look of a row."""
        return self.kinds[place] if self.kinds else ""

    @property
    def cells(self) -> list[list[tuple[str, Value, bool]]]:
        """Rows of the page as (text, value to sort by, is a number)."""
        rows = self.rows[: self.shown]
        decimals = [self._decimals([row[place] for row in rows]) for place in range(len(self.head))]
        return [
            [(self._text(value, decimals[place]), value, place not in self.words) for place, value in enumerate(row)]
            for row in rows
        ]

    def _decimals(self, values: Sequence[Value]) -> int:
        """Return the decimals that a column needs; its largest number has at most five digits in all."""
        known = [abs(value) for value in values if isinstance(value, float) and math.isfinite(value)]
        most = min(self.digits, max(0, 5 - len(str(int(max(known, default=0))))))
        needed = (len(f"{value:.{most}f}".rstrip("0").partition(".")[2]) for value in known)
        return min(most, max(_LEAST_DECIMALS, *needed, 0))

    def _text(self, value: Value, decimals: int) -> str:
        if value is None:
            return self.missing
        return f"{value:.{decimals}f}" if isinstance(value, float) and math.isfinite(value) else str(value)

    def show(self, place: int) -> str | None:
        """Return the video, analysis and frame that a click on a row opens, as JSON; None if it opens nothing."""
        if self.opens_at is None:
            return None
        row = self.rows[place]
        return json.dumps([row[0], row[1], 0 if self.opens_at < 0 else row[self.opens_at]])

    def csv(self) -> bytes:
        """Encode as CSV with every digit; unknown numbers are empty."""
        text = io.StringIO(newline="")
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(self.head)
        writer.writerows([["" if value is None else _inert(value) for value in row] for row in self.rows])
        return text.getvalue().encode()


def _inert(value: Value) -> Value:
    """Return a value that no spreadsheet interprets as a formula."""
    return f"'{value}" if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")) else value


@dataclass(frozen=True)
class PageChart:
    """One chart, drawn from `data` by the script's function for `kind`; `label` is its accessible name."""

    name: str
    kind: str
    title: str
    label: str
    data: Mapping[str, Any]
    caption: str = ""
    table: PageTable | None = None


@dataclass(frozen=True)
class PagePicture:
    """A finished picture, as PNG in base64."""

    title: str
    caption: str
    data: str


@dataclass(frozen=True)
class Group:
    """Tables, charts and pictures under one heading, with notes for their readers."""

    title: str
    tables: Sequence[PageTable] = ()
    charts: Sequence[PageChart] = ()
    pictures: Sequence[PagePicture] = ()
    notes: Sequence[str] = ()
    lines: Sequence[str] = field(default=())
