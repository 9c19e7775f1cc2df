"""A reader of the published numbers: the papers' tables row by row, and the numbers of other works."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from typing import Any

METRICS: Mapping[str, str] = {"UCF": "UCF-Crime AUC", "XD": "XD-Violence AP"}
"""Name of each metric by its key in the data."""

SETS: Mapping[str, str] = {"ucf-crime": METRICS["UCF"], "xd-violence": METRICS["XD"]}
"""Name of the published metric by the annotation's format."""


@dataclass(frozen=True)
class PublishedNumber:
    """One published number in per cent.

    `table` is the paper's table, "" for other works. `source` is the work that prints it, `caveat` the reason why it
    may not be comparable.
    """

    table: str
    row: str
    metric: str
    value: float
    source: str
    caveat: str = ""


@dataclass(frozen=True)
class PrintedRow:
    """One row of a paper's table: its label, further texts in `words` by heading, and its numbers."""

    label: str
    words: Mapping[str, str]
    numbers: tuple[PublishedNumber, ...]

    @property
    def values(self) -> dict[str, float]:
        """Values in per cent by metric."""
        return {number.metric: number.value for number in self.numbers}


@dataclass(frozen=True)
class PrintedTable:
    """One table of a paper. `shares` names the other paper's table whose rows it repeats; "" if there is none."""

    name: str
    title: str
    source: str
    rows: tuple[PrintedRow, ...]
    shares: str = ""


@cache
def printed_tables() -> Mapping[str, PrintedTable]:
    """Return the papers' tables by name, such as "hiprobe-1", in the papers' order."""
    data, caveats = _read("papers.json"), _caveats()
    found: dict[str, PrintedTable] = {}
    for name, table in data["tables"].items():
        source = data["sources"][name.split("-")[0]]
        rows = tuple(_row(name, source, table, row, caveats) for row in table["rows"])
        shares = table.get("shares", "")
        if shares:
            rows = _merged(found[shares].rows, rows, name, source)
        found[name] = PrintedTable(name, table["title"], source, rows, shares)
    return found


@cache
def other_works() -> tuple[PublishedNumber, ...]:
    """Return the numbers that neither paper prints."""
    return tuple(
        PublishedNumber("", one["row"], METRICS[one["metric"]], one["value"], one["source"], one.get("caveat", ""))
        for one in _read("other_works.json")["numbers"]
    )


def published_on(format_name: str) -> tuple[PublishedNumber, ...]:
    """Return all published numbers on a set: each method of the papers' comparisons once, then other works."""
    metric = SETS[format_name]
    found: dict[str, PublishedNumber] = {}
    for table in printed_tables().values():
        if any(row.words for row in table.rows):
            for number in (number for row in table.rows for number in row.numbers if number.metric == metric):
                found.setdefault(number.row, number)
    return (*found.values(), *(number for number in other_works() if number.metric == metric))


def _read(name: str) -> dict[str, Any]:
    return dict(json.loads(files(__package__).joinpath(name).read_text(encoding="utf-8")))


def _caveats() -> dict[tuple[str, str], str]:
    """Return caveats of the papers' numbers that are not in the papers, by row and metric."""
    return {(one["row"], METRICS[one["metric"]]): one["caveat"] for one in _read("other_works.json")["caveats"]}


def _row(
    table: str, source: str, about: Mapping[str, Any], row: Sequence[Any], caveats: Mapping[tuple[str, str], str]
) -> PrintedRow:
    label, words, values = row
    metrics = [METRICS[column] for column in about["columns"]]
    return PrintedRow(
        label,
        dict(zip(about.get("words", ()), words, strict=True)),
        tuple(
            PublishedNumber(table, label, metric, value, source, caveats.get((label, metric), ""))
            for metric, value in zip(metrics, values, strict=True)
        ),
    )


def _merged(shared: Sequence[PrintedRow], own: Sequence[PrintedRow], table: str, source: str) -> tuple[PrintedRow, ...]:
    """Return a table's own rows, inserted behind the other paper's rows of the same supervision.

    A shared row such as "HiProbe-VAD (InternVL2.5)" is left out if the own rows have "HiProbe-VAD".
    """
    names = tuple(f"{row.label} (" for row in own)
    kept = [
        replace(row, numbers=tuple(replace(number, table=table, source=source) for number in row.numbers))
        for row in shared
        if not row.label.startswith(names)
    ]
    order = list(dict.fromkeys(row.words["supervision"] for row in (*kept, *own)))
    return tuple(sorted((*kept, *own), key=lambda row: order.index(row.words["supervision"])))
