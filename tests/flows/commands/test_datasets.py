"""`vadprobe dataset audit | prepare` as a user meets them."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.flows.commands.conftest import Run
from tests.support.oracles.reference_evaluation import NO_SHARED, SHARED
from vadprobe.store.datasets.configuration import DatasetConfig
from vadprobe.store.datasets.sources import open_dataset

TABLE = "path,split,label,category,intervals\na.mp4,train,normal,,\nb.mp4,test,1,fire,4-9;12-20\n"


@pytest.fixture
def own(tmp_path: Path, write_video: Callable[..., Path]) -> Path:
    (tmp_path / "videos").mkdir()
    for name in ("a", "b"):
        write_video(tmp_path / "videos" / f"{name}.mp4", n_frames=20)
    (tmp_path / "own.csv").write_text(TABLE)
    return tmp_path


def test_a_sound_dataset_exits_with_0(own: Path, run: Run) -> None:
    words = ("--format", "manifest", "--annotations", own / "own.csv", "--videos", own / "videos", "--decode")
    code, out, _ = run("dataset", "audit", *words, "--json", own / "audit.json")
    assert code == 0
    assert "2 rows, 2 read" in out
    assert ["test", "1", "0", "1", "0", "2", "20", "13"] in [line.split() for line in out.splitlines()]
    assert json.loads((own / "audit.json").read_text())["changes_score"] is False


def test_what_changes_scores_exits_with_1(own: Path, run: Run) -> None:
    (own / "videos" / "b.mp4").write_bytes(b"")
    words = ("--format", "manifest", "--annotations", own / "own.csv", "--videos", own / "videos")
    code, out, _ = run("dataset", "audit", *words)
    assert code == 1
    assert "CHANGES SCORES: unreadable files: b: the file is empty (0 bytes) (1: b)" in out
    code, out, _ = run("dataset", "audit", *words, "--json", "-")
    assert code == 1
    assert json.loads(out)["findings"][0]["changes_score"] is True


def test_a_prepared_dataset_is_a_manifest_that_stage_one_reads(own: Path, run: Run) -> None:
    words = ("--format", "manifest", "--annotations", own / "own.csv", "--videos", own / "videos", "--name", "own")
    code, _, _ = run("dataset", "prepare", *words, "--out", own / "prepared")
    assert code == 0
    assert sorted(path.name for path in (own / "prepared").iterdir()) == [
        "audit.json",
        "dataset_card.md",
        "intervals.parquet",
        "videos.parquet",
    ]
    dataset = open_dataset(DatasetConfig(name="own", format="manifest", manifest="prepared", videos="videos"), own)
    assert [(v.video_id, v.path, v.split, v.label, v.n_frames) for v in dataset.videos] == [
        ("a", "a.mp4", "train", 0, 20),
        ("b", "b.mp4", "test", 1, 20),
    ]
    assert [(i.start_frame, i.stop_frame) for i in dataset.intervals_of("b")] == [(4, 9), (12, 20)]
    assert "# Dataset card: own" in (own / "prepared" / "dataset_card.md").read_text()


def test_contradictions_are_listed_and_nothing_is_written(own: Path, run: Run) -> None:
    (own / "own.csv").write_text(TABLE + "b.mp4,train,1,fire,14-18\n")
    words = ("--format", "manifest", "--annotations", own / "own.csv", "--out", own / "prepared")
    code, out, err = run("dataset", "prepare", *words)
    assert code == 2
    assert "own.csv, line 4" in out
    assert "nothing was written" in err
    assert not (own / "prepared").exists()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ((), "no dataset is named; give --format"),
        (("--format", "msad"), "--format msad needs --annotations"),
        (("--format", "msad", "--annotations", "nowhere"), "there is no annotation file or folder"),
        (("--format", "folder", "--videos", "nowhere"), "the video folder"),
        (("--format", "folder"), "format 'folder' needs the key 'videos'"),
        (("--format", "msad", "--annotations", ".", "--decode"), "--decode needs the video files"),
        (("--config", "none.toml"), "there is no job file none.toml"),
        (("--config", "none.toml", "--format", "msad"), "leave out --format"),
    ],
)
def test_wrong_options_are_sentences(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    run: Run,
    words: tuple[str, ...],
    sentence: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    code, _, err = run("dataset", "audit", *words)
    assert code == 2
    assert sentence in err
    assert "Traceback" not in err


@pytest.mark.skipif(not SHARED.is_dir(), reason=NO_SHARED)
def test_the_real_test_video_is_found_in_the_folder_of_the_set(run: Run) -> None:
    videos = SHARED / "videos" / "ucf-crime"
    words = ("--format", "ucf-crime", "--annotations", SHARED / "ucf-crime", "--videos", videos)
    code, out, _ = run("dataset", "audit", *words)
    assert code == 1
    assert "missing test videos: listed, but there is no such file (289:" in out
    assert "missing train videos: listed, but there is no such file (1610:" in out
    assert "lengths differ" not in out, "the file has the 1,827 frames that the table of counts says"
