"""Transfers between datasets for both methods, and backbones side by side."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.planted import BACKBONE, HEAD, LAYER, Planted, write_planted
from vadprobe.analyze.compute.step_cache import StepCache
from vadprobe.analyze.experiments.cases import ExperimentContext
from vadprobe.analyze.experiments.own.backbones import METHODS
from vadprobe.analyze.experiments.tables import TABLES
from vadprobe.flows.jobs.experiments.context import case_of
from vadprobe.flows.jobs.job import load_job


@pytest.fixture
def two_sets(planted: Planted, lab: ExperimentContext, tmp_path: Path) -> ExperimentContext:
    """Both methods on one dataset, and one job on another."""
    other = write_planted(tmp_path / "other", strength=1.5, seed=3, name="elsewhere")
    cases = (*lab.cases, case_of(load_job(other.job("hiprobe")), None))
    return replace(lab, cases=cases, cache=StepCache(tmp_path / "steps"), draws=1)


def test_everything_goes_over_or_the_selection_alone(two_sets: ExperimentContext) -> None:
    table = TABLES["transfer"][1](two_sets)
    assert (table.dataset, table.backbone) == ("planted and elsewhere", BACKBONE.key)
    rows = {row.label: row for row in table.rows}
    names = [f"{name}, {BACKBONE.key}: " for name, _ in METHODS.values()]
    ways = [
        "planted -> planted",
        "planted -> elsewhere, everything",
        "planted -> elsewhere, selection alone",
        "elsewhere -> planted, everything",
        "elsewhere -> planted, selection alone",
        "elsewhere -> elsewhere",
    ]
    assert set(rows) == {name + way for name in names for way in ways}
    for label, row in rows.items():
        assert row.numbers["auc"].value > 0.6, (label, row)
        assert row.choice == (
            f"layer {LAYER} (block {LAYER - 1})" if label.startswith("HiProbe") else f"heads {HEAD[0]}:{HEAD[1]}"
        )
    everything, alone = (rows[f"{names[1]}planted -> elsewhere, {what}"] for what in ("everything", "selection alone"))
    assert everything.numbers != alone.numbers  # another probe, another threshold
    home = rows[f"{names[1]}elsewhere -> elsewhere"]
    assert alone.numbers == home.numbers  # the same head, fitted at home


def test_a_set_without_features_of_the_method_is_a_reason(two_sets: ExperimentContext) -> None:
    other = two_sets.cases[2]
    moved = replace(other, layout=replace(other.layout, root=other.layout.root / "nowhere"))
    table = TABLES["transfer"][1](replace(two_sets, cases=(*two_sets.cases[:2], moved)))
    rows = {row.label: row for row in table.rows}
    label = f"HeadHunt-VAD, {BACKBONE.key}: planted -> elsewhere, everything"
    assert "nowhere" in rows[label].missing
    assert rows[f"HeadHunt-VAD, {BACKBONE.key}: planted -> planted"].is_measured


def test_a_set_without_validation_videos_gets_the_printed_pair(two_sets: ExperimentContext) -> None:
    other = two_sets.cases[2]
    videos = tuple(video for video in other.truth.videos if video.split != "validation")
    seen = {video.video_id for video in videos}
    intervals = tuple(interval for interval in other.truth.intervals if interval.video_id in seen)
    untuned = replace(other, truth=replace(other.truth, videos=videos, intervals=intervals))
    table = TABLES["transfer"][1](replace(two_sets, cases=(*two_sets.cases[:2], untuned)))
    assert all(row.is_measured for row in table.rows), [row.missing for row in table.rows]
    assert any("store has no validation videos, HeadHunt-VAD's pair (1.5, 0.65)" in note for note in table.notes)


def test_one_dataset_says_what_a_transfer_needs(lab: ExperimentContext) -> None:
    table = TABLES["transfer"][1](replace(lab, draws=1))
    assert "Only one dataset is here: add a job of another dataset with the same backbone." in table.notes


def test_each_backbone_has_a_row_for_each_method(lab: ExperimentContext) -> None:
    other = replace(lab.cases[0], backbone="internvl2_5-8b", name="other.toml")
    table = TABLES["backbones"][1](replace(lab, cases=(*lab.cases, other), draws=1))
    rows = {row.label: row for row in table.rows}
    assert list(rows) == [
        f"HiProbe-VAD, {BACKBONE.key}",
        "HiProbe-VAD, internvl2_5-8b",
        f"HeadHunt-VAD, {BACKBONE.key}",
        "HeadHunt-VAD, internvl2_5-8b",
    ]
    assert rows["HiProbe-VAD, internvl2_5-8b"].published == {"UCF-Crime AUC": 86.72, "XD-Violence AP": 82.15}
    assert "internvl2_5-8b" in rows["HiProbe-VAD, internvl2_5-8b"].missing
    assert not rows["HeadHunt-VAD, internvl2_5-8b"].published
    assert rows[f"HeadHunt-VAD, {BACKBONE.key}"].is_measured
