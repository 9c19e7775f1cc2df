"""Plans of sweeps: cells around the job's own settings or a grid, and refusals before anything is computed."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from vadprobe.analyze.experiments.cases import ExperimentJob, varied
from vadprobe.analyze.experiments.sweeps.axes import Plan, plan_sweep, read_axes
from vadprobe.analyze.experiments.sweeps.keys import KEYS
from vadprobe.store.errors import VadprobeError

Jobs = tuple[ExperimentJob, ...]


def planned(cases: Sequence[ExperimentJob], *over: str, is_product: bool = False, limit: int = 100) -> Plan:
    return plan_sweep(cases, read_axes(over), is_product=is_product, limit=limit)


def test_each_key_moves_by_itself_around_the_job_s_own_settings(cases: Jobs) -> None:
    plan = planned(cases[1:], "K=2,3", "lambda=0,1")
    assert [cell.label for cell in plan.cells] == [
        *("the job's own settings", "top-heads 2", "top-heads 3", "lambda 0", "lambda 1"),
    ]
    settings = [(cell.variation.config.top_heads, cell.variation.config.instability_weight) for cell in plan.cells]
    assert settings == [(1, 0.5), (2, 0.5), (3, 0.5), (1, 0.0), (1, 1.0)]
    assert dict(plan.cells[0].values) == {"top-heads": 1, "lambda": 0.5}


def test_a_product_has_every_combination(cases: Jobs) -> None:
    plan = planned(cases[1:], "lambda=0,1", "K=1..3", is_product=True)
    settings = [(cell.variation.config.top_heads, cell.variation.config.instability_weight) for cell in plan.cells]
    assert settings == [(1, 0.5), *((k, weight) for k in (1, 2, 3) for weight in (0.0, 1.0))]


def test_words_stand_for_all_there_is(cases: Jobs) -> None:
    layers = planned(cases, "layer=all", "score-prompt=each")
    assert [cell.values["layer"] for cell in layers.cells if cell.swept == "layer"] == [1, 2, 3]
    prompts = planned(cases[1:], "prompts=subsets,each,question+coarse")
    assert [cell.values["prompts"] for cell in prompts.cells[1:]] == [
        *("coarse", "detailed", "question", "coarse+detailed", "coarse+question", "detailed+question"),
        "coarse+detailed+question",
    ]
    stored = planned(cases[1:], "clip-length=all", "frames=all")
    assert [dict(cell.values) for cell in stored.cells[1:]] == [{"clip-length": 24, "frames": 8}] * 2


def test_a_threshold_goes_with_one_smoothing(cases: Jobs) -> None:
    plan = planned(cases, "tau=0.5", "kappa=1")
    locators = {(cell.case.name, cell.swept): cell.variation.config.locator for cell in plan.cells}
    assert (locators["headhunt.toml", "tau"].sigmas, locators["headhunt.toml", "tau"].threshold) == ((1.5,), 0.5)
    assert locators["hiprobe.toml", "tau"].sigmas == (0.4,)
    assert locators["headhunt.toml", "kappa"].threshold == "adaptive"
    assert [note for note in plan.notes if "grid" in note] == [
        "headhunt.toml searches its smoothing on a grid; for tau and kappa the smoothing is the paper's, 1.5."
    ]
    both = planned(cases[1:], "tau=0.5", "sigma=0,2", is_product=True)
    assert [cell.variation.config.locator.sigmas for cell in both.cells[1:]] == [(0.0,), (2.0,)]
    assert not both.notes


def test_a_key_is_swept_where_it_means_something(cases: Jobs) -> None:
    plan = planned(cases, "layer=1", "K=2", "sigma=0")
    assert [(cell.case.name, cell.swept) for cell in plan.cells if cell.swept != "own"] == [
        ("hiprobe.toml", "layer"),
        ("hiprobe.toml", "sigma"),
        ("headhunt.toml", "top-heads"),
        ("headhunt.toml", "sigma"),
    ]
    assert (
        "layer is not swept in headhunt.toml: it is of jobs of method 'hiprobe', this one probes heads." in plan.notes
    )
    fixed = replace(cases[0], config=varied(cases[0].config, selection={"rule": "middle-layer"}))
    assert planned([fixed], "layer=1").cells[1].variation.config.rule == "layer"


def test_chance_is_not_computed_for_every_cell(cases: Jobs) -> None:
    asked = replace(cases[1], config=varied(cases[1].config, saliency={"permutations": 9, "folds": 3}))
    found = [cell.variation.config.saliency for cell in planned([asked], "K=2").cells]
    assert {(saliency.permutations, saliency.folds) for saliency in found} == {(0, 0)}


@pytest.mark.parametrize(
    ("over", "sentence"),
    [
        ([], r"no key is swept; give --over KEY=V1,V2,\.\.\. The keys are top-heads, lambda"),
        (["K"], r"--over must be KEY=V1,V2,\.\.\., got 'K'"),
        (["K="], r"--over must be KEY=V1,V2,\.\.\., got 'K='"),
        (["lamda=1"], r"no sweep key 'lamda'; did you mean 'lambda'\? The keys are"),
        (["zzz=1"], r"no sweep key 'zzz'; the keys are"),
        (["K=1", "top_heads=2"], r"--over has top-heads twice"),
        (["K=13"], r"top-heads must be whole numbers from 1 to 12, got '13'"),
        (["layer=4"], r"layer must be whole numbers from 0 to 3, got '4'"),
        (["fraction=0"], r"fraction cannot be 0\.0: Input should be greater than 0\."),
        (["lambda=-1"], r"lambda must be numbers at least 0, got '-1'"),
        (["score-prompt=coarse+question"], r"score-prompt must be one prompt, got 'coarse\+question'"),
        (["prompts=x"], r"prompts must be prompts of the job \(coarse, detailed, question\)"),
    ],
)
def test_wrong_words_are_refused_by_name(cases: Jobs, over: list[str], sentence: str) -> None:
    with pytest.raises(VadprobeError, match=sentence):
        planned(cases, *over)


def test_a_key_that_fits_no_job_and_too_many_cells_are_refused(cases: Jobs) -> None:
    with pytest.raises(
        VadprobeError, match=r"layer fits no job: it is of jobs of method 'hiprobe'.*\(headhunt\.toml\)"
    ):
        planned(cases[1:], "layer=1")
    with pytest.raises(VadprobeError, match=r"tau is a fixed threshold and kappa is of the adaptive one"):
        planned(cases[1:], "tau=0.5", "kappa=1", is_product=True)
    with pytest.raises(
        VadprobeError, match=r"the sweep has 10,000,001 cells, and --limit is 100; name fewer values, lea"
    ):
        planned(cases[1:], "lambda=1..1000", "sigma=1..100", "tau=0..0.99..0.01", is_product=True)
    with pytest.raises(VadprobeError, match=r"the sweep has 13 cells, and --limit is 12; name fewer values, or raise"):
        planned(cases[1:], "K=1..12", limit=12)


def test_every_key_says_what_it_is() -> None:
    assert all(name == key.name and key.about for name, key in KEYS.items())
