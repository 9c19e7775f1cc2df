"""Tables as the papers print them: each row in its order and wording, measured if there are stores for it."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from vadprobe.analyze.experiments.cases import ExperimentJob
from vadprobe.analyze.experiments.measuring import METRICS, table_of
from vadprobe.analyze.experiments.rows import Row, Table
from vadprobe.analyze.report.published.numbers import PrintedRow, printed_tables

_BACKBONES: Mapping[str, str] = {
    "InternVL2.5": r"internvl[-_ ]?2[._-]?5",
    "InternVL3": r"internvl[-_ ]?3(?![._]?5)",
    "Qwen2.5-VL": r"qwen[-_ ]?2[._-]?5[-_ ]?vl",
    "LLaVA-OneVision": r"llava[-_ ]?(onevision|ov)",
    "Holmes-VAU": r"holmes[-_ ]?vau",
}
"""Pattern of users' keys by the papers' name of a backbone."""


def backbone_name(key: str) -> str | None:
    """Return the papers' name of a backbone by its key, as "InternVL3" of "internvl3-8b"; None for another one."""
    return next((name for name, pattern in _BACKBONES.items() if re.search(pattern, key.lower())), None)


def not_measured(reason: str) -> Row:
    """Return a row that these stores cannot measure."""
    return Row("", reason=reason)


def printed_rows(name: str, measured: Callable[[PrintedRow], Row]) -> list[Row]:
    """Return the rows of a paper's table, each measured by a function, with the published numbers."""
    return [
        replace(measured(row), label=row.label, words=row.words, published=row.values)
        for row in printed_tables()[name].rows
    ]


def printed_table(
    case: ExperimentJob,
    name: str,
    rows: Sequence[Row],
    metrics: tuple[str, ...] = METRICS,
    notes: Sequence[str] = (),
) -> Table:
    """Return the table of rows under the paper's title; caveats of the published numbers become notes."""
    printed = printed_tables()[name]
    caveats = [
        f"Published, {number.row}, {number.metric}: {number.caveat}."
        for row in printed.rows
        for number in row.numbers
        if number.caveat
    ]
    source = f"Published numbers are those of {printed.source}."
    return table_of(case, name, printed.title, rows, metrics, (*notes, source, *caveats))
