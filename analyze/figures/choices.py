"""Pictures of how often layers and heads are chosen, and of the AUC of each alone."""

from collections.abc import Mapping

import numpy as np

from vadprobe.analyze.figures import style


def frequency_map(frequencies: Mapping[str, np.ndarray]) -> bytes:
    """Draw how often every layer, (L + 1,), or head, (L, H), is chosen, a panel for each ranking; returns a PNG."""
    count = len(frequencies)
    wide = any(values.ndim == 2 for values in frequencies.values())
    figure = style.new_figure(*((min(2.6 * count + 1.2, 14), 4.2) if wide else (style.WIDTH, 1.3 * count + 0.6)))
    panels = figure.subplots(1, count, squeeze=False)[0] if wide else figure.subplots(count, 1, squeeze=False)[:, 0]
    for axes, (name, values) in zip(panels, frequencies.items(), strict=True):
        if values.ndim == 2:
            image = axes.imshow(values, cmap=style.MAPS, vmin=0, vmax=1, aspect="auto")
            axes.set_xlabel("head")
        else:
            axes.bar(np.arange(len(values)), values, color=style.SCORE)
            axes.set_ylim(0, 1)
        style.title(axes, name)
        style.plain(axes, grid=values.ndim == 1)
    if wide:
        panels[0].set_ylabel("block")
        figure.colorbar(image, ax=panels[-1], label="share of draws")
    else:
        panels[-1].set_xlabel("layer (0 is the embedding)")
        figure.supylabel("share of draws", fontsize=9)
    return style.png(figure)


def auc_map(layers: Mapping[str, np.ndarray], heads: Mapping[str, np.ndarray]) -> bytes:
    """Draw cross-validated AUC by prompt: a line over layers 1 to L, and below a map of heads (L, H); returns a PNG."""
    count = len(heads)
    figure = style.new_figure(min(2.8 * count + 1.2, 14), 6.4)
    grid = figure.add_gridspec(2, count, height_ratios=(1, 1.6))
    top = figure.add_subplot(grid[0, :])
    for number, (prompt, auc) in enumerate(layers.items()):
        top.plot(np.arange(1, len(auc) + 1), auc, label=prompt, **style.series(number))
    top.axhline(0.5, color=style.MUTED, linewidth=1)
    top.set_xlabel("layer")
    top.set_ylabel("AUC (0.5 is chance)")
    top.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5))
    style.plain(top)
    panels = [figure.add_subplot(grid[1, number]) for number in range(count)]
    for axes, (prompt, auc) in zip(panels, heads.items(), strict=True):
        image = axes.imshow(auc, cmap="RdBu_r", vmin=0, vmax=1, aspect="auto")
        style.title(axes, prompt)
        axes.set_xlabel("head")
        style.plain(axes, grid=False)
    panels[0].set_ylabel("block")
    figure.colorbar(image, ax=panels[-1], label="AUC")
    return style.png(figure)
