"""Plots of a sweep: a row for each metric, a column for each key, a line with a band for each job."""

import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from vadprobe.analyze.experiments.cases import ExperimentJob
from vadprobe.analyze.experiments.rows import Number
from vadprobe.analyze.experiments.sweeps.axes import OWN, PRODUCT
from vadprobe.analyze.experiments.sweeps.keys import KEYS
from vadprobe.analyze.experiments.sweeps.measured import MeasuredCell, Sweep
from vadprobe.analyze.experiments.sweeps.values import Value, shown
from vadprobe.analyze.report.headings import HEADINGS

_COLOURS = ("#1c5d99", "#c8553d", "#3b7d4f", "#7a4f9a", "#a67c1f", "#52606d")
_INK, _MUTED, _GRID = "#1f2933", "#7b8794", "#e4e7eb"
_APART = 0.16
_OWN_LINE = "own settings"
_LOG_FROM = 30.0
"""Smallest ratio of the largest to the smallest value for which an axis is logarithmic."""


@dataclass(frozen=True, eq=False)
class Curve:
    """One job along one key: ascending places on the axis, and a number for each metric at every place.

    `own` is the place and the numbers of the job's own settings; the place is NaN if they are not on this axis.
    """

    label: str
    places: np.ndarray
    numbers: Sequence[Mapping[str, Number]]
    own: tuple[float, Mapping[str, Number]]


def sweep_pictures(sweep: Sweep, metrics: Sequence[str]) -> dict[str, bytes]:
    """Draw a sweep; returns the files by suffix, with equal bytes for equal numbers."""
    keys, cases = sweep.plan.keys, list(dict.fromkeys(measured.cell.case for measured in sweep.cells))
    size = (max(3.0 * len(keys) + 0.6, 4.6), 2.1 * len(metrics) + 0.9)
    figure = Figure(figsize=size, layout="constrained")
    panels = figure.subplots(len(metrics), len(keys), squeeze=False, sharex="col", sharey="row")
    for column, key in enumerate(keys):
        ticks = _ticks(sweep, key)
        curves = {number: _curve(sweep, case, key, ticks) for number, case in enumerate(cases)}
        beside = [_APART * (number - (len(cases) - 1) / 2) if ticks else None for number in range(len(cases))]
        for row, metric in enumerate(metrics):
            axes = panels[row, column]
            for number, curve in curves.items():
                if curve is not None:
                    _draw(axes, curve, metric, _COLOURS[number % len(_COLOURS)], beside[number])
            _plain(axes)
        if sweep.plan.is_product:
            _tell_slice(panels[0, column], sweep, key)
        _name_axis(panels[-1, column], key, ticks, [place for one in curves.values() if one for place in one.places])
    for row, metric in enumerate(metrics):
        panels[row, 0].set_ylabel(HEADINGS[metric], fontsize=9)
    _legend(figure, panels, sweep)
    return {kind: _bytes(figure, kind) for kind in ("png", "svg")}


def _ticks(sweep: Sweep, key: str) -> list[Value]:
    """Return the words on an axis of words, in the order in which they were given; empty for an axis of numbers."""
    if KEYS[key].kind is not str:
        return []
    words = [measured.cell.values[key] for measured in sweep.cells if measured.cell.swept in (key, PRODUCT)]
    return [word for word in dict.fromkeys(words) if word is not None]


def _curve(sweep: Sweep, case: ExperimentJob, key: str, ticks: Sequence[Value]) -> Curve | None:
    if key not in sweep.plan.axes[case.name]:
        return None
    cells = [measured for measured in sweep.cells if measured.cell.case is case]
    own = next(measured for measured in cells if measured.cell.swept == OWN)
    swept = _slice(cells, key) if sweep.plan.is_product else [one for one in cells if one.cell.swept == key]
    places = np.array([_place(one.cell.values[key], ticks) for one in swept])
    order = np.argsort(places, kind="stable")
    rows = [swept[number].row.numbers for number in order]
    return Curve(case.name, places[order], rows, (_own_place(own, key, ticks), own.row.numbers))


def _held(cells: Sequence[MeasuredCell], key: str) -> dict[str, Value | None]:
    """Return the values at which a plot along one key of a grid fixes the other keys: the job's own, or the first."""
    own = next(measured.cell.values for measured in cells if measured.cell.swept == OWN)
    grid = [measured.cell.values for measured in cells if measured.cell.swept == PRODUCT]
    found: dict[str, Value | None] = {}
    for other in own if grid else ():
        values = [one[other] for one in grid]
        found[other] = own[other] if own[other] in values else values[0]
    found.pop(key, None)
    return found


def _slice(cells: Sequence[MeasuredCell], key: str) -> list[MeasuredCell]:
    """Return the cells of a grid along one key; the other cells are in the table only."""
    held = _held(cells, key)
    grid = [measured for measured in cells if measured.cell.swept == PRODUCT]
    return [one for one in grid if all(one.cell.values[name] == value for name, value in held.items())]


def _place(value: Value | None, ticks: Sequence[Value]) -> float:
    if value is None or (ticks and value not in ticks):
        return math.nan
    return float(ticks.index(value)) if ticks else float(value)


def _own_place(own: MeasuredCell, key: str, ticks: Sequence[Value]) -> float:
    """Return the place of the job's own settings; it may be the value that their grid or rule found on every draw."""
    value = own.cell.values[key]
    if value is not None:
        return _place(value, ticks)
    found: list[float] = {
        "layer": [float(draw.layers[0]) for draw in own.found],
        "sigma": [draw.sigma for draw in own.found],
        "tau": [draw.threshold for draw in own.found],
    }.get(key, [])
    agree = key != "layer" or len(set(found)) == 1  # a mean between two layers is no layer
    return float(np.mean(found)) if found and agree else math.nan


def _draw(axes: Axes, curve: Curve, metric: str, colour: str, beside: float | None) -> None:
    """Draw one metric of a curve.

    Words have no order, so their numbers are not joined by a line. They get error bars in place of a band, and each job
    is drawn at the distance `beside` from the word's place; `beside` is None if values are numbers.
    """
    numbers = [found.get(metric, Number()) for found in curve.numbers]
    values, low, high = (np.array([getattr(one, end) for one in numbers]) for end in ("value", "low", "high"))
    places = curve.places + (beside or 0)
    if beside is None:
        axes.fill_between(places, low, high, color=colour, alpha=0.18, linewidth=0)
    else:
        axes.vlines(places, low, high, color=colour, alpha=0.35, linewidth=4)
    line = "-" if beside is None else "none"
    axes.plot(
        places, values, color=colour, linestyle=line, linewidth=1.6, marker="o", markersize=3.2, label=curve.label
    )
    place, own = curve.own[0], curve.own[1].get(metric, Number()).value
    axes.axhline(own, color=colour, linewidth=0.9, linestyle=":", label=_OWN_LINE)
    axes.plot(
        [place + (beside or 0)],
        [own],
        color=colour,
        marker="D",
        markersize=6.5,
        markerfacecolor="white",
        linestyle="none",
    )


def _name_axis(bottom: Axes, key: str, ticks: Sequence[Value], places: Sequence[float]) -> None:
    bottom.set_xlabel(key, fontsize=9)
    if ticks:
        bottom.set_xticks(range(len(ticks)), [shown(word) for word in ticks], rotation=90, fontsize=7)
        bottom.set_xlim(-0.5, len(ticks) - 0.5)
    elif places and min(places) > 0 and max(places) / min(places) >= _LOG_FROM:
        bottom.set_xscale("log")
    elif KEYS[key].kind is int:
        bottom.xaxis.set_major_locator(MaxNLocator(integer=True))


def _tell_slice(top: Axes, sweep: Sweep, key: str) -> None:
    """Write above a column the values at which the grid's other keys are fixed, which may differ between jobs."""
    texts: dict[str, list[str]] = {}
    for case in dict.fromkeys(measured.cell.case for measured in sweep.cells):
        held = _held([measured for measured in sweep.cells if measured.cell.case is case], key)
        words = [f"{name} {shown(value)}" for name, value in held.items() if name in sweep.plan.axes[case.name]]
        if words and key in sweep.plan.axes[case.name]:
            texts.setdefault("at " + ", ".join(words), []).append(case.name)
    lines = [held if len(texts) == 1 else f"{', '.join(names)} {held}" for held, names in texts.items()]
    top.set_title("\n".join(lines), fontsize=7, loc="left", color=_INK)


def _legend(figure: Figure, panels: np.ndarray, sweep: Sweep) -> None:
    """Draw the legend: the jobs, the dotted line and the band."""
    handles: dict[str, Any] = {}
    for axes in panels.flat:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            handles.setdefault(label, handle)
    handles["the job's own settings (diamond: their place)"] = handles.pop(_OWN_LINE, Line2D([], [], linestyle=":"))
    ends = dict.fromkeys(measured.row.interval.partition(" (")[0] for measured in sweep.cells)
    for interval in filter(None, ends):
        handles[f"band: {interval}"] = Patch(color=_MUTED, alpha=0.18, linewidth=0)
    figure.legend(handles.values(), handles.keys(), loc="outside upper left", fontsize=7, frameon=False, ncols=2)


def _plain(axes: Axes) -> None:
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.tick_params(colors=_INK, labelsize=8)
    axes.grid(axis="y", color=_GRID, linewidth=0.8)
    axes.set_axisbelow(True)


def _bytes(figure: Figure, kind: str) -> bytes:
    """Return a figure as a file without a date and with ids that are the same in every run."""
    buffer = io.BytesIO()
    with rc_context({"svg.hashsalt": "vadprobe"}):
        figure.savefig(buffer, format=kind, dpi=140, metadata={"Date": None} if kind == "svg" else None)
    return buffer.getvalue()
