"""The pictures are PNGs that show what they were given: the curve's gap, the shaded truth, the framed heads."""

import io

import matplotlib.image
import numpy as np
import pytest

from vadprobe.analyze.report.figures import anomaly_curve, head_map, layer_curve
from vadprobe.analyze.report.reliability_figure import reliability_curve

TRUTH_COLOUR = np.array([0xF3, 0xB0, 0xA6]) / 255
DETECTED_COLOUR = np.array([0xC8, 0x55, 0x3D]) / 255


def pixels(picture: bytes) -> np.ndarray:
    assert picture.startswith(b"\x89PNG")
    return matplotlib.image.imread(io.BytesIO(picture))[..., :3]


def share_of(picture: bytes, colour: np.ndarray) -> float:
    return float((np.abs(pixels(picture) - colour).max(axis=-1) < 0.02).mean())


def test_the_truth_is_shaded_in_proportion_to_its_length() -> None:
    scores = np.full(200, 0.5)
    shares = []
    for length in (0, 50, 100):
        truth = np.zeros(200, dtype=bool)
        truth[20 : 20 + length] = True
        shares.append(share_of(anomaly_curve(scores, scores, truth, 0.7, 25.0), TRUTH_COLOUR))
    assert shares[0] == 0
    assert shares[2] == pytest.approx(2 * shares[1], rel=0.1)


def test_what_was_detected_is_hatched_over_the_truth() -> None:
    scores, truth = np.full(200, 0.5), np.arange(200) >= 100
    plain, both = (anomaly_curve(scores, scores, truth, 0.4, 25.0, detected) for detected in ([], [(50, 150)]))
    assert share_of(plain, DETECTED_COLOUR) == 0
    assert share_of(both, DETECTED_COLOUR) > 0.01
    assert share_of(both, TRUTH_COLOUR) > 0.7 * share_of(plain, TRUTH_COLOUR)


def test_the_reliability_curve_draws_what_is_known() -> None:
    bins = [
        {"lower": 0.0, "n_frames": 0, "mean_probability": None, "observed": None, "low": None, "high": None},
        {"lower": 0.5, "n_frames": 9, "mean_probability": 0.6, "observed": 0.5, "low": None, "high": None},
    ]
    one, other = (reliability_curve([bins[0], {**bins[1], "low": low, "high": 0.9}]) for low in (0.1, 0.4))
    assert one != other
    assert pixels(reliability_curve(bins)).size
    assert pixels(reliability_curve(bins[:1])).size


@pytest.mark.parametrize("n_frames", [1, 2, 500])
def test_unknown_scores_and_missing_truth_still_draw(n_frames: int) -> None:
    unknown = np.full(n_frames, np.nan)
    assert pixels(anomaly_curve(unknown, unknown, None, 0.5, None)).size


def test_the_chosen_heads_are_framed() -> None:
    saliency = np.linspace(0, 1, 48).reshape(6, 8)
    plain, framed = (pixels(head_map(saliency, chosen)) for chosen in ([], [(0, 3), (5, 7)]))
    assert plain.shape == framed.shape
    assert (plain != framed).any()


def test_the_layer_curve_names_the_chosen_layer() -> None:
    scores = np.array([0.1, 2.0, -1.0])
    parts = {"gaussian_kl": scores, "binned_entropy": -scores}
    one, other = (layer_curve(scores, parts, [1, 2, 3], [layer]) for layer in (2, 3))
    assert one != other
