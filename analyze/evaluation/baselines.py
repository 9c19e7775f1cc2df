"""Trivial baselines, which a result must beat before it shows that anomalies are seen.

None of them looks at a picture. They are printed beside every measured result, on all frames of the same videos.
"""

from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np

from vadprobe.analyze.evaluation.ground_truth import GroundTruth
from vadprobe.analyze.evaluation.group_metrics import ranking_metrics, roc_auc_of_groups
from vadprobe.analyze.evaluation.metrics import roc_auc
from vadprobe.analyze.evaluation.scored_clips import ScoredClips

BASELINES = ("video_flat", "shorter", "centre", "random")
"""Names, in the order they are shown in."""

RANDOM_SEED = 0
_RANDOM_FRAMES = 16


@dataclass(frozen=True)
class _Content:
    """Cache key of a truth: two truths of the same content are equal."""

    digest: str
    video_ids: tuple[str, ...]
    truth: GroundTruth = field(compare=False)


def trivial_baselines(truth: GroundTruth) -> dict[str, dict[str, float]]:
    """Measure four scores that need no model, over all frames of the truth's videos.

    With n the video's frame count, frame i of a video scores

    - `video_flat`: the video's true label for all its frames: an oracle, perfect between videos and blind within them.
    - `shorter`: -n, so that a shorter video is more anomalous.
    - `centre`: -abs(2 i - n) / n, highest in the middle of every video. The numerator is an integer and the division
      is rounded correctly, so frames at the same relative distance tie exactly.
    - `random`: a random number for every 16 frames (seed 0, independent of the order of the videos).

    Every frame of a video is counted, not `((n - 1) // 16) * 16` of them as in common ground-truth files. The results
    for the last few truths are cached, since a sweep measures one truth under hundreds of scores.

    Returns:
        Values by baseline and metric. The metrics are `auc`, `ap_step`, `pr_area_trapezoid`, `auc_abnormal_only` and
        `auc_macro` (0.5 for a score that is constant within every video). NaN if the frames are of one class.
    """
    content = _Content(truth.digest, truth.video_ids, truth)
    return {name: dict(metrics) for name, metrics in _measured(content).items()}


@lru_cache(maxsize=4)
def _measured(content: _Content) -> dict[str, dict[str, float]]:
    truth = content.truth
    codes = np.arange(len(truth.video_ids))
    counts = truth.n_positive, truth.n_frames - truth.n_positive
    return {
        "video_flat": _metrics(truth, ScoredClips(truth.labels, *counts, codes)),
        "shorter": _metrics(truth, ScoredClips(-truth.n_frames, *counts, codes)),
        "centre": _centre(truth),
        "random": _random(truth),
    }


def _centre(truth: GroundTruth) -> dict[str, float]:
    codes = np.repeat(np.arange(len(truth.video_ids)), truth.n_frames)
    frames = np.arange(len(codes)) - np.repeat(truth.offsets, truth.n_frames)
    lengths = np.repeat(truth.n_frames, truth.n_frames)
    scores = -np.abs(2 * frames - lengths) / lengths
    return _metrics(truth, ScoredClips(scores, *truth.counts(codes, frames, frames + 1), codes))


def _random(truth: GroundTruth) -> dict[str, float]:
    n_segments = -(-truth.n_frames // _RANDOM_FRAMES)
    codes = np.repeat(np.arange(len(n_segments)), n_segments)
    index = np.arange(len(codes)) - np.repeat(np.cumsum(n_segments) - n_segments, n_segments)
    starts = index * _RANDOM_FRAMES
    stops = np.minimum(starts + _RANDOM_FRAMES, truth.n_frames[codes])
    generator = np.random.default_rng(RANDOM_SEED)
    by_name = sorted(range(len(n_segments)), key=lambda code: truth.video_ids[code])
    draws = {code: generator.random(n_segments[code]) for code in by_name}
    scores = np.concatenate([draws[code] for code in range(len(n_segments))])
    return _metrics(truth, ScoredClips(scores, *truth.counts(codes, starts, stops), codes))


def _metrics(truth: GroundTruth, clips: ScoredClips) -> dict[str, float]:
    abnormal = clips.take((truth.labels == 1)[clips.groups])
    of_videos = roc_auc_of_groups(clips, len(truth.video_ids))
    return {
        **ranking_metrics(clips),
        "auc_abnormal_only": roc_auc(abnormal.ranking()) if abnormal.positives.any() else float("nan"),
        "auc_macro": float(np.nanmean(of_videos)) if not np.isnan(of_videos).all() else float("nan"),
    }
