"""The report's pictures, as PNG bytes."""

import io
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

_INK, _MUTED, _TRUTH, _SCORE, _RAW, _CHOSEN = "#1f2933", "#7b8794", "#f3b0a6", "#1c5d99", "#9cc3e0", "#c8553d"
_LABELS = {
    "kl": "Gaussian KL (HP2)",
    "gaussian_kl": "Gaussian KL (HP2)",
    "discriminant_ratio": "discriminant ratio (HP4)",
    "entropy": "entropy (HP6)",
    "binned_entropy": "entropy (HP6)",
}


def layer_curve(
    scores: np.ndarray, parts: Mapping[str, np.ndarray], layers: Sequence[int], chosen: Sequence[int]
) -> bytes:
    """The saliency S(l) of every layer with its z-scored parts, the chosen layer marked (HP5b to HP7)."""
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
    axes.set_xlabel("layer (output of block l)")
    axes.set_ylabel("z-score")
    axes.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return _png(figure, axes)


def head_map(robust_saliency: np.ndarray, chosen: Sequence[tuple[int, int]]) -> bytes:
    """Robust saliency of every head, (L, H), the chosen heads framed (HH9)."""
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


def anomaly_curve(
    raw: np.ndarray, smoothed: np.ndarray, truth: np.ndarray | None, threshold: float, fps: float | None
) -> bytes:
    """One video's score over time, frame by frame, with the true intervals shaded; a gap is a clip not read.

    Args:
        raw, smoothed: (n_frames,) scores in [0, 1], NaN where unknown.
        truth: (n_frames,) bool, or None when the video has no annotation.
        threshold: of the locator.
        fps: frames per second, or None to count frames.
    """
    figure = Figure(figsize=(7.2, 1.9), layout="constrained")
    axes = figure.add_subplot()
    time = np.arange(len(smoothed)) / (fps or 1.0)
    if truth is not None:
        step = 1.0 / (fps or 1.0)
        edges = np.flatnonzero(np.diff(np.concatenate([[False], truth, [False]]).astype(np.int8)))
        for number, (start, stop) in enumerate(edges.reshape(-1, 2)):
            axes.axvspan(
                start * step, stop * step, color=_TRUTH, linewidth=0, label="true anomaly" if number == 0 else None
            )
    axes.plot(time, raw, color=_RAW, linewidth=1, drawstyle="steps-post", label="probability")
    axes.plot(time, smoothed, color=_SCORE, linewidth=1.8, drawstyle="steps-post", label="smoothed")
    axes.axhline(threshold, color=_MUTED, linewidth=1, linestyle="--", label=f"threshold {threshold:.2f}")
    axes.set_ylim(-0.03, 1.03)
    axes.set_xlim(0, time[-1] if len(time) > 1 else 1)
    axes.set_xlabel("seconds" if fps else "frames")
    axes.set_ylabel("score")
    axes.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return _png(figure, axes)


def _frame(block: int, head: int) -> Rectangle:
    return Rectangle((head - 0.5, block - 0.5), 1, 1, fill=False, edgecolor=_CHOSEN, linewidth=2.5)


def _png(figure: Figure, axes: Axes, grid: bool = True) -> bytes:
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.tick_params(colors=_INK, labelsize=8)
    if grid:
        axes.grid(axis="y", color="#e4e7eb", linewidth=0.8)
        axes.set_axisbelow(True)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=140)
    return buffer.getvalue()
