"""Pictures of an evaluation: ROC and precision-recall curves, and scores over the frames of some videos."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from vadprobe.analyze.evaluation.metrics import Ranking, roc_auc
from vadprobe.analyze.figures import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MAX_POINTS = 4000


@dataclass(frozen=True, eq=False)
class Timeline:
    """One video's scores: `scores` (n,) between the frames `edges` (n + 1,), with true and detected intervals."""

    title: str
    edges: np.ndarray
    scores: np.ndarray
    intervals: tuple[tuple[int, int], ...]
    detected: tuple[tuple[int, int], ...] = ()


def ranking_curves(ranking: Ranking, baselines: Mapping[str, Ranking]) -> bytes:
    """Draw ROC and precision-recall curves side by side, with those of the baselines, without smoothing steps."""
    figure = style.new_figure(9.2, 4.0)
    left, right = figure.subplots(1, 2)
    for number, (name, found) in enumerate(baselines.items()):
        look = {"color": style.MUTED, "linewidth": 1, "linestyle": ("--", ":", "-.", "-")[number % 4]}
        _draw_ranking(left, right, found, name, **look)
    _draw_ranking(left, right, ranking, "these scores", color=style.SCORE, linewidth=2)
    share = ranking.n_positives / (ranking.n_positives + ranking.n_negatives)
    left.plot([0, 1], [0, 1], color=style.PALE, linewidth=0.8)
    right.axhline(share, color=style.PALE, linewidth=0.8)
    for axes, labels in ((left, ("false positive rate", "true positive rate")), (right, ("recall", "precision"))):
        axes.set_xlabel(labels[0])
        axes.set_ylabel(labels[1])
        axes.set_xlim(0, 1)
        axes.set_ylim(0, 1.02)
        style.plain(axes)
    left.legend(frameon=False, fontsize=8, loc="lower right")
    return style.png(figure)


def _draw_ranking(left: "Axes", right: "Axes", ranking: Ranking, name: str, **look: Any) -> None:
    true, false = ranking.true_positives, ranking.false_positives
    rates = np.concatenate([[0], false / ranking.n_negatives]), np.concatenate([[0], true / ranking.n_positives])
    left.plot(*_thinned(*rates), label=f"{name} ({roc_auc(ranking):.3f})", **look)
    recall, precision = true / ranking.n_positives, true / (true + false)
    steps = np.concatenate([[0], recall]), np.concatenate([precision[:1], precision])
    right.plot(*_thinned(*steps), drawstyle="steps-pre", **look)


def _thinned(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return at most a few thousand points of a curve; more are invisible and slow to draw."""
    keep = np.unique(np.linspace(0, len(x) - 1, min(len(x), _MAX_POINTS)).round().astype(np.int64))
    return x[keep], y[keep]


def score_timelines(timelines: Sequence[Timeline], threshold: float) -> bytes:
    """Draw the scores of a few videos over their frames, one below the other, true intervals shaded."""
    figure = style.new_figure(9.2, 1.5 * len(timelines) + 0.4)
    panels = figure.subplots(len(timelines), 1, squeeze=False)[:, 0]
    values = np.concatenate([timeline.scores for timeline in timelines] + [np.array([0.0, 1.0])])
    lowest, highest = float(np.nanmin(values)), float(np.nanmax(values))
    for axes, timeline in zip(panels, timelines, strict=True):
        style.shade_truth(axes, timeline.intervals)
        style.shade_detected(axes, timeline.detected)
        axes.stairs(timeline.scores, timeline.edges, color=style.SCORE, linewidth=1.6, baseline=None)
        if np.isfinite(threshold):
            axes.axhline(threshold, color=style.MUTED, linewidth=1, linestyle="--")
        style.title(axes, timeline.title)
        axes.set_xlim(0, timeline.edges[-1])
        axes.set_ylim(lowest - 0.03 * (highest - lowest), highest + 0.03 * (highest - lowest))
        style.plain(axes)
    panels[-1].set_xlabel("frames (shaded: true anomaly; bar at the bottom: detected)")
    return style.png(figure)
