"""The comparison of methods on planted stores: what is measured, on which videos, and what is said of it."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from tests.support.planted import HEAD, LAYER, PROMPTS, Planted, write_planted
from vadprobe.analyze.compute.cluster import open_scheduler
from vadprobe.analyze.compute.step_cache import StepCache
from vadprobe.analyze.experiments.cases import ExperimentContext, varied
from vadprobe.analyze.experiments.measuring import measure
from vadprobe.analyze.experiments.methods.entries import DRAWS
from vadprobe.analyze.experiments.methods.text_output import TEXTS_RECIPE, VERSION
from vadprobe.analyze.experiments.papers.headhunt_tables import headhunt_config
from vadprobe.analyze.experiments.rows import Row, Table, table_lines
from vadprobe.analyze.experiments.tables import TABLES, measured_table
from vadprobe.flows.jobs.experiments.context import case_of
from vadprobe.flows.jobs.job import load_job
from vadprobe.store.files.parquet import with_metadata, write_parquet

CARD = {"kind": "demo-captioner", "note": "knows drawings; says nothing about any real camera", "named": ["fire"]}
STRENGTH = 0.6
RECIPE = {"random_weights": False, "backbone_card": CARD, "drawn": True}


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Planted:
    folder = tmp_path_factory.mktemp("planted")
    return write_planted(folder, strength=STRENGTH, recipe=RECIPE, kinds=("fire", "fall", "dog"))


@pytest.fixture(scope="module")
def second(tmp_path_factory: pytest.TempPathFactory) -> Planted:
    folder = tmp_path_factory.mktemp("second")
    return write_planted(folder, strength=STRENGTH, recipe=RECIPE, seed=5, kinds=("fire", "fall", "dog"), name="second")


@pytest.fixture(scope="module")
def steps(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("steps")


@pytest.fixture
def lab(planted: Planted, second: Planted, steps: Path) -> Iterator[ExperimentContext]:
    jobs = [load_job(planted.job(method)) for method in ("hiprobe", "headhunt")]
    # Names of videos are the same in both sets: their files are not, which is what counts across sets.
    other = case_of(load_job(second.job("hiprobe")), None)
    other = replace(other, config=varied(other.config, allow_overlap=True))
    with open_scheduler("synchronous", 0) as scheduler:
        yield ExperimentContext((*(case_of(job, None) for job in jobs), other), StepCache(steps), scheduler, draws=1)


def rows_of(table: Table) -> dict[str, Row]:
    return {row.label.strip(): row for row in table.rows}


def write_texts(lab: ExperimentContext, probability: float, *, without: str = "", **recipe: object) -> None:
    """Write texts of the first job's segments: the truth, said with a probability; of one video none."""
    case = lab.cases[0]
    spec_store = case.inputs(case.config).store
    clips, truth = spec_store.clips, case.truth
    rows = []
    for row in range(len(clips)):
        clip = clips.clip(row)
        if clip.video_id == without:
            continue
        inside = bool(truth.truth(clip.video_id, clip.stop_frame)[clip.start_frame :].mean() >= 0.5)
        rows.append(
            {
                "video_id": clip.video_id,
                "start_frame": clip.start_frame,
                "stop_frame": clip.stop_frame,
                "text": "A fire." if inside else "Nothing.",
                "probability": probability if inside else 1 - probability,
                "names_event": inside,
            }
        )
    table = pa.Table.from_pylist(rows)
    assert case.texts is not None
    made = {"features": spec_store.spec.digest, "version": VERSION, "taught": True, "words": ["fire"], **recipe}
    write_parquet(with_metadata(table, TEXTS_RECIPE, made), case.texts)


@pytest.fixture
def texts(lab: ExperimentContext) -> Iterator[Path]:
    write_texts(lab, 0.9)
    path = lab.cases[0].texts
    assert path is not None
    yield path
    path.unlink()


def test_methods_stand_beside_layers_heads_texts_and_baselines(lab: ExperimentContext, texts: Path) -> None:
    table = measured_table(lab, "comparison")
    rows = rows_of(table)
    sigma = measure(lab, lab.cases[1], headhunt_config(lab.cases[1])).detector.locator.sigma
    assert list(rows) == [
        "HiProbe-VAD (layer by DLSP)",
        "last layer",
        "middle layer",
        "best fixed layer (chosen on test)",
        "HeadHunt-VAD (1 heads by RHI)",
        "1 random heads",
        "all heads of the last block",
        "all heads of all blocks",
        "text about 24 frames: p of event words",
        "smoothed as the method (sigma 0.4)",
        "an event word is said, or not",
        *(
            label
            for prompt in PROMPTS
            for label in (f"p(yes) about 24 frames, {prompt}", f"{prompt}, smoothed as the method (sigma 0.4)")
        ),
        *(f"{prompt}, smoothed as the method (sigma {sigma:g})" for prompt in PROMPTS),
        "baseline: true video label, flat",
        "baseline: random",
    ]
    assert rows["HiProbe-VAD (layer by DLSP)"].choice == f"layer {LAYER} (block {LAYER - 1})"
    assert rows["HeadHunt-VAD (1 heads by RHI)"].choice == f"heads {HEAD[0]}:{HEAD[1]}"
    for label, row in rows.items():
        for number in row.numbers.values():
            assert 0 <= number.value <= 1, label
            if not label.startswith("baseline"):
                assert number.low <= number.value <= number.high, label
    assert rows["1 random heads"].n_draws == DRAWS
    assert rows["text about 24 frames: p of event words"].numbers == rows["an event word is said, or not"].numbers
    assert table.notes[0] == "tiny: knows drawings; says nothing about any real camera."
    text = "\n".join(table_lines(table))
    assert "lowest and highest of 20 draws of heads; the number before is their median" in text
    assert "never learnt to answer yes or no" in text
    assert json.loads(json.dumps(table.to_json(), allow_nan=False))["name"] == "comparison"


def test_numbers_are_those_of_the_other_tables(lab: ExperimentContext) -> None:
    case = lab.cases[1]
    rows = rows_of(TABLES["comparison"][1](lab))
    wanted = measure(lab, case, headhunt_config(case)).result.evaluation
    assert wanted is not None
    number = rows["HeadHunt-VAD (1 heads by RHI)"].numbers["auc"]
    assert (number.value, (number.low, number.high)) == (wanted.auc, wanted.intervals["auc"])


def test_kinds_named_and_not_named_are_measured_apart(lab: ExperimentContext) -> None:
    table = TABLES["comparison-kinds"][1](lab)
    row = rows_of(table)["HiProbe-VAD (layer by DLSP)"]
    assert set(row.numbers) == {"auc_named", "ap_named", "auc_unnamed", "ap_unnamed"}
    assert row.numbers["auc_named"] != row.numbers["auc_unnamed"]
    assert any(note.startswith("Named: fire. Not named: dog, fall.") for note in table.notes)
    case = lab.cases[0]
    keep = tuple(v for v in case.truth.videos if v.split != "test" or v.category in (None, "fire"))
    names = {video.video_id for video in keep}
    intervals = tuple(interval for interval in case.truth.intervals if interval.video_id in names)
    alone = replace(case, truth=replace(case.truth, videos=keep, intervals=intervals))
    wanted = rows_of(TABLES["comparison"][1](replace(lab, cases=(alone, *lab.cases[1:]))))
    numbers = wanted["HiProbe-VAD (layer by DLSP)"].numbers
    assert (row.numbers["auc_named"], row.numbers["ap_named"]) == (numbers["auc"], numbers["ap_step"])


def test_a_second_set_is_measured_without_fitting_there(lab: ExperimentContext) -> None:
    table = TABLES["comparison-transfer"][1](lab)
    assert table.dataset == "second"
    assert table.notes[0] == "Fitted on planted, measured on second."
    rows = rows_of(table)
    assert rows["HiProbe-VAD (layer by DLSP)"].choice == f"layer {LAYER} (block {LAYER - 1})"
    assert rows["HiProbe-VAD (layer by DLSP)"].numbers["auc"].value > 0.7
    assert not any(label.startswith("text") for label in rows)
    answers = rows["p(yes) about 24 frames, coarse"]
    assert answers.numbers["auc"].low <= answers.numbers["auc"].value <= answers.numbers["auc"].high
    alone = TABLES["comparison-transfer"][1](replace(lab, cases=lab.cases[:2]))
    assert "no other job with this backbone" in alone.rows[0].reason


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"features": "0"}, "must belong to the features"),
        ({"version": 1}, f"must be of version {VERSION}, got 1; run 'vadprobe describe' again"),
        ({"without": "video24"}, "the texts must be of all 6 test videos, got 5; run 'vadprobe describe' again"),
    ],
)
def test_texts_that_are_not_those_of_the_segments_are_refused(
    lab: ExperimentContext, changes: dict[str, Any], reason: str
) -> None:
    write_texts(lab, 0.9, **changes)
    path = lab.cases[0].texts
    assert path is not None
    try:
        row = rows_of(TABLES["comparison"][1](lab))["text about 24 frames"]
    finally:
        path.unlink()
    assert reason in row.reason


def test_videos_and_words_are_told(lab: ExperimentContext, texts: Path) -> None:
    notes = TABLES["comparison"][1](lab).notes
    assert "Test videos measured: all 6 (3 with an anomaly)." in notes
    assert not any(note.startswith("Words of an event") for note in notes)
    write_texts(lab, 0.9, taught=False, words=["fire", "smoke"])
    notes = TABLES["comparison-kinds"][1](lab).notes
    assert "Words of an event in 'text about 24 frames': fire, smoke." in notes
    told = "all 6 (3 with an anomaly); with kinds that were named 4 (1 with an anomaly); with kinds that were not 5 (2"
    assert any(told in note for note in notes)


def test_a_test_video_without_scores_is_told(lab: ExperimentContext) -> None:
    case = lab.cases[0]
    unseen = replace(case.truth.of_split("test")[0], video_id="unseen")
    more = replace(case, truth=replace(case.truth, videos=(*case.truth.videos, unseen)))
    rows = rows_of(TABLES["comparison"][1](replace(lab, cases=(more, *lab.cases[1:]))))
    assert "1 labelled video of the split without scores" in rows["HiProbe-VAD (layer by DLSP)"].caveats[0]


def test_another_model_is_not_said_to_know_no_yes(tmp_path: Path) -> None:
    recipe = {"backbone_card": {"kind": "other", "note": "a note"}, "drawn": True}
    planted = write_planted(tmp_path, recipe=recipe)
    with open_scheduler("synchronous", 0) as scheduler:
        cases = (case_of(load_job(planted.job("hiprobe")), None),)
        context = ExperimentContext(cases, StepCache(tmp_path / "steps"), scheduler, 1)
        write_texts(context, 0.9)
        notes = " ".join(TABLES["comparison"][1](context).notes)
    assert "the backbone's own greedy text" in notes
    assert "the backbone's own answer to the prompt" in notes
    assert "yes or no" not in notes


def test_rows_have_keys_of_their_own(lab: ExperimentContext, texts: Path) -> None:
    keys = [row["key"] for row in TABLES["comparison"][1](lab).to_json()["rows"]]
    assert len(set(keys)) == len(keys)
    assert keys[:4] == ["dlsp", "last-layer", "middle-layer", "best-layer"]
    assert {"text-hiprobe-raw", "text-hiprobe-smoothed", "text-hiprobe-said"} <= set(keys)
    assert {"yes-hiprobe-coarse-raw", "yes-hiprobe-coarse-smoothed", "yes-headhunt-coarse-smoothed"} <= set(keys)


def test_differences_are_those_of_paired_resamples(lab: ExperimentContext, texts: Path) -> None:
    notes = TABLES["comparison"][1](lab).notes
    (said,) = [note for note in notes if note.startswith("HiProbe-VAD") and "the model's own text" in note]
    assert "the best of 3 rows of the model's own text (chosen on test)" in said
    (answered,) = [note for note in notes if note.startswith("HiProbe-VAD") and "the model's own p(yes)" in note]
    assert "the best of 9 rows" in answered
    assert "(95 % of paired resamples of the videos)" in said


def test_a_backbone_without_a_card_names_no_kind(tmp_path: Path) -> None:
    plain = write_planted(tmp_path)
    with open_scheduler("synchronous", 0) as scheduler:
        cases = (case_of(load_job(plain.job("hiprobe")), None),)
        table = TABLES["comparison-kinds"][1](ExperimentContext(cases, StepCache(tmp_path / "steps"), scheduler, 1))
    assert "no card that says which kinds" in table.rows[0].reason
