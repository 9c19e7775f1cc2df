"""Figures 2 and 3 of HiProbe-VAD: the metrics of DLSP and the silhouette over the layers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from vadprobe.analyze.detector.saliency_steps import layer_silhouettes_of
from vadprobe.analyze.figures import style
from vadprobe.analyze.figures.drawn import Cell, DrawnFigure
from vadprobe.analyze.figures.source import FigureSource, notes_of, of_each
from vadprobe.analyze.saliency.layers import FLOORED_DIMENSIONS
from vadprobe.store.errors import VadprobeError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LAYER_NUMBERS = (
    "Layer 0 is the embedding, and block l - 1, counted from 0, makes layer l. HiProbe-VAD most likely counts its "
    "blocks from 0: its layer 20 is layer 21 here."
)
"""Sentence on the numbers of layers in the paper and here."""

PANELS = {
    "gaussian_kl": ("KL divergence", "nats"),
    "discriminant_ratio": ("local discriminant ratio", "ratio"),
    "binned_entropy": ("entropy", "bits"),
    "saliency": ("saliency S(l), sum of z-scores", "z-score"),
}
"""Title and unit of each panel of figure 2."""


@dataclass(frozen=True, eq=False)
class LayerCurves:
    """Numbers of every layer in one job, (L,) each.

    `layers` are the layers' numbers, `metrics` the raw metrics, `parts` the z-scores of the ranked metrics, and
    `scores` their sum S(l). `chosen` is the layer that the probe reads.
    """

    label: str
    layers: Sequence[int]
    metrics: Mapping[str, np.ndarray]
    parts: Mapping[str, np.ndarray]
    scores: np.ndarray
    chosen: int


def draw_layer_metrics(curves: Sequence[LayerCurves]) -> "Figure":
    """Draw the three metrics and the saliency over the layers, a line for each job; the chosen layer is ringed."""
    figure = style.new_figure(style.WIDTH, 4.9)
    panels = figure.subplots(2, 2, sharex=True).ravel()
    for axes, (name, (heading, unit)) in zip(panels, PANELS.items(), strict=True):
        for number, one in enumerate(curves):
            values = one.scores if name == "saliency" else one.metrics.get(name)
            if values is not None:
                _line(axes, one.layers, values, f"{one.label}: layer {one.chosen} chosen", number, one.chosen)
        style.title(axes, heading)
        axes.set_ylabel(unit)
        style.plain(axes)
    if len(curves) == 1:
        for number, (name, values) in enumerate(curves[0].parts.items()):
            panels[-1].plot(curves[0].layers, values, color=style.MUTED, linewidth=1, zorder=1,
                            linestyle=("--", ":", "-.")[number % 3], label=PANELS.get(name, (name, ""))[0])  # fmt: skip
    _finish(figure, panels, panels[2:], curves[0].layers, max(one.layers[-1] for one in curves))
    return figure


def draw_silhouettes(curves: Mapping[str, tuple[Sequence[int], np.ndarray, int]]) -> "Figure":
    """Draw silhouettes over layers: by label, the layers, values (L,) and the chosen layer, which is ringed."""
    figure = style.new_figure(style.WIDTH, 3.4)
    axes = figure.add_subplot()
    for number, (label, (layers, values, chosen)) in enumerate(curves.items()):
        peak = "" if np.isnan(values).all() else f"greatest at layer {layers[int(np.nanargmax(values))]}, "
        _line(axes, layers, values, f"{label}: {peak}layer {chosen} chosen", number, chosen)
    axes.axhline(0, color=style.PALE, linewidth=1)
    axes.set_ylabel("mean silhouette")
    style.plain(axes)
    first = next(iter(curves.values()))[0]
    _finish(figure, [axes], [axes], first, max(layers[-1] for layers, _, _ in curves.values()), columns=1)
    return figure


def _line(axes: "Axes", layers: Sequence[int], values: np.ndarray, label: str, number: int, chosen: int) -> None:
    look = style.series(number)
    axes.plot(layers, values, linewidth=1.6, label=label, **look)
    if chosen in layers:
        axes.plot([chosen], [values[list(layers).index(chosen)]], marker="o", markersize=10, markeredgewidth=1.6,
                  fillstyle="none", color=look["color"])  # fmt: skip


def _finish(
    figure: "Figure",
    panels: "Sequence[Axes]",
    lowest: "Sequence[Axes]",
    layers: Sequence[int],
    last: int,
    columns: int = 2,
) -> None:
    for axes in panels:
        style.whole_ticks(axes, layers[0], last, most=12)
    for axes in lowest:
        axes.set_xlabel("layer")
    style.legend_below(figure, panels[-1], columns)


def layer_metrics_figure(sources: Sequence[FigureSource]) -> DrawnFigure:
    """Draw figure 2 of HiProbe-VAD: KL divergence, discriminant ratio and entropy of every layer."""
    found, notes = of_each(sources, _curves)
    rows: list[tuple[Cell, ...]] = []
    for source, one in found:
        numbers = {**one.metrics, **{f"z_{name}": values for name, values in one.parts.items()}, "saliency": one.scores}
        rows += [
            (*_names(source), layer, name, float(value), int(layer == one.chosen))
            for name, values in numbers.items()
            for layer, value in zip(one.layers, values, strict=True)
        ]
    used = [source for source, _ in found]
    caption = (
        f"Metrics of DLSP in every layer and their sum, on {_samples(used)}. The ringed layer has the greatest sum. "
        f"The entropy is at most log2 of the number of samples. {LAYER_NUMBERS}"
    )
    return DrawnFigure(
        title="KL divergence, discriminant ratio and entropy over the layers",
        caption=caption,
        columns=("job", "dataset", "backbone", "prompt", "layer", "metric", "value", "chosen"),
        rows=rows,
        sources=tuple(source.to_json() for source in used),
        figure=draw_layer_metrics([one for _, one in found]),
        notes=(*notes_of(used), *notes),
    )


def _curves(source: FigureSource) -> LayerCurves:
    return layer_curves(source.label, source.ranking, source.choice.selection.indices[0][0])


def layer_curves(label: str, details: Mapping[str, Any], chosen: int) -> LayerCurves:
    """Return the numbers of every layer from the details of a selection, as they are in saliency.json."""
    (measured,) = details["metrics"].values()
    metrics = {name: np.array(values) for name, values in measured.items() if name != FLOORED_DIMENSIONS}
    parts = {name: np.array(details["parts"][name]) for name in PANELS if name in details["parts"]}
    return LayerCurves(label, details["layers"], metrics, parts, np.array(details["scores"]), chosen)


def silhouette_figure(sources: Sequence[FigureSource]) -> DrawnFigure:
    """Draw figure 3 of HiProbe-VAD: the silhouette of the classes in every layer, a line for each dataset."""
    found, notes = of_each(sources, _silhouettes)
    used = [source for source, _ in found]
    rows = [
        (*_names(source), layer, float(value), int(layer == chosen))
        for source, (layers, values, chosen) in found
        for layer, value in zip(layers, values, strict=True)
    ]
    caption = (
        f"Mean silhouette of the true labels in every layer, by Euclidean distances of the raw states, on "
        f"{_samples(used)}. It ranges from -1 to 1 and has no part in the choice of the layer, which is ringed. "
        f"{LAYER_NUMBERS}"
    )
    return DrawnFigure(
        title="Silhouette of the classes over the layers",
        caption=caption,
        columns=("job", "dataset", "backbone", "prompt", "layer", "silhouette", "chosen"),
        rows=rows,
        sources=tuple(source.to_json() for source in used),
        figure=draw_silhouettes({_legend(source, used): curve for source, curve in found}),
        notes=(*notes_of(used), *notes),
    )


def _silhouettes(source: FigureSource) -> tuple[Sequence[int], np.ndarray, int]:
    values = layer_silhouettes_of(source.inputs.calibration_store, source.calibration, source.cache, source.scheduler)
    if np.isnan(values).all():
        raise VadprobeError("the calibration samples are the same in every layer, so no silhouette is known.")
    return range(1, len(values) + 1), values, source.choice.selection.indices[0][0]


def _names(source: FigureSource) -> tuple[str, str, str, str]:
    return source.job, source.inputs.truth.name, source.backbone.key, source.inputs.score_prompt


def _legend(source: FigureSource, used: Sequence[FigureSource]) -> str:
    """Return the label of a line, with the job's name if two jobs have the same label."""
    same = [other for other in used if other.label == source.label]
    return source.label if len(same) == 1 else f"{source.label} ({source.job})"


def _samples(used: Sequence[FigureSource]) -> str:
    """Return the samples of all jobs in words."""
    return "; ".join(f"{source.samples} of {source.label}" for source in used)
