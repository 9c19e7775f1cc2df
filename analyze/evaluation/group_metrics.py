"""Metrics of groups of frames: every video by itself, every class, normal videos, whole videos."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vadprobe.analyze.evaluation.metrics import average_precision, precision_recall_area, rank, roc_auc
from vadprobe.store.datasets.annotations.names import classes_of

_NAN = float("nan")


def roc_auc_of_groups(
    scores: np.ndarray, positives: np.ndarray, negatives: np.ndarray, groups: np.ndarray, n_groups: int
) -> np.ndarray:
    """Area under the ROC curve of each group's frames alone, ties counting half, all groups in one sort.

    Args:
        scores: (n,) numbers without NaN.
        positives, negatives: (n,) integers, anomalous and normal frames of each unit.
        groups: (n,) integers in [0, n_groups).

    Returns:
        (n_groups,) float64; NaN for a group without frames or with frames of one class.
    """
    areas = np.full(n_groups, _NAN)
    if len(scores) == 0:
        return areas
    order = np.lexsort((-scores, groups))
    scores, groups = scores[order], groups[order]
    positives, negatives = positives[order].astype(np.int64), negatives[order].astype(np.int64)
    first_of_tie = np.flatnonzero(np.concatenate([[True], (groups[1:] != groups[:-1]) | (scores[1:] != scores[:-1])]))
    gained = np.add.reduceat(positives, first_of_tie)
    lost = np.add.reduceat(negatives, first_of_tie)
    group_of_tie = groups[first_of_tie]
    first_of_group = np.flatnonzero(np.concatenate([[True], group_of_tie[1:] != group_of_tie[:-1]]))
    reached = np.cumsum(gained)
    before_group = (reached - gained)[first_of_group]
    lengths = np.diff(first_of_group, append=len(group_of_tie))
    within = reached - np.repeat(before_group, lengths)
    doubled = np.add.reduceat(lost * (2 * within - gained), first_of_group)
    total_positives = np.add.reduceat(gained, first_of_group)
    total_negatives = np.add.reduceat(lost, first_of_group)
    both = (total_positives > 0) & (total_negatives > 0)
    areas[group_of_tie[first_of_group[both]]] = doubled[both] / (2 * total_positives[both] * total_negatives[both])
    return areas


@dataclass(frozen=True)
class ClassResult:
    """One class of anomaly: metrics on the frames of its videos alone, and with those of all normal videos."""

    n_videos: int
    n_frames: int
    n_positive: int
    auc: float
    ap_step: float
    pr_area_trapezoid: float
    auc_with_normal: float


def class_results(
    scores: np.ndarray,
    positives: np.ndarray,
    negatives: np.ndarray,
    groups: np.ndarray,
    labels: np.ndarray,
    categories: Sequence[str | None],
) -> dict[str, ClassResult]:
    """Results of every class, by name.

    A class's metrics are on the frames of its videos alone, as VADTree reports them; ``auc_with_normal`` adds the
    frames of the normal videos, whose number then decides much of it. An XD-Violence video of several codes counts for
    each.

    Args:
        scores, positives, negatives, groups: (n,) of units with a known score; ``groups`` are video codes.
        labels: (videos,) 1 anomalous, 0 normal. ``categories``: one per video; None is class "unknown".
    """
    members: dict[str, list[int]] = {}
    for code, category in enumerate(categories):
        if labels[code] == 1:
            for name in classes_of(category) or ("unknown",):
                members.setdefault(name, []).append(code)
    normal = (labels == 0)[groups]
    results = {}
    for name in sorted(members):
        chosen = np.zeros(len(labels), dtype=bool)
        chosen[members[name]] = True
        mine = chosen[groups]
        alone = _ranked(scores[mine], positives[mine], negatives[mine])
        both = mine | normal
        results[name] = ClassResult(
            n_videos=len(members[name]),
            n_frames=int(positives[mine].sum() + negatives[mine].sum()),
            n_positive=int(positives[mine].sum()),
            auc=alone[0],
            ap_step=alone[1],
            pr_area_trapezoid=alone[2],
            auc_with_normal=_ranked(scores[both], positives[both], negatives[both])[0],
        )
    return results


def _ranked(scores: np.ndarray, positives: np.ndarray, negatives: np.ndarray) -> tuple[float, float, float]:
    if int(positives.sum() + negatives.sum()) == 0:
        return _NAN, _NAN, _NAN
    ranking = rank(scores, positives, negatives)
    return roc_auc(ranking), average_precision(ranking), precision_recall_area(ranking)


def false_alarm_rate(
    scores: np.ndarray, frames: np.ndarray, groups: np.ndarray, labels: np.ndarray, threshold: float
) -> float:
    """Share of the frames of normal videos whose score is strictly above the threshold.

    Args:
        scores: (n,) without NaN. ``frames``: (n,) frames of each unit. ``groups``: (n,) video codes.
        labels: (videos,) 1 anomalous, 0 normal.

    Returns:
        A share in [0, 1]; NaN if no frame of a normal video has a known score.
    """
    normal = (labels == 0)[groups]
    total = int(frames[normal].sum())
    return int(frames[normal & (scores > threshold)].sum()) / total if total else _NAN


def maxima(scores: np.ndarray, groups: np.ndarray, n_groups: int) -> np.ndarray:
    """(n_groups,) the highest score of each group; NaN for a group without a unit."""
    highest = np.full(n_groups, -np.inf)
    np.maximum.at(highest, groups, scores)
    seen = np.zeros(n_groups, dtype=bool)
    seen[groups] = True
    return np.where(seen, highest, _NAN)


def video_auc(video_scores: np.ndarray, labels: np.ndarray) -> float:
    """AUC of telling anomalous from normal videos by one score each; NaN scores are left out, one class gives NaN."""
    known = ~np.isnan(video_scores)
    if not known.any():
        return _NAN
    labels = labels[known].astype(np.int64)
    return roc_auc(rank(video_scores[known], labels, 1 - labels))
