"""Files beside a result: detected events, the backbone's answers, reliability, shift; none has seen the test truth."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from tests.support.planted import Planted, write_planted
from vadprobe.analyze.detector.results.result_files import format_table
from vadprobe.analyze.detector.results.text_baseline import ANSWERS_PARQUET
from vadprobe.analyze.evaluation.events.events import detect_events
from vadprobe.analyze.locator.event_files import EVENTS_PARQUET, read_events
from vadprobe.flows.jobs.analyze_job import analyze
from vadprobe.flows.jobs.job import load_job
from vadprobe.store.datasets.dataset import write_manifest
from vadprobe.store.files.parquet import read_parquet

pytestmark = pytest.mark.usefixtures("blank")
OUT = {method: f"out-{method}" for method in ("hiprobe", "headhunt")}
TRUTH_COLUMNS = ["true_fraction", "iou"]


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Planted:
    planted = write_planted(tmp_path_factory.mktemp("planted"), strength=1.5, failed_row=330)
    for method in OUT:
        analyze(load_job(planted.job(method)))
    return planted


def entry(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "results.json").read_text())["results"][0]
    return found


def of_split(table: pa.Table, split: str) -> pa.Table:
    return table.filter(pc.equal(table["split"], split))


def text(table: pa.Table) -> str:
    """Every bit of the numbers as text: unknown ones are equal here, and nowhere else."""
    return repr(table.to_pylist())


@pytest.mark.parametrize("method", OUT)
def test_the_events_are_those_of_the_scores_and_of_the_result(planted: Planted, method: str) -> None:
    folder = planted.folder / OUT[method]
    events, scores, result = (
        read_events(folder / EVENTS_PARQUET),
        read_parquet(folder / "scores.parquet"),
        entry(folder),
    )
    anomalous = of_split(events, "test").filter(pc.equal(of_split(events, "test")["kind"], "anomalous"))
    assert anomalous.num_rows == result["n_events_found"] > 0
    codes = {name: code for code, name in enumerate(sorted(set(scores["video_id"].to_pylist())))}
    rows = of_split(scores, "test").to_pylist()
    columns = ([row[name] for row in rows] for name in ("score", "start_frame", "stop_frame"))
    values, starts, stops = (np.array(column) for column in columns)
    groups = np.array([codes[row["video_id"]] for row in rows])
    found = detect_events(values.astype(np.float64), starts, stops, groups, result["threshold"])
    assert [codes[name] for name in anomalous["video_id"].to_pylist()] == found.groups.tolist()
    assert anomalous["start_frame"].to_pylist() == found.start_frames.tolist()
    assert anomalous["stop_frame"].to_pylist() == found.stop_frames.tolist()
    assert anomalous["mean_score"].to_pylist() == pytest.approx(found.confidences.tolist(), abs=1e-12)


def test_every_frame_is_in_one_segment_and_a_clip_that_failed_in_its_own(planted: Planted) -> None:
    events = read_events(planted.folder / OUT["hiprobe"] / EVENTS_PARQUET)
    unknown = events.filter(pc.equal(events["kind"], "unknown")).to_pylist()
    assert len(unknown) == 1
    assert unknown[0]["mean_score"] is None
    for video in planted.dataset.videos:
        rows = events.filter(pc.equal(events["video_id"], video.video_id)).to_pylist()
        if video.split != "train":
            edges = [row["start_frame"] for row in rows] + [rows[-1]["stop_frame"]]
            assert edges == [0, *(row["stop_frame"] for row in rows)]
            assert edges[-1] == video.n_frames
            assert rows[-1]["stop_second"] == pytest.approx((video.n_frames or 0) / 25)


def test_the_overlap_is_that_of_the_frames(planted: Planted) -> None:
    events = read_events(planted.folder / OUT["headhunt"] / EVENTS_PARQUET).to_pylist()
    for row in events:
        truth = planted.dataset.truth(row["video_id"], 10_000)
        inside = truth[row["start_frame"] : row["stop_frame"]]
        assert row["true_fraction"] == pytest.approx(inside.mean())
        if row["kind"] == "anomalous":
            (interval,) = planted.dataset.intervals_of(row["video_id"]) or (None,)
            either = inside.size + (0 if interval is None else truth.sum() - inside.sum())
            assert row["iou"] == pytest.approx(inside.sum() / either)
        else:
            assert row["iou"] is None


def test_answers_are_smoothed_with_the_edge_of_the_job(tmp_path: Path) -> None:
    planted = write_planted(tmp_path)
    path = planted.job("hiprobe")
    found = []
    for edge in ("reflect", "zero"):
        path.write_text(path.read_text().replace('"adaptive"', f'"adaptive", edge = "{edge}"', 1))
        analyze(load_job(path))
        answers = read_parquet(planted.folder / OUT["hiprobe"] / ANSWERS_PARQUET)
        found.append(answers["p_yes_detailed_smoothed"].to_numpy())
        path.write_text(path.read_text().replace(f', edge = "{edge}"', ""))
    known = np.isfinite(found[0])
    assert known.any()
    assert (found[1] <= found[0] + 1e-12)[known].all()  # zeros beyond the ends draw the ends down, and nothing else
    assert (found[1] < found[0] - 1e-3)[known].any()


def test_the_backbones_own_answers_stand_beside_the_method(planted: Planted) -> None:
    folder = planted.folder / OUT["headhunt"]
    baselines = entry(folder)["text_output"]
    assert [baseline["prompt"] for baseline in baselines] == ["coarse", "detailed", "question"]
    answers = read_parquet(folder / ANSWERS_PARQUET)
    for baseline in baselines:
        prompt = baseline["prompt"]
        assert list(baseline["rows"]) == [f"p(yes), {prompt}", f"p(yes), {prompt}, smoothed"]
        for found in baseline["rows"].values():
            low, high = found["intervals"]["auc"]
            assert low <= found["auc"] <= high
        assert {f"p_yes_{prompt}", f"p_yes_{prompt}_smoothed"} <= set(answers.column_names)
    page = (folder / "report.html").read_text()
    assert "p(yes), question, smoothed" in page
    assert "sigmoid(yes - no)" in page


def test_reliability_and_shift_are_in_result_and_page(planted: Planted) -> None:
    for name in OUT.values():
        found = entry(planted.folder / name)
        assert found["reliability"]["n_frames"] == found["n_frames"]
        assert 0 <= found["reliability"]["brier"] <= 1
        assert found["shift"]["n_calibration"] == 16
        assert 0 <= found["shift"]["auc"] <= 1
        page = (planted.folder / name / "report.html").read_text()
        assert found["shift"]["sentence"] in page.replace("&#39;", "'")
        assert "Brier score" in page


def changed_labels(planted: Planted) -> None:
    """Swap the labels of the test videos, with intervals of their own."""
    dataset = planted.dataset
    test_ids = {video.video_id for video in dataset.of_split("test")}
    videos = tuple(replace(v, label=1 - (v.label or 0)) if v.video_id in test_ids else v for v in dataset.videos)
    intervals = [interval for interval in dataset.intervals if interval.video_id not in test_ids]
    intervals += [
        replace(dataset.intervals[0], video_id=v.video_id, start_frame=0, stop_frame=50)
        for v in videos
        if v.video_id in test_ids and v.label
    ]
    write_manifest(replace(dataset, videos=videos, intervals=tuple(intervals)), planted.folder / "manifest")


@pytest.mark.parametrize("method", OUT)
def test_test_labels_change_no_event_no_answer_and_no_shift(planted: Planted, method: str, tmp_path: Path) -> None:
    other = write_planted(tmp_path, strength=1.5, failed_row=330)
    changed_labels(other)
    analyze(load_job(other.job(method)))
    mine, theirs = (folder / OUT[method] for folder in (planted.folder, other.folder))
    events = [read_events(folder / EVENTS_PARQUET) for folder in (mine, theirs)]
    assert not events[0].equals(events[1])  # the overlap with the truth is another
    assert events[0].drop_columns(TRUTH_COLUMNS).equals(events[1].drop_columns(TRUTH_COLUMNS))
    assert (mine / ANSWERS_PARQUET).read_bytes() == (theirs / ANSWERS_PARQUET).read_bytes()
    assert entry(mine)["shift"] == entry(theirs)["shift"]
    assert entry(mine)["reliability"]["brier"] != entry(theirs)["reliability"]["brier"]


@pytest.mark.parametrize("method", OUT)
def test_test_videos_change_nothing_of_other_videos(planted: Planted, method: str, tmp_path: Path) -> None:
    """Other features and labels of the test videos leave threshold, events and answers of the others bit for bit."""
    other = write_planted(tmp_path, strength=1.5, failed_row=330, other_test=True)
    analyze(load_job(other.job(method)))
    mine, theirs = (folder / OUT[method] for folder in (planted.folder, other.folder))
    found = [json.loads((folder / "events.json").read_text()) for folder in (mine, theirs)]
    assert [found[0][name] for name in ("threshold", "sigma")] == [found[1][name] for name in ("threshold", "sigma")]
    readers: tuple[tuple[str, Callable[[Path], pa.Table]], ...] = (
        (EVENTS_PARQUET, read_events),
        (ANSWERS_PARQUET, read_parquet),
    )
    for name, read in readers:
        before, after = (read(folder / name) for folder in (mine, theirs))
        assert of_split(before, "validation").num_rows > 0
        assert text(of_split(before, "validation")) == text(of_split(after, "validation")), name
        assert text(of_split(before, "test")) != text(of_split(after, "test")), name  # were they seen, it would show


def test_a_finished_detector_and_videos_without_truth_have_events_too(planted: Planted, tmp_path: Path) -> None:
    other = write_planted(tmp_path, strength=1.5, seed=7)
    videos = tuple(replace(video, label=None, category=None) for video in other.dataset.videos)
    write_manifest(replace(other.dataset, videos=videos, intervals=()), other.folder / "manifest")
    job = other.job("headhunt")
    detector = (planted.folder / OUT["headhunt"] / "detector.json").read_bytes()
    (other.folder / "finished.json").write_bytes(detector)
    job.write_text(job.read_text().replace("top_heads = 1", 'detector = "finished.json"\nallow_overlap = true'))
    analyze(load_job(job))
    folder = other.folder / OUT["headhunt"]
    events = read_events(folder / EVENTS_PARQUET)
    assert set(events["kind"].to_pylist()) == {"anomalous", "normal"}
    assert events["iou"].null_count == events["true_fraction"].null_count == events.num_rows
    found = entry(folder)
    assert found["reliability"] is None
    assert "the detector was fitted elsewhere" in found["shift"]["sentence"]
    lines = format_table([found | {"preset": "a long name " * 4}]).splitlines()
    assert len(lines[0]) == len(lines[1])  # the numbers stand below their heads
    assert [line for line in lines if "p(yes)" in line] == [
        f"  p(yes), {prompt}, is unknown: no scored video has a label" for prompt in ("coarse", "detailed", "question")
    ]
    assert (folder / ANSWERS_PARQUET).exists()
