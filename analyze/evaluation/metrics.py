"""Frame-level ranking metrics, exact, from frame counts of scored units instead of expanded frames.

A unit is a clip or a single frame with one score. All frames of a unit share the score, so ties are the normal case:
all frames of one score are one step of every curve, and no order among them is assumed.

Every metric is NaN if the frames are of one class only. scikit-learn gives 0 or 1 for some metrics then, but frames of
one class say nothing about how well two classes are separated.
"""

from dataclasses import dataclass

import numpy as np

from vadprobe.store.errors import VadprobeError

_MAX_FRAMES = 2**32  # below this, twice the number of (positive, negative) pairs fits int64


@dataclass(frozen=True, eq=False)
class Ranking:
    """Distinct scores with the numbers of frames at or above each, from which every metric follows. Made by `rank`.

    `thresholds` (k,) float64 are the distinct scores, descending. `true_positives` and `false_positives` (k,) int64
    count the positive and negative frames with a score >= the threshold; the last entries count all frames.
    """

    thresholds: np.ndarray
    true_positives: np.ndarray
    false_positives: np.ndarray

    @property
    def n_positives(self) -> int:
        """Number of positive frames."""
        return int(self.true_positives[-1])

    @property
    def n_negatives(self) -> int:
        """Number of negative frames."""
        return int(self.false_positives[-1])

    @property
    def has_both_classes(self) -> bool:
        """True if there is at least one positive and one negative frame."""
        return self.n_positives > 0 and self.n_negatives > 0

    def above(self, threshold: float) -> tuple[int, int]:
        """Return the numbers of positive and of negative frames with a score strictly above `threshold`."""
        count = len(self.thresholds) - int(np.searchsorted(self.thresholds[::-1], threshold, side="right"))
        if count == 0:
            return 0, 0
        return int(self.true_positives[count - 1]), int(self.false_positives[count - 1])


def rank(scores: np.ndarray, positives: np.ndarray, negatives: np.ndarray) -> Ranking:
    """Sort scored units, with equal scores grouped exactly.

    Args:
        scores: (n,) numbers, higher is more anomalous; infinities are ranked like any other value.
        positives: (n,) integers, anomalous frames of each unit.
        negatives: (n,) integers, normal frames of each unit. Units without frames change nothing.

    Raises:
        VadprobeError: if a score is NaN (the caller must leave unknown units out and report their number), there is no
            frame, or there are 2**32 frames or more.
    """
    scores = np.asarray(scores, dtype=np.float64)
    positives, negatives = (np.asarray(part, dtype=np.int64) for part in (positives, negatives))
    check_rankable(scores, positives, negatives)
    seen = positives + negatives > 0
    scores, positives, negatives = scores[seen], positives[seen], negatives[seen]
    order = np.argsort(-scores)
    scores = scores[order]
    last_of_group = np.append(np.flatnonzero(scores[1:] != scores[:-1]), len(scores) - 1)
    return Ranking(
        thresholds=scores[last_of_group],
        true_positives=np.cumsum(positives[order])[last_of_group],
        false_positives=np.cumsum(negatives[order])[last_of_group],
    )


def check_rankable(scores: np.ndarray, positives: np.ndarray, negatives: np.ndarray) -> None:
    """Raise the errors of `rank`, for arrays of the right types."""
    unknown = int(np.isnan(scores).sum())
    if unknown:
        raise VadprobeError(
            f"{unknown} of {len(scores)} scores are NaN (unknown); an unknown score cannot be ranked. Drop "
            "these units first, and report their number."
        )
    n_frames = int(positives.sum() + negatives.sum())
    if not 0 < n_frames < _MAX_FRAMES:
        raise VadprobeError(
            f"the scored units must have from 1 to {_MAX_FRAMES - 1} frames in all, got {n_frames} in {len(scores)}."
        )


def roc_auc(ranking: Ranking) -> float:
    """Return the area under the ROC curve: the fraction of (positive, negative) pairs in order, ties counting half.

    Pairs are counted in integers and divided once. The result equals scikit-learn's `roc_auc_score` on expanded frames.

    Returns:
        A number in [0, 1]; 0.5 for a constant score; NaN if the frames are of one class.
    """
    if not ranking.has_both_classes:
        return float("nan")
    true_positives = ranking.true_positives
    steps = np.diff(ranking.false_positives, prepend=0)
    before = np.concatenate([[0], true_positives[:-1]])
    doubled_pairs = int(np.sum(steps * (before + true_positives)))
    return doubled_pairs / (2 * ranking.n_positives * ranking.n_negatives)


def average_precision(ranking: Ranking) -> float:
    """Return the average precision as a step function: the sum over distinct scores of precision times gain of recall.

    This is scikit-learn's `average_precision_score`, the primary number on XD-Violence. A published "AP" is often
    `precision_recall_area` instead; the two are not comparable.

    Returns:
        A number in (0, 1]; the fraction of positive frames for a constant score; NaN if the frames are of one class.
    """
    if not ranking.has_both_classes:
        return float("nan")
    gained = np.diff(ranking.true_positives, prepend=0)
    return float(np.sum(gained * _precision(ranking)) / ranking.n_positives)


def precision_recall_area(ranking: Ranking) -> float:
    """Return the trapezoid area under the precision-recall curve, which begins at recall 0 with precision 1.

    This is `auc(recall, precision)` on scikit-learn's `precision_recall_curve`, called AP by XDVioDet, RTFM, UR-DMU and
    others. It favours coarse scores: a constant score gets (1 + fraction of positive frames) / 2. Name it as the
    trapezoid area wherever it is printed.

    Returns:
        A number in (0, 1]; NaN if the frames are of one class.
    """
    if not ranking.has_both_classes:
        return float("nan")
    precision = _precision(ranking)
    before = np.concatenate([[1.0], precision[:-1]])
    gained = np.diff(ranking.true_positives, prepend=0)
    return float(np.sum(gained * (before + precision)) / (2 * ranking.n_positives))


def f1(ranking: Ranking, threshold: float) -> float:
    """Return the frame F1 of "anomalous where the score is strictly above `threshold`".

    Returns:
        2 TP / (2 TP + FP + FN), 0 if no positive frame is found; NaN if the frames are of one class.
    """
    true_positives, false_positives = ranking.above(threshold)
    if not ranking.has_both_classes:
        return float("nan")
    return 2 * true_positives / (true_positives + false_positives + ranking.n_positives)


def _precision(ranking: Ranking) -> np.ndarray:
    return np.asarray(ranking.true_positives / (ranking.true_positives + ranking.false_positives))


def clip_counts(truth: np.ndarray, starts: np.ndarray, stops: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Count anomalous and normal frames of each clip of one video.

    Args:
        truth: (n_frames,) bool, True where a frame is anomalous (`Dataset.truth`).
        starts, stops: (n,) integers, clip i is frames `[starts[i], stops[i])` of the video, half-open. Clips may
            overlap.

    Returns:
        positives, negatives: (n,) int64 each; both 0 for an empty clip.
    """
    sums = np.concatenate([[0], np.cumsum(truth, dtype=np.int64)])
    positives = sums[stops] - sums[starts]
    return positives, (stops - starts) - positives
