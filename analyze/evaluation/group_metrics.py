"""Metrics of groups of frames: of each video, of each class, of normal videos, and of whole videos."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vadprobe.analyze.evaluation.metrics import average_precision, precision_recall_area, rank, roc_auc
from vadprobe.analyze.evaluation.scored_clips import ScoredClips
from vadprobe.store.datasets.annotations.names import classes_of

_NAN = float("nan")


def roc_auc_of_groups(clips: ScoredClips, n_groups: int) -> np.ndarray:
    """Return the area under the ROC curve of each group's frames alone, ties counting half.

    Args:
        clips: without NaN; groups in [0, n_groups).
        n_groups: number of groups.

    Returns:
        (n_groups,) float64; NaN for a group without frames or with frames of one class.
    """
    areas = np.full(n_groups, _NAN)
    if len(clips) == 0:
        return areas
    # By group, then by descending score; ties within a group are one step of its curve.
    clips = clips.take(np.lexsort((-clips.scores, clips.groups)))
    scores, groups = clips.scores, clips.groups
    first_of_tie = np.flatnonzero(np.concatenate([[True], (groups[1:] != groups[:-1]) | (scores[1:] != scores[:-1])]))
    gained = np.add.reduceat(clips.positives, first_of_tie)
    lost = np.add.reduceat(clips.negatives, first_of_tie)
    group_of_tie = groups[first_of_tie]
    first_of_group = np.flatnonzero(np.concatenate([[True], group_of_tie[1:] != group_of_tie[:-1]]))
    reached = np.cumsum(gained)
    before_group = (reached - gained)[first_of_group]
    lengths = np.diff(first_of_group, append=len(group_of_tie))
    within = reached - np.repeat(before_group, lengths)
    # Each negative frame counts the positive frames above it twice, and those of its own step once.
    doubled = np.add.reduceat(lost * (2 * within - gained), first_of_group)
    total_positives = np.add.reduceat(gained, first_of_group)
    total_negatives = np.add.reduceat(lost, first_of_group)
    both = (total_positives > 0) & (total_negatives > 0)
    areas[group_of_tie[first_of_group[both]]] = doubled[both] / (2 * total_positives[both] * total_negatives[both])
    return areas


def ranking_metrics(clips: ScoredClips) -> dict[str, float]:
    """Return AUC, step average precision and trapezoid area of all frames, by name; NaN without clips."""
    metrics = {"auc": roc_auc, "ap_step": average_precision, "pr_area_trapezoid": precision_recall_area}
    if len(clips) == 0:
        return dict.fromkeys(metrics, _NAN)
    ranking = clips.ranking()
    return {name: metric(ranking) for name, metric in metrics.items()}


@dataclass(frozen=True)
class ClassResult:
    """Results of one class of anomaly: on the frames of its videos alone, and together with those of normal videos."""

    n_videos: int
    n_frames: int
    n_positive: int
    auc: float
    ap_step: float
    pr_area_trapezoid: float
    auc_with_normal: float


def class_results(clips: ScoredClips, labels: np.ndarray, categories: Sequence[str | None]) -> dict[str, ClassResult]:
    """Return the results of every class, by name.

    A class's metrics are on the frames of its videos alone, as VADTree reports them. `auc_with_normal` includes the
    frames of all normal videos, whose number has a large effect on it. An XD-Violence video with several codes counts
    for each.

    Args:
        clips: clips with a known score; their groups are indices into `labels` and `categories`.
        labels: (videos,) 1 anomalous, 0 normal.
        categories: one per video; None is the class "unknown".
    """
    members: dict[str, list[int]] = {}
    for code, category in enumerate(categories):
        if labels[code] == 1:
            for name in classes_of(category) or ("unknown",):
                members.setdefault(name, []).append(code)
    normal = (labels == 0)[clips.groups]
    results = {}
    for name in sorted(members):
        chosen = np.zeros(len(labels), dtype=bool)
        chosen[members[name]] = True
        mine = clips.take(chosen[clips.groups])
        results[name] = ClassResult(
            n_videos=len(members[name]),
            n_frames=int(mine.n_frames.sum()),
            n_positive=int(mine.positives.sum()),
            **ranking_metrics(mine),
            auc_with_normal=ranking_metrics(clips.take(chosen[clips.groups] | normal))["auc"],
        )
    return results


def false_alarm_rate(clips: ScoredClips, labels: np.ndarray, threshold: float) -> float:
    """Return the fraction of the frames of normal videos whose score is strictly above the threshold.

    Args:
        clips: without NaN; their groups are indices into `labels`.
        labels: (videos,) 1 anomalous, 0 normal.
        threshold: of the decision.

    Returns:
        A number in [0, 1]; NaN if no frame of a normal video has a known score.
    """
    normal = clips.take((labels == 0)[clips.groups])
    total = int(normal.n_frames.sum())
    return int(normal.n_frames[normal.scores > threshold].sum()) / total if total else _NAN


def maxima(scores: np.ndarray, groups: np.ndarray, n_groups: int) -> np.ndarray:
    """Return the highest score of each group, (n_groups,); NaN for a group without a clip."""
    highest = np.full(n_groups, -np.inf)
    np.maximum.at(highest, groups, scores)
    seen = np.zeros(n_groups, dtype=bool)
    seen[groups] = True
    return np.where(seen, highest, _NAN)


def video_auc(video_scores: np.ndarray, labels: np.ndarray) -> float:
    """Return the AUC of one score per video; NaN scores are left out. It is NaN if the videos are of one class."""
    known = ~np.isnan(video_scores)
    if not known.any():
        return _NAN
    labels = labels[known].astype(np.int64)
    return roc_auc(rank(video_scores[known], labels, 1 - labels))
