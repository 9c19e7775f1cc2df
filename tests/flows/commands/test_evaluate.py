"""``vadprobe evaluate`` as its users meet it."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from tests.support.oracles.reference_evaluation import NO_SHARED, SHARED
from vadprobe.analyze.evaluation import measuring
from vadprobe.analyze.report import evaluation_files
from vadprobe.flows.command_line import main

LENGTHS = {"a": 40, "b": 50, "c": 33, "d": 16}
INTERVALS = {"b": [(10, 20), (30, 35)], "c": [(0, 9)]}
MANIFEST = "video_id,label,category,n_frames,intervals\na,0,,40,\nb,1,fire,50,10-20;30-35\nc,1,fall,33,0-9\nd,0,,16,\n"
GENERATOR = np.random.default_rng(3)
SCORES = {name: GENERATOR.integers(0, 9, n).repeat(3)[:n] / 8 for name, n in LENGTHS.items()}
PNG = b"\x89PNG\r\n"
UCF = "Abuse001_x264.mp4  Abuse  10  20  30  39 \nNormal_Videos_003_x264.mp4  Normal  -1  -1  -1  -1\n"


def run(capsys, *words):
    """(exit code, standard output, standard error)"""
    code = main(["evaluate", *map(str, words)])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def save(path, scores=SCORES):
    """Scores per frame in the format of the path's suffix."""
    rows = [(name, frame, float(score)) for name, values in scores.items() for frame, score in enumerate(values)]
    if path.suffix == ".json":
        path.write_text(json.dumps({name: np.asarray(values).tolist() for name, values in scores.items()}))
    elif path.suffix == ".npz":
        np.savez(path, **scores)
    elif path.suffix == ".csv":
        path.write_text("video_id,frame,score\n" + "".join(f"{n},{frame},{score!r}\n" for n, frame, score in rows))
    elif path.suffix == ".jsonl":
        rows = [{"video_id": n, "frame": frame, "score": score} for n, frame, score in rows]
        path.write_text("\n".join(map(json.dumps, rows)))
    else:
        names, frames, values = zip(*rows, strict=True)
        pq.write_table(pa.table({"video_id": names, "frame": frames, "score": values}), path)
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


def numbers_of(metrics):
    return {name: value for name, value in metrics.items() if name not in ("scores", "scores_digest")}


@pytest.mark.skipif(not SHARED.is_dir(), reason=NO_SHARED)
def test_published_scores_give_their_published_numbers(tmp_path, capsys) -> None:
    msad = SHARED / "msad"
    words = ("--scores", msad / "vadtree_scores.json", "--scores-key", "vid_score", "--format", "msad")
    words += ("--annotations", msad, "--intervals", "zero-based-closed", "--out", tmp_path, "--resamples", "20")
    code, out, err = run(capsys, *words)
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
def test_a_reading_that_is_impossible_leaves_the_others(tmp_path, capsys, no_pictures, monkeypatch) -> None:
    monkeypatch.setattr(measuring, "trivial_baselines", lambda truth: {})  # two million frames are ranked for each
    with (SHARED / "xd-violence" / "test_frame_counts.csv").open() as file:
        counts = dict(line.strip().rsplit(",", 1) for line in list(file)[1:])
    scores = {name: np.full(-(-int(n) // 16), len(name) / 100) for name, n in counts.items()}
    path = save(tmp_path / "s.npz", scores)
    words = ("--scores", path, "--segment-length", "16", "--format", "xd-violence", "--resamples", "0")
    code, out, _ = run(capsys, *words, "--annotations", SHARED / "xd-violence", "--out", tmp_path / "out")
    assert code == 0
    assert "one-based-closed: impossible, by it 88 lines begin before frame 0 or are empty, first line 1" in out
    metrics = metrics_in(tmp_path / "out")
    assert metrics["n_positive"] == 538_324
    assert metrics["by_convention"].keys() == {"zero-based-half-open", "zero-based-closed"}
    assert metrics["impossible_conventions"].keys() == {"one-based-closed"}


def test_numbers_are_those_of_single_frames(own, capsys) -> None:
    code, out, _ = run(capsys, *OWN, "--out", "out")
    assert code == 0
    metrics = metrics_in(own / "out")
    truth = {name: np.zeros(n, dtype=int) for name, n in LENGTHS.items()}
    for name, spans in INTERVALS.items():
        for start, stop in spans:
            truth[name][start:stop] = 1
    frames = np.concatenate(list(truth.values())), np.concatenate(list(SCORES.values()))
    assert metrics["auc"] == pytest.approx(roc_auc_score(*frames), abs=1e-12)
    assert metrics["ap_step"] == pytest.approx(average_precision_score(*frames), abs=1e-12)
    assert pq.read_table(own / "out" / "videos.parquet")["video_id"].to_pylist() == ["a", "b", "c", "d"]
    assert "Written: out/metrics.json, videos.parquet, curves.png, videos.png" in out.replace("\\", "/")


def test_five_formats_give_the_same_numbers(own, capsys, no_pictures) -> None:
    found = []
    for suffix in (".json", ".npz", ".csv", ".jsonl", ".parquet"):
        save(own / f"t{suffix}")
        code, _, _ = run(capsys, *OWN, "--scores", f"t{suffix}", "--out", suffix[1:])
        assert code == 0
        found.append(numbers_of(metrics_in(own / suffix[1:])))
    assert all(numbers == found[0] for numbers in found)


def test_order_does_not_matter(own, capsys, no_pictures) -> None:
    run(capsys, *OWN, "--out", "one")
    header, *rows = MANIFEST.splitlines()
    (own / "own.csv").write_text("\n".join([header, *rows[::-1]]) + "\n")
    save(own / "s.json", dict(reversed(SCORES.items())))
    run(capsys, *OWN, "--out", "two")
    one, two = metrics_in(own / "one"), metrics_in(own / "two")
    assert one["ground_truth_digest"] == two["ground_truth_digest"]
    assert numbers_of(one) == numbers_of(two)


def test_other_manifests_say_the_same(own, capsys, no_pictures) -> None:
    run(capsys, *OWN, "--out", "one")
    labels = {"a": 0, "b": 1, "c": 1, "d": 0}
    rows = [
        {"video_id": name, "label": labels[name], "n_frames": n, "intervals": INTERVALS.get(name, [])}
        for name, n in LENGTHS.items()
    ]
    (own / "own.jsonl").write_text("\n".join(map(json.dumps, rows)))
    pq.write_table(pa.Table.from_pylist(rows), own / "own.parquet")
    for suffix in ("jsonl", "parquet"):
        code, _, err = run(capsys, *OWN, "--annotations", f"own.{suffix}", "--out", suffix)
        assert (code, err) == (0, "")
        assert metrics_in(own / suffix)["ground_truth_digest"] == metrics_in(own / "one")["ground_truth_digest"]


def test_one_class_has_no_curves_and_an_old_picture_goes(own, capsys) -> None:
    run(capsys, *OWN, "--out", "out")
    assert (own / "out" / "curves.png").exists()
    (own / "own.csv").write_text("video_id,label,n_frames\na,0,40\n")
    code, out, _ = run(capsys, *OWN, "--out", "out")
    assert code == 0
    assert "metrics.json, videos.parquet, videos.png" in out
    assert not (own / "out" / "curves.png").exists()
    assert metrics_in(own / "out")["auc"] is None
    assert "no ranking metric is defined" in out


def test_names_and_lengths_that_pictures_do_not_expect(own, capsys) -> None:
    (own / "own.csv").write_text("video_id,label,n_frames,intervals\n$a^$b_{$,1,20000,5-900\n落下,0,9,\n")
    save(own / "s.json", {"$a^$b_{$": GENERATOR.random(20_000), "落下": np.zeros(9)})
    code, _, err = run(capsys, *OWN, "--out", "out")
    assert (code, err) == (0, "")
    assert (own / "out" / "videos.png").read_bytes().startswith(PNG)


def test_readings_of_a_text_annotation(own, capsys, no_pictures) -> None:
    (own / "Temporal_Anomaly_Annotation.txt").write_text(UCF)
    (own / "frame_counts.csv").write_text("Abuse001_x264,40\nNormal_Videos_003_x264,20\n")
    save(own / "s.json", {"Abuse001_x264.mp4": GENERATOR.random(40), "Normal_Videos_003_x264": GENERATOR.random(20)})
    words = ("--scores", "s.json", "--format", "ucf-crime", "--resamples", "0")
    code, out, _ = run(capsys, *words, "--annotations", ".", "--out", "out", "--published")
    assert code == 0
    assert "Published by others on ucf-crime" in out
    found = metrics_in(own / "out")
    assert {name: part["n_positive"] for name, part in found["by_convention"].items()} == {
        "zero-based-half-open": 19,
        "zero-based-closed": 21,
        "one-based-closed": 21,
    }
    run(capsys, *words, "--annotations", "Temporal_Anomaly_Annotation.txt", "--out", "two")
    assert metrics_in(own / "two") == found


def test_thresholds(own, capsys, no_pictures) -> None:
    save(own / "s.json", {name: values * 4 - 1 for name, values in SCORES.items()})
    _, out, _ = run(capsys, *OWN, "--out", "out")
    assert metrics_in(own / "out")["f1"] is None
    assert "No threshold was given" in out
    _, out, _ = run(capsys, *OWN, "--out", "out", "--threshold", "-0.5")
    assert metrics_in(own / "out")["threshold"] == -0.5
    assert metrics_in(own / "out")["f1"] > 0


def test_what_is_left_out_is_said_and_recorded(own, capsys, no_pictures) -> None:
    partly = {name: values.tolist() for name, values in SCORES.items() if name != "d"}
    (own / "s.json").write_text(json.dumps({**partly, "a": [None] * 40, "film": [1]}))
    code, out, _ = run(capsys, *OWN, "--allow-missing", "--allow-unknown", "--out", "out")
    assert code == 0
    metrics = metrics_in(own / "out")
    assert metrics["missing_videos"] == ["d"]
    assert (metrics["n_videos"], metrics["n_frames"], metrics["n_frames_unknown"]) == (3, 83, 40)
    for note in (
        "1 scored videos are not in the ground truth and were left out: film.",
        "1 videos have no scores and are in no number: d.",
        "40 frames of 1 video have no known score, null or NaN (a); they are in no number.",
    ):
        assert f"Note: {note}" in out
        assert note in metrics["notes"]


def test_no_resamples_no_intervals(own, capsys, no_pictures) -> None:
    _, out, _ = run(capsys, *OWN, "--resamples", "0", "--out", "out")
    assert metrics_in(own / "out")["intervals"] == {}
    assert "resamples" not in out


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--scores", "none.json"), "there is no score file none.json; check --scores"),
        (("--scores", "own.csv"), "has no column 'score' or 'anomaly_score' or 'prediction'"),
        (("--scores-key", "x"), "there is no 'x' among a, b, c, d; correct --scores-key"),
        (("--resamples", "-1"), "--resamples is -1; a whole number from 0"),
        (("--resamples", str(10**15)), "to 1000000 is wanted"),
        (("--confidence", "1"), "--confidence is 1.0; a number strictly between 0 and 1"),
        (("--confidence", "nan"), "--confidence is nan"),
        (("--seed", "-1"), "--seed is -1"),
        (("--segment-length", "0"), "--segment-length is 0"),
        (("--segment-length", str(10**30)), "the segment length must be a whole number of frames from 1 to 4194304"),
        (("--segment-length", "16"), "40 scores for 40 frames (3 segments of 16)"),
        (("--threshold", "inf"), "--threshold is inf; a finite number"),
        (("--out", "own.csv"), "own.csv is a file; name a folder"),
        (("--out", "own.csv/below"), "own.csv is a file; name a folder"),
        (("--out", "x" * 300), "cannot be a folder"),
        (("--split", "train"), "its videos are 4 in 'test'. Name another split"),
        (("--annotations", "none.csv"), "there is no manifest"),
        (("--intervals", "one-based-closed"), "format 'manifest' has none"),
        (("--config", "job.toml"), "leave out --format and --annotations"),
        (("--format", "folder"), "--format folder is a folder of videos without annotation"),
        (("--format", "msad", "--annotations", "."), "holds no annotation of format 'msad'"),
    ],
)
def test_wrong_input_is_a_sentence_and_nothing_is_written(own, capsys, words, sentence) -> None:
    before = sorted(own.rglob("*"))
    code, out, err = run(capsys, *OWN, *words)
    assert (code, out) == (2, "")
    assert err.startswith("vadprobe: ")
    assert sentence in err
    assert err.count("\n") == 1
    assert sorted(own.rglob("*")) == before


def test_a_folder_that_cannot_be_made_is_a_sentence(own, capsys, monkeypatch, no_pictures) -> None:
    def refuse(self, *_, **__):
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "mkdir", refuse)
    code, _, err = run(capsys, *OWN, "--out", "out")
    assert code == 2
    assert "the folder out cannot be written" in err
    assert "name another with --out" in err


def test_options_that_a_job_file_already_answers(own, capsys) -> None:
    code, _, err = run(capsys, "--scores", "s.json", "--config", "job.toml", "--frame-counts", "x.csv", "--name", "x")
    assert code == 2
    assert "leave out --frame-counts and --name" in err


def test_nothing_published_is_said(own, capsys, no_pictures) -> None:
    _, out, _ = run(capsys, *OWN, "--published")
    assert "Nothing published is listed for 'manifest', only for ucf-crime, xd-violence" in out
    assert (own / "evaluation" / "metrics.json").exists()
