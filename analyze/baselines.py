"""Trivial baselines: what a result has to beat before it says anything about seeing anomalies.

None of them looks at a picture. They are printed beside every measured result, on the same frames.
"""

from collections.abc import Sequence

import numpy as np

from vadprobe.analyze.metrics import Ranking, average_precision, precision_recall_area, rank, roc_auc
from vadprobe.store.datasets import Dataset
from vadprobe.store.errors import VadprobeError
from vadprobe.store.records import Video


def trivial_baselines(dataset: Dataset, videos: Sequence[Video]) -> dict[str, dict[str, float]]:
    """Frame-level metrics of three scores that need no model, over all frames of ``videos`` pooled.

    With n the video's frame count, frame i of a video scores

    - ``video_flat``: the video's true label, held flat. Perfect between videos, blind within them.
    - ``shorter``: -n, so that a shorter video is more anomalous.
    - ``centre``: -abs(2 i - n) / n, highest in the middle of every video. The numerator is an integer and the division
      is rounded correctly, so frames at the same relative distance tie exactly.

    These definitions give the published values of ``notes/datasets.md`` on UCF-Crime and XD-Violence, with every frame
    of a video counted (not the ``((n - 1) // 16) * 16`` rule of common ground-truth files).

    Args:
        dataset: the intervals, 0-based and half-open.
        videos: the scored videos; ``n_frames`` and ``label`` must be known. Their order changes nothing.

    Returns:
        Baseline to metric to value; the metrics are ``auc``, ``ap`` (step) and ``ap_trapezoid``. NaN if the frames are
        of one class.

    Raises:
        VadprobeError: if there is no frame, or a video's frame count or label is unknown.
    """
    n_frames, labels = _known(videos)
    truths = [dataset.truth(video.video_id, int(frames)) for video, frames in zip(videos, n_frames, strict=True)]
    positives = np.array([int(truth.sum()) for truth in truths], dtype=np.int64)
    truth = np.concatenate([np.zeros(0, dtype=bool), *truths])
    centre = np.concatenate([np.zeros(0), *(_centre_prior(int(frames)) for frames in n_frames)])
    rankings = {
        "video_flat": rank(labels, positives, n_frames - positives),
        "shorter": rank(-n_frames, positives, n_frames - positives),
        "centre": rank(centre, truth, ~truth),
    }
    return {name: _metrics(ranking) for name, ranking in rankings.items()}


def _known(videos: Sequence[Video]) -> tuple[np.ndarray, np.ndarray]:
    unknown = [video.video_id for video in videos if video.n_frames is None or video.label is None]
    if unknown:
        raise VadprobeError(
            f"{len(unknown)} of {len(videos)} videos have no frame count or no label, first {unknown[0]!r}; the "
            "trivial baselines need both. Probe the files (vadprobe plan) and check the annotation."
        )
    n_frames = np.array([video.n_frames for video in videos], dtype=np.int64)
    return n_frames, np.array([video.label for video in videos], dtype=np.int64)


def _centre_prior(n_frames: int) -> np.ndarray:
    return -np.abs(2 * np.arange(n_frames) - n_frames) / max(n_frames, 1)


def _metrics(ranking: Ranking) -> dict[str, float]:
    return {
        "auc": roc_auc(ranking),
        "ap": average_precision(ranking),
        "ap_trapezoid": precision_recall_area(ranking),
    }
