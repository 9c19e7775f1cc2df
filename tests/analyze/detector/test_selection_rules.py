"""Every rule of selection on a store with a planted layer and head, and what chance says of it."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from tests.support.planted import BACKBONE, HEAD, LAYER, Planted, write_planted
from vadprobe.analyze.compute.cluster import open_scheduler
from vadprobe.analyze.compute.step_cache import StepCache
from vadprobe.analyze.configuration import AnalysisConfig
from vadprobe.analyze.detector.fitting import calibrate
from vadprobe.analyze.detector.permutation_test import chance_of
from vadprobe.analyze.detector.selection_rules import Choice, choose
from vadprobe.analyze.experiments.cases import ExperimentContext, ExperimentJob, varied
from vadprobe.flows.jobs.experiments.context import case_of
from vadprobe.flows.jobs.job import load_job
from vadprobe.store.errors import StoreError, VadprobeError
from vadprobe.store.format.stored_parts import StoredParts


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Planted:
    return write_planted(tmp_path_factory.mktemp("planted"), strength=2.5)


@pytest.fixture
def lab(planted: Planted) -> Iterator[ExperimentContext]:
    cases = tuple(case_of(load_job(planted.job(method)), None) for method in ("hiprobe", "headhunt"))
    with open_scheduler("synchronous", 0) as scheduler:
        yield ExperimentContext(cases, StepCache(None), scheduler)


def chosen(lab: ExperimentContext, case: ExperimentJob, **changes: Any) -> Choice:
    config = varied(case.config, **changes)
    inputs = case.inputs(config)
    calibration, _ = calibrate(inputs, config.calibration)
    return choose(inputs, config, calibration, lab.cache, lab.scheduler)


@pytest.mark.parametrize(
    ("selection", "indices"),
    [
        ({"rule": None}, ((LAYER,),)),
        ({"rule": "dlsp"}, ((LAYER,),)),
        ({"rule": "layer", "layer": 0}, ((0,),)),
        ({"rule": "middle-layer"}, ((2,),)),
        ({"rule": "layer", "layer": 1, "layer_zero": "first-block"}, ((2,),)),
        ({"rule": "middle-layer", "layer_zero": "first-block"}, ((3,),)),
        ({"rule": "last-layer"}, ((BACKBONE.n_layers,),)),
        ({"rule": "rhi"}, (HEAD,)),
        ({"rule": "heads", "heads": [[2, 1], [0, 0]]}, ((2, 1), (0, 0))),
        ({"rule": "last-block"}, tuple((BACKBONE.n_layers - 1, head) for head in range(BACKBONE.n_heads))),
        ({"rule": "full-layer"}, tuple((HEAD[0], head) for head in range(BACKBONE.n_heads))),
        (
            {"rule": "all-heads"},
            tuple((block, head) for block in range(BACKBONE.n_layers) for head in range(BACKBONE.n_heads)),
        ),
    ],
)
def test_each_rule_chooses_what_it_says(
    lab: ExperimentContext, selection: dict[str, Any], indices: tuple[tuple[int, ...], ...]
) -> None:
    choice = chosen(lab, lab.cases[0], selection=selection)
    assert choice.selection.indices == indices
    assert choice.selection.method == (selection["rule"] or "dlsp")
    assert (choice.details is not None) == (selection["rule"] in (None, "dlsp", "rhi", "full-layer"))


def test_random_heads_are_seeded_and_distinct(lab: ExperimentContext) -> None:
    drawn = [
        chosen(lab, lab.cases[1], top_heads=5, selection={"rule": "random-heads", "seed": seed}).selection.indices
        for seed in (0, 0, 1)
    ]
    assert drawn[0] == drawn[1] != drawn[2]
    assert all(len(set(heads)) == 5 for heads in drawn)


def test_a_single_prompt_and_a_single_metric_rank_alone(lab: ExperimentContext) -> None:
    alone = chosen(lab, lab.cases[1], selection={"prompts": ["detailed"]})
    assert alone.details is not None
    assert set(alone.details["metrics"]) == {"detailed"}
    assert np.array(alone.details["parts"]["instability"]).max() == 0
    lda = chosen(lab, lab.cases[1], saliency={"metrics": ["lda"]})
    assert lda.details is not None
    raw = np.mean([_scaled(np.array(of["lda"])) for of in lda.details["metrics"].values()], axis=0)
    assert np.allclose(np.array(lda.details["parts"]["mean"]), raw)


def _scaled(values: np.ndarray) -> np.ndarray:
    return np.asarray((values - values.min()) / (values.max() - values.min()))


@pytest.mark.parametrize(
    ("case", "changes", "words"),
    [
        (
            0,
            {"selection": {"rule": "layer", "layer": 4}},
            r"selection.layer must be .* 0 to 3, got 4",
        ),
        (
            0,
            {"selection": {"rule": "layer", "layer": 3, "layer_zero": "first-block"}},
            r"selection.layer must be .* 0 to 2, got 3; 0 is the first-block",
        ),
        (
            1,
            {"selection": {"rule": "heads", "heads": [[3, 0]]}},
            "selection.heads: head 3:0 does not exist",
        ),
        (
            1,
            {"selection": {"rule": "random-heads"}, "top_heads": 13},
            "top_heads must be at most 12, the heads of the backbone, got 13",
        ),
        (1, {"selection": {"prompts": ["role"]}}, "selection.prompts has 'role', but the prompts of the job are"),
        (1, {"calibration": {"fraction": 0.06}}, "at least two normal videos"),
    ],
)
def test_what_the_backbone_or_the_job_lacks_is_a_sentence(
    lab: ExperimentContext, case: int, changes: dict[str, Any], words: str
) -> None:
    with pytest.raises(VadprobeError, match=words):
        chosen(lab, lab.cases[case], **changes)


@pytest.mark.parametrize("part", ["segments", "calibration"])
def test_a_rule_is_refused_where_a_store_lacks_its_heads(lab: ExperimentContext, part: str) -> None:
    config = varied(lab.cases[1].config, selection={"rule": "last-block"})
    inputs = lab.cases[1].inputs(config)
    calibration, _ = calibrate(inputs, config.calibration)
    stores = getattr(inputs, part)
    lacking = {key: replace(store, contents=StoredParts(heads=(HEAD,))) for key, store in stores.items()}
    with pytest.raises(StoreError, match=r"head 2:0 and 3 more is not stored .*; it holds .*head"):
        choose(replace(inputs, **{part: lacking}), config, calibration, lab.cache, lab.scheduler)


@pytest.mark.parametrize(
    ("section", "words"),
    [
        ({"method": "hiprobe", "selection": {"rule": "rhi"}}, "method 'hiprobe' does not choose by 'rhi'"),
        ({"method": "headhunt", "selection": {"rule": "last-layer"}}, "method 'headhunt' does not choose by"),
        ({"method": "headhunt", "selection": {"rule": "layer"}}, "rule 'layer' goes with the key 'layer'"),
        ({"method": "hiprobe", "selection": {"layer": 3}}, "rule 'layer' goes with the key 'layer'"),
        ({"method": "headhunt", "selection": {"rule": "heads"}}, "rule 'heads' goes with the key 'heads'"),
        ({"method": "hiprobe", "selection": {"prompts": ["coarse"]}}, "selection.prompts is of RHI"),
        ({"method": "hiprobe", "saliency": {"metrics": ["lda"]}}, "saliency.metrics has 'lda'"),
        ({"method": "headhunt", "saliency": {"metrics": ["binned_entropy"]}}, "has 'binned_entropy'"),
        ({"method": "hiprobe", "saliency": {"convention": "headhunt-code"}}, "'headhunt-code' is of heads"),
        ({"method": "headhunt", "saliency": {"folds": 1}}, "folds must be 0"),
        (
            {"method": "headhunt", "saliency": {"folds": 2}, "selection": {"rule": "all-heads"}},
            "saliency.folds goes with a rule that ranks by metrics .dlsp, rhi, full-layer., not 'all-heads'",
        ),
        (
            {
                "method": "headhunt",
                "saliency": {"permutations": 9},
                "calibration": {"unit": "segment", "segment_label": "interval"},
            },
            "saliency.permutations relabels whole videos",
        ),
    ],
)
def test_contradictions_are_refused_at_birth(section: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        AnalysisConfig.model_validate({"preset": "p", "out": "o", **section})


@pytest.mark.parametrize(("case", "place"), [(0, (LAYER - 1,)), (1, HEAD)])
def test_chance_stands_beside_the_saliency(lab: ExperimentContext, case: int, place: tuple[int, ...]) -> None:
    config = varied(lab.cases[case].config, saliency={"permutations": 39, "folds": 4})
    inputs = lab.cases[case].inputs(config)
    calibration, _ = calibrate(inputs, config.calibration)
    found = chance_of(inputs, config, calibration, lab.cache, lab.scheduler)
    assert found["chance"]["permutations"] == 39
    values = {name: np.array(found["chance"][name]) for name in ("p_value", "familywise", "quantile")}
    assert 1 / 40 <= values["p_value"][place] <= values["familywise"][place] <= 0.1
    assert (values["familywise"] >= values["p_value"]).all()
    others = np.ones(values["p_value"].shape, dtype=bool)
    others[place] = False
    assert np.median(values["p_value"][others]) > 0.1
    for auc in found["cross_fitted_auc"].values():
        assert np.array(auc)[place] == 1
        assert abs(np.array(auc)[others].mean() - 0.5) < 0.2
    plain = lab.cases[case].config
    assert chance_of(lab.cases[case].inputs(plain), plain, calibration, lab.cache, lab.scheduler) == {}
