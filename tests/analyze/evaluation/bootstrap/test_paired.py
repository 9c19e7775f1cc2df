"""Interval of a difference of AUCs: that of the differences of a slow loop over the same resamples."""

import numpy as np
import pytest

from vadprobe.analyze.evaluation.bootstrap.paired import auc_difference
from vadprobe.analyze.evaluation.evaluation import BootstrapConfig
from vadprobe.analyze.evaluation.metrics import roc_auc
from vadprobe.analyze.evaluation.scored_clips import ScoredClips

SETTINGS = BootstrapConfig(60, seed=3, confidence=0.9)


def clips(seed: int, per_video: int = 4, codes: tuple[int, ...] = (0, 2, 3, 7, 8)) -> ScoredClips:
    generator = np.random.default_rng(seed)
    groups = np.repeat(codes, per_video)
    positives = generator.integers(0, 3, len(groups))
    return ScoredClips(generator.standard_normal(len(groups)) + positives, positives, 2 - positives, groups)


def test_the_interval_is_that_of_a_loop_over_drawn_videos() -> None:
    first, second = clips(0), clips(1, per_video=7)
    codes = np.unique(first.groups)
    generator = np.random.default_rng(SETTINGS.seed)
    differences = []
    for _ in range(SETTINGS.n_resamples):
        drawn = codes[generator.integers(len(codes), size=len(codes))]
        one, other = (
            each.take(np.concatenate([np.flatnonzero(each.groups == code) for code in drawn]))
            for each in (first, second)
        )
        differences.append(roc_auc(one.ranking()) - roc_auc(other.ranking()))
    found = auc_difference(first, second, SETTINGS)
    assert found == pytest.approx(tuple(np.nanquantile(differences, [0.05, 0.95])))


def test_scores_of_other_videos_have_no_paired_difference() -> None:
    assert np.isnan(auc_difference(clips(0), clips(1, codes=(0, 2, 3, 7, 9)), SETTINGS)).all()
    nothing = clips(0).take(np.zeros(20, dtype=bool))
    assert np.isnan(auc_difference(nothing, nothing, SETTINGS)).all()
