"""Locators chosen on the other folds: against the grid, and the law that no video's labels reach its own."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import f1_score

from tests.support.oracles.reference_evaluation import expand
from tests.support.profiles import laws
from tests.support.samples.clips import folded_case
from vadprobe.analyze.evaluation.scored_clips import ScoredClips
from vadprobe.analyze.locator.cross_fitted import cross_fitted_grid
from vadprobe.analyze.locator.grid import frame_f1_grid
from vadprobe.analyze.locator.locator import Locator
from vadprobe.analyze.locator.smoothing import smooth
from vadprobe.store.errors import VadprobeError


@laws(100)
@given(st.integers(0, 10**6))
def test_a_folds_pair_is_the_grids_on_the_other_videos(seed):
    clips, sigmas, thresholds, folds = folded_case(seed)
    found = cross_fitted_grid(clips, sigmas, thresholds, folds)
    assert sorted(found.locators) == [2, 5, 40]
    for fold, locator in found.locators.items():
        assert locator == frame_f1_grid(clips.take(folds != fold), sigmas, thresholds).locator
        mine = clips.take(folds == fold)
        np.testing.assert_array_equal(found.smoothed[folds == fold], smooth(mine.scores, locator.sigma, mine.groups))
    known = ~np.isnan(clips.scores)
    assert np.isnan(found.smoothed).tolist() == (~known).tolist()
    assert found.n_unknown == np.sum(~known)
    above = found.smoothed > [found.locators[fold].threshold for fold in folds.tolist()]
    truth, decided = expand(above[known], clips.positives[known], clips.negatives[known])
    assert found.f1 == pytest.approx(f1_score(truth, decided, zero_division=0.0), abs=1e-15)
    json.dumps(found.to_json())
    assert Locator.from_json(found.to_json()["locators"]["5"]) == found.locators[5]


@laws(100)
@given(st.integers(0, 10**6), st.integers(0, 6), st.integers(0, 10**6))
def test_a_videos_own_labels_never_change_its_own_pair(seed, video, other_seed):
    """The leak law: nor do the labels of any video of its fold; and what is decided in it stays."""
    clips, sigmas, thresholds, folds = folded_case(seed)
    fold = folds[clips.groups == video][0]
    before = cross_fitted_grid(clips, sigmas, thresholds, folds)
    changed = np.random.default_rng(other_seed).integers(0, 9, (2, len(clips)))
    for mine in (clips.groups == video, folds == fold):
        labels = (
            np.where(mine, new, old) for new, old in zip(changed, (clips.positives, clips.negatives), strict=True)
        )
        after = cross_fitted_grid(ScoredClips(clips.scores, *labels, clips.groups), sigmas, thresholds, folds)
        assert after.locators[fold] == before.locators[fold]
        np.testing.assert_array_equal(after.smoothed[folds == fold], before.smoothed[folds == fold])


def test_labels_elsewhere_do_change_a_pair():
    pairs = []
    for positives in ([3, 3, 3, 0], [3, 0, 3, 0]):
        clips = ScoredClips([0.9, 0.4, 0.6, 0.1], positives, [1] * 4, range(4))
        found = cross_fitted_grid(clips, [0.0], [0.3, 0.7], np.array([0, 0, 1, 1]))
        pairs.append((found.locators[0].threshold, found.locators[1].threshold))
    assert pairs == [(0.3, 0.3), (0.3, 0.7)], "of fold 0, chosen on fold 1, and of fold 1, chosen on fold 0"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"positives": np.array([1, 1, 0, 0])}, "outside fold 0 have 0 anomalous and 2 normal frames"),
        ({"negatives": np.array([0, 0, 1, 1])}, "outside fold 1 have 2 anomalous and 0 normal frames"),
        ({"groups": np.array([8, 3, 8, 3])}, "not contiguous"),
    ],
)
def test_folds_that_mean_nothing_are_refused(change, words):
    clips = {"scores": [0.8, 0.2, 0.7, 0.3], "positives": [1, 1, 1, 0], "negatives": [1] * 4, "groups": [8, 8, 3, 3]}
    with pytest.raises(VadprobeError, match=words):
        cross_fitted_grid(ScoredClips(**clips | change), [0.4], [0.5], np.array([0, 0, 1, 1]))
