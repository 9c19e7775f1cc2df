"""Style of all figures: colours for colour-blind readers, plain axes, and files without dates."""

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, MUTED, PALE, LINES = "#1f2933", "#7b8794", "#cbd2d9", "#e4e7eb"
TRUTH, DETECTED, SCORE, RAW, CHOSEN = "#f3b0a6", "#b2182b", "#1c5d99", "#9cc3e0", "#c8553d"
NORMAL, ANOMALOUS = "#0072b2", "#d55e00"
"""Colours of the two classes, from Okabe and Ito's palette."""

SERIES = ("#1c5d99", "#d55e00", "#009e73", "#a0568c", "#56b4e9", "#a67400", "#1f2933")
"""Colours of lines, which differ in grey too; each line also has a marker of `MARKERS`."""

MARKERS = ("o", "s", "^", "D", "v", "P", "X")
MAPS = "viridis"
"""Colour map of maps, uniform in lightness and readable for colour-blind readers."""

WIDTH = 7.2
"""Width in inches of a figure in a page, at which letters of 8 points have the size of the page's text."""

DPI = 140


def new_figure(width: float, height: float) -> "Figure":
    """Return an empty figure, `width` by `height` inches, without the global state of pyplot."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def plain(axes: "Axes", grid: bool = True) -> None:
    """Remove the upper and right spine; `grid` draws faint horizontal lines behind the data."""
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.tick_params(colors=INK, labelsize=8)
    axes.xaxis.label.set_fontsize(9)
    axes.yaxis.label.set_fontsize(9)
    if grid:
        axes.grid(axis="y", color=LINES, linewidth=0.8)
        axes.set_axisbelow(True)


def title(axes: "Axes", text: str) -> None:
    """Write a panel's title literally: a dollar sign begins no formula."""
    axes.set_title(plain_text(text), fontsize=9, loc="left")


def plain_text(text: str) -> str:
    """Return a text that matplotlib draws literally, with dollar signs escaped, which would begin a formula."""
    return text.replace("$", r"\$")


def whole_ticks(axes: "Axes", first: int, last: int, horizontal: bool = True, most: int = 10) -> None:
    """Put ticks on whole numbers in [first, last], evenly spaced, at most `most` of them."""
    step = max(1, -(-(last - first + 1) // most))
    ticks = np.arange(first, last + 1, step)
    (axes.set_xticks if horizontal else axes.set_yticks)(ticks)


def series(number: int) -> dict[str, Any]:
    """Return colour and marker of the line with this number."""
    return {"color": SERIES[number % len(SERIES)], "marker": MARKERS[number % len(MARKERS)], "markersize": 4}


def shade(
    axes: "Axes",
    spans: Sequence[tuple[float, float]],
    color: str,
    label: str | None,
    band: tuple[float, float],
    zorder: float,
) -> None:
    """Shade spans (start, stop) of the horizontal axis; `band` is (bottom, height) in fractions of the panel."""
    if len(spans):
        widths = [(start, stop - start) for start, stop in spans]
        axes.broken_barh(widths, band, transform=axes.get_xaxis_transform(), facecolor=color, linewidth=0, label=label,
                         zorder=zorder)  # fmt: skip


def shade_truth(axes: "Axes", spans: Sequence[tuple[float, float]]) -> None:
    """Shade true anomalous spans over the whole height of the panel."""
    shade(axes, spans, TRUTH, "true anomaly", (0, 1), 1)


def shade_detected(axes: "Axes", spans: Sequence[tuple[float, float]]) -> None:
    """Mark detected spans by a bar at the bottom of the panel, distinct from the shade of true spans."""
    shade(axes, spans, DETECTED, "detected", (0, 0.06), 3)


def legend_below(figure: "Figure", axes: "Axes", columns: int = 3) -> None:
    """Put the legend of a panel below the whole figure."""
    handles, labels = axes.get_legend_handles_labels()
    count = max(1, min(columns, len(labels)))
    figure.legend(handles, [plain_text(label) for label in labels], loc="outside lower center", ncols=count,
                  frameon=False, fontsize=8)  # fmt: skip


def png(figure: "Figure") -> bytes:
    """Encode as PNG; the same figure gives the same bytes with the same libraries."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI, metadata={"Software": None})
    return buffer.getvalue()


def svg(figure: "Figure") -> bytes:
    """Encode as SVG without a date and with ids that depend on the content alone."""
    import matplotlib

    buffer = io.BytesIO()
    with matplotlib.rc_context({"svg.hashsalt": "vadprobe"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    return buffer.getvalue()
