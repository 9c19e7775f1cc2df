"""Figure 4 of HeadHunt-VAD: costs of a segment, features kept of it, and videos needed for fitting."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from vadprobe.analyze.features.pass_costs import pass_costs
from vadprobe.analyze.figures import style
from vadprobe.analyze.figures.drawn import Cell, DrawnFigure
from vadprobe.analyze.figures.source import EfficiencyRow, FigureSource, notes_of
from vadprobe.store.errors import VadprobeError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

NO_TIMINGS = "No seconds and TFLOP per segment: the extraction has left no timings beside the stores."
"""Note for a figure without times."""

_SECONDS, _TFLOP = "seconds per segment", "TFLOP (10^12 operations) per segment"
_FEATURES, _VIDEOS = "features of a segment", "training videos"
_Bar = tuple[str, float | None]


def efficiency_figure(
    rows: Sequence[EfficiencyRow],
    sources: Sequence[FigureSource] = (),
    features: Sequence[_Bar] = (),
    videos: Sequence[_Bar] = (),
) -> DrawnFigure:
    """Draw figure 4 of HeadHunt-VAD: bars of seconds and TFLOP per segment, of features, and of videos.

    Args:
        rows: the ways of scoring, from top to bottom; may be empty.
        sources: the job that is drawn.
        features: names and numbers of all features, and of those kept.
        videos: names and numbers of all training videos, and of those needed.

    Raises:
        VadprobeError: if nothing is known.
    """
    timed = {
        _SECONDS: [(name, seconds) for name, seconds, _ in rows],
        _TFLOP: [(name, tflop) for name, _, tflop in rows],
    }
    panels = {**timed, _FEATURES: list(features), _VIDEOS: list(videos)}
    panels = {label: bars for label, bars in panels.items() if any(value is not None for _, value in bars)}
    if not panels:
        raise VadprobeError(NO_TIMINGS)
    has_timings = _SECONDS in panels or _TFLOP in panels
    cells: list[tuple[Cell, ...]] = [(label, *bar) for label, bars in panels.items() for bar in bars]
    of = "".join(f" {source.label}, {source.samples}." for source in sources)
    return DrawnFigure(
        title="Efficiency: cost of a segment, features and videos",
        caption="Cost of scoring a segment, the number of its features that are kept, and the number of "
        f"videos for the fit.{of}",
        columns=("quantity", "name", "value"),
        rows=cells,
        sources=tuple(source.to_json() for source in sources),
        figure=_draw(panels),
        notes=(*notes_of(sources), *(() if has_timings else (NO_TIMINGS,))),
    )


def efficiency_of(sources: Sequence[FigureSource]) -> DrawnFigure:
    """Draw figure 4 of HeadHunt-VAD for the first job."""
    source = sources[0]
    backbone, chosen = source.backbone, source.choice.selection.indices
    count = len(backbone.heads)
    features = [
        (f"all {count} heads", backbone.n_head_values),
        (f"{len(chosen)} chosen heads", sum(backbone.head_shapes[index[0]][1] for index in chosen)),
    ]
    used = len(np.unique(source.calibration.groups))
    videos = [("there are", len(source.inputs.truth.of_split("train"))), ("fitted on", used)]
    costs = pass_costs(source.inputs, source.choice.selection, source.text_file)
    drawn = efficiency_figure([cost.row for cost in costs], [source], features, videos)
    timed = any(value is not None for cost in costs for value in cost.row[1:])
    reasons = [f"{cost.name}: {cost.reason}." for cost in costs if timed and cost.reason]
    return replace(drawn, notes=(*drawn.notes, *reasons))


def _draw(panels: dict[str, list[_Bar]]) -> "Figure":
    heights = [0.55 + 0.28 * len(bars) for bars in panels.values()]
    figure = style.new_figure(style.WIDTH, sum(heights) + 0.3)
    grid = figure.subplots(len(panels), 1, squeeze=False, height_ratios=heights)[:, 0]
    for number, (axes, (label, bars)) in enumerate(zip(grid, panels.items(), strict=True)):
        _bars(axes, label, bars, style.SERIES[number % len(style.SERIES)])
    return figure


def _bars(axes: "Axes", label: str, bars: Sequence[_Bar], color: str) -> None:
    known = [0.0 if value is None else float(value) for _, value in bars]
    drawn = axes.barh([style.plain_text(name) for name, _ in bars], known, color=color, height=0.62)
    axes.bar_label(drawn, [_number(value) for _, value in bars], padding=3, fontsize=8, color=style.INK)
    axes.set_xlim(0, 1.12 * max(known) or 1.0)
    axes.invert_yaxis()
    style.title(axes, label)
    style.plain(axes, grid=False)


def _number(value: float | None) -> str:
    if value is None:
        return "unknown"
    return f"{value:,}" if isinstance(value, int) else f"{value:.3g}"
