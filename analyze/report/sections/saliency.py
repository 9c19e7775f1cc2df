"""Charts of saliency: metrics of every layer, and maps of every head."""

import base64
import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from vadprobe.analyze.figures import style
from vadprobe.analyze.figures.head_maps import HeadMaps, head_maps
from vadprobe.analyze.figures.layers import LAYER_NUMBERS, PANELS, layer_curves
from vadprobe.analyze.report.part import ReportPart
from vadprobe.analyze.report.sections.encoding import encoded
from vadprobe.analyze.report.views import Group, PageChart, PageTable, Value

_HEADINGS = {"mean": "mean of the prompts", "instability": "instability", "robust": "robust saliency (RSS)"}

LAYERS_NOTE = (
    "Metrics of every layer on the calibration samples, and S(l), the sum of their z-scores, by which DLSP chooses; "
    f"the ringed layer is read. {LAYER_NUMBERS}"
)
HEADS_NOTE = (
    "Saliency of every head under each prompt, the mean over the prompts, its deviation (instability), and the mean "
    "less the weighted deviation (RSS), by which RHI chooses; framed heads are read. Blocks and heads count from 0; "
    "the pointer or the arrow keys tell the value of a head."
)


def layers(parts: Sequence[ReportPart], labels: Sequence[str]) -> Group | None:
    """Return a chart for each metric of layers, with a line for each analysis that ranked layers; None without any."""
    found = [
        (of, layer_curves(label, part.saliency, part.detector.selection.indices[0][0]))
        for of, (part, label) in enumerate(zip(parts, labels, strict=True))
        if part.saliency is not None and part.detector.selection.unit == "layer"
    ]
    if not found:
        return None
    charts = []
    rows: list[list[Value]] = []
    for name, (heading, unit) in PANELS.items():
        series, rings = [], []
        for of, one in found:
            values = one.scores if name == "saliency" else one.metrics.get(name)
            if values is None:
                continue
            series.append({"name": one.label, "of": of, "x": list(one.layers), "y": _rounded(values), "points": True})
            if one.chosen in one.layers:
                rings.append([one.chosen, float(values[list(one.layers).index(one.chosen)]), of])
            pairs = zip(one.layers, values.tolist(), strict=True)
            rows += [[one.label, heading, layer, value, _yes(layer == one.chosen)] for layer, value in pairs]
        chosen = ", ".join(f"{one.label} reads layer {one.chosen}" for _, one in found)
        data = {"x": {"label": "layer", "whole": True}, "y": {"label": unit}, "series": series, "rings": rings}
        if series:
            charts.append(PageChart(f"layers-{name}", "lines", heading, f"{heading} over the layers; {chosen}.", data))
    head = ["", "metric", "layer", "value", "is read"]
    table = PageTable("layers", "Metrics of every layer", head, rows, frozenset({0, 1, 4}))
    return Group("What the layers hold", (table,), charts, notes=[LAYERS_NOTE])


def heads(parts: Sequence[ReportPart], labels: Sequence[str]) -> Group | None:
    """Return maps of every head for each analysis that ranked heads; all but instability share one scale."""
    found = [
        head_maps(label, part.saliency, [(index[0], index[1]) for index in part.detector.selection.indices])
        for part, label in zip(parts, labels, strict=True)
        if part.saliency is not None and part.detector.selection.unit == "head"
    ]
    if not found:
        return None
    charts = []
    rows: list[list[Value]] = []
    for number, one in enumerate(found):
        for name, values in one.maps.items():
            low, high = _scale(found, name)
            heading = _HEADINGS.get(name, name)
            blocks, n_heads = values.shape
            chosen = ", ".join(f"({block}, {head})" for block, head in one.chosen[:12])
            label = (
                f"{heading}, {one.label}: {blocks} blocks by {n_heads} heads, {low:.3g} to {high:.3g}; chosen "
                f"(block, head): {chosen}."
            )
            data = {
                "blocks": blocks, "heads": n_heads, "low": low, "high": high,
                "png": _pixels(values, low, high), "codes": encoded(values.ravel(), low, high),
                "chosen": [] if name == "instability" else [list(pair) for pair in one.chosen],
            }  # fmt: skip
            charts.append(PageChart(f"heads-{number}-{name}".replace(" ", "-"), "map", f"{one.label}: {heading}"
                                    if len(found) > 1 else heading, label, data))  # fmt: skip
            is_chosen = {tuple(pair) for pair in one.chosen}
            rows += [
                [one.label, name, block, head, float(value), _yes((block, head) in is_chosen)]
                for (block, head), value in np.ndenumerate(values)
                if not np.isnan(value)  # blocks may have different numbers of heads
            ]
    ranked = [row for row in rows if row[1] == "robust"]
    ranked.sort(key=lambda row: -float(row[4] or 0))
    rest = [row for row in rows if row[1] != "robust"]
    head = ["", "map", "block", "head", "value", "is read"]
    table = PageTable("heads", "The highest of the heads", head, [*ranked, *rest], frozenset({0, 1, 5}), shown=20)
    return Group("What the heads hold", (table,), charts, notes=[HEADS_NOTE])


def _scale(found: Sequence[HeadMaps], name: str) -> tuple[float, float]:
    same = [
        values for one in found for of, values in one.maps.items() if (of == "instability") == (name == "instability")
    ]
    high = max((float(np.nanmax(values)) for values in same if not np.isnan(values).all()), default=1.0)
    low = min((float(np.nanmin(values)) for values in same if not np.isnan(values).all()), default=0.0)
    return min(0.0, low), high if high > min(0.0, low) else min(0.0, low) + 1.0


def _pixels(values: np.ndarray, low: float, high: float) -> str:
    """Return a map as a PNG in base64, with one pixel for each head; unknown heads are grey."""
    from matplotlib import colormaps
    from PIL import Image

    colours = np.asarray(colormaps[style.MAPS](np.nan_to_num((values - low) / (high - low))))
    colours[np.isnan(values)] = (0.6, 0.6, 0.6, 1.0)
    content = io.BytesIO()
    Image.fromarray((colours[..., :3] * 255).round().astype(np.uint8)).save(content, "PNG")
    return base64.b64encode(content.getvalue()).decode("ascii")


def _yes(is_read: bool) -> str:
    return "yes" if is_read else ""


def _rounded(values: np.ndarray) -> list[float | None]:
    return [None if np.isnan(value) else float(f"{value:.5g}") for value in values.tolist()]


def chance_table(part: ReportPart, label: str, number: int) -> PageTable | None:
    """Return the permutation test and cross-fitted AUC of each chosen layer or head; None if the job has neither."""
    saliency: Mapping[str, Any] = part.saliency or {}
    if "chance" not in saliency and "cross_fitted_auc" not in saliency:
        return None
    selection = part.detector.selection
    first = selection.first_layer if selection.unit == "layer" else 0
    aucs = saliency.get("cross_fitted_auc", {})
    columns = {"quantile": "95 % of chance", "p_value": "p-value", "familywise": "p-value of the greatest of all"}
    asked = columns if "chance" in saliency else {}
    rows: list[list[Value]] = []
    for index in selection.indices[:12]:
        place = (index[0] - first, *index[1:])
        cells = [_at(saliency["scores"], place), *(_at(saliency["chance"][name], place) for name in asked)]
        rows.append([", ".join(map(str, index)), *cells, *(_at(values, place) for values in aucs.values())])
    head = [f"chosen {selection.unit}", "saliency", *asked.values(), *(f"cross-fitted AUC, {key}" for key in aucs)]
    relabelled = saliency.get("chance", {}).get("permutations", 0)
    about = (
        f" Chance is estimated by {relabelled} relabelings of whole videos, each ranked like the true labels."
        if relabelled
        else ""
    )
    caption = f"{label}: what chance gives.{about} The choice is the best of many, so these numbers are not results."
    return PageTable(f"chance-{number}", caption, head, rows)


def _at(values: Any, place: tuple[int, ...]) -> float | None:
    for step in place:
        values = values[step]
    return None if values is None else float(values)
