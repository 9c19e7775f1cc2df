"""Video-clustered bootstrap of the frame metrics: many resamples of videos at once, each as exact as a single metric.

Frames of one video are similar, so whole videos are drawn. A resample is a column of multiplicities: how often each
video was drawn. Scores are sorted once for all resamples. The AUCs follow from counts of frame pairs in the right order
between every two videos (`bootstrap.video_pairs`), the areas under the precision-recall curve from counts of frames at
each distinct score (`bootstrap.precision_areas`). Resamples are computed in blocks, so memory does not grow with their
number; the blocks change no bit of the result.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from vadprobe.analyze.evaluation.bootstrap.precision_areas import PrecisionAreas
from vadprobe.analyze.evaluation.bootstrap.video_pairs import VideoPairs, exact_ratio
from vadprobe.analyze.evaluation.bootstrap.video_units import VideoUnits, sort_units
from vadprobe.analyze.evaluation.scored_clips import ScoredClips
from vadprobe.store.errors import VadprobeError

METRICS = ("auc", "ap_step", "pr_area_trapezoid", "auc_abnormal_only", "auc_macro")
"""Names of the resampled metrics, defined in `bootstrap_videos`."""

_OF_PAIRS = frozenset({"auc", "auc_abnormal_only", "auc_macro"})
_MAX_RESAMPLES = 1024  # resamples computed together
_MAX_DRAWN = 2**22  # videos x resamples computed together: 32 MB of multiplicities
_MAX_FRAMES = 2**32  # below this, twice the number of (positive, negative) pairs fits int64


@dataclass(frozen=True, eq=False)
class Bootstrap:
    """Metric values of resamples of videos, made by `bootstrap_videos`.

    `values` maps each of `METRICS` to (n_resamples,) float64, NaN where the resample leaves the metric
    undefined: where its frames are of one class.
    """

    values: Mapping[str, np.ndarray]
    n_resamples: int

    def undefined(self, metric: str) -> int:
        """Return the number of resamples in which the metric is undefined; the interval is over all others."""
        return int(np.isnan(self.values[metric]).sum())

    def interval(self, metric: str, confidence: float = 0.95) -> tuple[float, float]:
        """Return the percentile interval over the defined resamples: the middle `confidence` of their values.

        It covers the random choice of test videos, not the variation of the fit that produced the scores. With few
        videos, percentile intervals are too narrow.

        Returns:
            Lower and upper end, linearly interpolated; (NaN, NaN) if no resample is defined.
        """
        values = self.values[metric]
        known = values[~np.isnan(values)]
        if len(known) == 0:
            return float("nan"), float("nan")
        lower, upper = np.quantile(known, [(1 - confidence) / 2, (1 + confidence) / 2])
        return float(lower), float(upper)


def bootstrap_videos(
    clips: ScoredClips,
    *,
    n_resamples: int,
    generator: np.random.Generator,
    labels: np.ndarray | None = None,
    metrics: Sequence[str] = METRICS,
) -> Bootstrap:
    """Resample the videos: each of `n_resamples` draws as many videos as there are, with replacement.

    A video drawn twice counts with all its frames twice. There are no strata: the fraction of abnormal videos varies
    from resample to resample, as it does between test sets. The metrics are NaN in a resample that leaves them
    undefined:

    - `auc`: ROC AUC of all drawn frames, ties counting half; equal bit by bit to `metrics.roc_auc` on repeated units;
    - `ap_step`, `pr_area_trapezoid`: `metrics.average_precision` and `metrics.precision_recall_area`;
    - `auc_abnormal_only`: ROC AUC of the frames of abnormal videos alone, exact in the same way;
    - `auc_macro`: mean of the AUCs of single videos, over drawn videos with frames of both classes.

    Values depend on the generator and on the videos in ascending order of their codes; not on the order of clips.

    Args:
        clips: without NaN, in any order; codes of videos may have gaps. A video whose clips have no frames is drawn
            like any other.
        n_resamples: at least 1.
        generator: draws the videos, one number per video and resample.
        labels: (n,) bool or 0/1, 1 if the clip's video is abnormal, the same for all clips of a video. None: abnormal
            videos are those with at least one positive frame.
        metrics: those of `METRICS` to compute; the choice does not change their values.

    Raises:
        VadprobeError: if a score is NaN, there is no frame, or a resample has 2**32 frames or more.
    """
    wanted = tuple(metric for metric in METRICS if metric in metrics)
    units = sort_units(clips, labels)
    pairs = VideoPairs(units) if not _OF_PAIRS.isdisjoint(wanted) else None
    trapezoid = "pr_area_trapezoid" in wanted
    areas = PrecisionAreas(units, trapezoid) if trapezoid or "ap_step" in wanted else None
    width = max(1, min(n_resamples, _MAX_RESAMPLES, _MAX_DRAWN // units.n_videos))
    values = {metric: np.empty(n_resamples) for metric in wanted}
    for start in range(0, n_resamples, width):
        stop = min(start + width, n_resamples)
        drawn = draw_videos(generator, units.n_videos, stop - start)
        _check_frames(units, drawn)
        of_block: dict[str, np.ndarray] = {}
        if pairs is not None:
            of_block |= _from_pairs(units, pairs, drawn, wanted)
        if areas is not None:
            of_block |= _from_areas(units, areas, drawn)
        for metric in wanted:
            values[metric][start:stop] = of_block[metric][: stop - start]
    return Bootstrap(values, n_resamples)


def draw_videos(generator: np.random.Generator, n_videos: int, n_resamples: int) -> np.ndarray:
    """Draw (videos, resamples) float64 multiplicities, resample by resample, independent of blocks.

    A single resample is followed by a column of ones, since NumPy would sum over a single column in another order.
    """
    drawn = generator.integers(n_videos, size=(n_resamples, n_videos))
    drawn += n_videos * np.arange(n_resamples)[:, None]
    times = np.bincount(drawn.ravel(), minlength=n_resamples * n_videos).reshape(n_resamples, n_videos)
    if n_resamples == 1:
        times = np.concatenate([times, np.ones_like(times)])
    return np.ascontiguousarray(times.T, dtype=np.float64)


def _check_frames(units: VideoUnits, drawn: np.ndarray) -> None:
    most = ((units.video_positives + units.video_negatives) @ drawn).max()
    if most >= _MAX_FRAMES:
        raise VadprobeError(
            f"a resample must have fewer than {_MAX_FRAMES} frames, got {most:.0f}. Count frames in larger steps, such "
            "as every second one."
        )


def _from_pairs(
    units: VideoUnits, pairs: VideoPairs, drawn: np.ndarray, wanted: tuple[str, ...]
) -> dict[str, np.ndarray]:
    """Return the wanted AUCs of the resamples."""
    found = {}
    n_positives = (units.video_positives @ drawn).astype(np.int64)
    for metric, among in (("auc", np.ones(units.n_videos, dtype=bool)), ("auc_abnormal_only", units.abnormal)):
        if metric in wanted:
            n_negatives = (units.video_negatives[among] @ drawn[among]).astype(np.int64)
            found[metric] = exact_ratio(pairs.doubled(drawn, among), 2 * n_positives * n_negatives)
    if "auc_macro" in wanted:
        auc = pairs.auc_of_each()
        both = np.flatnonzero(~np.isnan(auc))
        n_both = drawn[both].sum(axis=0)
        sums = np.einsum("v,vr->r", auc[both], drawn[both])
        found["auc_macro"] = sums / np.where(n_both == 0, np.nan, n_both)
    return found


def _from_areas(units: VideoUnits, areas: PrecisionAreas, drawn: np.ndarray) -> dict[str, np.ndarray]:
    """Return step average precision and trapezoid area of the resamples."""
    n_positives, n_negatives = units.video_positives @ drawn, units.video_negatives @ drawn
    divisor = np.where((n_positives == 0) | (n_negatives == 0), np.nan, n_positives)
    at, before = areas.sums(drawn)
    return {"ap_step": at / divisor, "pr_area_trapezoid": (at + before) / (2 * divisor)}
