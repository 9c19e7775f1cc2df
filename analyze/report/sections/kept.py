"""Sections of tables, sweeps and figures that other commands have written beside a result."""

import base64
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from vadprobe.analyze.report.headings import HEADINGS
from vadprobe.analyze.report.part import ReportPart
from vadprobe.analyze.report.views import Group, PagePicture, PageTable, Value

_ON_EVERY_PAGE = ("2", "6")
"""Numbers of figures that the page draws from the result itself: saliency, and curves of videos."""

_ABOUT = "chosen, or why it is missing"


def figures(parts: Sequence[ReportPart]) -> Group | None:
    """Return the figures that were drawn from the analyses, each once; None if there are none."""
    found = {
        f"{one.title} ({one.name})": PagePicture(
            f"{one.title} ({one.name})", one.caption, base64.b64encode(one.png).decode("ascii")
        )
        for part in parts
        for one in part.figures
        if one.name.rpartition("-")[2] not in _ON_EVERY_PAGE
    }
    note = "Drawn by 'vadprobe figure'; the folder of figures beside the result has each as SVG and CSV too."
    return Group("Figures", pictures=tuple(found.values()), notes=[note]) if found else None


def tables(parts: Sequence[ReportPart]) -> list[Group]:
    """Return the tables and sweeps that were measured on the same features and truth as the analyses."""
    contents = [content for part in parts for content in part.tables]
    unique = list({str(content.get("name", "sweep")) + str(content["notes"]): content for content in contents}.values())
    return [
        _sweep(content, number) if "cells" in content else _table(content, number)
        for number, content in enumerate(unique)
    ]


def shared_notes(groups: Sequence[Group]) -> list[str]:
    """Return the notes that several tables share, so that a page shows each once."""
    found = Counter(note for group in groups for note in dict.fromkeys(group.notes))
    return [note for note, count in found.items() if count > 1]


def _table(content: Mapping[str, Any], number: int) -> Group:
    rows, metrics = content["rows"], content["metrics"]
    words = list(dict.fromkeys(name for row in rows for name in row["words"]))
    printed = list(dict.fromkeys(name for row in rows for name in row["published"]))
    head = ["row", *words, _ABOUT]
    for metric in metrics:
        head += [HEADINGS.get(metric, metric), f"{HEADINGS.get(metric, metric)}, from to"]
    head += [f"printed: {name}, %" for name in printed]
    cells: list[list[Value]] = [
        [row["label"], *(row["words"].get(name, "") for name in words), _about(row),
         *_spreads(row["numbers"], metrics), *(row["published"].get(name) for name in printed)]
        for row in rows
    ]  # fmt: skip
    first = 2 + len(words)
    is_word = {*range(first), *(first + 1 + 2 * place for place in range(len(metrics)))}
    measured = f"measured on {content['dataset']} with {content['backbone']}"
    caption = f"{content['name']}, {measured}"
    table = PageTable(f"table-{number}-{content['name']}", caption, head, cells, frozenset(is_word), missing="–")
    title = content["title"][:1].upper() + content["title"][1:]
    return Group(f"{title} ({content['name']})", (table,), notes=[*content["notes"], *_ends(rows)])


def _sweep(content: Mapping[str, Any], number: int) -> Group:
    cells, keys, metrics = content["cells"], list(content["keys"]), content["shown"]
    head = ["job", "swept", *keys, _ABOUT]
    for metric in metrics:
        head += [HEADINGS.get(metric, metric), f"{HEADINGS.get(metric, metric)}, from to"]
    rows: list[list[Value]] = [
        [cell["job"], cell["swept"], *(_plain(cell["values"].get(key)) for key in keys), _about(cell),
         *_spreads(cell["numbers"], metrics)]
        for cell in cells
    ]  # fmt: skip
    first = 3 + len(keys)
    is_word = {*range(first), *(first + 1 + 2 * place for place in range(len(metrics)))}
    table = PageTable(f"table-{number}-sweep", f"Sweep, {content['design']}", head, rows, frozenset(is_word),
                      missing="–")  # fmt: skip
    about = [f"{key}: {meaning}." for key, meaning in content["keys"].items()]
    return Group("Other values of the settings (sweep)", (table,), notes=[*content["notes"], *about, *_ends(cells)])


def _spreads(numbers: Mapping[str, Any], metrics: Sequence[str]) -> Iterator[Value]:
    for metric in metrics:
        found = numbers.get(metric) or {}
        low, high = found.get("low"), found.get("high")
        yield found.get("value")
        yield "" if low is None or high is None else f"{low:.4f} to {high:.4f}"


def _about(row: Mapping[str, Any]) -> str:
    return "; ".join(filter(None, [row["choice"], row["reason"], *row["caveats"]]))


def _ends(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return notes on the meaning of the intervals in these rows."""
    found = dict.fromkeys(row["interval"] for row in rows if row["interval"])
    return [f"From to: {'; '.join(found)}."] if found else []


def _plain(value: Any) -> Value:
    return "" if value is None else value if isinstance(value, str | int | float) else str(value)
