"""The shipped demo backbone through the whole way, on a world of its own seed: what it sees, the methods find."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from tests.support.planted import blank_pictures
from vadprobe.analyze.locator.event_files import EVENTS_PARQUET, read_events
from vadprobe.analyze.locator.explanation_files import place_of
from vadprobe.extract.demo.captioner.sentences import kinds_said
from vadprobe.extract.demo.scenes.shot import NAMED_KINDS
from vadprobe.flows.commands.experiments.tables import print_tables
from vadprobe.flows.jobs.analyze_job import analyze, open_truth_of
from vadprobe.flows.jobs.demo.composition import Demo
from vadprobe.flows.jobs.demo.ingredients import Size, preset
from vadprobe.flows.jobs.extract_job import extract
from vadprobe.flows.jobs.job import Job, load_job
from vadprobe.flows.jobs.texts.explanations import explain

pytestmark = pytest.mark.slow

SEED = 23  # no set that anything was looked at on


@pytest.fixture(scope="module")
def jobs(tmp_path_factory: pytest.TempPathFactory) -> list[Job]:
    """Both presets, extracted and analyzed, with the texts of the first; no picture is drawn."""
    folder = tmp_path_factory.mktemp("demo")

    def run_extract(path: str, workspace: str) -> str:
        return "\n".join(extract(load_job(Path(path), Path(workspace))).lines())

    def run_analyze(path: str, workspace: str) -> str:
        return str(analyze(load_job(Path(path), Path(workspace))).report)

    demo = Demo(folder, SEED, run_extract, run_analyze, lambda line: None, Size())
    with blank_pictures():
        demo.prepare()
        jobs = demo.results()
    demo.texts(jobs[0])
    return jobs


@pytest.fixture(scope="module")
def tables(jobs: list[Job], tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """Rows of the comparison by table and key."""
    folder = tmp_path_factory.mktemp("tables")
    print_tables(jobs, ["comparison", "comparison-kinds"], 1, None, folder)
    found = {}
    for name in ("comparison", "comparison-kinds"):
        found[name] = {row["key"]: row["numbers"] for row in json.loads((folder / f"{name}.json").read_text())["rows"]}
    return found


def auc(rows: dict[str, Any], key: str, group: str = "auc") -> float:
    return float(rows[key][group]["value"])


def test_events_that_the_captioner_was_taught_are_found(tables: dict[str, dict[str, Any]]) -> None:
    kinds = tables["comparison-kinds"]
    assert auc(kinds, "dlsp", "auc_named") > 0.7
    assert auc(kinds, "text-hiprobe-raw", "auc_named") > 0.85


def early_job(jobs: list[Job], folder: Path) -> Job:
    """Write a job that keeps the chosen layer alone, without answers, and scores with the finished detector."""
    detector = json.loads((jobs[0].out / "detector.json").read_text())
    ((layer,),) = detector["selection"]["indices"]
    with preset("hiprobe") as path:
        text = path.read_text()
    first, _, rest = text.partition("[[sampling]]")
    sampling, _, rest = rest.partition("[[sampling]]")
    text = (
        first + "[[sampling]]" + sampling + f"layers = [{layer}]\nanswers = false\n" + rest[rest.index("[backbone]") :]
    )
    changes = {
        'root = "features"': 'root = "early"',
        'out = "hiprobe"': 'out = "early-results"\ndetector = "hiprobe/detector.json"',
        'prompts = ["detailed", "coarse", "question"]': 'prompts = ["detailed"]',
    }
    for before, after in changes.items():
        assert before in text, before
        text = text.replace(before, after)
    path = folder / "early.toml"
    path.write_text(text[: text.index("[analysis.calibration]")])
    return load_job(path, jobs[0].workspace)


def test_a_pass_that_ends_at_the_chosen_layer_gives_the_same_scores(jobs: list[Job], tmp_path: Path) -> None:
    early = early_job(jobs, tmp_path)
    extract(early)
    analyze(early)
    whole, short = (pq.read_table(job.out / "scores.parquet") for job in (jobs[0], early))
    for key in ("video_id", "start_frame"):
        assert whole[key].equals(short[key])
    wanted, found = (table["raw_score"].to_numpy() for table in (whole, short))
    # The shorter pass computes the same layers; only the order of sums may differ.
    np.testing.assert_allclose(found, wanted, atol=1e-4)
    assert wanted.std() > 0.01


def test_texts_of_clearly_detected_events_name_what_happens(jobs: list[Job]) -> None:
    """Of events of kinds that the captions named; a text that names one kind of all would be right in one of six."""
    found, category = explain(jobs[0]), {v.video_id: v.category for v in open_truth_of(jobs[0])[0].videos}
    events = read_events(jobs[0].out / EVENTS_PARQUET).to_pylist()
    clear = [row for row in events if (row["iou"] or 0) >= 0.3 and category[row["video_id"]] in NAMED_KINDS]
    assert len(clear) >= 8
    rows = [(found.of(*place_of(row)), category[row["video_id"]]) for row in clear]
    named = [row is not None and kind in kinds_said(row["text"] or "") for row, kind in rows]
    assert np.mean(named) >= 0.6
