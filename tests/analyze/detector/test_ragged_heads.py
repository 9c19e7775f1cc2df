"""Both methods on backbones whose blocks differ in their heads, or have none."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.support.planted import BACKBONE, HEAD, LAYER, Planted, blank_pictures, write_planted
from vadprobe.analyze.compute.cluster import open_scheduler
from vadprobe.analyze.compute.step_cache import StepCache
from vadprobe.analyze.detector.fitting import calibrate
from vadprobe.analyze.detector.selection_rules import choose
from vadprobe.analyze.experiments.cases import varied
from vadprobe.analyze.features.selected import n_selected, read_selected
from vadprobe.analyze.saliency.selection import Selection
from vadprobe.flows.command_line import main
from vadprobe.flows.jobs.experiments.context import case_of
from vadprobe.flows.jobs.job import load_job
from vadprobe.store.reading.feature_store import FeatureStore

RAGGED = replace(BACKBONE, n_layers=4, block_heads=((2, 4), (4, 8), (0, 0), (3, 4)))
HEADLESS = replace(BACKBONE, n_heads=0, head_dim=0)


@pytest.fixture(scope="module")
def ragged(tmp_path_factory: pytest.TempPathFactory) -> Planted:
    return write_planted(tmp_path_factory.mktemp("ragged"), backbone=RAGGED)


def analyzed(planted: Planted, method: str) -> int:
    with blank_pictures():
        return main(["analyze", str(planted.job(method))])


def detector(planted: Planted, method: str) -> dict[str, object]:
    found: dict[str, object] = json.loads((planted.folder / f"out-{method}" / "detector.json").read_text())
    return found


@pytest.mark.parametrize(("method", "index"), [("headhunt", list(HEAD)), ("hiprobe", [LAYER])])
def test_the_planted_head_and_layer_are_found(ragged: Planted, method: str, index: list[int]) -> None:
    assert analyzed(ragged, method) == 0
    selection = detector(ragged, method)["selection"]
    assert isinstance(selection, dict)
    assert selection["indices"] == [index]
    if method == "headhunt":
        known = [[value is not None for value in row] for row in selection["scores"]]
        assert known == [[head < count for head in range(4)] for count, _ in RAGGED.head_shapes]


@pytest.mark.parametrize(
    ("rule", "heads"),
    [("last-block", [[3, 0], [3, 1], [3, 2]]), ("full-layer", [[1, n] for n in range(4)]), ("all-heads", None)],
)
def test_rules_choose_heads_that_there_are(ragged: Planted, rule: str, heads: list[list[int]] | None) -> None:
    case = case_of(load_job(ragged.job("headhunt")), None)
    config = varied(case.config, selection={"rule": rule})
    inputs = case.inputs(config)
    calibration, _ = calibrate(inputs, config.calibration)
    with open_scheduler("synchronous", 0) as scheduler:
        choice = choose(inputs, config, calibration, StepCache(None), scheduler)
    assert choice.selection.indices == tuple(map(tuple, heads or RAGGED.heads))


def test_heads_of_two_widths_stand_side_by_side_without_what_they_lack(ragged: Planted) -> None:
    (path,) = (ragged.folder / "features").glob("*/segment-*/tiny/question.zarr")
    store, rows = FeatureStore.open(path), np.arange(5)
    selection = Selection("head", "heads", ((3, 1), (1, 0)))
    values = read_selected(store, selection, rows)
    assert values.shape == (5, n_selected(store, selection)) == (5, 12)
    np.testing.assert_array_equal(values[:, :4], store.head_outputs(rows, [(3, 1)])[:, 0])
    np.testing.assert_array_equal(values[:, 4:], store.head_outputs(rows, [(1, 0)])[:, 0])


def test_a_backbone_without_heads_runs_hiprobe_and_refuses_headhunt(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    planted = write_planted(tmp_path, backbone=HEADLESS)
    assert analyzed(planted, "hiprobe") == 0
    capsys.readouterr()
    assert analyzed(planted, "headhunt") != 0
    assert "backbone 'tiny' has no attention heads, which HeadHunt-VAD" in capsys.readouterr().err
