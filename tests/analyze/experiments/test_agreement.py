"""Agreement of choices: what is planted is shared by all, what cannot be compared says so."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.support.planted import BACKBONE, HEAD, LAYER, Planted, write_planted
from vadprobe.analyze.compute.cluster import open_scheduler
from vadprobe.analyze.compute.step_cache import StepCache
from vadprobe.analyze.experiments.agreement import choices
from vadprobe.analyze.experiments.agreement.choices import Chosen
from vadprobe.analyze.experiments.agreement.pairs import Agreement, Pair, measure_agreement
from vadprobe.analyze.experiments.agreement.text import agreement_lines, agreement_markdown
from vadprobe.analyze.experiments.cases import ExperimentContext, ExperimentJob, varied
from vadprobe.analyze.saliency.selection import Selection
from vadprobe.flows.command_line import main
from vadprobe.flows.jobs.experiments.context import case_of
from vadprobe.flows.jobs.job import load_job


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Planted:
    return write_planted(tmp_path_factory.mktemp("planted"))


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Planted:
    return write_planted(tmp_path_factory.mktemp("other"), seed=3, name="elsewhere")


def agreed(*cases: ExperimentJob, draws: int = 2) -> Agreement:
    with open_scheduler("synchronous", 0) as scheduler:
        return measure_agreement(ExperimentContext(cases, StepCache(None), scheduler, draws))


def job(planted: Planted, method: str) -> ExperimentJob:
    return case_of(load_job(planted.job(method)), 0.75)


def of_kind(found: Agreement, kind: str) -> list[Pair]:
    return [pair for pair in found.pairs if pair.differ_in == kind]


def test_heads_are_compared_over_draws_prompts_conventions_and_datasets(planted: Planted, other: Planted) -> None:
    found = agreed(job(planted, "headhunt"), job(other, "headhunt"))
    assert {pair.differ_in: len(of_kind(found, pair.differ_in)) for pair in found.pairs} == {
        "draw": 2,
        "prompts": 12,
        "convention": 2,
        "dataset": 1,
    }
    for pair in found.pairs:
        assert (pair.unit, pair.size) == ("head", 1)
        assert (pair.overlap.shared, pair.overlap.jaccard, pair.depth) == (1, 1, 0)
        assert pair.overlap.chance_shared == pytest.approx(1 / 12)
        assert pair.choices == (f"heads {HEAD[0]}:{HEAD[1]}",) * 2
    (between,) = of_kind(found, "dataset")
    assert (between.first, between.second, between.n) == ("headhunt.toml, own", "headhunt.toml, own", 2)


def test_layers_are_equal_or_so_many_apart(planted: Planted) -> None:
    case = job(planted, "hiprobe")
    last = replace(case, name="last", config=varied(case.config, selection={"rule": "last-layer"}))
    found = agreed(case, last)
    assert [len(of_kind(found, kind)) for kind in ("draw", "prompts", "settings")] == [2, 3, 1]
    (pair,) = of_kind(found, "settings")
    assert pair.choices == tuple(f"layer {layer} (block {layer - 1})" for layer in (LAYER, BACKBONE.n_layers))
    assert (pair.overlap.shared, pair.overlap.chance_shared) == (0, pytest.approx(1 / 3))
    assert pair.distance == 1
    by_chance = np.mean([abs(a - b) for a in range(3) for b in range(3)])
    assert pair.chance_distance == pytest.approx(by_chance)
    assert pair.depth == pytest.approx(1 / 3)


def test_between_units_and_backbones_only_the_depth_is_compared(
    planted: Planted, monkeypatch: pytest.MonkeyPatch
) -> None:
    hiprobe, headhunt = job(planted, "hiprobe"), job(planted, "headhunt")
    (pair,) = of_kind(agreed(hiprobe, headhunt), "method")
    assert np.isnan(pair.overlap.shared)
    assert (pair.unit, pair.depth, pair.reason) == ("both", 0, "a layer beside heads")  # block 1 makes layer 2
    deeper = replace(BACKBONE, key="deep", revision="sha256:1", n_layers=6)
    real = choices._chosen

    def chosen(lab: ExperimentContext, case: ExperimentJob, *words: object) -> Chosen:
        found = real(lab, case, *words)  # type: ignore[arg-type]
        return replace(found, backbone=deeper) if case.name == "deep" else found

    monkeypatch.setattr(choices, "_chosen", chosen)
    (pair,) = of_kind(agreed(headhunt, replace(headhunt, name="deep")), "settings")
    assert np.isnan(pair.overlap.shared)
    assert pair.reason == "of two backbones"
    assert pair.depth == pytest.approx(2 / 3 - 2 / 6)


def test_depth_is_that_of_the_layer_a_block_makes(planted: Planted) -> None:
    case = job(planted, "headhunt")
    heads = Chosen(case, "", (Selection("head", "heads", ((0, 1), (2, 0))),), BACKBONE)
    layer = Chosen(case, "", (Selection("layer", "layer", ((2,),)),), BACKBONE)
    assert heads.depths.tolist() == layer.depths.tolist() == [pytest.approx(2 / 3)]


def test_what_cannot_choose_says_why(planted: Planted) -> None:
    case = job(planted, "headhunt")
    few = replace(case, name="few", config=varied(case.config, calibration={"fraction": 0.1}))
    found = agreed(case, few)
    (pair,) = of_kind(found, "settings")
    assert (pair.n, np.isnan(pair.depth)) == (0, True)
    assert "unknown: " in "\n".join(agreement_lines(found))
    assert "at least two normal videos" in pair.reason
    assert "at least two normal videos" in "\n".join(agreement_markdown(found))
    json.dumps(found.to_json(), allow_nan=False)


def test_the_command_prints_and_writes(planted: Planted, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["agreement", *(str(planted.job(method)) for method in ("headhunt", "hiprobe")), "--draws", "2"]
    for run in range(2):
        assert main([*words, "--fraction", "0.75", "--out", str(tmp_path / "out")]) == 0
        output = capsys.readouterr().out
        assert "1.00 of 1" in output
        assert ("\n0 steps were computed" in output) == (run == 1)
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"agreement.json", "agreement.md"}
    assert main(["agreement"]) == 2
    assert "no job is named" in capsys.readouterr().err
