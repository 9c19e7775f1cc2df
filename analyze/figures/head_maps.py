"""Figure 2 of HeadHunt-VAD: maps of every head's saliency, for each prompt and over all prompts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from vadprobe.analyze.figures import style
from vadprobe.analyze.figures.drawn import Cell, DrawnFigure
from vadprobe.analyze.figures.source import FigureSource, notes_of, of_each

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage
    from matplotlib.patches import Rectangle

_COLUMNS = 3
_FEW = 16  # largest number of heads or blocks for which a frame has the size of a cell
_OVER_PROMPTS = {"mean": "mean of the prompts", "instability": "instability", "robust": "robust saliency RSS"}


@dataclass(frozen=True, eq=False)
class HeadMaps:
    """Saliency of every head, as arrays (blocks, heads), NaN where unknown.

    `prompts` has the saliency under each prompt; `mean` and `instability` are the mean and deviation over prompts;
    `robust` is the RSS that ranked the heads. `chosen` are the selected (block, head).
    """

    label: str
    prompts: Mapping[str, np.ndarray]
    mean: np.ndarray
    instability: np.ndarray
    robust: np.ndarray
    chosen: Sequence[tuple[int, int]]

    @property
    def maps(self) -> dict[str, np.ndarray]:
        """All maps by name: "prompt KEY" for each prompt, "mean", "instability", "robust"."""
        singles = {f"prompt {key}": values for key, values in self.prompts.items()}
        return {**singles, "mean": self.mean, "instability": self.instability, "robust": self.robust}


def draw_head_maps(found: Sequence[HeadMaps]) -> "Figure":
    """Draw the maps of one job as a grid, or those of several jobs in a column each; chosen heads are framed."""
    names = list(dict.fromkeys(name for one in found for name in one.maps))
    names.sort(key=lambda name: list(_OVER_PROMPTS).index(name) if name in _OVER_PROMPTS else -1)
    places = [(one, name) for name in names for one in found]
    columns = _COLUMNS if len(found) == 1 else len(found)
    rows = -(-len(places) // columns)
    figure, panels, bar = _panels(rows, columns, 3 if len(found) > 1 else 1)
    scales = _scales(found)
    for number, (axes, (one, name)) in enumerate(zip(panels.ravel(), places, strict=False)):
        if name not in one.maps:
            axes.axis("off")
            continue
        image = _map(axes, one, name, scales[name])
        heading = _OVER_PROMPTS.get(name, name)
        if name == "instability":
            heading = f"{heading} (0 to {scales[name][1]:.2g})"
        above = f"{one.label.replace(', ', chr(10))}\n" if len(found) > 1 and number < columns else ""
        style.title(axes, above + heading)
        if number % columns == 0:
            axes.set_ylabel("block")
        if number + columns >= len(places):
            axes.set_xlabel("head")
    for axes in panels.ravel()[len(places) :]:
        axes.axis("off")
    figure.colorbar(image, cax=bar, orientation="horizontal")
    bar.set_xlabel("saliency (instability has the scale in its title)")
    style.plain(bar, grid=False)
    return figure


def _panels(rows: int, columns: int, lines: int) -> "tuple[Figure, np.ndarray, Axes]":
    """Return a figure with panels (rows, columns), `lines` of title above the first row, and a bar for the colours.

    Positions are fixed, in inches: constrained layout takes longer to find them than drawing takes.
    """
    from matplotlib.figure import Figure

    panel, gap, above, below = 1.7, 0.55, 0.12 + 0.17 * lines, 1.1
    width, height = max(style.WIDTH, min(2.4 * columns, 14)), above + rows * panel + (rows - 1) * gap + below
    figure = Figure(figsize=(width, height))
    panels = figure.subplots(rows, columns, squeeze=False)
    figure.subplots_adjust(
        left=0.55 / width, right=1 - 0.1 / width, top=1 - above / height, bottom=below / height, hspace=gap / panel,
        wspace=0.2,
    )  # fmt: skip
    return figure, panels, figure.add_axes((0.25, 0.5 / height, 0.5, 0.12 / height))


def _scales(found: Sequence[HeadMaps]) -> dict[str, tuple[float, float]]:
    """Return the ends of each map's colour scale: instability has its own scale, all others share one."""
    values = [values for one in found for name, values in one.maps.items() if name != "instability"]
    shared = (min(0.0, *(float(np.nanmin(of)) for of in values)), max(float(np.nanmax(of)) for of in values))
    spread = max(float(np.nanmax(one.instability)) for one in found)
    return {name: (0.0, spread) if name == "instability" else shared for one in found for name in one.maps}


def _map(axes: "Axes", one: HeadMaps, name: str, scale: tuple[float, float]) -> "AxesImage":
    values = one.maps[name]
    image = axes.imshow(values, cmap=style.MAPS, vmin=scale[0], vmax=scale[1], aspect="auto", interpolation="nearest")
    if name != "instability":
        for block, head in one.chosen:
            axes.add_patch(_frame(block, head, 0.02 * max(values.shape) if max(values.shape) > _FEW else 0.0))
    blocks, heads = values.shape
    style.whole_ticks(axes, 0, heads - 1, most=8)
    style.whole_ticks(axes, 0, blocks - 1, horizontal=False, most=8)
    style.plain(axes, grid=False)
    return image


def _frame(block: int, head: int, gap: float) -> "Rectangle":
    """Return a white frame with a dark rim, visible on every colour of the map, `gap` cells outside of the cell."""
    from matplotlib import patheffects
    from matplotlib.patches import Rectangle

    corner, side = (head - 0.5 - gap, block - 0.5 - gap), 1 + 2 * gap
    frame = Rectangle(corner, side, side, fill=False, edgecolor="white", linewidth=1.1, clip_on=False)
    frame.set_path_effects([patheffects.withStroke(linewidth=2.6, foreground="black")])
    return frame


def head_maps_figure(sources: Sequence[FigureSource]) -> DrawnFigure:
    """Draw figure 2 of HeadHunt-VAD: the saliency of every head, several backbones side by side."""
    found, notes = of_each(sources, _maps)
    used = [source for source, _ in found]
    rows: list[tuple[Cell, ...]] = [
        (source.job, source.inputs.truth.name, source.backbone.key, name, block, head, float(value),
         int((block, head) in one.chosen))
        for source, one in found
        for name, values in one.maps.items()
        for (block, head), value in np.ndenumerate(values)
        if head < source.backbone.head_shapes[block][0]
    ]  # fmt: skip
    weights = ", ".join(dict.fromkeys(f"{source.config.instability_weight:g}" for source in used))
    samples = "; ".join(f"{source.samples} of {source.label}" for source in used)
    caption = (
        f"Saliency of every head under each prompt: the mean of the metrics, each scaled to 0 to 1 over all heads, on "
        f"{samples}. The robust saliency is the mean over the prompts minus {weights} times their standard deviation "
        "(instability); the heads of greatest robust saliency are framed. Blocks and heads are counted from 0, as in "
        "HeadHunt-VAD's public code."
    )
    return DrawnFigure(
        title="Saliency of every attention head",
        caption=caption,
        columns=("job", "dataset", "backbone", "map", "block", "head", "value", "chosen"),
        rows=rows,
        sources=tuple(source.to_json() for source in used),
        figure=draw_head_maps([one for _, one in found]),
        notes=(*notes_of(used), *notes),
    )


def _maps(source: FigureSource) -> HeadMaps:
    chosen = [(index[0], index[1]) for index in source.choice.selection.indices]
    return head_maps(source.label, source.ranking, chosen)


def head_maps(label: str, details: Mapping[str, Any], chosen: Sequence[tuple[int, int]]) -> HeadMaps:
    """Return the maps from the details of a selection, as they are in saliency.json."""
    prompts = {key: _map_of(values) for key, values in details.get("prompts", {}).items()}
    parts = details["parts"]
    robust = _map_of(details["scores"])
    return HeadMaps(label, prompts, _map_of(parts["mean"]), _map_of(parts["instability"]), robust, chosen)


def _map_of(values: Any) -> np.ndarray:
    return np.array(values, dtype=np.float64)  # None becomes NaN
