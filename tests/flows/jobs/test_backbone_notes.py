"""Notes on the backbone's weights in everything that stage 2 leaves: results, detector, scores, page and tables."""

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from tests.support.planted import Planted, write_planted
from tests.support.samples.jobs import write_job
from vadprobe.analyze.compute.cluster import open_scheduler
from vadprobe.analyze.compute.step_cache import StepCache
from vadprobe.analyze.detector.detector import Detector
from vadprobe.analyze.experiments.cases import ExperimentContext
from vadprobe.analyze.experiments.tables import measured_table
from vadprobe.extract.model.checkpoint.card import BACKBONE_CARD
from vadprobe.flows.command_line import main
from vadprobe.flows.jobs.analyze_job import analyze
from vadprobe.flows.jobs.experiments.context import case_of
from vadprobe.flows.jobs.job import load_job

CARD = {"kind": "demo-captioner", "note": "knows drawings; says nothing about any real camera", "named": ["planted"]}
pytestmark = pytest.mark.usefixtures("blank")


def with_card(folder: Path, *, drawn: bool) -> Planted:
    return write_planted(folder, recipe={"random_weights": False, "backbone_card": CARD, "drawn": drawn})


def test_the_stamp_is_in_every_result(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    planted = with_card(tmp_path / "a", drawn=False)
    job = load_job(planted.job("hiprobe"))
    outcome = analyze(job)
    (entry,) = json.loads(outcome.results.read_text())["results"]
    detector = json.loads((job.out / "detector.json").read_text())
    assert entry["caveats"][0].startswith("MEANINGLESS")
    assert entry["caveats"][1] == "tiny: knows drawings; says nothing about any real camera."
    assert entry["caveats"][:2] == entry["notes"] == detector["provenance"]["notes"]
    assert "Note: MEANINGLESS" in outcome.table()
    assert "MEANINGLESS" in outcome.report.read_text()
    table = ["--format", "manifest", "--annotations", str(planted.folder / "manifest"), "--name", "planted"]
    words = ["evaluate", "--scores", str(job.out / "scores.parquet"), *table, "--resamples", "0", "--allow-missing"]
    assert main([*words, "--out", str(tmp_path / "evaluated")]) == 0
    assert "Note: MEANINGLESS" in capsys.readouterr().out
    assert json.loads((tmp_path / "evaluated" / "metrics.json").read_text())["notes"][0].startswith("MEANINGLESS")


def test_a_detector_of_drawn_videos_scores_others_under_the_stamp(tmp_path: Path) -> None:
    drawn, other = with_card(tmp_path / "drawn", drawn=True), with_card(tmp_path / "other", drawn=False)
    fitted = analyze(load_job(drawn.job("headhunt")))
    assert fitted.result.caveats[0] == "tiny: knows drawings; says nothing about any real camera."
    detector = load_job(drawn.job("headhunt")).out / "detector.json"
    assert Detector.read(detector).provenance["notes"] == [fitted.result.caveats[0]]
    job = other.job("headhunt")
    job.write_text(job.read_text().replace("top_heads = 1", f'detector = "{detector}"\nallow_overlap = true'))
    assert analyze(load_job(job)).result.caveats[0].startswith("MEANINGLESS")


def test_tables_say_it_first(tmp_path: Path) -> None:
    planted = with_card(tmp_path, drawn=True)
    with open_scheduler("synchronous", 0) as scheduler:
        cases = (case_of(load_job(planted.job("hiprobe")), None),)
        table = measured_table(ExperimentContext(cases, StepCache(tmp_path / "steps"), scheduler, 1), "layers")
    assert table.notes[0] == "tiny: knows drawings; says nothing about any real camera."


@pytest.mark.parametrize(
    "command",
    [
        ["stability", "--draws", "1"],
        ["probing", "--folds", "2"],
        ["sweep", "--over", "sigma=0", "--draws", "1"],
        ["agreement", "--draws", "1"],
    ],
)
def test_other_experiments_say_it_last(tmp_path: Path, capsys: pytest.CaptureFixture[str], command: list[str]) -> None:
    planted = with_card(tmp_path, drawn=False)
    assert main([command[0], str(planted.job("hiprobe")), *command[1:], "--out", str(tmp_path / "o")]) == 0
    assert "\nNote: MEANINGLESS" in capsys.readouterr().out
    kept = json.loads((tmp_path / "o" / f"{command[0]}.json").read_text())
    assert kept["notes"][1] == "tiny: knows drawings; says nothing about any real camera."


def test_plan_and_extract_say_it_before_and_after_the_work(
    tmp_path: Path,
    tiny_backbones: Mapping[str, Path],
    write_video: Callable[..., Path],
    capsys: pytest.CaptureFixture[str],
) -> None:
    backbone = Path(shutil.copytree(tiny_backbones["qwen2_5_vl"], tmp_path / "backbone"))
    (backbone / "random_weights.json").unlink()
    (backbone / BACKBONE_CARD).write_text(json.dumps(CARD))
    (tmp_path / "videos").mkdir()
    write_video(tmp_path / "videos" / "clip.mp4", n_frames=20)
    job = write_job(tmp_path, "backbone")
    for command in ("plan", "extract"):
        assert main([command, str(job)]) == 0
        shown = capsys.readouterr().out
        assert "Note: MEANINGLESS: these videos are not drawings" in shown, command
        assert "Note: tiny: knows drawings; says nothing about any real camera." in shown, command
    assert "**MEANINGLESS" in (tmp_path / "features/set/segment-8-2/tiny/README.md").read_text()
