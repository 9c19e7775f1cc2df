"""The figures of both papers by name."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from vadprobe.analyze.figures.curves import curve_figure
from vadprobe.analyze.figures.drawn import DrawnFigure
from vadprobe.analyze.figures.efficiency import efficiency_of
from vadprobe.analyze.figures.embeddings import head_planes_figure, layer_planes_figure
from vadprobe.analyze.figures.head_maps import head_maps_figure
from vadprobe.analyze.figures.layers import layer_metrics_figure, silhouette_figure
from vadprobe.analyze.figures.source import FigureSource
from vadprobe.store.errors import VadprobeError


@dataclass(frozen=True)
class PaperFigure:
    """One figure of a paper: its method, what the paper shows, and the function that draws it here.

    If `ranks` is True, the figure shows ranked scores, so a job whose rule ranks nothing is drawn with the method's
    rule.
    """

    method: Literal["hiprobe", "headhunt"]
    paper: str
    draw: Callable[[Sequence[FigureSource]], DrawnFigure]
    ranks: bool = False


FIGURES: Mapping[str, PaperFigure] = {
    "hiprobe-2": PaperFigure(
        "hiprobe",
        "KL divergence, LDR and entropy over the layers of InternVL2.5 on XD-Violence, peaking around layer 20",
        layer_metrics_figure,
        ranks=True,
    ),
    "hiprobe-3": PaperFigure(
        "hiprobe",
        "silhouette score over the layers, XD-Violence and UCF-Crime, peaking at layer 20",
        silhouette_figure,
    ),
    "hiprobe-4": PaperFigure(
        "hiprobe",
        "t-SNE of the hidden states of the input layer (layer 0), layer 20 and the output layer (layer 31) on "
        "XD-Violence",
        layer_planes_figure,
    ),
    "hiprobe-6": PaperFigure(
        "hiprobe",
        "anomaly curves of an abnormal and a normal XD-Violence test video, detected segments shaded in red, generated "
        "descriptions above",
        curve_figure,
    ),
    "headhunt-2": PaperFigure(
        "headhunt", "head heat maps (layer x head) of InternVL3 and LLaVA-OneVision", head_maps_figure, ranks=True
    ),
    "headhunt-4": PaperFigure(
        "headhunt",
        "efficiency: inference time, feature dimension (over 100K for all heads, 640 for five), data needed (less than "
        "1 % of fine-tuning)",
        efficiency_of,
    ),
    "headhunt-5": PaperFigure("headhunt", "t-SNE of the full output layer and of the expert heads", head_planes_figure),
    "headhunt-6": PaperFigure(
        "headhunt",
        "anomaly curves on XD-Violence, frames above the threshold shaded, descriptions beside",
        curve_figure,
    ),
}
"""Figures in the order of drawing."""


def check_names(names: Sequence[str]) -> None:
    """Refuse a figure that does not exist.

    Raises:
        VadprobeError: naming it, and those there are.
    """
    unknown = [name for name in names if name not in FIGURES]
    if unknown:
        raise VadprobeError(f"there is no figure {unknown[0]!r}; the figures are {', '.join(FIGURES)}.")
