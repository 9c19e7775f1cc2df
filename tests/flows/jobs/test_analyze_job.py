"""Stage 2 end to end on stores with a planted signal: found, reported, repeatable, and blind to the test labels."""

import contextlib
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from tests.support import profiles
from tests.support.planted import HEAD, LAYER, Planted, blank_pictures, write_planted
from vadprobe.analyze.compute import pools
from vadprobe.analyze.detector.detector import Detector
from vadprobe.flows.jobs.analyze_job import analyze, combine
from vadprobe.flows.jobs.job import load_job
from vadprobe.store.datasets.dataset import write_manifest
from vadprobe.store.datasets.video import Interval, Video
from vadprobe.store.errors import VadprobeError

METHODS = ("hiprobe", "headhunt")
pytestmark = pytest.mark.usefixtures("blank")  # only the pictures of the first analysis are looked at


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Planted:
    planted = write_planted(tmp_path_factory.mktemp("planted"), failed_row=5)
    analyze(load_job(planted.job("headhunt")))
    with contextlib.nullcontext() if profiles.LONG else blank_pictures():
        analyze(load_job(planted.job("hiprobe")))
    return planted


def results(planted: Planted, method: str) -> dict[str, object]:
    entry: dict[str, object] = json.loads((planted.folder / f"out-{method}" / "results.json").read_text())["results"][0]
    return entry


@pytest.fixture
def again(planted: Planted, tmp_path: Path) -> Planted:
    """A copy of that workspace that a test may change."""
    return copy_of(planted, tmp_path)


def rewrite(planted: Planted, **changes: Any) -> None:
    """Write the manifest with some of the dataset changed."""
    write_manifest(replace(planted.dataset, **changes), planted.folder / "manifest")


def finished(planted: Planted, job: Path, more: str = "") -> Path:
    """Let a job score with the finished detector of heads."""
    shutil.copy(planted.folder / "out-headhunt" / "detector.json", job.parent / "finished.json")
    job.write_text(job.read_text().replace("top_heads = 1", f'detector = "finished.json"{more}'))
    return job


def copy_of(planted: Planted, folder: Path) -> Planted:
    shutil.copytree(planted.folder, folder / "copy")
    return Planted(folder / "copy", planted.dataset)


def test_without_the_rows_to_fit_on_the_way_to_score_with_a_finished_detector_is_named(
    planted: Planted, again: Planted
) -> None:
    for store in again.folder.glob("features/planted/video-8/*/*.zarr"):  # what 'pull --splits test' leaves out
        shutil.rmtree(store)
    shutil.rmtree(again.folder / "steps")
    with pytest.raises(VadprobeError, match=r"after 'vadprobe pull --detector', set analysis\.detector to"):
        analyze(load_job(again.job("hiprobe")))
    outcome = analyze(load_job(finished(again, again.job("headhunt"))))
    assert outcome.result.to_json()["auc"] == results(planted, "headhunt")["auc"]


@pytest.mark.parametrize(("method", "index"), [("hiprobe", [LAYER]), ("headhunt", list(HEAD))])
def test_the_planted_layer_or_head_is_chosen_and_separates_the_test_frames(
    planted: Planted, method: str, index: list[int]
) -> None:
    entry = results(planted, method)
    assert entry["selection"]["indices"] == [index]  # type: ignore[index]
    assert entry["auc"] > 0.95  # type: ignore[operator]
    for baseline in entry["baselines"].values():  # type: ignore[attr-defined]
        assert entry["auc"] > baseline["auc"]  # type: ignore[operator]


@pytest.mark.parametrize("method", METHODS)
def test_the_numbers_are_those_of_the_expanded_frames(planted: Planted, method: str) -> None:
    table = pq.read_table(planted.folder / f"out-{method}" / "scores.parquet").to_pylist()
    scores, truth = [], []
    for row in table:
        if row["split"] == "test":
            frames = planted.dataset.truth(row["video_id"], row["stop_frame"])[row["start_frame"] :]
            scores += [row["score"]] * len(frames)
            truth += frames.tolist()
    entry = results(planted, method)
    assert entry["auc"] == pytest.approx(roc_auc_score(truth, scores), abs=1e-12)
    assert entry["ap_step"] == pytest.approx(average_precision_score(truth, scores), abs=1e-12)
    test_videos = [video for video in planted.dataset.videos if video.split == "test"]
    assert entry["n_frames"] == len(truth) == sum(video.n_frames or 0 for video in test_videos)
    assert entry["n_positive"] == sum(truth)


@pytest.mark.parametrize("method", METHODS)
def test_a_second_run_writes_the_same_bytes(planted: Planted, again: Planted, method: str) -> None:
    names = ["results.json", "detector.json", "saliency.json", "calibration.json"]
    for run in ("from what was computed before", "computed again"):
        analyze(load_job(again.job(method)))
        for name in names:
            first, second = (folder / f"out-{method}" / name for folder in (planted.folder, again.folder))
            assert first.read_bytes() == second.read_bytes(), (name, run)
        shutil.rmtree(again.folder / "steps")


def test_worker_processes_change_no_number(planted: Planted, again: Planted, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the short profile the worker is a thread that is spoken to as a process; test_blocks.py starts processes."""
    start = pools.LocalCluster
    if not profiles.LONG:
        apart = {"processes": False, "protocol": "tcp"}
        monkeypatch.setattr(pools, "LocalCluster", lambda **settings: start(**settings | apart))
    job = again.job("headhunt")
    job.write_text(job.read_text().replace("workers = 0", f"workers = {2 if profiles.LONG else 1}"))
    shutil.rmtree(again.folder / "steps")  # with what was computed before, the workers have nothing to do
    analyze(load_job(job))
    for name in ("results.json", "detector.json", "saliency.json"):
        first, second = (folder / "out-headhunt" / name for folder in (planted.folder, again.folder))
        assert first.read_bytes() == second.read_bytes(), name


@pytest.mark.parametrize("method", METHODS)
def test_changed_test_labels_change_the_numbers_but_nothing_that_was_fitted(
    planted: Planted, again: Planted, method: str
) -> None:
    test_ids = {video.video_id for video in again.dataset.of_split("test")}
    videos = tuple(
        replace(video, label=1 - (video.label or 0)) if video.video_id in test_ids else video
        for video in again.dataset.videos
    )
    intervals = [interval for interval in again.dataset.intervals if interval.video_id not in test_ids]
    intervals += [Interval(video.video_id, 0, 96) for video in videos if video.video_id in test_ids and video.label]
    rewrite(again, videos=videos, intervals=tuple(intervals))
    analyze(load_job(again.job(method)))
    before, after = (Detector.read(f / f"out-{method}" / "detector.json") for f in (planted.folder, again.folder))
    assert before.selection.indices == after.selection.indices
    assert np.array_equal(before.probe.coef, after.probe.coef)
    assert before.locator == after.locator
    assert results(planted, method)["auc"] != results(again, method)["auc"]
    assert results(planted, method)["ground_truth_digest"] != results(again, method)["ground_truth_digest"]


def test_a_detector_scores_another_dataset_without_fitting(planted: Planted, tmp_path: Path) -> None:
    other = write_planted(tmp_path / "other", seed=7)
    outcome = analyze(load_job(finished(planted, other.job("headhunt"))))
    assert outcome.result.evaluation is not None
    assert outcome.result.evaluation.auc > 0.95
    fitted, used = (
        Detector.read(path)
        for path in (planted.folder / "out-headhunt" / "detector.json", other.folder / "out-headhunt" / "detector.json")
    )
    assert np.array_equal(fitted.probe.coef, used.probe.coef)
    assert not (other.folder / "out-headhunt" / "saliency.json").exists()


def test_a_detector_of_another_prompt_is_refused_by_name(again: Planted) -> None:
    job = finished(again, again.job("headhunt"), '\nscore_prompt = "question"')
    with pytest.raises(VadprobeError, match=r"other features than the store holds: prompt \(prompt\.text"):
        analyze(load_job(job))


@pytest.mark.parametrize("method", METHODS)
def test_the_page_holds_its_pictures_and_names_what_could_not_be_read(planted: Planted, method: str) -> None:
    page = (planted.folder / f"out-{method}" / "report.html").read_text()
    assert page.count('<figure class="curve" data-video=') == 6
    assert 'data-chart="calibration"' in page
    assert ('data-chart="layers-saliency"' in page) == (method == "hiprobe")
    assert ('data-chart="heads-0-robust"' in page) == (method == "headhunt")
    assert "broken" in page
    assert "the file is empty (0 bytes)" in page
    assert "decord cannot decode these frames" in page
    assert "http" not in page.replace("http-equiv", "")  # nothing is fetched when the page is opened


def test_one_page_combines_both_methods(planted: Planted, tmp_path: Path) -> None:
    page = combine([load_job(planted.job(method)) for method in METHODS], tmp_path / "both.html").read_text()
    assert 'data-chart="layers-saliency"' in page
    assert 'data-chart="heads-0-robust"' in page
    assert page.count('class="measured"') == 2 * 2


def test_calibration_names_the_training_video_that_could_not_be_read(again: Planted) -> None:
    broken = replace(again.dataset.videos[0], video_id="broken", path="broken.mp4", label=0)
    rewrite(again, videos=(*again.dataset.videos, broken))
    analyze(load_job(again.job("hiprobe")))
    assert json.loads((again.folder / "out-hiprobe" / "calibration.json").read_text())["left_out"] == ["broken"]


@pytest.mark.parametrize(
    ("damaged", "words"),
    [
        ("features", "there are no features"),
        ("manifest/videos.parquet", r"no file videos\.parquet"),
        ("features/*/video-8/tiny/coarse.records/000000.json", r"0 of 1 partitions are written"),
        ("features/*/video-8/tiny/coarse.zarr/head_outputs/c/0/0/0/0", "damaged"),
    ],
)
def test_missing_or_damaged_inputs_are_sentences(again: Planted, damaged: str, words: str) -> None:
    shutil.rmtree(again.folder / "steps")  # with what was computed before, no shard is read
    (path,) = again.folder.glob(damaged)
    if path.is_dir():
        shutil.rmtree(path)
    elif path.suffix:
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:-7])  # a shard
    with pytest.raises(VadprobeError, match=words):
        analyze(load_job(again.job("headhunt")))


def held_out(planted: Planted, tmp_path: Path, validation: str, locator: str, more: str = "") -> Path:
    """A job whose validation videos are drawn from the test split: the manifest knows no validation video."""
    again = copy_of(planted, tmp_path)
    videos = tuple(replace(v, split="test") if v.split == "validation" else v for v in again.dataset.videos)
    rewrite(again, videos=videos)
    job = again.job("headhunt")
    text = job.read_text().replace('{sigmas = [0.0, 1.0], threshold = "grid"}', locator)
    job.write_text(text.replace("[store]", f"{validation}\n[store]").replace("top_heads = 1", f"top_heads = 1\n{more}"))
    return job


def test_videos_held_out_for_the_grid_are_in_no_reported_number(planted: Planted, tmp_path: Path) -> None:
    grid = '{sigmas = [0.0, 1.0], threshold = "grid"}'
    job = held_out(planted, tmp_path, "[dataset.validation]\nfraction = 0.34\nseed = 3", grid)
    outcome = analyze(load_job(job))
    result = outcome.result
    assert "4 test videos of planted were held out" in outcome.table()
    assert "4 test videos of planted were held out" in outcome.report.read_text()
    detector = Detector.read(job.parent / "out-headhunt" / "detector.json")
    assert len(detector.provenance["tuned_on"]) == 4
    assert result.to_json()["held_out"] == sorted(detector.provenance["tuned_on"])
    assert result.evaluation is not None
    assert result.evaluation.n_videos == 12 - 4
    assert result.videos is not None
    assert not set(detector.provenance["tuned_on"]) & set(result.videos["video_id"].to_pylist())
    assert not result.overlap


def test_a_grid_on_the_reported_videos_is_refused_by_name_or_stamped(planted: Planted, tmp_path: Path) -> None:
    grid = '{sigmas = [0.0], threshold = "grid", split = "test"}'
    job = held_out(planted, tmp_path / "refused", "", grid)
    before = (job.parent / "out-headhunt" / "detector.json").read_bytes()
    with pytest.raises(VadprobeError, match="something was tuned on 12 of the reported videos: video16"):
        analyze(load_job(job))
    assert (job.parent / "out-headhunt" / "detector.json").read_bytes() == before, "refused before anything is fitted"
    job = held_out(planted, tmp_path / "allowed", "", grid, "allow_overlap = true")
    outcome = analyze(load_job(job))
    assert len(outcome.result.overlap) == 12
    assert "Fitted or tuned on 12 of the reported videos" in outcome.table()
    assert "fitted or tuned on 12 of the reported videos" in outcome.report.read_text()


def test_the_grid_sees_no_video_without_truth(again: Planted) -> None:
    """A validation video without a label counts as no normal one; an anomalous one needs to say where."""
    whole = again.dataset
    detectors = []
    for change in (lambda v: None, lambda v: replace(v, label=None, category=None)):  # left out, and without a label
        videos = [change(v) if v.video_id == "video17" else v for v in whole.videos]
        intervals = tuple(i for i in whole.intervals if i.video_id != "video17")
        known = tuple(video for video in videos if video is not None)
        rewrite(again, videos=known, intervals=intervals)
        analyze(load_job(again.job("headhunt")))
        detectors.append(Detector.read(again.folder / "out-headhunt" / "detector.json"))
    assert detectors[0].locator == detectors[1].locator
    assert [sorted(d.provenance["tuned_on"]) for d in detectors] == [
        ["video16", *(f"video{n}" for n in range(18, 22))]
    ] * 2
    rewrite(again, intervals=intervals)
    with pytest.raises(VadprobeError, match=r"1 anomalous validation videos have no interval \(video17\)"):
        analyze(load_job(again.job("headhunt")))


def test_a_detector_is_not_reported_on_the_videos_it_was_fitted_on(planted: Planted, again: Planted) -> None:
    swapped = {"train": "test", "test": "train", "validation": "validation"}
    videos = tuple(replace(v, split=swapped[v.split]) for v in again.dataset.videos)
    rewrite(again, videos=videos)
    job = finished(again, again.job("headhunt"))
    with pytest.raises(VadprobeError, match=r"fitted on 16 of the reported videos: video00, video01"):
        analyze(load_job(job))


def test_a_split_without_labels_says_why_its_numbers_are_unknown(again: Planted) -> None:
    unlabelled = {video.video_id for video in again.dataset.of_split("test")}
    videos = [replace(v, label=None, category=None) if v.video_id in unlabelled else v for v in again.dataset.videos]
    intervals = tuple(i for i in again.dataset.intervals if i.video_id not in unlabelled)
    rewrite(again, videos=tuple(videos), intervals=intervals)
    outcome = analyze(load_job(again.job("hiprobe")))
    assert outcome.result.n_videos_unlabelled == len(unlabelled)
    assert "Note: No scored video of the split 'test' has a label" in outcome.table()


def test_labelled_videos_without_scores_are_named(again: Planted) -> None:
    extra = Video("never-extracted", "n.mp4", 100, 25.0, "test", 1)
    rewrite(again, videos=(*again.dataset.videos, extra))
    outcome = analyze(load_job(again.job("hiprobe")))
    assert outcome.result.missing_videos == ("never-extracted",)
    assert "1 labelled video of the split without scores" in outcome.table()
