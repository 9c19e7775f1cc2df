"""Figure 4 of HiProbe-VAD and figure 5 of HeadHunt-VAD: calibration samples in a plane, by t-SNE and by PCA."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from vadprobe.analyze.compute.step_cache import CachedResult
from vadprobe.analyze.features.cached_scores import samples_digest
from vadprobe.analyze.features.selected import read_selected
from vadprobe.analyze.figures import style
from vadprobe.analyze.figures.drawn import Cell, DrawnFigure
from vadprobe.analyze.figures.layers import LAYER_NUMBERS
from vadprobe.analyze.figures.source import FigureSource, notes_of
from vadprobe.analyze.saliency.selection import Selection
from vadprobe.store.errors import VadprobeError
from vadprobe.store.files.text import percent

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FEWEST = 8
"""Smallest number of samples for which a plane is drawn; fewer show nothing."""

_EXACT = 400  # largest number of samples for which t-SNE's exact gradient is fast enough
_CLASSES = (("normal", style.NORMAL, "o"), ("anomalous", style.ANOMALOUS, "^"))


@dataclass(frozen=True, eq=False)
class Plane:
    """Samples in two planes: `tsne` and `pca`, each (n, 2) float64, and the `explained` fractions of variance (2,)."""

    title: str
    tsne: np.ndarray
    pca: np.ndarray
    explained: np.ndarray


def planes_of(features: np.ndarray, perplexity: int, seed: int) -> dict[str, np.ndarray]:
    """Project samples to a plane, by t-SNE (scikit-learn, initialised by principal components) and by PCA.

    Args:
        features: (n, d), finite; dimensions are neither scaled nor whitened.
        perplexity: effective number of neighbours, below n.
        seed: of t-SNE.

    Returns:
        "tsne", "pca": (n, 2) float64, and "explained": (2,), the fractions of variance along PCA's two axes.

    Raises:
        VadprobeError: if there are too few samples, all are equal, or a value is not finite.
    """
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE

    if len(features) < FEWEST or features.shape[1] < 2:
        raise VadprobeError(
            f"a plane of samples needs at least {FEWEST} samples of two dimensions or more, got "
            f"{len(features)} of {features.shape[1]}; draw a larger calibration set (--fraction)."
        )
    if not np.isfinite(features).all():
        raise VadprobeError("a feature is not finite, so the samples have no distances.")
    if (features == features[0]).all():
        raise VadprobeError("all samples are the same, so there is nothing to lay out.")
    centred = features - features.mean(axis=0)
    centred /= np.sqrt((centred**2).sum() / len(centred))  # scaled, since t-SNE's search for kernel widths begins at 1
    reduced = PCA(2, svd_solver="full").fit(centred)
    method = "exact" if len(features) <= _EXACT else "barnes_hut"
    tsne = TSNE(2, perplexity=perplexity, init="pca", random_state=seed, method=method).fit_transform(centred)
    pca = reduced.transform(centred)
    return {"tsne": tsne.astype(np.float64), "pca": pca, "explained": reduced.explained_variance_ratio_}


def perplexity_of(count: int) -> int:
    """Return the perplexity for `count` samples: 30, or a third of a smaller number of samples."""
    return max(2, min(30, (count - 1) // 3))


def draw_planes(planes: Sequence[Plane], labels: np.ndarray) -> "Figure":
    """Draw each set of features in a column: t-SNE above, PCA below; the classes differ in colour and marker."""
    width = style.WIDTH if len(planes) > 1 else 3.8
    figure = style.new_figure(width, 5.4)
    panels = figure.subplots(2, len(planes), squeeze=False)
    for column, plane in enumerate(planes):
        style.title(panels[0, column], plane.title)
        _scatter(panels[0, column], plane.tsne, labels)
        _scatter(panels[1, column], plane.pca, labels)
        panels[1, column].set_xlabel(f"component 1 ({percent(plane.explained[0])} of variance)")
        panels[1, column].set_ylabel(f"component 2 ({percent(plane.explained[1])})")
        for axes in panels[:, column]:
            axes.xaxis.label.set_fontsize(8)
            axes.yaxis.label.set_fontsize(8)
    panels[0, 0].set_ylabel("t-SNE (axes have no unit)", fontsize=8)
    style.legend_below(figure, panels[0, 0], 2)
    return figure


def _scatter(axes: "Axes", points: np.ndarray, labels: np.ndarray) -> None:
    for label, (name, color, marker) in enumerate(_CLASSES):
        mine = points[labels == label]
        axes.scatter(
            mine[:, 0], mine[:, 1], s=22, c=color, marker=marker, alpha=0.8, linewidths=0, label=f"{name} ({len(mine)})"
        )
    axes.margins(0.08)
    style.plain(axes, grid=False)
    axes.set_xticks([])
    axes.set_yticks([])


def layer_planes_figure(sources: Sequence[FigureSource]) -> DrawnFigure:
    """Draw figure 4 of HiProbe-VAD: samples in the input layer, the chosen layer and the output layer.

    Raises:
        VadprobeError: if a layer's samples cannot be projected.
    """
    source = sources[0]
    last, chosen = source.backbone.n_layers, source.choice.selection.indices[0][0]
    roles: dict[int, list[str]] = {}
    for layer, role in ((1, "input"), (chosen, "chosen"), (last, "output")):
        roles.setdefault(layer, []).append(role)
    sets = [
        (f"layer {layer} ({', '.join(words)})", Selection("layer", "layer", ((layer,),)))
        for layer, words in sorted(roles.items())
    ]
    remark = (
        f" {LAYER_NUMBERS} Its input layer 0 is then layer 1 here. The embedding of the prompt's last token, layer 0 "
        "here, is the same for every sample and cannot be drawn."
    )
    return _figure(source, sets, "Calibration samples in the input, the chosen and the output layer", remark)


def head_planes_figure(sources: Sequence[FigureSource]) -> DrawnFigure:
    """Draw figure 5 of HeadHunt-VAD: samples in all heads of the last block, and in the chosen heads.

    Raises:
        VadprobeError: if the samples cannot be projected.
    """
    source = sources[0]
    block = source.backbone.heads[-1][0]  # of a hybrid backbone, the last block that has heads
    heads = [head for head in source.backbone.heads if head[0] == block]
    chosen = source.choice.selection
    every = Selection("head", "heads", tuple(heads))
    names = ", ".join(f"{index[0]}:{index[1]}" for index in chosen.indices[:8])
    more = f" and {len(chosen.indices) - 8} more" if len(chosen.indices) > 8 else ""
    sets = [(f"last block ({block}), all {len(heads)} heads", every), (f"{len(chosen.indices)} chosen heads", chosen)]
    remark = f" The chosen heads are {names}{more} as block:head, counted from 0, side by side as the probe reads them."
    return _figure(source, sets, "Calibration samples in the last block's heads and in the chosen heads", remark)


def _figure(source: FigureSource, sets: Sequence[tuple[str, Selection]], title: str, remark: str) -> DrawnFigure:
    labels = source.calibration.labels
    perplexity = perplexity_of(len(labels))
    planes = [_plane(source, name, selection, perplexity) for name, selection in sets]
    names = (source.job, source.inputs.truth.name, source.backbone.key, source.inputs.score_prompt)
    table = source.inputs.calibration_store.clips
    videos = [table.video_ids[code] for code in table.video_codes[source.calibration.rows]]
    rows: list[tuple[Cell, ...]] = []
    for plane in planes:
        for method, points in (("t-SNE", plane.tsne), ("PCA", plane.pca)):
            rows += [
                (*names, plane.title, method, row, video, label, x, y)
                for row, video, label, (x, y) in zip(
                    source.calibration.rows.tolist(), videos, labels.tolist(), points.tolist(), strict=True
                )
            ]
    caption = (
        f"{source.samples} of {source.label} under the prompt {source.inputs.score_prompt!r}: t-SNE (perplexity "
        f"{perplexity}, seed {source.config.seed}) and PCA of the raw features. Distances between clusters of t-SNE "
        f"mean nothing; PCA is linear, as the probe is.{remark}"
    )
    return DrawnFigure(
        title=title,
        caption=caption[0].upper() + caption[1:],
        columns=("job", "dataset", "backbone", "prompt", "features", "method", "row", "video", "label", "x", "y"),
        rows=rows,
        sources=(source.to_json(),),
        figure=draw_planes(planes, labels),
        notes=notes_of([source]),
    )


def _plane(source: FigureSource, title: str, selection: Selection, perplexity: int) -> Plane:
    """Return one set of features in both planes; the result is kept as a step."""
    store, rows, seed = source.inputs.calibration_store, source.calibration.rows, source.config.seed
    inputs = {
        **samples_digest(store, source.calibration),
        "selection": [selection.unit, [list(index) for index in selection.indices]],
        "perplexity": perplexity,
        "seed": seed,
    }

    def compute() -> CachedResult:
        return CachedResult(arrays=planes_of(read_selected(store, selection, rows), perplexity, seed))

    found = source.cache.result("planes", inputs, compute).arrays
    return Plane(title, found["tsne"], found["pca"], found["explained"])
