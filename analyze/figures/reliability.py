"""The reliability diagram: probabilities compared with observed fractions."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from vadprobe.analyze.figures import style

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw_reliability(bins: Sequence[Mapping[str, Any]]) -> "Figure":
    """Draw the fraction of anomalous frames in each bin of probabilities, with its interval, and the number of frames.

    Args:
        bins: JSON values of `reliability.ReliabilityBin`; bins without frames are left out.
    """
    figure = style.new_figure(style.WIDTH, 3.6)
    top, below = figure.subplots(2, 1, sharex=True, height_ratios=(2.5, 1))
    known = [one for one in bins if one["n_frames"]]
    top.plot([0, 1], [0, 1], color=style.MUTED, linewidth=1, linestyle="--", label="as often as it says")
    places, *ends = ([one[name] for one in known] for name in ("mean_probability", "low", "high"))
    if known:
        numbers = [[float("nan") if value is None else value for value in end] for end in ends]
        top.vlines(places, *numbers, color=style.RAW, linewidth=3, label="interval over videos")
    points = [[one[name] for one in known] for name in ("mean_probability", "observed")]
    top.plot(*points, color=style.SCORE, linewidth=1.6, marker="o", markersize=4, label="frames of a bin")
    top.set_ylim(-0.03, 1.03)
    top.set_ylabel("anomalous share")
    top.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5))
    style.plain(top)
    edges = [one["lower"] for one in bins] + [1.0]
    below.stairs([one["n_frames"] for one in bins], edges, color=style.SCORE, fill=True, alpha=0.6)
    below.set_xlim(0, 1)
    below.set_xlabel("probability")
    below.set_ylabel("frames")
    style.plain(below, grid=False)
    return figure
