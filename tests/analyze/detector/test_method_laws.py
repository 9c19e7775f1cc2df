"""The laws of every registered part of a method, and the worked example of docs/how-to/extend/method.md."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from tests.support.planted import HEAD, Planted, write_planted
from vadprobe.analyze.compute.cluster import open_scheduler
from vadprobe.analyze.compute.registry import Registry, added_code
from vadprobe.analyze.compute.step_cache import StepCache
from vadprobe.analyze.detector.detector import Detector
from vadprobe.analyze.detector.fitting import fit
from vadprobe.analyze.detector.packing import pack
from vadprobe.analyze.evaluation.scored_clips import ScoredClips
from vadprobe.analyze.experiments.cases import ExperimentContext, varied
from vadprobe.analyze.locator.rules import LOCATOR_RULES, LocatorSamples
from vadprobe.analyze.probes.fitting import fit_probe
from vadprobe.analyze.probes.kinds.registry import SCORERS, own_fit, probe_from_json
from vadprobe.analyze.saliency.rules import RULES, RankingRule
from vadprobe.flows.jobs.experiments.context import case_of
from vadprobe.flows.jobs.job import load_job
from vadprobe.store.errors import VadprobeError

EXAMPLE = Path(__file__).parents[3] / "docs" / "how-to" / "extend" / "method.md"
ADDED = ((RULES, "distance"), (SCORERS, "projection"), (LOCATOR_RULES, "above-normal"))
FIXED: dict[str, Any] = {"threshold": 0.5, "sigmas": (1.0,)}
GIVEN: dict[str, dict[str, Any]] = {"layer": {"layer": 1}, "heads": {"heads": [[1, 2]]}}


@pytest.fixture(scope="module", autouse=True)
def example() -> Iterator[ModuleType]:
    """The method of the page, added as a package would."""
    code = re.search(r"```python\n(.*?)```", EXAMPLE.read_text(), re.DOTALL)
    assert code is not None
    module = ModuleType("example_method")
    sys.modules["example_method"] = module
    exec(code.group(1), module.__dict__)
    yield module
    for registry, name in ADDED:
        registry.remove(name)
    del sys.modules["example_method"]


RULE_NAMES = (*RULES.names, "distance")
RANKING = (*(name for name in RULES.names if isinstance(RULES[name], RankingRule)), "distance")
SCORER_NAMES = (*SCORERS.names, "projection")
LOCATOR_NAMES = (*LOCATOR_RULES.names, "above-normal")


def samples(seed: int = 0, n: int = 24) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    labels = np.arange(n) % 2
    return generator.normal(size=(n, 6)) + 1.5 * labels[:, None], labels


@pytest.mark.parametrize("name", SCORER_NAMES)
def test_the_order_of_samples_changes_no_score(name: str) -> None:
    features, labels = samples()
    order = np.random.default_rng(1).permutation(len(labels))
    fresh = samples(5)[0]
    plain, shuffled = (fit_probe(features[of], labels[of], kind=name).score(fresh) for of in (..., order))
    np.testing.assert_allclose(shuffled, plain, rtol=0, atol=2e-3 if name in ("mlp", "linear-svm") else 1e-6)


@pytest.mark.parametrize("name", SCORER_NAMES)
def test_copies_of_rows_are_scored_alike_and_alone(name: str) -> None:
    probe = fit_probe(*samples(), kind=name)
    fresh = samples(5)[0]
    twice = probe.score(np.concatenate([fresh, fresh[::-1]]))
    assert twice[: len(fresh)].tobytes() == probe.score(fresh).tobytes() == twice[len(fresh) :][::-1].tobytes()
    assert probe_from_json(probe.to_json()).score(fresh).tobytes() == probe.score(fresh).tobytes()


@pytest.mark.parametrize("name", SCORER_NAMES)
def test_claims_hold(name: str) -> None:
    scorer = own_fit(name)
    if scorer is None:
        return
    features, labels = samples()
    fresh = samples(5)[0]
    if not scorer.sees_labels:
        assert (
            fit_probe(features, labels, kind=name).to_json() == fit_probe(features, labels[::-1], kind=name).to_json()
        )
    if scorer.scale_free:
        plain, scaled = (
            fit_probe(features * by, labels, kind=name, scaling="none").score(fresh * by) for by in (1.0, 37.5)
        )
        np.testing.assert_allclose(scaled, plain, rtol=1e-9)
    others = samples(7)[0]
    with_others = fit_probe(features, labels, kind=name, scaling="none", unlabelled=others).to_json()
    alone = fit_probe(features, labels, kind=name, scaling="none").to_json()
    assert (with_others != alone) == scorer.sees_rows


@pytest.mark.parametrize(
    "name", [name for name in RULE_NAMES if name not in RULES.names or isinstance(RULES[name], RankingRule)]
)
def test_a_ranking_rule_takes_each_unit_alone_in_any_order(name: str) -> None:
    rule = RULES[name]
    assert isinstance(rule, RankingRule)
    units = np.stack([samples(seed)[0] for seed in range(4)])
    labels = samples()[1]
    order = np.random.default_rng(1).permutation(len(labels))
    found = rule.scores(units, labels)
    np.testing.assert_allclose(rule.scores(units[:, order], labels[order]), found, rtol=1e-9)
    assert [float(rule.scores(unit, labels)) for unit in units] == found.tolist()


@pytest.mark.parametrize("name", LOCATOR_NAMES)
def test_a_threshold_is_the_same_in_any_order_and_asks_for_what_it_says(name: str) -> None:
    scores, labels = np.random.default_rng(0).random(20), np.arange(20) % 2
    clips = ScoredClips(scores, labels * 24, (1 - labels) * 24, np.arange(20) // 5)
    asked = []

    def held_out() -> ScoredClips:
        asked.append(True)
        return clips

    fits = [
        LOCATOR_RULES[name].fit(LocatorSamples(lambda of=of: scores[of], labels[of], held_out, (1.0,), (0.2, 0.5)))
        for of in (np.arange(20), np.random.default_rng(1).permutation(20))
    ]
    assert fits[0].threshold == pytest.approx(fits[1].threshold)
    assert bool(asked) == LOCATOR_RULES[name].tunes


@pytest.fixture(scope="module")
def twins(tmp_path_factory: pytest.TempPathFactory) -> tuple[Planted, Planted]:
    """The same set twice; the test videos of the second have other features and the opposite labels."""
    folders = [tmp_path_factory.mktemp(name) for name in ("one", "other")]
    return write_planted(folders[0], strength=2.5), write_planted(folders[1], strength=2.5, other_test=True)


def fitted(planted: Planted, **changes: Any) -> Detector:
    with open_scheduler("synchronous", 0) as scheduler:
        lab = ExperimentContext((case_of(load_job(planted.job("headhunt")), None),), StepCache(None), scheduler)
        config = varied(lab.cases[0].config, **changes)
        return fit(lab.cases[0].inputs(config), config, lab.cache, scheduler).detector


def parts(detector: Detector) -> list[Any]:
    return [detector.selection.to_json()["indices"], detector.probe.to_json(), detector.locator.to_json()]


@pytest.mark.parametrize(
    "changes",
    [
        *(
            {"selection": {"rule": name, **GIVEN.get(name, {})}, "locator": {"threshold": 0.5, "sigmas": (1.0,)}}
            for name in RULE_NAMES
        ),
        *({"probe": {"kind": name}, "locator": {"threshold": 0.5, "sigmas": (1.0,)}} for name in SCORER_NAMES),
        *({"locator": {"threshold": name, "sigmas": (1.0,)}} for name in LOCATOR_NAMES),
    ],
    ids=lambda changes: next(iter(next(iter(changes.values())).values())),
)
def test_nothing_of_the_test_videos_reaches_a_fit(twins: tuple[Planted, Planted], changes: dict[str, Any]) -> None:
    assert parts(fitted(twins[0], **changes)) == parts(fitted(twins[1], **changes))


@pytest.mark.parametrize(
    "name", [name for name in SCORER_NAMES if name in ("von-mises-fisher", "whitened", "nearest-neighbours")]
)
def test_a_transductive_fit_says_so_and_sees_rows(twins: tuple[Planted, Planted], name: str) -> None:
    changes = {
        "probe": {"kind": name, "scaling": "none", "statistics": "test"},
        "locator": FIXED,
    }
    with pytest.raises(ValueError, match="allow_transductive"):
        fitted(twins[0], **changes)
    one, other = (fitted(planted, **changes, allow_transductive=True) for planted in twins)
    assert sorted(one.provenance["unlabelled_on"]) == [v.video_id for v in twins[0].dataset.of_split("test")]
    assert one.probe.to_json() != other.probe.to_json()
    assert not set(one.provenance["unlabelled_on"]) & set(one.provenance["fitted_on"])
    with pytest.raises(VadprobeError, match="is transductive: its fit saw the features"):
        pack(one, {"path": "model"}, None, None)


def test_the_example_finds_the_planted_head(twins: tuple[Planted, Planted], example: ModuleType) -> None:
    probe = {"kind": "projection", "options": {"sharpness": 2.0}}
    detector = fitted(
        twins[0], selection={"rule": "distance"}, probe=probe, locator={"threshold": "above-normal", "sigmas": (1.0,)}
    )
    assert detector.selection.indices == (HEAD,)
    assert np.linalg.norm(detector.probe.direction) == pytest.approx(2)  # type: ignore[attr-defined]
    assert added_code(detector.probe)
    assert not added_code(SCORERS["logistic"])


def test_a_name_is_given_once() -> None:
    registry = Registry("letter", {"a": 1})
    registry.add("a", 1)
    with pytest.raises(VadprobeError, match="letter 'a' must have a name of its own"):
        registry.add("a", 2)
    with pytest.raises(VadprobeError, match="letter must be one of a, got 'b'"):
        registry["b"]
