"""Shift between the samples that a detector is fitted on and the segments that it scores.

By default a detector is fitted on one vector per calibration video and scores segments of other videos: the sampling of
frames, the fraction of anomalies and the videos all differ. The shift is the AUC of a linear classifier that tells the
two sets apart in the selected features. An AUC has the same meaning in any number of dimensions and under any scaling,
while an MMD or a distance of means needs a reference to be interpreted. The classifier is cross-fitted over videos,
since with fewer samples than dimensions any two sets are separable.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from vadprobe.analyze.calibration.calibration import Calibration
from vadprobe.analyze.calibration.folds import video_folds
from vadprobe.analyze.compute.step_cache import CachedResult, StepCache
from vadprobe.analyze.evaluation.bootstrap.bootstrap import draw_videos
from vadprobe.analyze.evaluation.evaluation import BootstrapConfig, null_for_nan
from vadprobe.analyze.features.inputs import AnalysisInputs
from vadprobe.analyze.features.selected import n_selected, read_selected
from vadprobe.analyze.probes.unit_probing import probe_units
from vadprobe.analyze.saliency.selection import Selection
from vadprobe.store.files.digests import digest_arrays
from vadprobe.store.format.clip_table import ClipTable
from vadprobe.store.reading.feature_store import FeatureStore

FOLDS = 5
MOST_VIDEOS, MOST_OF_VIDEO = 64, 16
"""Largest numbers of videos of a set and of samples of a video; evenly spread, so that little is read."""

_MOST_VALUES = 1 << 24  # feature values in memory at a time, 128 MB as float64
_SEED = 0
_NAN = float("nan")


@dataclass(frozen=True)
class SampleShift:
    """AUC of a linear classifier between calibration samples and scored segments; NaN with a `reason` if unknown.

    `auc` is the fraction of (segment, calibration sample) pairs within a fold that a ridge classifier ranks correctly,
    cross-fitted over videos: 0.5 if the two sets cannot be told apart, 1 if they always can. `low` and `high` are the
    ends of its percentile interval over resamples of the videos of both sets, without refitting the classifiers.
    """

    auc: float = _NAN
    low: float = _NAN
    high: float = _NAN
    confidence: float = _NAN
    unit: str = ""
    n_calibration: int = 0
    n_scored: int = 0
    reason: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values with the sentence; unknown numbers are null."""
        parts = null_for_nan({name: getattr(self, name) for name in self.__dataclass_fields__})
        return {**parts, "sentence": self.sentence()}

    def sentence(self) -> str:
        """Return a sentence on what the number means for a threshold."""
        if self.reason:
            return f"The shift between calibration samples and scored segments is unknown: {self.reason}."
        ends = "" if np.isnan(self.low) else f" [{self.low:.4f}, {self.high:.4f}]"
        samples = "whole-video vectors" if self.unit == "video" else "calibration segments"
        told = (
            f"A linear classifier, tested on videos that it was not fitted on, tells {self.n_calibration} "
            f"{samples} from {self.n_scored} scored segments with an AUC of {self.auc:.4f}{ends} (0.5 is "
            "chance)."
        )
        if self.auc <= 0.5 or self.low <= 0.5:
            return f"{told} No shift is shown in the chosen features; that does not prove that a threshold transfers."
        return (
            f"{told} The two differ in the chosen features, because of the sampling or of the share of "
            "anomalies. A threshold that is set on probabilities of calibration samples (the adaptive "
            "one) may therefore not fit the segments. A threshold that was chosen on segments does not "
            "depend on this difference, nor do the ranking metrics."
        )


def sample_shift(
    inputs: AnalysisInputs, calibration: Calibration, selection: Selection, config: BootstrapConfig, cache: StepCache
) -> SampleShift:
    """Measure the shift in the selected features, without labels; the result is kept as a step.

    With fewer than two videos in a set the shift is unknown. If all features are equal, the AUC is 0.5.

    Args:
        inputs: the stores, those of the calibration included.
        calibration: the samples that the detector was fitted on.
        selection: the chosen layer or heads.
        config: resamples of the interval, 0 for none.
        cache: of steps.
    """
    fitted, scored = inputs.calibration_store, inputs.store
    most = max(1, _MOST_VALUES // (2 * MOST_VIDEOS * n_selected(scored, selection)))
    mine = _spread(fitted, calibration.rows, min(most, MOST_OF_VIDEO))
    theirs = _spread(scored, inputs.rows_to_score(), min(most, MOST_OF_VIDEO))
    key = {
        "features": [fitted.digest_of(mine), scored.digest_of(theirs)],
        "rows": digest_arrays([mine, theirs]),
        "chosen": [selection.unit, [list(index) for index in selection.indices]],
        "bootstrap": [config.n_resamples, config.seed, config.confidence],
    }

    def compute() -> CachedResult:
        values = [read_selected(store, selection, rows) for store, rows in ((fitted, mine), (scored, theirs))]
        groups = [_videos(fitted.clips, mine), len(fitted.clips.video_ids) + _videos(scored.clips, theirs)]
        return CachedResult(_shift(values, groups, config))

    values: dict[str, Any] = dict(cache.result("sample-shift", key, compute).values)
    known: dict[str, Any] = {name: _NAN if value is None else value for name, value in values.items()}
    return SampleShift(**known, unit=calibration.unit)


def _spread(store: FeatureStore, rows: np.ndarray, most: int) -> np.ndarray:
    """Return evenly spread rows of evenly spread videos; rows that could not be read are left out."""
    rows = np.sort(rows[store.written[rows]])
    codes = store.clips.video_codes[rows]
    videos = np.unique(codes)
    chosen = [rows[codes == code] for code in _evenly(videos, MOST_VIDEOS)]
    return np.concatenate([_evenly(of, most) for of in chosen]) if chosen else rows


def _evenly(values: np.ndarray, most: int) -> np.ndarray:
    """Return at most `most` of the values, evenly spread, with the first and the last among them."""
    return np.asarray(
        values[np.unique(np.linspace(0, len(values) - 1, min(len(values), most)).round().astype(np.int64))]
    )


def _videos(clips: ClipTable, rows: np.ndarray) -> np.ndarray:
    return np.asarray(clips.video_codes[rows], dtype=np.int64)


def _shift(values: list[np.ndarray], groups: list[np.ndarray], config: BootstrapConfig) -> dict[str, Any]:
    """Return the fields of a `SampleShift`, as JSON values, for two sets of vectors (n, d) with their videos (n,)."""
    counts = {"n_calibration": len(values[0]), "n_scored": len(values[1])}
    n_videos = min(len(np.unique(of_side)) for of_side in groups)
    if n_videos < 2:
        return {**counts, "reason": "fewer than two videos on one side could be read"}
    labels = np.repeat([0, 1], [len(side) for side in values])
    videos = np.concatenate(groups)
    folds = video_folds(labels, videos, min(FOLDS, n_videos), _SEED)
    found = probe_units(np.concatenate(values)[None], labels, folds)
    low, high = _interval(found.scores[0], labels, videos, folds, config)
    ends = {name: None if np.isnan(end) else end for name, end in (("low", low), ("high", high))}
    return {**counts, **ends, "auc": float(found.auc[0]), "confidence": config.confidence}


def _interval(
    scores: np.ndarray, labels: np.ndarray, videos: np.ndarray, folds: np.ndarray, config: BootstrapConfig
) -> tuple[float, float]:
    """Return the percentile interval of the AUC within folds over resamples of the videos of each set."""
    if config.n_resamples == 0:
        return _NAN, _NAN
    codes, video = np.unique(videos, return_inverse=True)
    won, pairs = np.zeros((2, len(codes), len(codes)))
    for fold in np.unique(folds):
        first, second = (np.flatnonzero((folds == fold) & (labels == side)) for side in (0, 1))
        ahead = (scores[second][None] > scores[first][:, None]) + 0.5 * (scores[second][None] == scores[first][:, None])
        place = video[first][:, None], video[second][None]
        np.add.at(won, place, ahead)
        np.add.at(pairs, place, np.ones_like(ahead))
    side_of = labels[np.unique(video, return_index=True)[1]]
    generator = np.random.default_rng(config.seed)
    times = np.empty((len(codes), config.n_resamples))
    for side in (0, 1):
        mine = side_of == side
        times[mine] = draw_videos(generator, int(mine.sum()), config.n_resamples)[:, : config.n_resamples]
    concordant, total = (np.einsum("vr,vr->r", times, part @ times) for part in (won, pairs))
    known = total > 0
    if not known.any():
        return _NAN, _NAN
    low, high = np.quantile(
        concordant[known] / total[known], [(1 - config.confidence) / 2, (1 + config.confidence) / 2]
    )
    return float(low), float(high)
