"""Smoothing online: the offline scores with the radius as look-ahead, a mean of what is known with less."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vadprobe.analyze.locator.locator import Locator
from vadprobe.analyze.locator.smoothing import smooth
from vadprobe.detect.online.smoothing import OnlineSmoother
from vadprobe.store.errors import VadprobeError

SCORES = st.lists(st.one_of(st.floats(0, 1), st.just(float("nan"))), max_size=40)
LOCATORS = st.builds(
    Locator,
    st.sampled_from([0.0, 0.4, 1.5, 2.6]),
    st.just(0.5),
    st.sampled_from(["reflect", "zero", "nearest"]),
    st.sampled_from([3.0, 4.0]),
)


def online(scores: list[float], locator: Locator, look_ahead: int | None = None) -> tuple[list[float], list[int]]:
    """Return the smoothed scores, and how many of them were final after each score."""
    smoother = OnlineSmoother(locator, look_ahead)
    found: list[float] = []
    counts = []
    for score in scores:
        found += smoother.add(score)
        counts.append(len(found))
    return found + smoother.finish(), counts


@given(SCORES, LOCATORS)
def test_with_the_radius_as_look_ahead_scores_are_the_offline_ones(scores: list[float], locator: Locator) -> None:
    found, counts = online(scores, locator)
    wanted = smooth(np.array(scores), locator.sigma, smoothing=locator.smoothing)
    np.testing.assert_allclose(found, wanted, atol=1e-12)
    radius = locator.smoothing.radius(locator.sigma)
    assert counts == [max(0, number + 1 - radius) for number in range(len(scores))]


@given(SCORES, LOCATORS, st.integers(0, 3))
def test_a_causal_score_is_the_weighted_mean_of_what_is_known_by_then(
    scores: list[float], locator: Locator, look_ahead: int
) -> None:
    radius = locator.smoothing.radius(locator.sigma)
    if look_ahead >= radius:
        return
    found, counts = online(scores, locator, look_ahead)
    assert counts == [max(0, number + 1 - look_ahead) for number in range(len(scores))]
    for place, score in enumerate(scores):
        near = range(max(0, place - radius), min(len(scores), place + look_ahead + 1))
        weights = {i: np.exp(-0.5 * ((i - place) / locator.sigma) ** 2) for i in near if not np.isnan(scores[i])}
        if np.isnan(score):
            assert np.isnan(found[place])
        else:
            mean = sum(weight * scores[i] for i, weight in weights.items()) / sum(weights.values())
            assert found[place] == pytest.approx(mean, abs=1e-12)


def test_after_an_end_the_next_score_begins_anew() -> None:
    smoother = OnlineSmoother(Locator(1.0, 0.5))
    first = [*smoother.add(1.0), *smoother.finish()]
    second = [*smoother.add(0.0), *smoother.finish()]
    assert (first, second) == ([pytest.approx(1.0)], [0.0])


def test_what_is_held_does_not_grow() -> None:
    smoother = OnlineSmoother(Locator(1.5, 0.5))
    for number in range(1000):
        smoother.add(number % 7 / 7)
        assert len(smoother._scores) <= 3 * smoother.radius + 1


@pytest.mark.parametrize("look_ahead", [-1, 7])
def test_a_look_ahead_beyond_the_kernel_is_refused(look_ahead: int) -> None:
    with pytest.raises(VadprobeError, match="0 to 6 segments"):
        OnlineSmoother(Locator(1.5, 0.5), look_ahead)
