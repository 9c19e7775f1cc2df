"""The report's pictures, as PNG bytes."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from vadprobe.analyze.evaluation.metrics import Ranking, roc_auc

_INK, _MUTED, _TRUTH, _SCORE, _RAW, _CHOSEN = "#1f2933", "#7b8794", "#f3b0a6", "#1c5d99", "#9cc3e0", "#c8553d"
_LABELS = {
    "gaussian_kl": "Gaussian KL",
    "discriminant_ratio": "discriminant ratio",
    "binned_entropy": "entropy",
}
_MAX_POINTS = 4000


@dataclass(frozen=True, eq=False)
class Timeline:
    """One video's scores: `edges` (n + 1,) frames between which `scores` (n,) hold, true and detected intervals."""

    title: str
    edges: np.ndarray
    scores: np.ndarray
    intervals: tuple[tuple[int, int], ...]
    detected: tuple[tuple[int, int], ...] = ()


def layer_curve(
    scores: np.ndarray, parts: Mapping[str, np.ndarray], layers: Sequence[int], chosen: Sequence[int]
) -> bytes:
    """Draw the saliency S(l) of every layer with its z-scored parts, the chosen layer marked (DLSP)."""
    figure = Figure(figsize=(7.2, 3.2), layout="constrained")
    axes = figure.add_subplot()
    for number, (name, values) in enumerate(parts.items()):
        axes.plot(layers, values, color=_MUTED, linewidth=1, linestyle=("-", "--", ":", "-.")[number % 4],
                  label=_LABELS.get(name, name))  # fmt: skip
    axes.plot(layers, scores, color=_SCORE, linewidth=2, marker="o", label="sum S(l)")
    for layer in chosen:
        axes.axvline(layer, color=_CHOSEN, linewidth=1)
        axes.annotate(f"layer {layer}", (layer, axes.get_ylim()[1]), color=_CHOSEN, ha="right", va="top",
                      xytext=(-4, -2), textcoords="offset points")  # fmt: skip
    axes.set_xticks(list(layers))
    axes.set_xlabel("layer (0 is the embedding)")
    axes.set_ylabel("z-score")
    axes.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return _png(figure, axes)


def head_map(robust_saliency: np.ndarray, chosen: Sequence[tuple[int, int]]) -> bytes:
    """Draw the robust saliency of every head, (L, H), the chosen heads framed (RHI)."""
    blocks, heads = robust_saliency.shape
    figure = Figure(figsize=(min(2.2 + 0.42 * heads, 11), min(1.4 + 0.36 * blocks, 10)), layout="constrained")
    axes = figure.add_subplot()
    image = axes.imshow(robust_saliency, cmap="viridis", aspect="auto")
    for block, head in chosen:
        axes.add_patch(_frame(block, head))
    axes.set_xticks(np.arange(heads))
    axes.set_yticks(np.arange(blocks))
    axes.set_xlabel("head")
    axes.set_ylabel("block")
    figure.colorbar(image, ax=axes, label="robust saliency RSS")
    return _png(figure, axes, grid=False)


def frequency_map(frequencies: Mapping[str, np.ndarray]) -> bytes:
    """Draw how often every layer (L + 1,) or head (L, H) is chosen, a panel for each of several rankings."""
    count = len(frequencies)
    wide = any(values.ndim == 2 for values in frequencies.values())
    size = (min(2.6 * count + 1.2, 14), 4.2) if wide else (7.2, 1.3 * count + 0.6)
    figure = Figure(figsize=size, layout="constrained")
    panels = figure.subplots(1, count, squeeze=False)[0] if wide else figure.subplots(count, 1, squeeze=False)[:, 0]
    for axes, (name, values) in zip(panels, frequencies.items(), strict=True):
        if values.ndim == 2:
            image = axes.imshow(values, cmap="viridis", vmin=0, vmax=1, aspect="auto")
            axes.set_xlabel("head")
        else:
            axes.bar(np.arange(len(values)), values, color=_SCORE)
            axes.set_ylim(0, 1)
        axes.set_title(name, fontsize=9, loc="left")
        _plain(axes, grid=values.ndim == 1)
    if wide:
        panels[0].set_ylabel("block")
        figure.colorbar(image, ax=panels[-1], label="share of draws")
    else:
        panels[-1].set_xlabel("layer (0 is the embedding)")
        figure.supylabel("share of draws", fontsize=9)
    return _png(figure, panels[-1], grid=not wide)


def auc_map(layers: Mapping[str, np.ndarray], heads: Mapping[str, np.ndarray]) -> bytes:
    """Draw cross-validated AUC: a line over layers 1 to L for each prompt, and below a map of heads (L, H) for each."""
    count = len(heads)
    figure = Figure(figsize=(min(2.8 * count + 1.2, 14), 6.4), layout="constrained")
    grid = figure.add_gridspec(2, count, height_ratios=(1, 1.6))
    top = figure.add_subplot(grid[0, :])
    for number, (prompt, auc) in enumerate(layers.items()):
        top.plot(np.arange(1, len(auc) + 1), auc, linestyle=("-", "--", ":", "-.")[number % 4], label=prompt)
    top.axhline(0.5, color=_MUTED, linewidth=1)
    top.set_xlabel("layer")
    top.set_ylabel("AUC (0.5 is chance)")
    top.legend(frameon=False, fontsize=8)
    _plain(top, grid=True)
    panels = [figure.add_subplot(grid[1, number]) for number in range(count)]
    for axes, (prompt, auc) in zip(panels, heads.items(), strict=True):
        image = axes.imshow(auc, cmap="RdBu_r", vmin=0, vmax=1, aspect="auto")
        axes.set_title(prompt, fontsize=9, loc="left")
        axes.set_xlabel("head")
        _plain(axes, grid=False)
    panels[0].set_ylabel("block")
    figure.colorbar(image, ax=panels[-1], label="AUC")
    return _png(figure, top)


def anomaly_curve(
    raw: np.ndarray,
    smoothed: np.ndarray,
    truth: np.ndarray | None,
    threshold: float,
    fps: float | None,
    detected: Sequence[tuple[int, int]] = (),
) -> bytes:
    """Draw one video's score over its frames, true intervals shaded, detected ones hatched; a gap could not be read.

    Args:
        raw, smoothed: (n_frames,) scores in [0, 1], NaN where unknown.
        truth: (n_frames,) bool, or None when the video has no annotation.
        threshold: of the locator.
        fps: frames per second, or None to count frames.
        detected: half-open frames of the anomalous segments.
    """
    figure = Figure(figsize=(7.2, 1.9), layout="constrained")
    axes = figure.add_subplot()
    time = np.arange(len(smoothed)) / (fps or 1.0)
    step = 1.0 / (fps or 1.0)
    if truth is not None:
        edges = np.flatnonzero(np.diff(np.concatenate([[False], truth, [False]]).astype(np.int8)))
        for number, (start, stop) in enumerate(edges.reshape(-1, 2)):
            axes.axvspan(
                start * step, stop * step, color=_TRUTH, linewidth=0, label="true anomaly" if number == 0 else None
            )
    _hatch(axes, [(start * step, stop * step) for start, stop in detected])
    axes.plot(time, raw, color=_RAW, linewidth=1, drawstyle="steps-post", label="probability")
    axes.plot(time, smoothed, color=_SCORE, linewidth=1.8, drawstyle="steps-post", label="smoothed")
    axes.axhline(threshold, color=_MUTED, linewidth=1, linestyle="--", label=f"threshold {threshold:.2f}")
    axes.set_ylim(-0.03, 1.03)
    axes.set_xlim(0, time[-1] if len(time) > 1 else 1)
    axes.set_xlabel("seconds" if fps else "frames")
    axes.set_ylabel("score")
    axes.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return _png(figure, axes)


def _hatch(axes: Axes, spans: Sequence[tuple[float, float]]) -> None:
    """Hatch what was detected, which stays apart from the shade of the truth where both are."""
    if spans:  # one collection, however many there are
        bars = [(start, stop - start) for start, stop in spans]
        axes.broken_barh(bars, (0, 1), transform=axes.get_xaxis_transform(), facecolor="none", edgecolor=_CHOSEN,
                         linewidth=0, hatch="////", label="detected")  # fmt: skip


def ranking_curves(ranking: Ranking, baselines: Mapping[str, Ranking]) -> bytes:
    """Draw ROC and precision-recall curve side by side, with those of the baselines; every step as it is."""
    figure = Figure(figsize=(9.2, 4.0), layout="constrained")
    left, right = figure.subplots(1, 2)
    for number, (name, found) in enumerate(baselines.items()):
        _draw_ranking(left, right, found, name, color=_MUTED, linewidth=1, linestyle=("--", ":", "-.", "-")[number % 4])
    _draw_ranking(left, right, ranking, "these scores", color=_SCORE, linewidth=2)
    share = ranking.n_positives / (ranking.n_positives + ranking.n_negatives)
    left.plot([0, 1], [0, 1], color="#cbd2d9", linewidth=0.8)
    right.axhline(share, color="#cbd2d9", linewidth=0.8)
    for axes, labels in ((left, ("false positive rate", "true positive rate")), (right, ("recall", "precision"))):
        axes.set_xlabel(labels[0])
        axes.set_ylabel(labels[1])
        axes.set_xlim(0, 1)
        axes.set_ylim(0, 1.02)
        _plain(axes, grid=True)
    left.legend(frameon=False, fontsize=8, loc="lower right")
    return _png(figure, right)


def _draw_ranking(left: Axes, right: Axes, ranking: Ranking, name: str, **style: Any) -> None:
    true, false = ranking.true_positives, ranking.false_positives
    rates = np.concatenate([[0], false / ranking.n_negatives]), np.concatenate([[0], true / ranking.n_positives])
    left.plot(*_thinned(*rates), label=f"{name} ({roc_auc(ranking):.3f})", **style)
    recall, precision = true / ranking.n_positives, true / (true + false)
    steps = np.concatenate([[0], recall]), np.concatenate([precision[:1], precision])
    right.plot(*_thinned(*steps), drawstyle="steps-pre", **style)


def _thinned(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Keep at most a few thousand points: more are not seen and make a slow picture."""
    keep = np.unique(np.linspace(0, len(x) - 1, min(len(x), _MAX_POINTS)).round().astype(np.int64))
    return x[keep], y[keep]


def score_timelines(timelines: Sequence[Timeline], threshold: float) -> bytes:
    """Draw the scores of a few videos over their frames, true intervals shaded, detected ones hatched."""
    figure = Figure(figsize=(9.2, 1.5 * len(timelines) + 0.4), layout="constrained")
    panels = figure.subplots(len(timelines), 1, squeeze=False)[:, 0]
    values = np.concatenate([timeline.scores for timeline in timelines] + [np.array([0.0, 1.0])])
    lowest, highest = float(np.nanmin(values)), float(np.nanmax(values))
    for axes, timeline in zip(panels, timelines, strict=True):
        for start, stop in timeline.intervals:
            axes.axvspan(start, stop, color=_TRUTH, linewidth=0)
        _hatch(axes, timeline.detected)
        axes.stairs(timeline.scores, timeline.edges, color=_SCORE, linewidth=1.6, baseline=None)
        if np.isfinite(threshold):
            axes.axhline(threshold, color=_MUTED, linewidth=1, linestyle="--")
        axes.set_title(timeline.title, fontsize=8, loc="left")
        axes.set_xlim(0, timeline.edges[-1])
        axes.set_ylim(lowest - 0.03 * (highest - lowest), highest + 0.03 * (highest - lowest))
        _plain(axes, grid=True)
    panels[-1].set_xlabel("frames (shaded: true anomaly; hatched: detected)")
    return _png(figure, panels[-1])


def _frame(block: int, head: int) -> Rectangle:
    return Rectangle((head - 0.5, block - 0.5), 1, 1, fill=False, edgecolor=_CHOSEN, linewidth=2.5)


def _png(figure: Figure, axes: Axes, grid: bool = True) -> bytes:
    _plain(axes, grid)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=140)
    return buffer.getvalue()


def _plain(axes: Axes, grid: bool) -> None:
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.tick_params(colors=_INK, labelsize=8)
    if grid:
        axes.grid(axis="y", color="#e4e7eb", linewidth=0.8)
        axes.set_axisbelow(True)
