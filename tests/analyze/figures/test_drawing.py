"""Drawn figures are files that come out the same, and show what they were given: truth, detections, chosen heads."""

import csv
import io
import json
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest

from vadprobe.analyze.figures import style
from vadprobe.analyze.figures.curves import VideoCurve, anomaly_curve, draw_curves
from vadprobe.analyze.figures.drawn import DrawnFigure, stored_figures
from vadprobe.analyze.figures.efficiency import efficiency_figure
from vadprobe.analyze.figures.embeddings import perplexity_of, planes_of
from vadprobe.analyze.figures.head_maps import HeadMaps, draw_head_maps
from vadprobe.analyze.figures.layers import LayerCurves, draw_layer_metrics, draw_silhouettes
from vadprobe.analyze.figures.reliability import draw_reliability
from vadprobe.store.datasets.video import Video
from vadprobe.store.errors import VadprobeError

TRUTH_COLOUR = np.array([0xF3, 0xB0, 0xA6]) / 255
DETECTED_COLOUR = np.array([0xB2, 0x18, 0x2B]) / 255


def pixels(picture: bytes) -> np.ndarray:
    assert picture.startswith(b"\x89PNG")
    return matplotlib.image.imread(io.BytesIO(picture))[..., :3]


def share_of(picture: bytes, colour: np.ndarray) -> float:
    return float((np.abs(pixels(picture) - colour).max(axis=-1) < 0.02).mean())


def head_maps_of(chosen: list[tuple[int, int]], label: str = "tiny, set") -> HeadMaps:
    saliency = np.linspace(0, 1, 24).reshape(3, 8)
    return HeadMaps(label, {"coarse": saliency}, saliency, 0 * saliency, saliency, chosen)


def layer_curves_of(chosen: int) -> LayerCurves:
    scores = np.array([0.1, 2.0, -1.0])
    metrics = {"gaussian_kl": scores, "discriminant_ratio": 2 * scores, "binned_entropy": -scores}
    return LayerCurves("tiny, set", [1, 2, 3], metrics, metrics, scores, chosen)


def read_cells(path: Path) -> list[list[str | int | float | None]]:
    """Cells of a CSV, an empty one None, numbers as numbers."""

    def cell(text: str) -> str | int | float | None:
        for kind in (int, float):
            try:
                return kind(text)
            except ValueError:
                pass
        return text or None

    with path.open(newline="", encoding="utf-8") as file:
        return [[cell(text) for text in row] for row in csv.reader(file)]


def test_the_truth_is_shaded_in_proportion_to_its_length() -> None:
    scores = np.full(200, 0.5)
    shares = []
    for length in (0, 50, 100):
        truth = np.zeros(200, dtype=bool)
        truth[20 : 20 + length] = True
        shares.append(share_of(anomaly_curve(scores, scores, truth, 0.7, 25.0), TRUTH_COLOUR))
    assert shares[0] == 0
    assert shares[2] == pytest.approx(2 * shares[1], rel=0.1)


def test_what_is_above_the_threshold_is_marked_as_detected_and_nothing_else() -> None:
    marked = []
    for above in (0, 60, 120):
        scores = np.full(200, 0.5)  # just the threshold is not above it
        scores[:above] = 0.9
        marked.append(share_of(anomaly_curve(scores, scores, None, 0.5, 25.0), DETECTED_COLOUR))
    assert marked[0] == 0
    assert marked[2] > 1.5 * marked[1] > 0


@pytest.mark.parametrize("n_frames", [1, 500])
def test_unknown_scores_and_missing_truth_still_draw(n_frames: int) -> None:
    unknown = np.full(n_frames, np.nan)
    assert pixels(anomaly_curve(unknown, unknown, None, 0.5, None)).size


def test_descriptions_stand_above_the_curve_with_their_letters() -> None:
    starts = np.array([0, 24, 48])
    scores = np.array([0.1, 0.9, np.nan])
    video = Video("one$", "one.mp4", 60, 12.0, "test", 1, "fire")
    texts = ((0, "calm, $5 and $6"), (1, "smoke " * 60))
    one = VideoCurve(video, starts, np.array([24, 48, 60]), scores, scores, np.zeros(60, dtype=bool), texts)
    figure = draw_curves([one], 0.5)
    lines = figure.axes[0].get_title(loc="left").replace("\\$", "$").split("\n")
    assert lines[:2] == ["one$, anomalous: fire", "a (0.0 to 2.0 s): calm, $5 and $6"]
    assert lines[2].startswith("b (2.0 to 4.0 s): smoke smoke")
    assert lines[3].endswith("…")
    assert len(lines) == 4
    assert [text.get_text() for text in figure.axes[0].texts] == ["a", "b"]
    assert pixels(style.png(figure)).size


def test_the_chosen_heads_are_framed() -> None:
    plain, framed = (pixels(style.png(draw_head_maps([head_maps_of(chosen)]))) for chosen in ([], [(0, 3), (2, 7)]))
    assert plain.shape == framed.shape
    assert (plain != framed).any()


def test_backbones_stand_side_by_side_also_with_other_prompts() -> None:
    one, other = head_maps_of([(0, 0)]), head_maps_of([(1, 1)], "other, set")
    figure = draw_head_maps([one, HeadMaps("other, set", {}, other.mean, other.instability, other.robust, [(1, 1)])])
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert titles[:2] == ["tiny\nset\nprompt coarse", ""]
    assert [text.split("\n")[-1] for text in titles[2:4]] == ["mean of the prompts"] * 2


def test_the_layer_figures_ring_the_chosen_layer() -> None:
    one, other = (style.png(draw_layer_metrics([layer_curves_of(layer)])) for layer in (2, 3))
    assert one != other
    values = np.array([0.1, np.nan, 0.3])
    labels = [text.get_text() for text in draw_silhouettes({"tiny": ([1, 2, 3], values, 1)}).legends[0].get_texts()]
    assert labels == ["tiny: greatest at layer 3, layer 1 chosen"]


def test_files_have_the_same_numbers_and_come_out_the_same(tmp_path: Path) -> None:
    rows = [("a", 1, 0.1 + 0.2), ("b, c", 2, float("nan")), ("", 3, -1e-300)]
    for folder in ("one", "other"):
        figure = draw_layer_metrics([layer_curves_of(2)])
        drawn = DrawnFigure(
            "T", "C.", ("name", "number", "value"), rows, ({"calibration": "x", "features": "y"},), figure
        )
        path = drawn.write(tmp_path / folder, "hiprobe-2", "what the paper shows")
    content = json.loads(path.read_text())
    cells = read_cells(path.with_suffix(".csv"))
    assert cells[0] == content["columns"]
    assert cells[1:] == [[cell if cell != "" else None for cell in row] for row in content["rows"]]
    assert content["rows"][0][2] == 0.1 + 0.2
    assert content["rows"][1][2] is None
    for suffix in ("png", "svg", "csv", "json"):
        one, other = ((tmp_path / folder / f"hiprobe-2.{suffix}").read_bytes() for folder in ("one", "other"))
        assert one == other, suffix


def test_a_report_takes_figures_of_its_own_analysis_alone(tmp_path: Path) -> None:
    figure = draw_layer_metrics([layer_curves_of(2)])
    drawn = DrawnFigure("T", "C.", ("name",), [("a",)], ({"calibration": "x", "features": "y"},), figure)
    drawn.write(tmp_path, "hiprobe-3", "")
    assert [one.name for one in stored_figures(tmp_path, "x", "y")] == ["hiprobe-3"]
    assert stored_figures(tmp_path, "x", "another") == ()
    assert stored_figures(tmp_path / "none", "x", "y") == ()


def test_the_efficiency_has_a_bar_for_each_way_and_needs_a_number() -> None:
    rows = [("full pass", 0.41, 38.8), ("text of 64 tokens", 2.3, None)]
    drawn = efficiency_figure(rows)
    upper, lower = drawn.figure.axes
    assert [patch.get_width() for patch in upper.patches] == [0.41, 2.3]
    assert [text.get_text() for text in lower.texts] == ["38.8", "unknown"]
    assert [row[2] for row in drawn.rows] == [0.41, 2.3, 38.8, None]
    counted = efficiency_figure((), features=[("all 784 heads", 100352), ("5 chosen heads", 640)])
    assert [text.get_text() for text in counted.figure.axes[0].texts] == ["100,352", "640"]
    assert "no timings" in counted.notes[0]
    for absent in ([], [("full pass", None, None)]):
        with pytest.raises(VadprobeError, match="has left no timings"):
            efficiency_figure(absent)


def test_planes_are_seeded_and_keep_clusters_apart() -> None:
    rng = np.random.default_rng(0)
    labels = np.arange(20) % 2
    features = rng.standard_normal((20, 5)) + 20 * labels[:, None]
    found, again = (planes_of(features, perplexity_of(20), 0) for _ in range(2))
    for name, values in found.items():
        np.testing.assert_array_equal(values, again[name], name)
    for points in (found["tsne"], found["pca"]):
        centres = np.stack([points[labels == label].mean(axis=0) for label in (0, 1)])
        nearest = np.linalg.norm(points[:, None] - centres, axis=-1).argmin(axis=1)
        assert (nearest == labels).all()
    assert found["explained"][0] > 0.9
    assert [perplexity_of(count) for count in (8, 16, 40, 1000)] == [2, 5, 13, 30]


@pytest.mark.parametrize(
    ("features", "sentence"),
    [
        (np.zeros((7, 3)), "needs at least 8 samples of two dimensions or more, got 7 of 3"),
        (np.ones((9, 3)), "all samples are the same"),
        (np.full((9, 3), np.nan), "not finite"),
    ],
)
def test_what_cannot_be_laid_out_says_why(features: np.ndarray, sentence: str) -> None:
    with pytest.raises(VadprobeError, match=sentence):
        planes_of(features, 2, 0)


def test_the_reliability_curve_draws_what_is_known() -> None:
    bins = [
        {"lower": 0.0, "n_frames": 0, "mean_probability": None, "observed": None, "low": None, "high": None},
        {"lower": 0.5, "n_frames": 9, "mean_probability": 0.6, "observed": 0.5, "low": None, "high": None},
    ]
    one, other = (style.png(draw_reliability([bins[0], {**bins[1], "low": low, "high": 0.9}])) for low in (0.1, 0.4))
    assert one != other
    assert style.png(draw_reliability(bins)) != style.png(draw_reliability(bins[:1]))
