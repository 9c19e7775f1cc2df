"""Video-clustered bootstrap of the frame metrics: many resamples of videos at once, each as exact as a single metric.

Frames of one video are alike, so videos are what is drawn. A resample is a column of multiplicities: how often each
video was drawn. Scores are sorted once; the frames gained at each level of the score are then a sparse matrix (levels x
videos) times the multiplicities (videos x resamples), and every metric is a sum over levels. Both dimensions are walked
in blocks, so memory grows with the units and not with the resamples.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from vadprobe.analyze.metrics import rank
from vadprobe.store.errors import VadprobeError

METRICS = ("auc", "ap_step", "pr_area_trapezoid", "auc_abnormal_only", "auc_macro")
"""Names of the resampled metrics; :func:`bootstrap_videos` says what each is."""

_CELLS = 2**15  # levels x resamples worked on together: few enough to stay in the cache
_MAX_RESAMPLES = 1024  # worked on together
_MAX_DRAWN = 2**22  # videos x resamples worked on together: 32 MB of multiplicities
_MAX_FRAMES = 2**32  # below this, twice the number of (positive, negative) pairs fits int64
_MAX_EXACT = 2.0**52  # float64 sums of integers are exact to 2**53; the bound itself is computed in float64


@dataclass(frozen=True, eq=False)
class Bootstrap:
    """Metric values of resamples of videos, made by :func:`bootstrap_videos`.

    ``values`` maps each of :data:`METRICS` to (n_resamples,) float64, NaN where the resample leaves the metric
    undefined: where its frames are of one class.
    """

    values: Mapping[str, np.ndarray]
    n_resamples: int

    def undefined(self, metric: str) -> int:
        """How many resamples leave the metric undefined. State it beside the interval, which is without them.

        Raises:
            VadprobeError: if there is no such metric.
        """
        return int(np.isnan(self._of(metric)).sum())

    def interval(self, metric: str, confidence: float = 0.95) -> tuple[float, float]:
        """Percentile interval over the defined resamples: the middle ``confidence`` of their values.

        It is conditional on the scores: it holds the draw of test videos, not the fitting of what scored them. Few
        videos make percentile intervals too narrow.

        Returns:
            Lower and upper end, linearly interpolated; (NaN, NaN) if no resample is defined.

        Raises:
            VadprobeError: if there is no such metric, or the confidence is not strictly between 0 and 1.
        """
        if not 0 < confidence < 1:
            raise VadprobeError(
                f"confidence is {confidence}; a share strictly between 0 and 1 is wanted, such as 0.95."
            )
        values = self._of(metric)
        known = values[~np.isnan(values)]
        if len(known) == 0:
            return float("nan"), float("nan")
        lower, upper = np.quantile(known, [(1 - confidence) / 2, (1 + confidence) / 2])
        return float(lower), float(upper)

    def _of(self, metric: str) -> np.ndarray:
        if metric not in self.values:
            raise VadprobeError(f"there is no metric {metric!r}; known are {', '.join(self.values)}.")
        return self.values[metric]


@dataclass(frozen=True, eq=False)
class _Videos:
    """What the resamples share; every array over videos is in ascending order of the video's code.

    A level has three rows: positive frames, negative frames, and negative frames of abnormal videos, (levels * 3,
    videos). Consecutive scores that no positive frame has are one level: inside of it no metric moves.
    """

    gains: sparse.csr_array
    positives: np.ndarray  # (videos,) frames
    negatives: np.ndarray
    abnormal: np.ndarray  # (videos,) bool
    auc: np.ndarray  # (videos,) of the video alone, NaN where its frames are of one class


def bootstrap_videos(
    scores: np.ndarray,
    positives: np.ndarray,
    negatives: np.ndarray,
    groups: np.ndarray,
    *,
    n_resamples: int,
    generator: np.random.Generator,
    labels: np.ndarray | None = None,
) -> Bootstrap:
    """Metrics of ``n_resamples`` resamples: each draws as many videos as there are, with replacement.

    A video drawn twice counts with all its frames twice. There are no strata: the share of abnormal videos varies from
    resample to resample, as it does between test sets. The metrics, NaN where a resample leaves them undefined:

    - ``auc``: ROC AUC of all frames drawn, ties half; equal to the last bit to ``metrics.roc_auc`` on repeated units;
    - ``ap_step``, ``pr_area_trapezoid``: ``metrics.average_precision`` and ``metrics.precision_recall_area``;
    - ``auc_abnormal_only``: ROC AUC of the frames of abnormal videos alone, to the last bit;
    - ``auc_macro``: mean of the AUCs of single videos, over drawn videos with frames of both classes.

    Values depend on the generator and on the videos in ascending order of their codes; not on the order of units.

    Args:
        scores: (n,) numbers, higher is more anomalous.
        positives, negatives: (n,) integers, anomalous and normal frames of each unit.
        groups: (n,) integers, the code of each unit's video; codes may have gaps, and units any order. A video whose
            units are without frames is drawn like any other.
        n_resamples: at least 1.
        generator: draws the videos, ``videos`` numbers per resample.
        labels: (n,) bool or 0/1, whether each unit's video is abnormal. Without it, abnormal videos are those with at
            least one positive frame.

    Raises:
        VadprobeError: if the shapes differ, a score is NaN, a count is negative, codes are not integers, labels differ
            inside of a video or call one with positive frames normal, ``n_resamples`` is below 1, there is no frame, or
            a resample has 2**32 frames or more.
    """
    if n_resamples < 1:
        raise VadprobeError(f"n_resamples is {n_resamples}; at least 1 is wanted.")
    videos = _collect(scores, positives, negatives, groups, labels)
    width = max(1, min(n_resamples, _MAX_RESAMPLES, _MAX_DRAWN // len(videos.auc)))
    height = max(1, _CELLS // width)
    blocks = [videos.gains[3 * top : 3 * (top + height)] for top in range(0, videos.gains.shape[0] // 3, height)]
    values = {metric: np.empty(n_resamples) for metric in METRICS}
    for start in range(0, n_resamples, width):
        stop = min(start + width, n_resamples)
        for metric, of_block in _resampled(videos, blocks, _draw(generator, len(videos.auc), stop - start)).items():
            values[metric][start:stop] = of_block
    return Bootstrap(values, n_resamples)


def _collect(
    scores: np.ndarray, positives: np.ndarray, negatives: np.ndarray, groups: np.ndarray, labels: np.ndarray | None
) -> _Videos:
    """Check the units, sort them, and sum them per level and video."""
    rank(scores, positives, negatives)  # refuses what has no place in an order
    groups = np.asarray(groups)
    if groups.shape != np.shape(scores) or not np.issubdtype(groups.dtype, np.integer):
        raise VadprobeError(
            f"groups is {groups.dtype} of shape {groups.shape}; one integer video code is wanted for each of "
            f"{len(scores)} scored units."
        )
    codes, video = np.unique(groups, return_inverse=True)
    video = video.astype(_index_type(len(video)))
    positive, negative = (np.bincount(video, weights=part, minlength=len(codes)) for part in (positives, negatives))
    abnormal = positive > 0 if labels is None else _checked_labels(np.asarray(labels), video, codes, positive > 0)
    units = _descending(np.asarray(scores, dtype=np.float64), video, np.asarray(positives), np.asarray(negatives))
    auc = _auc_of_each(*units, len(codes))
    return _Videos(_gains(*units, abnormal), positive, negative, abnormal, auc)


def _descending(
    scores: np.ndarray, video: np.ndarray, positives: np.ndarray, negatives: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Units with frames, highest score first: number of the distinct score, video, positive and negative frames."""
    seen = np.flatnonzero(positives.astype(bool) | negatives.astype(bool))
    order = seen[np.argsort(-scores[seen])]
    ordered = scores[order]
    level = np.zeros(len(order), dtype=np.int64)
    np.cumsum(ordered[1:] != ordered[:-1], out=level[1:])
    return level, video[order], positives[order], negatives[order]


def _index_type(n_units: int) -> type[np.integer]:
    """Half the memory where videos and three rows per level are sure to fit."""
    return np.int32 if n_units < 2**29 else np.int64


def _checked_labels(labels: np.ndarray, video: np.ndarray, codes: np.ndarray, positive: np.ndarray) -> np.ndarray:
    """(videos,) bool, True where a video is abnormal."""
    if labels.shape != video.shape or not np.isin(labels, (0, 1)).all():
        raise VadprobeError(
            f"labels is {labels.dtype} of shape {labels.shape}; 0 or 1 is wanted for the video of each of {len(video)} "
            "scored units."
        )
    share = np.bincount(video, weights=labels) / np.bincount(video)
    wrong = np.flatnonzero(((share > 0) & (share < 1)) | (positive & (share == 0)))
    if len(wrong):
        raise VadprobeError(
            f"the labels of {len(wrong)} videos, first of code {codes[wrong[0]]}, differ between their units or call "
            "them normal though they have positive frames; are labels and counts of the same annotation?"
        )
    return np.asarray(share == 1)


def _gains(
    level: np.ndarray, video: np.ndarray, positives: np.ndarray, negatives: np.ndarray, abnormal: np.ndarray
) -> sparse.csr_array:
    """Frames per level and video (:class:`_Videos`) of units in descending order of score."""
    has_positive = np.bincount(level, weights=positives) > 0
    begins = has_positive | np.concatenate([[True], has_positive[:-1]])
    row = (3 * (np.cumsum(begins) - 1)).astype(_index_type(len(level)))[level]
    found = [np.flatnonzero(positives), np.flatnonzero(negatives), np.flatnonzero(negatives * abnormal[video])]
    at = np.concatenate(found)
    rows = np.concatenate([row[part] + offset for offset, part in enumerate(found)])
    counted = positives[found[0]], negatives[found[1]], negatives[found[2]]
    frames = np.concatenate(counted, dtype=np.float64)
    shape = (int(row[-1]) + 3, len(abnormal))
    return sparse.csr_array(sparse.coo_array((frames, (rows, video[at])), shape=shape))


def _auc_of_each(
    level: np.ndarray, video: np.ndarray, positives: np.ndarray, negatives: np.ndarray, n_videos: int
) -> np.ndarray:
    """(videos,) AUC of each video alone, NaN where its frames are of one class; units in descending order of score."""
    order = np.argsort(video, kind="stable")
    level, video = level[order], video[order]
    begins = np.flatnonzero(np.concatenate([[True], (level[1:] != level[:-1]) | (video[1:] != video[:-1])]))
    video = video[begins]
    gained = np.add.reduceat(positives[order].astype(np.int64), begins)
    lost = np.add.reduceat(negatives[order].astype(np.int64), begins)
    reached = np.cumsum(gained)
    first = np.flatnonzero(np.concatenate([[True], video[1:] != video[:-1]]))
    before_video = np.repeat((reached - gained)[first], np.diff(np.append(first, len(video))))
    doubled_pairs = np.add.reduceat(lost * (2 * (reached - before_video) - gained), first)
    pairs = np.add.reduceat(gained, first) * np.add.reduceat(lost, first)
    auc = np.full(n_videos, np.nan)
    auc[video[first]] = _ratio(doubled_pairs, 2 * pairs)
    return auc


def _draw(generator: np.random.Generator, n_videos: int, n_resamples: int) -> np.ndarray:
    """(videos, resamples) float64 multiplicities, drawn resample after resample whatever the blocks are."""
    drawn = np.empty((n_videos, n_resamples))
    for resample in range(n_resamples):
        drawn[:, resample] = np.bincount(generator.integers(n_videos, size=n_videos), minlength=n_videos)
    return drawn


def _resampled(videos: _Videos, blocks: list[sparse.csr_array], drawn: np.ndarray) -> dict[str, np.ndarray]:
    """Values of the metrics for the multiplicities (videos, resamples)."""
    n_positives, n_negatives = videos.positives @ drawn, videos.negatives @ drawn
    most = (n_positives + n_negatives).max()
    if most >= _MAX_FRAMES:
        raise VadprobeError(
            f"a resample has {most:.0f} frames; fewer than {_MAX_FRAMES} are wanted. Count frames in larger steps, "
            "such as every second one."
        )
    doubled_pairs, step, trapezoid = _areas(blocks, drawn)
    one_class = (n_positives == 0) | (n_negatives == 0)
    divisor = np.where(one_class, np.nan, n_positives)
    pairs = n_positives.astype(np.int64) * n_negatives.astype(np.int64)
    abnormal_pairs = n_positives.astype(np.int64) * ((videos.negatives * videos.abnormal) @ drawn).astype(np.int64)
    both = ~np.isnan(videos.auc)
    n_both = drawn[both].sum(axis=0)
    return {
        "auc": _ratio(doubled_pairs[0], 2 * pairs),
        "ap_step": step / divisor,
        "pr_area_trapezoid": trapezoid / divisor,
        "auc_abnormal_only": _ratio(doubled_pairs[1], 2 * abnormal_pairs),
        "auc_macro": videos.auc[both] @ drawn[both] / np.where(n_both == 0, np.nan, n_both),
    }


def _areas(blocks: list[sparse.csr_array], drawn: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sums over all levels: doubled pairs won (2, resamples) int64, of all and of abnormal videos, both AP numerators.

    The state after a block (frames so far, precision) is row 0 of the next.
    """
    n_resamples = drawn.shape[1]
    height = blocks[0].shape[0] // 3
    reached = np.zeros((height + 1, 2, n_resamples))
    precision = np.ones((height + 1, n_resamples))
    scratch = np.empty((height, n_resamples))
    doubled_pairs = np.zeros((2, n_resamples), dtype=np.int64)
    step, before = np.zeros(n_resamples), np.zeros(n_resamples)
    for block in blocks:
        n = block.shape[0] // 3
        gained = (block @ drawn).reshape(n, 3, n_resamples)
        _accumulate(gained, reached)
        true_positives = reached[: n + 1, 0]
        ends = np.add(true_positives[:-1], true_positives[1:], out=scratch[:n])
        exact = ((reached[n, 1] - reached[0, 1]) * ends[-1]).max() < _MAX_EXACT
        doubled_pairs[0] += _sum_of_products(gained[:, 1], ends, exact)
        doubled_pairs[1] += _sum_of_products(gained[:, 2], ends, exact)
        _divide(true_positives[1:], reached[1 : n + 1, 1], scratch[:n], precision[1 : n + 1])
        step += np.einsum("lr,lr->r", gained[:, 0], precision[1 : n + 1])
        before += np.einsum("lr,lr->r", gained[:, 0], precision[:n])
        reached[0], precision[0] = reached[n], precision[n]
    return doubled_pairs, step, (step + before) / 2


def _accumulate(gained: np.ndarray, reached: np.ndarray) -> None:
    """Running sums of the first two rows of each level onto row 0 of ``reached``.

    Row by row: numpy's cumsum along this axis takes three times as long.
    """
    before = reached[0]
    for frames, after in zip(gained[:, :2], reached[1:], strict=False):
        np.add(before, frames, after)
        before = after


def _divide(
    true_positives: np.ndarray, false_positives: np.ndarray, scratch: np.ndarray, precision: np.ndarray
) -> None:
    """Precision at each level, 1 where a resample has no frame yet, as at recall 0."""
    flagged = np.add(true_positives, false_positives, out=scratch)
    with np.errstate(invalid="ignore"):
        np.divide(true_positives, flagged, out=precision)
    if not flagged[0].all():  # frames only ever grow: past the first block this is rare
        precision[flagged == 0] = 1


def _sum_of_products(frames: np.ndarray, ends: np.ndarray, exact_in_float: bool) -> np.ndarray:
    """(resamples,) int64 sum over levels of the products of two float64 arrays of whole numbers, exact."""
    if exact_in_float:
        return np.asarray(np.einsum("lr,lr->r", frames, ends)).astype(np.int64)
    return np.asarray((frames.astype(np.int64) * ends.astype(np.int64)).sum(axis=0))


def _ratio(numerators: np.ndarray, denominators: np.ndarray) -> np.ndarray:
    """Quotients of integers, each rounded once (int64 arrays would be rounded before the division too); NaN over 0."""
    pairs = zip(numerators.tolist(), denominators.tolist(), strict=True)
    return np.array([top / bottom if bottom else float("nan") for top, bottom in pairs])
