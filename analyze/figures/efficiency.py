"""HeadHunt-VAD figure 4: what a segment costs under each way of scoring it."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vadprobe.analyze.figures import style
from vadprobe.analyze.figures.drawn import DrawnFigure
from vadprobe.analyze.figures.source import EfficiencyRow, FigureSource, notes_of
from vadprobe.store.errors import VadprobeError

NO_TIMINGS = (
    "the extraction has left no timings beside the stores, so seconds and TFLOP per segment are unknown; 'vadprobe "
    "extract' of a newer version keeps them."
)
"""Reason why a store cannot give this figure."""


def efficiency_figure(rows: Sequence[EfficiencyRow], sources: Sequence[FigureSource] = ()) -> DrawnFigure:
    """Draw figure 4 of HeadHunt-VAD: seconds and TFLOP per segment, a bar for each way of scoring.

    Args:
        rows: in the order of drawing, from above.
        sources: jobs whose extraction was timed.

    Raises:
        VadprobeError: if there is no row, or none has a number.
    """
    if all(seconds is None and tflop is None for _, seconds, tflop in rows):
        raise VadprobeError(NO_TIMINGS)
    of = "".join(f"; {source.label}" for source in sources)
    return DrawnFigure(
        title="Efficiency per segment",
        caption=f"Seconds and TFLOP (10^12 operations) per segment under each way of scoring it{of}.",
        columns=("name", "seconds_per_segment", "tflop_per_segment"),
        rows=rows,
        sources=tuple(source.to_json() for source in sources),
        figure=_draw(rows),
        notes=notes_of(sources),
    )


def _draw(rows: Sequence[EfficiencyRow]) -> Figure:
    figure = style.new_figure(style.WIDTH, 0.9 + 0.36 * len(rows))
    left, right = figure.subplots(1, 2, sharey=True)
    names = [style.plain_text(name) for name, _, _ in rows]
    _bars(left, names, [seconds for _, seconds, _ in rows], "seconds per segment", style.SCORE)
    _bars(right, names, [tflop for _, _, tflop in rows], "TFLOP per segment", style.ANOMALOUS)
    left.invert_yaxis()
    return figure


def _bars(axes: Axes, names: Sequence[str], values: Sequence[float | None], label: str, color: str) -> None:
    known = [0.0 if value is None else value for value in values]
    bars = axes.barh(names, known, color=color, height=0.62)
    labels = ["unknown" if value is None else f"{value:.3g}" for value in values]
    axes.bar_label(bars, labels, padding=3, fontsize=8, color=style.INK)
    axes.set_xlim(0, 1.18 * max(known) or 1.0)
    axes.set_xlabel(label)
    style.plain(axes, grid=False)
