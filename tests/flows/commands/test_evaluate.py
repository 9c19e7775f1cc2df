"""`vadprobe evaluate` as its users meet it."""

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from tests.support.oracles.reference_evaluation import NO_SHARED, SHARED
from vadprobe.analyze.evaluation import measuring
from vadprobe.analyze.locator.event_files import read_events
from vadprobe.analyze.report import evaluation_files

LENGTHS = {"a": 40, "b": 50, "c": 33, "d": 16}
INTERVALS = {"b": [(10, 20), (30, 35)], "c": [(0, 9)]}
MANIFEST = "video_id,label,category,n_frames,intervals\na,0,,40,\nb,1,fire,50,10-20;30-35\nc,1,fall,33,0-9\nd,0,,16,\n"
GENERATOR = np.random.default_rng(3)
SCORES = {name: GENERATOR.integers(0, 9, n).repeat(3)[:n] / 8 for name, n in LENGTHS.items()}
PNG = b"\x89PNG\r\n"
UCF = "Abuse001_x264.mp4  Abuse  10  20  30  39 \nNormal_Videos_003_x264.mp4  Normal  -1  -1  -1  -1\n"


@pytest.fixture
def run(run):
    """Run the command: (exit code, standard output, standard error)."""
    return lambda *words: run("evaluate", *words)


def save(path, scores=SCORES):
    """Scores per frame."""
    path.write_text(json.dumps({name: np.asarray(values).tolist() for name, values in scores.items()}))
    return path


@pytest.fixture
def own(tmp_path, monkeypatch):
    """A folder with a manifest and scores, which is where the command runs."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own.csv").write_text(MANIFEST)
    save(tmp_path / "s.json")
    return tmp_path


@pytest.fixture
def no_pictures(monkeypatch):
    """Most of a small evaluation's time goes into drawing."""
    monkeypatch.setattr(evaluation_files, "_pictures", lambda measured: {})


OWN = ("--scores", "s.json", "--format", "manifest", "--annotations", "own.csv", "--resamples", "20")


def metrics_in(folder):
    return json.loads((folder / "metrics.json").read_text())


@pytest.mark.skipif(not SHARED.is_dir(), reason=NO_SHARED)
def test_published_scores_give_their_published_numbers(tmp_path, run) -> None:
    msad = SHARED / "msad"
    words = ("--scores", msad / "vadtree_scores.json", "--scores-key", "vid_score", "--format", "msad")
    words += ("--annotations", msad, "--intervals", "zero-based-closed", "--out", tmp_path, "--resamples", "20")
    code, out, err = run(*words)
    assert (code, err) == (0, "")
    metrics = metrics_in(tmp_path)
    assert round(metrics["auc"], 4) == 0.8932
    assert round(metrics["pr_area_trapezoid"], 4) == 0.7141
    assert round(metrics["ap_step"], 4) == 0.7130
    assert (metrics["n_videos"], metrics["n_frames"], metrics["n_positive"]) == (240, 146_408, 33_671)
    assert {"auc_abnormal_only", "auc_macro", "ground_truth_digest"} <= metrics.keys()
    assert metrics["baselines"].keys() == {"video_flat", "shorter", "centre", "random"}
    default = metrics["by_convention"]["zero-based-half-open"]
    assert (round(default["auc"], 5), round(default["pr_area_trapezoid"], 5)) == (0.89320, 0.71353)
    lines = out.splitlines()
    assert any(line.split() == ["these", "scores", "0.8932", "0.7130", "0.7141", "0.6785", "0.6435"] for line in lines)
    assert any(line.split()[1:] == ["(default)", "0.8932", "0.7125", "0.7135", "33619"] for line in lines)
    assert "Against the default, zero-based-closed counts 52 more anomalous frames" in out
    for name in ("curves.png", "videos.png"):
        assert (tmp_path / name).read_bytes().startswith(PNG)


@pytest.mark.skipif(not SHARED.is_dir(), reason=NO_SHARED)
def test_a_reading_that_is_impossible_leaves_the_others(tmp_path, run, no_pictures, monkeypatch) -> None:
    monkeypatch.setattr(measuring, "trivial_baselines", lambda truth: {})  # two million frames are ranked for each
    with (SHARED / "xd-violence" / "test_frame_counts.csv").open() as file:
        counts = dict(line.strip().rsplit(",", 1) for line in list(file)[1:])
    scores = {name: np.full(-(-int(n) // 16), len(name) / 100) for name, n in counts.items()}
    path = save(tmp_path / "s.json", scores)
    words = ("--scores", path, "--segment-length", "16", "--format", "xd-violence", "--resamples", "0")
    code, out, _ = run(*words, "--annotations", SHARED / "xd-violence", "--out", tmp_path / "out")
    assert code == 0
    assert "one-based-closed: impossible, read in this way, 88 intervals would begin before frame 0 or be empty" in out
    metrics = metrics_in(tmp_path / "out")
    assert metrics["n_positive"] == 538_324
    assert metrics["by_convention"].keys() == {"zero-based-half-open", "zero-based-closed"}
    assert metrics["impossible_conventions"].keys() == {"one-based-closed"}


def test_numbers_are_those_of_single_frames(own, run) -> None:
    code, out, _ = run(*OWN, "--out", "out")
    assert code == 0
    metrics = metrics_in(own / "out")
    frames = frames_of()[::-1]
    assert metrics["auc"] == pytest.approx(roc_auc_score(*frames), abs=1e-12)
    assert metrics["ap_step"] == pytest.approx(average_precision_score(*frames), abs=1e-12)
    assert pq.read_table(own / "out" / "videos.parquet")["video_id"].to_pylist() == ["a", "b", "c", "d"]
    assert "Written: out/metrics.json, videos.parquet, curves.png, videos.png" in out.replace("\\", "/")


def test_one_class_has_no_curves_and_an_old_picture_goes(own, run) -> None:
    run(*OWN, "--out", "out")
    assert (own / "out" / "curves.png").exists()
    (own / "own.csv").write_text("video_id,label,n_frames\na,0,40\n")
    code, out, _ = run(*OWN, "--out", "out")
    assert code == 0
    assert "metrics.json, videos.parquet, videos.png" in out
    assert not (own / "out" / "curves.png").exists()
    assert metrics_in(own / "out")["auc"] is None
    assert "no ranking metric is defined" in out


def test_what_a_threshold_detects_is_written_and_goes_without_one(own, run, no_pictures) -> None:
    code, out, _ = run(*OWN, "--out", "out")
    assert code == 0
    assert "events.parquet, events.json" in out
    metrics, events = metrics_in(own / "out"), read_events(own / "out" / "events.parquet").to_pylist()
    assert sum(row["kind"] == "anomalous" for row in events) == metrics["n_events_found"] > 0
    for name, n_frames in LENGTHS.items():
        assert sum(row["stop_frame"] - row["start_frame"] for row in events if row["video_id"] == name) == n_frames
    assert all(0 <= row["iou"] <= 1 for row in events if row["kind"] == "anomalous")
    assert metrics["reliability"]["brier"] == pytest.approx(
        np.mean([(p - y) ** 2 for p, y in zip(*frames_of(), strict=True)])
    )
    assert "Brier score" in out
    save(own / "s.json", {name: 2 * scores for name, scores in SCORES.items()})
    code, out, _ = run(*OWN, "--out", "out")
    assert code == 0
    assert metrics_in(own / "out")["reliability"] is None
    assert "Brier" not in out
    assert not list((own / "out").glob("events.*"))


def frames_of():
    """Scores and truth of every frame."""
    truth = {name: np.zeros(n, dtype=int) for name, n in LENGTHS.items()}
    for name, spans in INTERVALS.items():
        for start, stop in spans:
            truth[name][start:stop] = 1
    return np.concatenate(list(SCORES.values())), np.concatenate(list(truth.values()))


def test_names_and_lengths_that_pictures_do_not_expect(own, run) -> None:
    (own / "own.csv").write_text("video_id,label,n_frames,intervals\n$a^$b_{$,1,20000,5-900\n落下,0,9,\n")
    save(own / "s.json", {"$a^$b_{$": GENERATOR.random(20_000), "落下": np.zeros(9)})
    code, _, err = run(*OWN, "--out", "out")
    assert (code, err) == (0, "")
    assert (own / "out" / "videos.png").read_bytes().startswith(PNG)


def test_readings_of_a_text_annotation(own, run, no_pictures) -> None:
    (own / "Temporal_Anomaly_Annotation.txt").write_text(UCF)
    (own / "frame_counts.csv").write_text("Abuse001_x264,40\nNormal_Videos_003_x264,20\n")
    save(own / "s.json", {"Abuse001_x264.mp4": GENERATOR.random(40), "Normal_Videos_003_x264": GENERATOR.random(20)})
    words = ("--scores", "s.json", "--format", "ucf-crime", "--resamples", "0")
    code, out, _ = run(*words, "--annotations", ".", "--out", "out", "--published")
    assert code == 0
    assert "Published by others on ucf-crime" in out
    found = metrics_in(own / "out")
    assert {name: part["n_positive"] for name, part in found["by_convention"].items()} == {
        "zero-based-half-open": 19,
        "zero-based-closed": 21,
        "one-based-closed": 21,
    }
    run(*words, "--annotations", "Temporal_Anomaly_Annotation.txt", "--out", "two")
    assert metrics_in(own / "two") == found


def test_thresholds(own, run, no_pictures) -> None:
    save(own / "s.json", {name: values * 4 - 1 for name, values in SCORES.items()})
    _, out, _ = run(*OWN, "--out", "out")
    assert metrics_in(own / "out")["f1"] is None
    assert "No threshold was given" in out
    _, out, _ = run(*OWN, "--out", "out", "--threshold", "-0.5")
    assert metrics_in(own / "out")["threshold"] == -0.5
    assert metrics_in(own / "out")["f1"] > 0


def test_what_is_left_out_is_said_and_recorded(own, run, no_pictures) -> None:
    partly = {name: values.tolist() for name, values in SCORES.items() if name != "d"}
    (own / "s.json").write_text(json.dumps({**partly, "a": [None] * 40, "film": [1]}))
    code, out, _ = run(*OWN, "--allow-missing", "--allow-unknown", "--out", "out")
    assert code == 0
    metrics = metrics_in(own / "out")
    assert metrics["missing_videos"] == ["d"]
    assert (metrics["n_videos"], metrics["n_frames"], metrics["n_frames_unknown"]) == (3, 83, 40)
    for note in (
        "Left out: 1 video with scores, not in the ground truth: film.",
        "Left out: 1 video without scores, in no number: d.",
        "40 frames of 1 video without a known score, null or NaN (a); left out of every number.",
    ):
        assert f"Note: {note}" in out
        assert note in metrics["notes"]


def test_no_resamples_no_intervals(own, run, no_pictures) -> None:
    _, out, _ = run(*OWN, "--resamples", "0", "--out", "out")
    assert metrics_in(own / "out")["intervals"] == {}
    assert "resamples" not in out


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--scores", "none.json"), "there is no score file none.json; check --scores"),
        (("--scores", "own.csv"), "has no column 'score' or 'anomaly_score' or 'prediction'"),
        (("--resamples", "-1"), "--resamples must be greater than or equal to 0, got -1."),
        (("--resamples", str(10**15)), "--resamples must be at most 1000000, got 1000000000000000."),
        (("--confidence", "1"), "--confidence must be less than 1, got 1."),
        (("--segment-length", "0"), "--segment-length must be greater than or equal to 1, got 0."),
        (("--segment-length", str(10**30)), "the segment length must be a whole number of frames"),
        (("--segment-length", "16"), "40 scores for 40 frames (3 segments of 16)"),
        (("--threshold", "inf"), "--threshold must be a finite number, got inf."),
        (("--out", "own.csv/below"), "own.csv is a file; name a folder"),
        (("--out", "x" * 300), "cannot be a folder"),
        (("--split", "train"), "its videos are 4 in 'test'. Name another split"),
        (("--annotations", "none.csv"), "there is no manifest"),
        (("--intervals", "one-based-closed"), "format 'manifest' has none"),
        (("--config", "job.toml", "--name", "x"), "leave out --format and --annotations and --name"),
        (("--format", "folder"), "--format folder takes videos without an annotation"),
        (("--format", "msad", "--annotations", "."), "holds no annotation of format 'msad'"),
    ],
)
def test_wrong_input_is_a_sentence_and_nothing_is_written(own, run, words, sentence) -> None:
    before = sorted(own.rglob("*"))
    code, out, err = run(*OWN, *words)
    assert (code, out) == (2, "")
    assert err.startswith("vadprobe: ")
    assert sentence in err
    assert err.count("\n") == 1
    assert sorted(own.rglob("*")) == before


def test_a_folder_that_cannot_be_made_is_a_sentence(own, run, monkeypatch, no_pictures) -> None:
    def refuse(self, *_, **__):
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "mkdir", refuse)
    code, _, err = run(*OWN, "--out", "out")
    assert code == 2
    assert "the folder out cannot be written" in err
    assert "name another with --out" in err


def test_nothing_published_is_said(own, run, no_pictures) -> None:
    _, out, _ = run(*OWN, "--published")
    assert "Nothing published is listed for 'manifest', only for ucf-crime, xd-violence" in out
    assert (own / "evaluation" / "metrics.json").exists()
