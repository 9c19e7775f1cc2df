"""The shipped demo backbone through the whole way, on a world of its own seed: what it sees, the methods find."""

import json
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from tests.support.paths import ROOT
from tests.support.planted import blank_pictures
from vadprobe.analyze.locator.event_files import EVENTS_PARQUET, read_events
from vadprobe.analyze.locator.explanation_files import place_of
from vadprobe.extract.demo.captioner.sentences import kinds_said
from vadprobe.extract.demo.scenes.shot import NAMED_KINDS
from vadprobe.flows.command_line import main
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


def test_a_detection_gives_the_scores_and_events_of_the_cached_pipeline(jobs: list[Job], tmp_path: Path) -> None:
    """`vadprobe detect` with `detector.json` as the analysis wrote it: it names the checkpoint itself."""
    folder, out = jobs[0].workspace / "surveillance" / "videos", tmp_path / "found"
    scores, events = (pq.read_table(jobs[0].out / name).to_pylist() for name in ("scores.parquet", EVENTS_PARQUET))
    anomalous = [row for row in events if row["kind"] == "anomalous" and row["split"] == "test"]
    names = list(dict.fromkeys(row["video_id"] for row in anomalous))[:4]
    videos = [str(folder / f"{name}.mp4") for name in names]
    with blank_pictures():
        words = ["detect", *videos, "--detector", jobs[0].out / "detector.json", "--out", out, "--device", "cpu"]
        assert main([*map(str, words), "--threads", "1"]) == 0
    found = [json.loads(line) for line in (out / "scores.jsonl").read_text().splitlines()]
    wanted = [row for name in names for row in scores if row["video_id"] == name]
    assert [(row["video"], row["start_frame"], row["stop_frame"]) for row in found] == [
        (f"{row['video_id']}.mp4", row["start_frame"], row["stop_frame"]) for row in wanted
    ]
    np.testing.assert_allclose([row["score"] for row in found], [row["raw_score"] for row in wanted], atol=1e-5)
    np.testing.assert_allclose([row["smoothed"] for row in found], [row["score"] for row in wanted], atol=1e-5)
    places = [json.loads(line) for line in (out / "events.jsonl").read_text().splitlines()]
    true_places = [row for name in names for row in anomalous if row["video_id"] == name]
    numbers = ("start_frame", "stop_frame", "peak_frame")
    assert [[row[name] for name in numbers] for row in places] == [
        [row[name] for name in numbers] for row in true_places
    ]
    np.testing.assert_allclose([row["peak_score"] for row in places], [r["peak_score"] for r in true_places], atol=1e-5)


def test_texts_of_clearly_detected_events_name_what_happens(jobs: list[Job]) -> None:
    """Of events of kinds that the captions named; a text that names one kind of all would be right in one of six."""
    found, category = explain(jobs[0]), {v.video_id: v.category for v in open_truth_of(jobs[0])[0].videos}
    events = read_events(jobs[0].out / EVENTS_PARQUET).to_pylist()
    clear = [row for row in events if (row["iou"] or 0) >= 0.3 and category[row["video_id"]] in NAMED_KINDS]
    assert len(clear) >= 8
    rows = [(found.of(*place_of(row)), category[row["video_id"]]) for row in clear]
    named = [row is not None and kind in kinds_said(row["text"] or "") for row, kind in rows]
    assert np.mean(named) >= 0.6


def readme_commands(heading: str) -> list[list[str]]:
    """Return the words of each vadprobe command below a heading of the README."""
    section = (ROOT / "README.md").read_text(encoding="utf-8").partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    lines = section.partition("```\n")[2].partition("```")[0].splitlines()
    return [shlex.split(line, comments=True)[1:] for line in lines if line.startswith("vadprobe ")]


def run_all(commands: list[list[str]]) -> None:
    """Run commands as the program does; each must end well."""
    with blank_pictures():
        for words in commands:
            assert main(words) == 0, words


@pytest.fixture
def beside_the_demo(jobs: list[Job], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder as a user has it after `make demo`, with a few videos in `my-videos`; the work goes on there."""
    (tmp_path / "demo-out").symlink_to(jobs[0].workspace)
    (tmp_path / "my-videos").mkdir()
    # The detector was not fitted on these.
    names = [video.video_id for video in open_truth_of(jobs[0])[0].of_split("test")]
    for name in [name for name in sorted(names) if name.startswith(("Fall", "Fighting", "Normal"))][:24]:
        (tmp_path / "my-videos" / f"{name}.mp4").symlink_to(
            jobs[0].workspace / "surveillance" / "videos" / f"{name}.mp4"
        )
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_readme_scores_own_videos_by_the_demos_detector(beside_the_demo: Path) -> None:
    commands = readme_commands("Your own videos")
    assert [words[0] for words in commands] == ["init", "plan", "extract", "analyze"]
    run_all(commands)
    scores = pq.read_table("results/scores.parquet")
    assert set(scores["video_id"].to_pylist()) == {path.stem for path in Path("my-videos").iterdir()}
    assert Path("results/report.html").exists()


def test_the_readme_fits_a_detector_on_own_labels(beside_the_demo: Path) -> None:
    videos = sorted(Path("my-videos").iterdir())
    rows = [f"{path.stem},{'train' if n % 3 else 'test'},{int(path.name[0] == 'F')}" for n, path in enumerate(videos)]
    Path("labels.csv").write_text("\n".join(["video_id,split,label", *rows]) + "\n")
    commands = readme_commands("Your own GPU and a real backbone")
    assert [words[0] for words in commands] == ["doctor", "init", "extract", "analyze", "detector"]
    # Neither the hub nor a GPU is here: the demo's backbone takes the place of the one, the CPU that of the other.
    here = {"OpenGVLab/InternVL3-8B-hf": "demo-out/backbones/demo-captioner"}
    commands = [[here.get(word, word) for word in words if word not in ("--devices", "all")] for words in commands]
    run_all(commands[1:])
    assert main(commands[0]) in (0, 1)
    assert json.loads(Path("detector.json").read_text())["selection"]["unit"] == "head"
