"""`vadprobe detect`, `detector build`, `detector show` and `extract --detector` as their users meet them."""

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.builders import edit_json
from tests.support.planted import write_planted
from vadprobe.analyze.detector.detector import Detector
from vadprobe.analyze.features.selected import read_selected
from vadprobe.analyze.locator.locator import Locator
from vadprobe.analyze.probes.linear import LogisticProbe
from vadprobe.analyze.saliency.selection import Selection
from vadprobe.flows.jobs.job import load_job
from vadprobe.store.reading.feature_store import FeatureStore


@pytest.fixture
def fitted(job: Callable[..., Path], run: Any, tmp_path: Path) -> Path:
    """A detector of two heads of the first block, fitted on nothing, beside the job whose features it reads."""
    path = job()
    assert run("extract", path)[0] == 0
    store = FeatureStore.open(load_job(path).stores[0])
    selection = Selection("head", "chosen", ((0, 1), (0, 0)))
    features = read_selected(store, selection, np.arange(len(store.clips)))
    coef = np.random.default_rng(1).standard_normal(features.shape[1])
    probe = LogisticProbe(features.mean(axis=0), features.std(axis=0) + 1e-3, coef, 0.0)
    packed = {"backbone": {"path": load_job(path).config.backbone.path, "frame_size": [56, 56]}}
    locator = Locator(0.0, float(np.median(probe.score(features))))
    detector = Detector("tiny", selection, probe, locator, store.spec, {"dataset": "set"}, packed)
    detector.write(tmp_path / "detector.json")
    return tmp_path / "detector.json"


def test_detect_prints_events_and_writes_its_files(run: Any, fitted: Path, tmp_path: Path) -> None:
    videos = tmp_path / "videos"
    out = tmp_path / "found"
    words = ["detect", videos, "--detector", fitted, "--out", out, "--device", "cpu", "--threads", 1]
    code, printed, _ = run(*words)
    assert code == 0
    assert "Smoothing: offline; a score is final 0 segments later." in printed
    assert "event from" in printed
    assert "2 videos, 6 segments" in printed
    scores = (out / "scores.jsonl").read_text().splitlines()
    assert len(scores) == 6
    assert sorted(path.parent.name for path in (out / "pictures").rglob("curve.png")) == ["clip0.mp4", "clip1.mp4"]
    (tmp_path / "broken.mp4").write_bytes(b"nothing" * 50)
    code, printed, _ = run(*words, "--overwrite", tmp_path / "broken.mp4", "--stay-above", "0.1", "--look-ahead", "0")
    assert code == 3
    assert "broken.mp4: 0 segments, 0 events; ended early" in printed
    assert (out / "scores.jsonl").read_text().splitlines() == scores


def test_standard_input_is_a_video(run: Any, fitted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with (tmp_path / "videos" / "clip0.mp4").open("rb") as video:
        monkeypatch.setattr(sys, "stdin", video)
        code, printed, err = run("detect", "-", "--detector", fitted, "--out", tmp_path / "live", "--device", "cpu")
    assert code == 0, err
    assert "stdin: 3 segments" in printed


def test_films_of_events_and_the_scored_video_are_written(run: Any, fitted: Path, tmp_path: Path) -> None:
    out = tmp_path / "found"
    words = ["detect", tmp_path / "videos" / "clip0.mp4", "--detector", fitted, "--out", out, "--device", "cpu"]
    assert run(*words, "--films", "--scored-video", "--padding", "0")[0] == 0
    n_events = len((out / "events.jsonl").read_text().splitlines())
    films = [path.name for path in (out / "pictures" / "clip0.mp4").glob("*.mp4")]
    assert "scored.mp4" in films
    assert len(films) == 1 + n_events
    assert "padding_seconds must be 0 or more" in run(*words, "--overwrite", "--padding=-1")[2]


def test_events_are_explained_on_request_and_marked_as_generated(run: Any, fitted: Path, tmp_path: Path) -> None:
    out = tmp_path / "found"
    words = ["detect", tmp_path / "videos", "--detector", fitted, "--out", out, "--device", "cpu", "--explain"]
    code, printed, _ = run(*words)
    assert code == 0
    events = [json.loads(line) for line in (out / "events.jsonl").read_text().splitlines()]
    head, *texts = [json.loads(line) for line in (out / "explanations.jsonl").read_text().splitlines()]
    assert head["notice"].startswith("Generated")
    assert printed.count("generated: ") == len(events) > 0
    places = [[(one["video"], one["start_frame"]) for one in some] for some in (events, texts)]
    assert places[0] == places[1]
    assert all(one["generated"] and one["reason"] is None and len(one["digest"]) == 64 for one in texts)


def test_detect_refuses_in_a_sentence(refused: Any, fitted: Path, tmp_path: Path) -> None:
    videos = tmp_path / "videos"
    assert "there is no detector" in refused("detect", videos, "--detector", tmp_path / "none.json")
    assert "--look-ahead must be a whole number" in refused("detect", videos, "--detector", fitted, "--look-ahead=-1")
    edit_json(fitted, lambda content: content["features"]["backbone"].update(revision="sha256:other"))
    assert "revision (backbone.revision: " in refused("detect", videos, "--detector", fitted)


def test_a_finished_analysis_is_packed_and_shown(run: Any, tmp_path: Path) -> None:
    path = write_planted(tmp_path).job("headhunt")
    path.write_text(path.read_text().replace("workers = 0", "workers = 0\ncurves = 0"))
    assert run("analyze", path)[0] == 0
    code, printed, _ = run("detector", "build", path, "--out", tmp_path / "packed.json")
    assert code == 0
    packed = Detector.read(tmp_path / "packed.json")
    assert packed.packed["backbone"]["path"] == "backbone"
    assert packed.packed["calibration"]["n_samples"] == 16
    result = json.loads((load_job(path).out / "results.json").read_text())["results"][0]
    assert packed.packed["measured"]["auc"] == result["auc"]
    assert packed.packed["measured"]["intervals"]["auc"] == result["intervals"]["auc"]
    assert (tmp_path / "packed.json").stat().st_size < 1_000_000
    shown = run("detector", "show", tmp_path / "packed.json")
    assert shown[0] == 0
    assert shown[1] in printed
    assert json.loads(run("detector", "show", tmp_path / "packed.json", "--json")[1]) == packed.to_json()


@pytest.mark.parametrize("way", ["option", "key"])
def test_extract_computes_and_keeps_only_what_a_detector_reads(
    run: Any, fitted: Path, job: Any, tmp_path: Path, way: str
) -> None:
    path = tmp_path / "job.toml"
    text = path.read_text().replace('root = "features"', 'root = "small"')
    path.write_text(text.replace("[backbone]", 'detector = "detector.json"\n[backbone]') if way == "key" else text)
    code, _, err = run("extract", path, *(["--detector", fitted] if way == "option" else []))
    assert code == 0, err
    (location,) = load_job(path).stores
    store = FeatureStore.open(location)
    assert store.contents.layers == ()
    assert store.contents.heads == ((0, 0), (0, 1))
    assert not store.contents.answers
    assert store.contents.depth(store.spec.backbone.n_layers, 0) == 1
    detector = Detector.read(fitted)
    detector.check(store.spec)
    whole = FeatureStore.open(tmp_path / "features" / location.relative_to(tmp_path / "small"))
    rows = np.arange(len(store.clips))
    mine, theirs = (read_selected(one, detector.selection, rows) for one in (store, whole))
    np.testing.assert_allclose(mine, theirs, atol=1e-6)


@pytest.mark.parametrize(
    ("change", "part"),
    [
        (("clip_length = 8", "clip_length = 9"), r"sampling (sampling.clip_length: 9, not 8)"),
        (('prompts = ["coarse"]', 'prompts = ["question"]'), "prompt (prompt.text: "),
        (("frame_size = [56, 56]", "frame_size = [56, 84]"), "frame size (recipe.frame_size: [56, 84], not [56, 56])"),
        (('dtype = "float32"', 'dtype = "bfloat16"'), "dtype (backbone.dtype: 'bfloat16', not 'float32')"),
    ],
)
def test_a_job_of_other_features_is_refused_with_the_part_named(
    refused: Any, fitted: Path, tmp_path: Path, change: tuple[str, str], part: str
) -> None:
    path = tmp_path / "job.toml"
    text = path.read_text().replace("[backbone]", 'detector = "detector.json"\n[backbone]')
    path.write_text(text.replace(*change).replace('"features"', '"small"'))
    assert part in refused("extract", path)
    assert not (tmp_path / "small").exists()


def test_a_sampling_names_its_parts_once(refused: Any, fitted: Path, tmp_path: Path) -> None:
    path = tmp_path / "job.toml"
    path.write_text(path.read_text().replace("[backbone]", 'detector = "d.json"\nlayers = [1]\n[backbone]'))
    assert "detector names the layers, heads and answers to keep" in refused("extract", path)
    path.write_text(path.read_text().replace('detector = "d.json"\nlayers = [1]\n', ""))
    spec = replace(Detector.read(fitted).features.sampling, clip_length=24)
    edit_json(fitted, lambda content: content["features"]["sampling"].update(clip_length=spec.clip_length))
    assert "its samplings are segment-8-2" in refused("extract", path, "--detector", fitted)
