"""A sweep as JSON, as lines of text and as Markdown: one table for each key of each job, or one for a grid."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from vadprobe.analyze.evaluation.evaluation import null_for_nan
from vadprobe.analyze.experiments.cases import ExperimentJob
from vadprobe.analyze.experiments.rows import Number
from vadprobe.analyze.experiments.sweeps.axes import OWN, PRODUCT
from vadprobe.analyze.experiments.sweeps.keys import KEYS
from vadprobe.analyze.experiments.sweeps.measured import SWEEP_METRICS, MeasuredCell, Sweep
from vadprobe.analyze.experiments.sweeps.values import shown
from vadprobe.analyze.report.headings import HEADINGS
from vadprobe.store.errors import VadprobeError
from vadprobe.store.files import text

_OWN_MARK = "*"


@dataclass(frozen=True, eq=False)
class _Part:
    """One table: its title, the keys whose values name its rows, and the cells."""

    title: str
    keys: tuple[str, ...]
    cells: tuple[MeasuredCell, ...]


def check_metrics(names: Sequence[str]) -> tuple[str, ...]:
    """Return the names of metrics to show, each once.

    Raises:
        VadprobeError: if a sweep does not measure one of them.
    """
    unknown = [name for name in names if name not in SWEEP_METRICS]
    if unknown:
        raise VadprobeError(f"there is no metric {unknown[0]!r}; a sweep measures {', '.join(SWEEP_METRICS)}.")
    return tuple(dict.fromkeys(names))


def summary_json(sweep: Sweep, metrics: Sequence[str]) -> dict[str, Any]:
    """Return plain JSON values; unknown numbers are null."""
    cells = []
    for measured in sweep.cells:
        row = measured.row
        cells.append(
            {
                "job": measured.cell.case.name,
                "dataset": measured.cell.case.truth.name,
                "backbone": measured.cell.case.backbone,
                "method": measured.cell.variation.config.method,
                "swept": measured.cell.swept,
                "values": dict(measured.cell.values),
                "n_draws": row.n_draws,
                "numbers": {name: asdict(row.numbers.get(name, Number())) for name in SWEEP_METRICS},
                "interval": row.interval,
                "choice": row.choice,
                "reason": row.reason,
                "caveats": list(row.caveats),
            }
        )
    about = {name: KEYS[name].about for name in sweep.plan.keys}
    design = "product" if sweep.plan.is_product else "one key at a time"
    return null_for_nan(
        {"keys": about, "design": design, "shown": list(metrics), "notes": list(sweep.notes), "cells": cells}
    )


def summary_lines(sweep: Sweep, metrics: Sequence[str]) -> list[str]:
    """Format a sweep as lines of text."""
    lines: list[str] = []
    for part in _parts(sweep):
        head, rows = _table(part, metrics)
        lines += [
            part.title,
            *(f"  {line}" for line in text.table(head, rows, right=head[len(part.keys) + 1 : -1])),
            "",
        ]
    return [*lines, *_remarks(sweep)]


def summary_markdown(sweep: Sweep, metrics: Sequence[str]) -> list[str]:
    """Format a sweep as Markdown."""
    lines = ["# Sweep", ""]
    for part in _parts(sweep):
        head, rows = _table(part, metrics)
        right = head[len(part.keys) + 1 : -1]
        lines += [f"## {part.title}", "", *text.markdown_table(head, rows, right=right), ""]
    return [*lines, *(one for remark in _remarks(sweep) for one in (remark, ""))]


def _parts(sweep: Sweep) -> Iterator[_Part]:
    """Yield the tables; each has the job's own cell, among the others if its value is one of the axis."""
    for case in dict.fromkeys(measured.cell.case for measured in sweep.cells):
        cells = [measured for measured in sweep.cells if measured.cell.case is case]
        own = [measured for measured in cells if measured.cell.swept == OWN]
        keys = sweep.plan.axes[case.name]
        if sweep.plan.is_product:
            grid = [measured for measured in cells if measured.cell.swept == PRODUCT]
            if grid:
                yield _Part(f"{_about(case)}: every combination", tuple(keys), (*own, *grid))
            continue
        for key in keys:
            swept = [measured for measured in cells if measured.cell.swept == key]
            yield _Part(f"{_about(case)}: {key}, {KEYS[key].about.partition(';')[0]}", (key,), (*own, *swept))


def _about(case: ExperimentJob) -> str:
    return f"{case.name} ({case.truth.name}, {case.backbone})"


def _table(part: _Part, metrics: Sequence[str]) -> tuple[list[str], list[list[str]]]:
    head = ["", *part.keys, *(HEADINGS[name] for name in metrics), "chosen in the first draw"]
    rows = []
    for measured in part.cells:
        row = measured.row
        values = [shown(measured.cell.values[key]) for key in part.keys]
        mark = _OWN_MARK if measured.cell.swept == OWN else ""
        about = row.choice if not row.reason else f"{row.choice}; {row.missing}".removeprefix("; ")
        rows.append([mark, *values, *(_number(row.numbers.get(name, Number())) for name in metrics), about])
    return head, _each_once(rows)


def _each_once(rows: list[list[str]]) -> list[list[str]]:
    """Move the mark of the job's own settings to the row of a swept value that is theirs, where there is one."""
    own, *swept = rows
    if own[1:] not in [row[1:] for row in swept]:
        return rows
    return [[_OWN_MARK if row[1:] == own[1:] else row[0], *row[1:]] for row in swept]


def _number(number: Number) -> str:
    if math.isnan(number.value):
        return "unknown"
    return f"{number.value:.4f}" + ("" if math.isnan(number.low) else f" [{number.low:.4f}, {number.high:.4f}]")


def _remarks(sweep: Sweep) -> list[str]:
    """Return the remarks: the meaning of mark and brackets, caveats with their numbers of cells, and notes."""
    rows = [measured.row for measured in sweep.cells]
    brackets = _counted_texts([row.interval for row in rows if row.interval])
    caveats = _counted_texts([caveat for row in rows for caveat in row.caveats])
    measured = sum(1 for row in rows if row.n_draws)
    return [
        f"{_OWN_MARK} the job's own settings; '-' where they have no single value.",
        *(f"In brackets{_of(count, measured)}: {ends}." for ends, count in brackets),
        *(f"Note{_of(count, measured)}: {caveat}" for caveat, count in caveats),
        *(f"Note: {note}" for note in sweep.notes),
    ]


def _counted_texts(texts: Sequence[str]) -> list[tuple[str, int]]:
    return [(one, texts.count(one)) for one in dict.fromkeys(texts)]


def _of(count: int, every: int) -> str:
    return "" if count == every else f" of {text.counted(count, 'cell')}"
