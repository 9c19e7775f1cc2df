"""The papers' tables on stores with a planted signal: every row is measured or says why not, and nothing leaks."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.support.planted import BACKBONE, HEAD, LAYER, PROMPTS, Planted, write_planted
from vadprobe.analyze.calibration.calibration import Calibration
from vadprobe.analyze.compute.cluster import open_scheduler
from vadprobe.analyze.compute.step_cache import StepCache
from vadprobe.analyze.configuration import AnalysisConfig, CalibrationConfig, ProbeConfig
from vadprobe.analyze.detector import fitting
from vadprobe.analyze.detector.fitting import calibrate
from vadprobe.analyze.experiments import measuring
from vadprobe.analyze.experiments.cases import ExperimentContext, ExperimentJob, varied
from vadprobe.analyze.experiments.measuring import measure, measured_row
from vadprobe.analyze.experiments.papers.headhunt_tables import headhunt_config
from vadprobe.analyze.experiments.papers.hiprobe_tables import hiprobe_config
from vadprobe.analyze.experiments.rows import Number, Row, Table, markdown_lines, table_lines
from vadprobe.analyze.experiments.stability_report import stability_report
from vadprobe.analyze.experiments.tables import TABLES, check_names
from vadprobe.analyze.features.inputs import AnalysisInputs
from vadprobe.flows.command_line import main
from vadprobe.flows.jobs.experiments.context import case_of
from vadprobe.flows.jobs.job import load_job
from vadprobe.store.errors import VadprobeError


@pytest.mark.parametrize("name", TABLES)
def test_every_row_of_every_table_is_measured_or_says_why_not(lab: ExperimentContext, name: str) -> None:
    table = TABLES[name][1](lab)
    assert table.rows
    for row in table.rows:
        measured = [row.numbers[metric].value for metric in table.metrics if metric in row.numbers]
        least = -1 if "silhouette" in table.metrics else 0
        if not measured or np.isnan(measured).all():
            assert row.reason, row.label
        elif name != "efficiency":  # which measures other things
            assert all(least <= value <= 1 for value in measured if not np.isnan(value)), row.label
            assert set(table.metrics) <= set(row.numbers), row.label
    text = "\n".join(table_lines(table))
    assert all(row.label in text for row in table.rows)
    assert json.loads(json.dumps(table.to_json(), allow_nan=False))["name"] == name


def test_unknown_numbers_have_a_reason_and_reported_videos_that_were_seen_a_stamp(
    planted: Planted, lab: ExperimentContext
) -> None:
    case = lab.cases[1]
    seen = varied(case.config, locator={"split": "test"}, allow_overlap=True)
    row = measured_row(lab, case, "RHI", headhunt_config(replace(case, config=seen)))
    assert row.caveats[0].startswith("Fitted or tuned on 6 of the reported videos")
    text = "\n".join(table_lines(Table("t", "t", "d", "b", ("auc",), (row, Row("other", row.numbers, n_draws=1)))))
    assert "Note of 'RHI': Fitted or tuned on 6" in text
    test = {video.video_id for video in case.truth.of_split("test")}
    for label, words in ((0, "frames are normal"), (None, "No scored video of the split 'test' has a label")):
        videos = tuple(replace(v, label=label, category=None) if v.video_id in test else v for v in case.truth.videos)
        intervals = tuple(i for i in case.truth.intervals if i.video_id not in test)
        truth = replace(case.truth, videos=videos, intervals=intervals)
        row = measured_row(lab, replace(case, truth=truth), "RHI", headhunt_config(case))
        assert np.isnan(row.numbers["auc"].value)
        assert any(words in caveat for caveat in row.caveats)


def test_brackets_of_two_kinds_name_their_rows() -> None:
    rows = (Row("one", {"auc": Number(0.5, 0.4, 0.6)}, "draws", 3), Row("two", {"auc": Number(0.5)}, "resamples", 1))
    lines = table_lines(Table("t", "t", "d", "b", ("auc",), rows))
    assert lines[-2:] == ["  In brackets of 'one': draws.", "  In brackets of 'two': resamples."]
    lines = table_lines(Table("t", "t", "d", "b", ("auc",), rows[:1]))
    assert lines[-1] == "  In brackets: draws."


def test_rows_are_what_their_labels_say_whatever_the_job_ranks_by(lab: ExperimentContext) -> None:
    hiprobe, headhunt = lab.cases
    one = replace(hiprobe, config=varied(hiprobe.config, saliency={"metrics": ("binned_entropy",)}))
    tables = []
    for cases in ((one, headhunt), (hiprobe, headhunt)):
        tables.append({row.label: row for row in TABLES["layers"][1](replace(lab, cases=cases)).rows})
    assert tables[0] == tables[1]
    single = replace(headhunt, config=varied(headhunt.config, selection={"prompts": ("detailed", "question")}))
    rows = TABLES["heads"][1](replace(lab, cases=(hiprobe, single))).rows
    labels = [row.label for row in rows]
    assert labels[0] == "RHI over 2 prompts"
    assert [label for label in labels if label.endswith("' alone")] == [
        "RHI, prompt 'detailed' alone",
        "RHI, prompt 'question' alone",
    ]
    assert list(stability_report(replace(lab, cases=(single,), draws=1), single).found) == [
        "prompts of the job (detailed, question)",
        *(f"prompt {key}" for key in single.prompts),
    ]


def test_the_job_s_own_sampling_rate_calibrates_on_what_the_job_says(lab: ExperimentContext) -> None:
    case = lab.cases[0]
    samplings = tuple(replace(s, frames_per_clip=16) if s.unit == "video" else s for s in case.samplings)
    rows = TABLES["hiprobe-5"][1](replace(lab, cases=(replace(case, samplings=samplings),))).rows
    own = next(row for row in rows if row.label == "K = 8")
    assert "video-16" in own.reason


def test_every_draw_that_fails_is_counted(lab: ExperimentContext, monkeypatch: pytest.MonkeyPatch) -> None:
    def some(inputs: AnalysisInputs, config: CalibrationConfig) -> tuple[Calibration, tuple[str, ...]]:
        if config.seed > 0:
            raise VadprobeError("too few")
        return calibrate(inputs, config)

    monkeypatch.setattr(fitting, "calibrate", some)
    monkeypatch.setattr(measuring, "calibrate", some)
    row = measured_row(lab, lab.cases[0], "DLSP", hiprobe_config(lab.cases[0]))
    assert (row.n_draws, row.reason) == (1, "2 of 3 draws: too few")
    text = "\n".join(table_lines(Table("t", "t", "d", "b", ("auc",), (row,))))
    assert "missing: 2 of 3 draws: too few" in text


def test_the_papers_rows_of_another_methods_job_are_of_the_papers_methods(lab: ExperimentContext) -> None:
    own = AnalysisConfig(preset="sphere", method="spherevad", out="out")
    case = replace(lab.cases[0], config=own)
    for config_of, method in ((hiprobe_config, "hiprobe"), (headhunt_config, "headhunt")):
        config = config_of(case)
        assert (config.method, config.preset) == (method, method)
        assert config.probe.model_dump() == ProbeConfig().model_dump()
    kept = varied(own, selection={"rule": "last-layer"})
    assert (kept.method, kept.probe) == ("spherevad", own.probe)


def test_the_planted_layer_and_head_win_their_ablations(lab: ExperimentContext) -> None:
    layers = {row.label: row for row in TABLES["layers"][1](lab).rows}
    assert layers["DLSP, all three metrics"].choice == f"layer {LAYER} (block {LAYER - 1})"
    assert layers["DLSP, all three metrics"].numbers["auc"].value > layers["last layer"].numbers["auc"].value + 0.1
    heads = {row.label: row for row in TABLES["heads"][1](lab).rows}
    assert heads["RHI over 3 prompts"].choice == f"heads {HEAD[0]}:{HEAD[1]}"
    assert heads["RHI over 3 prompts"].numbers["auc"].value > heads["1 random heads"].numbers["auc"].value + 0.1


def test_the_best_prompt_is_chosen_on_the_test_videos_and_says_so(lab: ExperimentContext) -> None:
    table = TABLES["heads"][1](lab)
    singles = [row for row in table.rows if re.fullmatch(r"RHI, prompt '\w+' alone", row.label)]
    (best,) = (row for row in table.rows if row.label.startswith("best prompt"))
    assert len(singles) == 3
    assert best.numbers["auc"].value == max(row.numbers["auc"].value for row in singles)
    assert best.choice in {row.label for row in singles}
    assert "chosen on the test videos" in best.label
    assert any("upper bound and not a result" in note for note in table.notes)


def test_draws_give_a_mean_with_its_range_and_equal_draws_are_made_once(lab: ExperimentContext) -> None:
    case = lab.cases[1]
    row = measured_row(lab, case, "RHI", headhunt_config(case))
    assert row.n_draws == 3
    number = row.numbers["auc"]
    assert number.low <= number.value <= number.high
    draws = [varied(headhunt_config(case), calibration={"seed": seed}) for seed in range(3)]
    each = [measure(lab, case, config).numbers["auc"] for config in draws]
    assert number == Number(float(np.mean(each)), min(each), max(each))
    whole = measured_row(lab, case, "RHI", varied(headhunt_config(case), calibration={"fraction": 1.0}))
    assert whole.n_draws == 1
    assert whole.interval == "95 % of video resamples of one calibration draw"
    random = varied(headhunt_config(case), calibration={"fraction": 1.0}, selection={"rule": "random-heads"})
    assert measured_row(lab, case, "random", random).n_draws == 3


def test_a_draw_that_cannot_be_fitted_is_unknown_with_the_reason(lab: ExperimentContext) -> None:
    case = lab.cases[1]
    row = measured_row(lab, case, "RHI", varied(headhunt_config(case), calibration={"fraction": 0.1}))
    assert np.isnan(row.numbers["auc"].value)
    assert "at least two normal videos" in row.reason
    assert "not measured: " in "\n".join(table_lines(Table("t", "t", "d", "b", ("auc",), (row,))))


def test_sampling_rates_without_features_name_the_store_that_is_missing(lab: ExperimentContext) -> None:
    rows = {row.label: row for row in TABLES["hiprobe-5"][1](lab).rows}
    assert rows["K = 8"].numbers["auc"].value > 0.5
    assert "segment-24-4" in rows["K = 4"].reason


def variations(case: ExperimentJob) -> list[AnalysisConfig]:
    """Every kind of selection, probe and locator that a table may fit."""
    hiprobe, headhunt = hiprobe_config(case), headhunt_config(case)
    grid = {"threshold": "grid", "sigmas": (0.0, 1.0), "split": "validation"}
    return [
        hiprobe,
        varied(hiprobe, locator=grid),
        *(varied(hiprobe, selection={"rule": rule}) for rule in ("middle-layer", "last-layer")),
        varied(headhunt, locator=grid),
        varied(headhunt, locator={"threshold": 0.65, "sigmas": (1.5,)}),
        *(
            varied(headhunt, selection={"rule": rule})
            for rule in ("random-heads", "last-block", "full-layer", "all-heads")
        ),
        varied(headhunt, selection={"prompts": ("coarse",)}),
        varied(headhunt, saliency={"convention": "headhunt-code"}),
        varied(headhunt, saliency={"permutations": 4, "folds": 3}),
        *(varied(headhunt, probe={"kind": kind}) for kind in ("linear-svm", "mlp", "distance")),
        varied(headhunt, probe={"memory_gb": 0}),
        varied(headhunt, calibration={"unit": "segment"}),
        varied(headhunt, calibration={"unit": "segment", "segment_label": "interval"}),
    ]


def test_nothing_that_is_fitted_has_seen_a_test_video(tmp_path: Path) -> None:
    """Other features and other labels of the test videos leave every detector as it is, to the last bit."""
    before = write_planted(tmp_path / "before", strength=1.5)
    after = write_planted(tmp_path / "after", strength=1.5, other_test=True)
    fitted = []
    for planted in (before, after):
        case = case_of(load_job(planted.job("headhunt")), 0.75)
        with open_scheduler("synchronous", 0) as scheduler:
            lab = ExperimentContext((case,), StepCache(None), scheduler)
            fitted.append([measure(lab, case, config) for config in variations(case)])
    differing = 0
    for one, other in zip(*fitted, strict=True):
        for part in ("selection", "probe", "locator"):
            mine, theirs = getattr(one.detector, part), getattr(other.detector, part)
            if part == "selection":
                mine, theirs = (mine.indices, mine.scores), (theirs.indices, theirs.scores)
            else:
                mine, theirs = mine.to_json(), theirs.to_json()
            assert mine == theirs, (part, one.detector.selection.method)
        assert one.result.videos is not None
        differing += not one.result.videos.equals(other.result.videos)
    assert differing == len(fitted[0])  # the test videos are others: were they seen, it would show


def test_columns_of_measured_and_published_numbers_are_apart() -> None:
    rows = (
        Row("ours", {"auc": Number(0.5, 0.4, 0.6)}, "95 % of video resamples of one calibration draw", 1, "layer 2"),
        Row("theirs", published={"UCF-Crime AUC": 86.72}),
        Row("missing", {"auc": Number()}, reason="no store"),
    )
    table = Table("t-1", "a title", "planted", "tiny", ("auc",), rows, ("A note.",))
    lines = table_lines(table)
    assert lines[0] == "t-1: a title"
    assert lines[1] == "measured on planted with tiny"
    ours, theirs = (next(line for line in lines if line.startswith(name)) for name in ("ours", "theirs"))
    bar = lines[2].index("|")
    assert "published: " in lines[2][bar:]
    assert "0.5000 [0.4000, 0.6000]" in ours[:bar]
    assert "86.72" in theirs[bar:]
    assert "86.72" not in theirs[:bar]
    assert any(line.strip() == "not measured: no store" for line in lines)
    assert next(line for line in lines if line.startswith("missing")).split() == ["missing", "-", "|", "-"]
    page = "\n".join(markdown_lines(table))
    assert "| theirs |  | 86.72 |  |" in page
    assert "published: UCF-Crime AUC (%)" in page


def test_the_command_prints_and_writes_tables(
    planted: Planted, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    jobs = [str(planted.job(method)) for method in ("hiprobe", "headhunt")]
    words = ["table", "headhunt-3", "hiprobe-4", "--jobs", *jobs, "--draws", "2", "--fraction", "0.75"]
    for run in range(2):
        assert main([*words, "--out", str(tmp_path / "out")]) == 0
        output = capsys.readouterr().out
        assert "headhunt-3: Ablations with InternVL3" in output
        assert f"measured on planted with {BACKBONE.key}" in output
        assert ("0 steps were computed" in output) == (run == 1)
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"headhunt-3.json", "hiprobe-4.json", "tables.md"}


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["hiprobe-9"], r"there is no table 'hiprobe-9'; the tables are hiprobe-1"),
        (["job.toml"], r"there is no table 'job\.toml'; .* Job files are named behind --jobs"),
        ([], r"no table is named; name at least one, or give --all"),
        (["--all", "--jobs"], r"--jobs needs a value"),
        (["--all"], r"no job is named"),
        (["--all", "--draws", "0", "--jobs", "JOB"], r"--draws must be a whole number from 1, got 0"),
        (["--all", "--fraction", "1.5", "--jobs", "JOB"], r"--fraction must be above 0 and at most 1, got 1.5"),
        (["--all", "--jobs", "nowhere.toml"], r"there is no job file nowhere.toml"),
    ],
)
def test_wrong_words_are_sentences(
    planted: Planted, capsys: pytest.CaptureFixture[str], words: list[str], sentence: str
) -> None:
    given = [str(planted.job("hiprobe")) if word == "JOB" else word for word in words]
    assert main(["table", *given]) == 2
    assert re.search(sentence, capsys.readouterr().err)


def test_the_list_names_every_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["table", "--list"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == list(TABLES)
    with pytest.raises(VadprobeError, match="no table 'x'"):
        check_names(["hiprobe-1", "x"])
    with pytest.raises(VadprobeError, match=r"no table 'hiprobe-6', .* it is called 'backbones' now"):
        check_names(["hiprobe-6"])


def test_stability_over_draws_and_prompts(
    planted: Planted, tmp_path: Path, capsys: pytest.CaptureFixture[str], request: pytest.FixtureRequest
) -> None:
    words = ["--draws", "4", "--fraction", "0.75", "--out", str(tmp_path)]
    assert main(["stability", str(planted.job("headhunt")), *words]) == 0
    output = capsys.readouterr().out
    assert "4 draws of 12 calibration videos" in output
    assert f"all prompts: {HEAD[0]}:{HEAD[1]} 100 %" in output
    found = json.loads((tmp_path / "stability.json").read_text())
    assert set(found["over"]) == {"all prompts", "prompt coarse", "prompt detailed", "prompt question"}
    assert found["over"]["all prompts"]["frequency"][HEAD[0]][HEAD[1]] == 1
    assert (tmp_path / "stability.png").read_bytes().startswith(b"\x89PNG")
    request.getfixturevalue("blank")
    assert main(["stability", str(planted.job("hiprobe")), *words]) == 0
    assert f"prompt coarse: {LAYER} 100 %" in capsys.readouterr().out


@pytest.mark.parametrize(
    "command", [["table", "layers", "--jobs"], ["stability"], ["probing"], ["sweep", "--over", "sigma=0"]]
)
@pytest.mark.parametrize("calibrated", [True, False])
@pytest.mark.usefixtures("blank")
def test_a_job_with_a_finished_detector_is_fitted_anew_or_refused(
    planted: Planted, tmp_path: Path, capsys: pytest.CaptureFixture[str], command: list[str], calibrated: bool
) -> None:
    text = planted.job("hiprobe").read_text().replace("workers = 0", 'workers = 0\ndetector = "nowhere.json"')
    if not calibrated:
        text = text.replace('[[sampling]]\nunit = "video"\nframes_per_clip = 8\nsplits = ["train"]\n', "")
    job = planted.folder / "finished.toml"
    job.write_text(text)
    code = main([*command, str(job), "--fraction", "0.75", "--out", str(tmp_path)])
    output = capsys.readouterr()
    if calibrated:
        assert code == 0
        assert f"{LAYER}" in output.out
    else:
        assert "no [[sampling]] of the job has unit 'video'" in output.out + output.err


@pytest.mark.parametrize("name", ["hiprobe-1", "headhunt-1"])
def test_the_backbones_own_answers_stand_in_the_papers_comparison(lab: ExperimentContext, name: str) -> None:
    table = TABLES[name][1](lab)
    rows = {row.label: row for row in table.rows}
    for prompt in PROMPTS:
        for label in (f"text output: p(yes), {prompt}", f"text output: p(yes), {prompt}, smoothed"):
            number = rows[label].numbers["auc"]
            assert number.low <= number.value <= number.high, label
    assert any(note.startswith("p(yes): the backbone's own answer") for note in table.notes)
