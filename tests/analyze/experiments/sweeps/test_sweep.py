"""Sweeps compute only what changed, say why a number is unknown, and fit nothing on a test video."""

import io
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import matplotlib.image
import numpy as np
import pyarrow.parquet as pq
import pytest

from tests.support.planted import HEAD, LAYER, Planted, write_planted
from vadprobe.analyze.compute.cluster import open_scheduler
from vadprobe.analyze.compute.step_cache import StepCache
from vadprobe.analyze.experiments.cases import ExperimentContext, ExperimentJob
from vadprobe.analyze.experiments.measuring import Measurement, measure
from vadprobe.analyze.experiments.sweeps import measured as measured_cells
from vadprobe.analyze.experiments.sweeps.axes import plan_sweep, read_axes
from vadprobe.analyze.experiments.sweeps.measured import SWEEP_METRICS, Sweep, measure_sweep
from vadprobe.analyze.experiments.sweeps.plots import sweep_pictures
from vadprobe.analyze.experiments.sweeps.summary import summary_json, summary_lines
from vadprobe.analyze.experiments.sweeps.tidy import tidy_table
from vadprobe.flows.command_line import main
from vadprobe.flows.jobs.experiments.context import case_of
from vadprobe.flows.jobs.job import load_job

EVERYTHING = (
    *("K=1,2", "lambda=0,2", "prompts=coarse,all", "score-prompt=each", "layer=all", "fraction=0.6"),
    *("sigma=0,1", "tau=0.3,0.6", "kappa=0,1", "clip-length=24,48", "frames=4,32"),
)
"""Every key there is."""
FITTING = {"layer-saliency", "head-saliency", "probe", "scores"}


def swept(lab: ExperimentContext, *over: str, is_product: bool = False) -> Sweep:
    return measure_sweep(lab, plan_sweep(lab.cases, read_axes(over), is_product=is_product, limit=1000))


def rows_of(sweep: Sweep, **values: Any) -> list[dict[str, Any]]:
    rows = tidy_table(sweep).to_pylist()
    return [row for row in rows if all(row[name] == value for name, value in values.items())]


def test_a_second_sweep_computes_nothing_and_another_key_only_what_hangs_on_it(lab: ExperimentContext) -> None:
    first = swept(lab, "K=1,2", "sigma=0,2", "layer=all")
    assert set(lab.cache.computed) == {*FITTING, "locator-grid", "evaluation"}
    again = replace(lab, cache=StepCache(lab.cache._folder))
    assert tidy_table(swept(again, "K=1,2", "sigma=0,2", "layer=all")).equals(tidy_table(first))
    assert again.cache.computed == []
    swept(again, "tau=0.2,0.7", "sigma=0.5..1.5..0.5", "kappa=0,1")
    # The adaptive threshold of heads needs the probabilities of the calibration samples once, the grid one more sigma.
    assert set(again.cache.computed) <= {"evaluation", "locator-grid", "scores"}
    assert again.cache.computed.count("scores") == lab.draws


@pytest.mark.parametrize("over", ["tau=0.2,0.5,0.7", "sigma=0,0.7,2"])
def test_a_threshold_or_a_smoothing_alone_fits_and_scores_nothing(lab: ExperimentContext, over: str) -> None:
    swept(lab, "fraction=0.75")  # the job's own settings
    before = len(lab.cache.computed)
    swept(lab, over)
    assert set(lab.cache.computed[before:]) <= {"evaluation", "locator-grid"}


def test_cells_are_what_the_job_gives_under_those_settings(lab: ExperimentContext) -> None:
    sweep = swept(lab, "layer=all", "K=1,3")
    case = lab.cases[1]
    for found in sweep.cells:
        config = found.cell.variation.config
        for draw in found.draws:
            one = config.model_copy(update={"calibration": config.calibration.model_copy(update={"seed": draw.seed})})
            numbers = measure(lab, found.cell.case, one).numbers
            assert draw.numbers == {name: pytest.approx(numbers[name], nan_ok=True) for name in SWEEP_METRICS}
    layers = {row["layer"]: row["auc"] for row in rows_of(sweep, swept="layer", draw=0)}
    assert max(layers, key=lambda layer: layers[layer]) == LAYER
    assert rows_of(sweep, job=case.name, swept="top-heads", top_heads=1)[0]["choice"] == f"heads {HEAD[0]}:{HEAD[1]}"


def test_what_cannot_be_measured_is_unknown_with_its_reason(lab: ExperimentContext) -> None:
    sweep = swept(lab, "frames=4,32", "fraction=0.1", "sigma=0")
    for row in tidy_table(sweep).to_pylist():
        known = [row[name] for name in ("auc", "ap_step", "f1")]
        assert np.isnan(known).all() == bool(row["reason"]), row
    (none, *_) = rows_of(sweep, swept="frames", frames=4)
    assert "segment-24-4" in none["reason"]
    assert rows_of(sweep, swept="frames", frames=32)[0]["reason"] == "a clip of 24 frames cannot show 32."
    assert "at least two normal videos" in rows_of(sweep, swept="fraction")[0]["reason"]
    cells = summary_json(sweep, ("auc",))["cells"]
    assert [cell["numbers"]["auc"]["value"] for cell in cells if cell["swept"] == "frames"] == [None] * 4
    text = "\n".join(summary_lines(sweep, ("auc", "f1")))
    assert "not measured: a clip of 24 frames cannot show 32." in text
    assert "is therefore chosen on them and is not a result" in text


def test_intervals_are_of_draws_or_of_resamples(lab: ExperimentContext) -> None:
    sweep = swept(lab, "fraction=0.75,1.0")
    (own, some, every) = [found for found in sweep.cells if found.cell.case is lab.cases[0]]
    assert own.row.numbers == some.row.numbers
    values = [draw.numbers["auc"] for draw in some.draws]
    assert (some.row.numbers["auc"].low, some.row.numbers["auc"].high) == (min(values), max(values))
    assert some.row.interval.startswith("lowest and highest of the calibration draws")
    assert (len(every.draws), every.row.interval) == (1, "95 % of video resamples of one calibration draw")
    rows = [line.split()[:2] for line in summary_lines(sweep, ("auc",)) if line.startswith("  ")]
    assert rows == [["fraction", "AUC"], ["*", "0.75"], ["1", rows[2][1]]] * (len(rows) // 3)  # its own value once


def measurements(monkeypatch: pytest.MonkeyPatch, planted: Planted) -> list[Measurement]:
    """Sweep everything on a workspace; returns what every cell measured."""
    found: list[Measurement] = []

    def record(*arguments: Any) -> Measurement:
        found.append(measure(*arguments))
        return found[-1]

    monkeypatch.setattr(measured_cells, "measure", record)
    jobs = tuple(case_of(load_job(planted.job(method)), 0.75) for method in ("hiprobe", "headhunt"))
    with open_scheduler("synchronous", 0) as scheduler:
        swept(ExperimentContext(jobs, StepCache(None), scheduler, draws=1), *EVERYTHING)
    return found


def test_no_cell_is_fitted_on_a_test_video(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other features and other labels of the test videos leave what every cell fits as it is, to the last bit."""
    before = measurements(monkeypatch, write_planted(tmp_path / "before", strength=1.5))
    after = measurements(monkeypatch, write_planted(tmp_path / "after", strength=1.5, other_test=True))
    assert len(before) == len(after) > 30
    for one, other in zip(before, after, strict=True):
        mine, theirs = one.detector, other.detector
        assert (mine.selection.indices, mine.selection.scores) == (theirs.selection.indices, theirs.selection.scores)
        assert mine.probe.to_json() == theirs.probe.to_json()
        assert mine.locator == theirs.locator
        assert one.result.videos is not None
        assert not one.result.videos.equals(other.result.videos)  # the test videos are others: it would show


def test_other_labels_of_the_test_leave_every_fitting_step_as_it_is(lab: ExperimentContext) -> None:
    swept(lab, *EVERYTHING)
    before = len(lab.cache.computed)
    swept(replace(lab, cases=tuple(mirrored(case) for case in lab.cases)), *EVERYTHING)
    assert set(lab.cache.computed[before:]) == {"evaluation"}


def mirrored(case: ExperimentJob) -> ExperimentJob:
    """Take away the anomaly of the first anomalous test video."""
    first = next(video.video_id for video in case.truth.of_split("test") if video.label == 1)
    videos = tuple(replace(v, label=0, category=None) if v.video_id == first else v for v in case.truth.videos)
    intervals = tuple(interval for interval in case.truth.intervals if interval.video_id != first)
    return replace(case, truth=replace(case.truth, videos=videos, intervals=intervals))


@pytest.mark.parametrize("is_product", [False, True])
def test_pictures_are_the_same_bytes_each_time(lab: ExperimentContext, is_product: bool) -> None:
    sweep = swept(replace(lab, cases=lab.cases[1:]), "prompts=each", "sigma=0,1,2", is_product=is_product)
    pictures = sweep_pictures(sweep, ("auc",))
    assert pictures == sweep_pictures(sweep, ("auc",))
    assert b"<dc:date>" not in pictures["svg"]


def test_pictures_have_a_row_for_each_metric(lab: ExperimentContext) -> None:
    sweep = swept(lab, "K=1,2")
    one, two = (sweep_pictures(sweep, metrics)["png"] for metrics in (("auc",), ("auc", "f1")))
    taller = len(matplotlib.image.imread(io.BytesIO(two))) - len(matplotlib.image.imread(io.BytesIO(one)))
    assert taller == pytest.approx(2.1 * 140, abs=2)


def test_an_unknown_curve_is_drawn_empty(lab: ExperimentContext) -> None:
    sweep = swept(replace(lab, cases=lab.cases[:1]), "frames=4")
    assert sweep_pictures(sweep, ("auc",))["png"].startswith(b"\x89PNG")


def arguments(planted: Planted, out: Path, *more: str) -> Sequence[str]:
    jobs = [str(planted.job(method)) for method in ("headhunt", "hiprobe")]
    return ["sweep", *jobs, "--draws", "2", "--fraction", "0.75", "--out", str(out), *more]


def test_the_command_prints_and_writes_a_sweep_of_three_keys(
    planted: Planted, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = arguments(planted, tmp_path / "out", "--over", "K=1,2", "--over", "lambda=0,1", "--over", "tau=0.3,0.6")
    contents = []
    for run in range(2):
        assert main(words) == 0
        output = capsys.readouterr().out
        assert "headhunt.toml (planted, tiny): top-heads, K, the number of heads" in output
        assert ("\n0 steps were computed, " in output) == (run == 1)
        contents.append({path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()})
    assert contents[0] == contents[1]
    assert set(contents[0]) == {f"sweep.{kind}" for kind in ("json", "md", "parquet", "png", "svg")}
    table = pq.read_table(tmp_path / "out" / "sweep.parquet")
    assert {"top_heads", "lambda", "tau", "draw", "auc", "reason"} <= set(table.column_names)
    assert len(table) == 2 * (1 + 2 + 2 + 2) + 2 * (1 + 2)
    summary = json.loads((tmp_path / "out" / "sweep.json").read_text())
    assert summary["design"] == "one key at a time"
    assert len(summary["cells"]) == 10


def test_an_interrupted_sweep_goes_on_where_it_stopped(
    planted: Planted, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    job = tmp_path / "headhunt.toml"
    text = planted.job("headhunt").read_text().replace('workspace = "."', f'workspace = "{planted.folder}"')
    job.write_text(text.replace("workers = 0", f'workers = 0\nsteps = "{tmp_path / "steps"}"'))
    words = ["sweep", str(job), "--over", "K=2,3,4", "--draws", "1", "--out", str(tmp_path / "out")]
    count = iter(range(3))

    def stopped(*arguments: Any) -> Measurement:
        if next(count) == 2:
            raise KeyboardInterrupt
        return measure(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(measured_cells, "measure", stopped)
        assert main(words) == 130
    assert "the same command continues where it stopped" in capsys.readouterr().err
    assert len(list((tmp_path / "steps").glob("probe/*"))) == 2
    assert not (tmp_path / "out").exists()
    assert main(words) == 0
    steps = {path.name for path in (tmp_path / "steps").glob("probe/*")}
    assert len(steps) == 4  # the two of the first part among them
    # Probe, scores, grid and evaluation of two cells: the saliency and the first two cells were there.
    assert "\n8 steps were computed" in capsys.readouterr().out


def test_jobs_of_one_name_are_told_apart(planted: Planted, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = tmp_path / "headhunt.toml"
    other.write_text(planted.job("headhunt").read_text().replace('workspace = "."', f'workspace = "{planted.folder}"'))
    words = ["sweep", str(planted.job("headhunt")), str(other), "--over", "K=1", "--draws", "1"]
    assert main([*words, "--out", str(tmp_path / "out")]) == 0
    assert f"{other} (planted, tiny): top-heads" in capsys.readouterr().out
    assert {cell["job"] for cell in json.loads((tmp_path / "out" / "sweep.json").read_text())["cells"]} == {
        str(planted.job("headhunt")),
        str(other),
    }


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        (["--over", "K=0"], "top-heads must be whole numbers from 1 to 12, got '0'."),
        (["--over", "K=1..9", "--limit", "5"], "the sweep has 11 cells, and --limit is 5; name fewer values, or raise"),
        (["--over", "K=1", "--metrics", "acu"], "there is no metric 'acu'; a sweep measures auc, ap_step"),
        ([], "no key is swept"),
    ],
)
def test_wrong_words_are_sentences_and_nothing_is_written(
    planted: Planted, tmp_path: Path, capsys: pytest.CaptureFixture[str], more: list[str], sentence: str
) -> None:
    assert main(arguments(planted, tmp_path / "out", *more)) == 2
    assert sentence in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_the_keys_are_listed_and_a_job_is_needed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sweep", "--list"]) == 0
    assert capsys.readouterr().out.startswith("top-heads     K, the number of heads\n")
    assert main(["sweep", "--over", "K=1"]) == 2
    assert "no job is named" in capsys.readouterr().err
