"""The shift between two sets of vectors: none, all, and what cannot be told."""

import json
import math

import numpy as np
import pytest

from vadprobe.analyze.detector.results.sample_shift import SampleShift, _shift
from vadprobe.analyze.evaluation.evaluation import BootstrapConfig

CONFIG = BootstrapConfig(200)


def sides(distance: float, n_videos: int = 12, d: int = 40, seed: int = 0) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """One vector of each of some videos, and five alike of each of others, a distance away."""
    generator = np.random.default_rng(seed)
    whole = generator.standard_normal((n_videos, d))
    cut = np.repeat(generator.standard_normal((n_videos, d)), 5, axis=0) + 0.1 * generator.standard_normal(
        (5 * n_videos, d)
    )
    cut += distance
    return [whole, cut], [np.arange(n_videos), 100 + np.repeat(np.arange(n_videos), 5)]


def test_sets_of_one_distribution_are_not_told_apart() -> None:
    """With more dimensions than videos any two sets are separable; the classifier never saw what it tells apart."""
    found = [_shift(*sides(0.0, seed=seed), CONFIG)["auc"] for seed in range(20)]
    assert np.mean(found) == pytest.approx(0.5, abs=0.08)


def test_sets_far_apart_always_are() -> None:
    found = _shift(*sides(9.0), CONFIG)
    assert (found["auc"], found["low"], found["high"]) == (1, 1, 1)
    assert (found["n_calibration"], found["n_scored"]) == (12, 60)


def test_the_interval_holds_the_number() -> None:
    found = _shift(*sides(1.0, d=3), CONFIG)
    assert found["low"] < found["auc"] < found["high"]
    assert _shift(*sides(1.0, d=3), CONFIG) == found
    without = _shift(*sides(1.0, d=3), BootstrapConfig(0))
    assert (without["auc"], without["low"]) == (found["auc"], None)


def test_equal_features_are_told_apart_by_chance() -> None:
    values, groups = sides(0.0)
    assert _shift([np.ones_like(of) for of in values], groups, CONFIG)["auc"] == 0.5


@pytest.mark.parametrize("n_videos", [0, 1])
def test_too_few_videos_leave_it_unknown(n_videos: int) -> None:
    values, groups = sides(1.0)
    found = SampleShift(**_shift([values[0][:n_videos], values[1]], [groups[0][:n_videos], groups[1]], CONFIG))
    assert math.isnan(found.auc)
    assert "unknown: fewer than two videos" in found.sentence()
    assert json.loads(json.dumps(found.to_json(), allow_nan=False))["auc"] is None


def test_the_sentence_says_what_it_means_for_a_threshold() -> None:
    told = SampleShift(0.9, 0.8, 0.95, 0.95, "video", 16, 100).sentence()
    assert "tells 16 whole-video vectors from 100 scored segments with an AUC of 0.9000" in told
    assert "the adaptive one) may therefore not fit the segments" in told
    doubtful = SampleShift(0.6, 0.4, 0.8, 0.95, "segment", 16, 100).sentence()
    assert "16 calibration segments" in doubtful
    assert "No shift is shown" in doubtful
