"""Smoothing against scipy per video and weighted means over the known clips."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter1d

from tests.support.oracles.reference_evaluation import smooth_by_weights
from tests.support.profiles import laws
from tests.support.samples.clips import SIGMAS, joined
from vadprobe.analyze.locator.locator import Locator
from vadprobe.analyze.locator.smoothing import Smoothing, smooth
from vadprobe.store.errors import VadprobeError

PROBABILITIES = st.floats(0, 1)
ragged = st.lists(st.lists(PROBABILITIES, min_size=1, max_size=9), min_size=1, max_size=6)


@laws(100)
@given(ragged, SIGMAS)
def test_bit_for_bit_scipys_filter_of_each_video_alone(videos, sigma):
    scores, groups = joined(videos)
    expected = [gaussian_filter1d(np.array(v), sigma, mode="reflect", truncate=4.0) if sigma else v for v in videos]
    assert smooth(scores, sigma, groups).tolist() == np.concatenate(expected).tolist()
    assert smooth(np.array(videos[0]), sigma).tolist() == list(expected[0])


@laws(100)
@given(
    st.lists(st.lists(PROBABILITIES | st.just(math.nan), min_size=1, max_size=9), min_size=1, max_size=5),
    st.sampled_from([0.4, 1.5, 4.0]),
)
def test_unknown_clips_stay_unknown_and_do_not_spread(videos, sigma):
    scores, groups = joined(videos)
    got = smooth(scores, sigma, groups)
    # Means of at most 33 numbers up to 1: some 33 roundings.
    wanted = np.concatenate([smooth_by_weights(v, sigma) for v in videos])
    np.testing.assert_allclose(got, wanted, rtol=0, atol=1e-13)
    assert np.isnan(got).tolist() == np.isnan(scores).tolist()


def test_an_unknown_clip_in_one_video_changes_no_bit_of_another():
    known = np.array([0.1, 0.9, 0.3, 0.7])
    failed = np.array([0.5, math.nan, 0.2])
    together = smooth(np.concatenate([failed, known]), 1.5, np.array([0, 0, 0, 1, 1, 1, 1]))
    assert together[3:].tolist() == smooth(known, 1.5).tolist()


def roundings(sigma):
    """Bound the error of a weighted mean of numbers up to 1: one rounding of each weight and of each sum."""
    return (2 * int(4 * sigma + 0.5) + 1) * np.finfo(float).eps


@laws(100)
@given(PROBABILITIES, st.integers(1, 12), SIGMAS)
def test_a_constant_video_stays_constant_to_its_edges(value, length, sigma):
    np.testing.assert_allclose(smooth(np.full(length, value), sigma), value, rtol=0, atol=roundings(sigma))


def test_smoothing_lengths_dtypes_and_input():
    scores = np.array([0.25, 0.75, 0.5], dtype=np.float32)
    assert smooth(scores, 0).tolist() == [0.25, 0.75, 0.5]
    assert smooth(scores, 0.0).dtype == smooth(scores, 1.5).dtype == np.float64
    assert smooth(np.array([0.3]), 1.5) == pytest.approx([0.3], abs=roundings(1.5))
    assert smooth(np.array([]), 1.5).shape == (0,)
    assert smooth(np.array([math.nan, math.nan]), 1.5).shape == (2,)
    smooth(scores, 0.0)[0] = 9
    assert scores[0] == 0.25, "the input is not written to"


@pytest.mark.parametrize("sigma", [-0.1, math.nan, math.inf])
def test_impossible_sigmas_are_refused(sigma):
    with pytest.raises(VadprobeError, match="sigma must be"):
        smooth(np.array([0.1]), sigma)
    with pytest.raises(VadprobeError, match="sigma must be"):
        Locator(sigma, 0.5)


def test_videos_must_be_contiguous():
    with pytest.raises(VadprobeError, match="video 4 are not contiguous"):
        smooth(np.zeros(3), 1.0, np.array([4, 2, 4]))


SCIPY_MODES = {"reflect": "reflect", "zero": "constant", "nearest": "nearest"}


@laws(60)
@given(ragged, SIGMAS, st.sampled_from(sorted(SCIPY_MODES)), st.sampled_from([0.5, 2.0, 3.0, 4.0]))
def test_every_edge_and_reach_is_scipys_of_each_video_alone(videos, sigma, edge, truncate):
    scores, groups = joined(videos)
    expected = [
        gaussian_filter1d(np.array(v), sigma, mode=SCIPY_MODES[edge], truncate=truncate) if sigma else v for v in videos
    ]
    found = smooth(scores, sigma, groups, Smoothing(edge, truncate))
    np.testing.assert_allclose(found, np.concatenate(expected), rtol=0, atol=roundings(sigma))


def test_zeros_at_three_sigmas_are_a_convolution_with_the_public_codes_kernel():
    """A constant 1 becomes 0.63 at its ends, as the window of 11 loses five of its clips there."""
    offsets = np.arange(-5, 6)
    kernel = np.exp(-(offsets**2) / (2 * 1.5**2))
    kernel /= kernel.sum()
    scores = np.random.default_rng(0).random(30)
    zeros = Smoothing("zero", 3.0)
    np.testing.assert_allclose(smooth(scores, 1.5, None, zeros), np.convolve(scores, kernel, "same"), atol=1e-14)
    ones = smooth(np.ones(30), 1.5, None, zeros)
    assert ones[[0, -1]] == pytest.approx(kernel[5:].sum(), abs=1e-14)
    assert round(float(ones[0]), 2) == 0.63


def test_beside_zeros_an_unknown_clip_stays_unknown_and_zeros_count_as_known():
    scores = np.array([0.5, math.nan, 0.8])
    weights = np.exp(-0.5 * np.arange(4) ** 2)
    whole = weights[0] + 2 * weights[1:].sum()
    found = smooth(scores, 1.0, None, Smoothing("zero", 3.0))
    assert math.isnan(found[1])
    assert found[0] == pytest.approx((0.5 * weights[0] + 0.8 * weights[2]) / (whole - weights[1]), abs=1e-14)


@pytest.mark.parametrize(
    ("edge", "truncate", "words"),
    [
        ("wrap", 4.0, "edge of smoothing must be one of reflect, zero, nearest, got 'wrap'"),
        ("zero", 0.0, "truncate must be .* above 0, got 0.0"),
        ("zero", math.inf, "truncate must be"),
    ],
)
def test_impossible_smoothings_are_refused(edge, truncate, words):
    with pytest.raises(VadprobeError, match=words):
        Smoothing(edge, truncate)
