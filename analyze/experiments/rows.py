"""Rows of a table: measured numbers with their spread, and published numbers in columns of their own."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from vadprobe.analyze.evaluation.evaluation import null_for_nan
from vadprobe.analyze.report.headings import HEADINGS
from vadprobe.store.files import text

_NAN = float("nan")
_NAMED = 4


@dataclass(frozen=True)
class Number:
    """One measured number with the ends of its interval; NaN is unknown."""

    value: float = _NAN
    low: float = _NAN
    high: float = _NAN


@dataclass(frozen=True)
class Row:
    """One row of a table.

    Attributes:
        label: name of the row for readers.
        numbers: by metric.
        interval: phrase that says what the ends of the numbers' intervals are.
        n_draws: number of draws behind the numbers.
        choice: selection of the first draw, in words.
        published: numbers in per cent as papers print them, by "<dataset> <metric>".
        reason: why draws are missing.
        caveats: what a reader must know before relying on the numbers, and why numbers are unknown.
        key: name of the row that is the same in every run, while a label may contain the selection; "" for none.
        words: texts that a paper prints in the row, by heading.
        backbone: backbone that was measured.
    """

    label: str
    numbers: Mapping[str, Number] = field(default_factory=dict)
    interval: str = ""
    n_draws: int = 0
    choice: str = ""
    published: Mapping[str, float] = field(default_factory=dict)
    reason: str = ""
    caveats: tuple[str, ...] = ()
    key: str = ""
    words: Mapping[str, str] = field(default_factory=dict)
    backbone: str = ""

    @property
    def is_measured(self) -> bool:
        """False if all numbers are missing for a reason."""
        return self.n_draws > 0 or not self.reason

    @property
    def missing(self) -> str:
        """The reason in a phrase that says whether all numbers are missing or those of some draws."""
        if not self.reason:
            return ""
        return f"missing: {self.reason}" if self.n_draws else f"not measured: {self.reason}"


@dataclass(frozen=True)
class Table:
    """One table, measured on `dataset`; `metrics` are its measured columns, `published` its published ones."""

    name: str
    title: str
    dataset: str
    backbone: str
    metrics: tuple[str, ...]
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values; unknown numbers are null."""
        return null_for_nan(asdict(self))

    @property
    def published(self) -> tuple[str, ...]:
        """Published columns of any row, in order of occurrence."""
        return tuple(dict.fromkeys(name for row in self.rows for name in row.published))

    @property
    def words(self) -> tuple[str, ...]:
        """Headings of the words of any row, in order of occurrence."""
        return tuple(dict.fromkeys(name for row in self.rows for name in row.words))


_FORMATS = {"seconds": ".4g", "tflop": ".4g", "features": ",.0f", "videos": ",.0f"}
"""Formats of metrics that are no fractions; fractions have four decimals."""


def table_lines(table: Table) -> list[str]:
    """Format a table as lines of text, measured columns first, published ones behind a bar.

    A reason that several rows share is printed once, below the table.
    """
    head, rows = _cells(table)
    if table.published:  # a bar between what was measured and what was published
        at = 1 + len(table.words) + len(table.metrics)
        head = [*head[:at], "|", *head[at:]]
        rows = [[*cells[:at], "|", *cells[at:]] for cells in rows]
    heading, *body = text.table(head, rows, right=head[1 + len(table.words) :])
    shared = _shared_reasons(table.rows)
    lines = [f"{table.name}: {table.title}", f"measured on {table.dataset} with {table.backbone}", heading]
    for row, line in zip(table.rows, body, strict=True):
        missing = "" if row.reason in shared else row.missing
        lines += [line, *(f"    {about}" for about in (row.choice, missing) if about)]
    reasons = [
        f"Not measured: {text.first_few(labels, _NAMED)}: {reason.rstrip('.')}." for reason, labels in shared.items()
    ]
    return [*lines, *(f"  {line}" for line in (*reasons, *_footnotes(table)))]


def markdown_lines(table: Table) -> list[str]:
    """Format a table as Markdown."""
    head, rows = _cells(table)
    about = [row.missing or row.choice for row in table.rows]
    lines = [
        f"## {table.name}: {table.title}",
        "",
        f"Measured on {table.dataset} with {table.backbone}; published numbers are from other authors, on other data.",
        "",
        *text.markdown_table([*head, "chosen"], [[*cells, one] for cells, one in zip(rows, about, strict=True)]),
        "",
    ]
    return [*lines, *(part for line in _footnotes(table) for part in (line, ""))]


def _cells(table: Table) -> tuple[list[str], list[list[str]]]:
    """Return the names of the columns, and the cells of each row."""
    published = (f"published: {name} (%)" for name in table.published)
    head = ["", *table.words, *(HEADINGS[name] for name in table.metrics), *published]
    rows = [
        [
            row.label,
            *(row.words.get(name, "") for name in table.words),
            *(
                _cell(row.numbers.get(name), _FORMATS.get(name, ".4f")) if row.is_measured else "-"
                for name in table.metrics
            ),
            *(_published(row.published.get(name)) for name in table.published),
        ]
        for row in table.rows
    ]
    return head, rows


def _footnotes(table: Table) -> list[str]:
    """Return the footnotes: the meaning of brackets, caveats with their rows, and notes."""
    intervals = _by_text(table.rows, lambda row: (row.interval,) if row.interval else ())
    caveats = _by_text(table.rows, lambda row: row.caveats)
    measured = [row.label for row in table.rows if row.n_draws]
    return [
        *(f"In brackets{_of_rows(labels, measured)}: {ends}." for ends, labels in intervals.items()),
        *(f"Note{_of_rows(labels, measured)}: {caveat}" for caveat, labels in caveats.items()),
        *(f"Note: {note}" for note in table.notes),
    ]


def _shared_reasons(rows: Sequence[Row]) -> dict[str, list[str]]:
    """Return the reasons that more than one row has, with the rows' labels."""
    found = _by_text(rows, lambda row: () if row.is_measured else (row.reason,))
    return {reason: labels for reason, labels in found.items() if len(labels) > 1}


def _by_text(rows: Sequence[Row], texts: Callable[[Row], Sequence[str]]) -> dict[str, list[str]]:
    """Group the labels of the rows by text."""
    found: dict[str, list[str]] = {}
    for row in rows:
        for one in texts(row):
            found.setdefault(one, []).append(row.label)
    return found


def _of_rows(labels: Sequence[str], measured: Sequence[str]) -> str:
    """Return the names of the rows in a phrase; empty if they are all measured rows."""
    if len(labels) == len(measured):
        return ""
    return f" of {text.first_few([repr(label.strip()) for label in labels], _NAMED)}"


def _cell(number: Number | None, form: str) -> str:
    if number is None:
        return ""
    if math.isnan(number.value):
        return "unknown"
    ends = "" if math.isnan(number.low) else f" [{number.low:{form}}, {number.high:{form}}]"
    return f"{number.value:{form}}{ends}"


def _published(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
