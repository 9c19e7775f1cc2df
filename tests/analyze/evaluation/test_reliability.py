"""Brier score and reliability curve, against scikit-learn on expanded frames and a plain bootstrap."""

import json
import math

import numpy as np
import pytest
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss

from vadprobe.analyze.evaluation.evaluation import BootstrapConfig
from vadprobe.analyze.evaluation.reliability import N_BINS, reliability
from vadprobe.analyze.evaluation.scored_clips import ScoredClips
from vadprobe.store.errors import VadprobeError

NONE = BootstrapConfig(0)


def random_clips(seed: int, n_videos: int = 7) -> ScoredClips:
    generator = np.random.default_rng(seed)
    groups = np.repeat(5 * np.arange(n_videos), generator.integers(2, 9, n_videos))
    probabilities = generator.choice([generator.random(len(groups)), generator.integers(0, 5, len(groups)) / 4])
    positives, negatives = generator.integers(0, 6, (2, len(groups)))
    negatives[0] += 1
    return ScoredClips(probabilities, positives, negatives, groups)


def expanded(clips: ScoredClips) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Truth, probability and video of every frame."""
    parts = [
        (truth, p, group)
        for p, n_positive, n_negative, group in zip(
            clips.scores, clips.positives, clips.negatives, clips.groups, strict=True
        )
        for truth in [1] * n_positive + [0] * n_negative
    ]
    truth, probabilities, groups = zip(*parts, strict=True)
    return np.array(truth), np.array(probabilities), np.array(groups)


@pytest.mark.parametrize("seed", range(6))
def test_the_numbers_are_those_of_the_expanded_frames(seed: int) -> None:
    clips = random_clips(seed)
    found = reliability(clips, NONE)
    truth, probabilities, groups = expanded(clips)
    assert found.brier == pytest.approx(brier_score_loss(truth, probabilities), abs=1e-12)
    share = truth.mean()
    assert found.brier_constant == pytest.approx(brier_score_loss(truth, np.full(len(truth), share)), abs=1e-12)
    assert (found.n_frames, found.n_positive) == (len(truth), truth.sum())
    full = [one for one in found.bins if one.n_frames]
    # scikit-learn's bins have their upper edge; moved by less than any difference, they have the lower.
    observed, means = calibration_curve(truth, np.minimum(probabilities + 1e-9, 1), n_bins=N_BINS)
    assert [one.observed for one in full] == pytest.approx(observed.tolist(), abs=1e-12)
    assert [one.mean_probability for one in full] == pytest.approx(means.tolist(), abs=1e-8)
    gaps = [abs(one.observed - one.mean_probability) * one.n_frames for one in full]
    assert found.gap == pytest.approx(sum(gaps) / len(truth), abs=1e-12)
    for one in found.bins:
        inside = (probabilities >= one.lower) & ((probabilities < one.upper) | (one.upper == 1))
        assert (one.n_frames, one.n_videos) == (inside.sum(), len(np.unique(groups[inside])))


def test_intervals_are_percentiles_over_resampled_videos() -> None:
    clips = random_clips(3)
    config = BootstrapConfig(300, 5, 0.9)
    found = reliability(clips, config)
    videos = np.unique(clips.groups)
    drawn = np.random.default_rng(5).integers(len(videos), size=(300, len(videos)))
    briers, shares = [], [[] for _ in range(N_BINS)]
    for chosen in drawn:
        rows = np.concatenate([np.flatnonzero(clips.groups == videos[code]) for code in chosen])
        one = reliability(clips.take(rows), NONE)
        briers.append(one.brier)
        for number, share in enumerate(one.bins):
            shares[number].append(share.observed)
    assert found.brier_interval == pytest.approx(tuple(np.nanquantile(briers, [0.05, 0.95])), abs=1e-12)
    for one, of_bin in zip(found.bins, shares, strict=True):
        if one.n_videos > 1:
            assert (one.low, one.high) == pytest.approx(tuple(np.nanquantile(of_bin, [0.05, 0.95])), abs=1e-12)
        else:
            assert math.isnan(one.low)
            assert math.isnan(one.high)


def test_one_video_has_no_intervals_of_bins_and_its_json_is_plain() -> None:
    clips = ScoredClips([1.0, 0.0, 0.3], [2, 0, 1], [0, 3, 1], [4, 4, 4])
    found = reliability(clips, BootstrapConfig(10))
    assert found.brier == pytest.approx((0.7**2 + 0.3**2) / 7)
    assert [one.n_frames for one in found.bins] == [3, 0, 0, 2, 0, 0, 0, 0, 0, 2]
    values = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert values["bins"][1]["observed"] is None
    assert values["bins"][0]["low"] is None
    assert "calibrated" not in values["meaning"]
    assert "on 7 labelled frames" in found.line()


@pytest.mark.parametrize("scores", [[0.5, 1.1], [-0.1, 0.5], [0.5, math.nan]])
def test_scores_that_are_no_probabilities_are_refused(scores: list[float]) -> None:
    with pytest.raises(VadprobeError, match=r"probabilities in \[0, 1\]"):
        reliability(ScoredClips(scores, [1, 1], [1, 1], [0, 1]), NONE)
