"""Interval of the difference of two AUCs over the same resamples of videos."""

import numpy as np

from vadprobe.analyze.evaluation.bootstrap.bootstrap import Bootstrap, bootstrap_videos
from vadprobe.analyze.evaluation.evaluation import BootstrapConfig
from vadprobe.analyze.evaluation.scored_clips import ScoredClips


def auc_difference(first: ScoredClips, second: ScoredClips, settings: BootstrapConfig) -> tuple[float, float]:
    """Return the percentile interval of the AUC of `first` less that of `second`, both on the same drawn videos.

    A video that is hard for both scores changes both AUCs, but not their difference. So this interval, and not the
    overlap of the two separate intervals, shows whether there is a difference.

    Args:
        first: scored clips, as for `bootstrap_videos`.
        second: other scores of the same videos; their clips may be cut in another way.
        settings: at least one resample.

    Returns:
        Lower and upper end, as `Bootstrap.interval` returns them; (NaN, NaN) if the two have different videos, or no
        video.
    """
    videos = np.unique(first.groups)
    if len(videos) == 0 or not np.array_equal(videos, np.unique(second.groups)):
        return float("nan"), float("nan")
    aucs = []
    for clips in (first, second):
        generator = np.random.default_rng(settings.seed)
        samples = bootstrap_videos(clips, n_resamples=settings.n_resamples, generator=generator, metrics=("auc",))
        aucs.append(samples.values["auc"])
    return Bootstrap({"auc": aucs[0] - aucs[1]}, settings.n_resamples).interval("auc", settings.confidence)
