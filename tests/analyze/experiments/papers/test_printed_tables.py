"""The papers' tables under their own numbers: every printed row is there, measured or "-", with what is published."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.analyze.report.published.test_numbers import PRINTED, cells
from tests.support.planted import BACKBONE, Planted, write_planted
from vadprobe.analyze.compute.step_cache import StepCache
from vadprobe.analyze.experiments.cases import ExperimentContext, ExperimentJob
from vadprobe.analyze.experiments.papers import hiprobe_tables
from vadprobe.analyze.experiments.papers.printed import backbone_name
from vadprobe.analyze.experiments.rows import Row, Table, markdown_lines, table_lines
from vadprobe.analyze.experiments.tables import TABLES, measured_table
from vadprobe.analyze.report.published.numbers import printed_tables
from vadprobe.flows.jobs.experiments.context import case_of
from vadprobe.flows.jobs.job import load_job


def renamed(case: ExperimentJob, name: str) -> ExperimentJob:
    return replace(case, truth=replace(case.truth, name=name))


def by_label(table: Table) -> dict[str, Row]:
    return {row.label: row for row in table.rows}


@pytest.mark.parametrize("name", printed_tables())
def test_every_printed_cell_is_in_its_row_beside_what_is_measured(lab: ExperimentContext, name: str) -> None:
    table = TABLES[name][1](replace(lab, draws=1))
    printed = printed_tables()[name].rows
    assert [row.label for row in table.rows][: len(printed)] == [row.label for row in printed]
    rows: dict[str, Any] = {row["label"]: row for row in json.loads(json.dumps(table.to_json()))["rows"]}
    wanted = [(number.row, number.metric, number.value) for row in printed for number in row.numbers]
    if PRINTED.exists():
        wanted += cells(*name.split("-"))
    for label, metric, value in wanted:
        assert rows[label]["published"][metric] == value, (label, metric)
        assert value not in [number["value"] for number in rows[label]["numbers"].values()]
        line = next(line for line in table_lines(table) if line.startswith(f"{label} "))
        assert f"{value:.2f}" in line[line.index("|") :], line
    for row in table.rows:
        assert row.numbers or row.reason, row.label
        assert "\n" not in row.reason
    page = "\n".join(markdown_lines(table))
    assert all(f"| {row.label} |" in page for row in table.rows)


def test_the_ablations_are_measured_in_every_row(lab: ExperimentContext) -> None:
    for name in ("hiprobe-4", "headhunt-3"):
        table = TABLES[name][1](replace(lab, draws=1))
        assert table.metrics == ("auc", "ap_step", "auc_gated", "ap_gated", "auc_binary", "ap_binary")
        for row in table.rows:
            assert not np.isnan([row.numbers[metric].value for metric in table.metrics]).any(), row.label
    rows = by_label(table)
    full_layer = rows["RHI: full layer features (all attention heads of the final layer)"]
    last = BACKBONE.n_layers - 1
    assert full_layer.choice == "heads " + ", ".join(f"{last}:{head}" for head in range(BACKBONE.n_heads))
    thresholds = [rows[f"locator: fixed threshold {value}"].numbers for value in ("0.25", "0.50", "0.75")]
    assert len({numbers["auc"] for numbers in thresholds}) == 1
    assert len({numbers["auc_binary"] for numbers in thresholds}) > 1


def test_the_mid_layer_is_the_paper_s_where_there_are_as_many_layers(
    lab: ExperimentContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    label = "without DLSP: fixed mid layer (layer 16)"
    once = replace(lab, draws=1)
    row = by_label(TABLES["hiprobe-4"][1](once))[label]
    assert row.choice == "layer 2 (block 1), the middle of 3; the paper's 16 is of 32"
    monkeypatch.setattr(hiprobe_tables, "PRINTED_LAYERS", BACKBONE.n_layers)
    monkeypatch.setattr(hiprobe_tables, "MID_LAYER", 1)
    assert by_label(TABLES["hiprobe-4"][1](once))[label].choice == "layer 1 (block 0)"
    assert "its mid layer 16 is layer 17" in " ".join(TABLES["hiprobe-4"][1](once).notes)


def test_a_prompt_that_the_job_lacks_is_a_reason(lab: ExperimentContext) -> None:
    case = replace(lab.cases[1], prompts=("coarse", "question"))
    table = TABLES["headhunt-3"][1](replace(lab, cases=(case,), draws=1))
    row = by_label(table)["RHI: oracle (manually written, detailed) prompt"]
    assert "'detailed'" in row.missing
    assert "| 82.95" not in row.missing
    assert by_label(table)["RHI: single coarse prompt"].numbers["auc"].value > 0


def test_sampling_rates_of_the_paper_and_the_job_s_own(lab: ExperimentContext) -> None:
    samplings = tuple(replace(sampling, frames_per_clip=3) for sampling in lab.cases[0].samplings)
    case = replace(lab.cases[0], samplings=samplings)
    rows = TABLES["hiprobe-5"][1](replace(lab, cases=(case,), draws=1)).rows
    assert [row.label for row in rows] == ["K = 2", "K = 4", "K = 8", "K = 16", "K = 3 (this job)"]
    assert rows[2].numbers["auc"].value > 0.5
    assert "segment-24-3" in rows[4].reason


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("internvl3-8b", "InternVL3"),
        ("OpenGVLab/InternVL2_5-8B", "InternVL2.5"),
        ("internvl3_5-8b", None),
        ("internvl3.5-8b", None),
        ("qwen2.5-vl-7b", "Qwen2.5-VL"),
        ("Qwen2_5_VL", "Qwen2.5-VL"),
        ("llava-onevision-qwen2-7b-ov", "LLaVA-OneVision"),
        ("holmes-vau-2b", "Holmes-VAU"),
        ("demo-captioner", None),
    ],
)
def test_a_key_names_the_paper_s_backbone(key: str, name: str | None) -> None:
    assert backbone_name(key) == name


@pytest.fixture
def two_sets(planted: Planted, lab: ExperimentContext, tmp_path: Path) -> ExperimentContext:
    """Two datasets with the same backbone, under the names of the public sets."""
    write_planted(tmp_path / "other", seed=3)
    other = case_of(load_job(tmp_path / "other" / "hiprobe.toml"), None)
    cases = (renamed(lab.cases[0], "ucf-crime"), renamed(other, "xd-violence"))
    return replace(lab, cases=cases, cache=StepCache(tmp_path / "steps"), draws=1)


def test_the_zero_shot_table_has_both_directions(two_sets: ExperimentContext) -> None:
    table = TABLES["hiprobe-3"][1](two_sets)
    assert table.dataset == "ucf-crime and xd-violence"
    (row,) = (row for row in table.rows if row.label == BACKBONE.key)
    assert set(row.numbers) == set(table.metrics) == {"ap_on_b", "auc_on_b", "auc_on_a", "ap_on_a"}
    assert all(number.value > 0.6 for number in row.numbers.values()), row.numbers
    assert any(note.startswith("A is ucf-crime, B is xd-violence.") for note in table.notes)


def test_a_backbone_of_the_paper_is_measured_in_the_paper_s_row(
    two_sets: ExperimentContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("printed", "comparison", "transfers"):
        path = f"vadprobe.analyze.experiments.papers.{module}.backbone_name"
        monkeypatch.setattr(path, lambda key: "InternVL2.5" if key == BACKBONE.key else None)
    for name, dataset in (("hiprobe-1", "ucf-crime"), ("hiprobe-2", "xd-violence"), ("hiprobe-3", "ucf-crime and")):
        table = measured_table(two_sets, name)
        assert table.dataset.startswith(dataset)
        rows = by_label(table)
        row = rows["InternVL2.5" if name == "hiprobe-3" else "HiProbe-VAD (InternVL2.5)"]
        assert row.is_measured
        assert row.published
        assert not any(BACKBONE.key in label for label in rows)
