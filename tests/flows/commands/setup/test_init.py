"""`vadprobe init`: the job it writes is one that the other commands take."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from vadprobe.flows.jobs.job import load_job


@pytest.fixture
def videos(tmp_path: Path, write_video: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with one video; the work goes on beside it."""
    (tmp_path / "videos").mkdir()
    write_video(tmp_path / "videos" / "clip0.mp4", n_frames=20)
    monkeypatch.chdir(tmp_path)
    return Path("videos")


def test_a_job_without_labels_is_planned_as_it_is_written(
    run: Any, videos: Path, tiny_backbones: Mapping[str, Path]
) -> None:
    code, printed, _ = run("init", videos, "--backbone", tiny_backbones["qwen2_5_vl"], "--out", "below/job.toml")
    assert code == 0
    assert "vadprobe extract below/job.toml" in printed
    assert "Videos: 1 file below videos." in printed
    text = Path("below/job.toml").read_text()
    assert '# how videos and annotation are laid out\nformat = "folder"' in text
    assert 'videos = "../videos"' in text
    code, printed, _ = run("plan", "below/job.toml")
    assert code == 0
    assert "1 clip is left to compute" in printed


@pytest.mark.parametrize("method", ["hiprobe", "headhunt"])
def test_a_job_with_labels_fits_on_training_videos_by_the_method(run: Any, videos: Path, method: str) -> None:
    Path("labels.csv").write_text("video,split,label\nclip0,train,1\n")
    words = ("--labels", "labels.csv", "--backbone", "owner/Model-7B", "--method", method)
    assert run("init", videos, *words)[0] == 0
    job = load_job(Path("job.toml"))
    assert job.config.dataset.manifest == "labels.csv"
    assert (job.config.backbone.key, job.config.backbone.path) == ("model-7b", "owner/Model-7B")
    assert [(one.unit, one.splits) for one in job.config.sampling] == [
        ("segment", ("validation", "test")),
        ("video", ("train",)),
    ]
    assert job.analysis.method == method


def test_what_cannot_be_is_refused_and_nothing_is_written(refused: Any, videos: Path) -> None:
    assert "no backbone is named" in refused("init", videos)
    assert "is not a folder" in refused("init", "nowhere", "--backbone", "a/b")
    assert "nothing.json does not exist" in refused("init", videos, "--detector", "nothing.json")
    Path("film.mp4").write_bytes(b"")
    assert "film.mp4 is a file; name the folder of" in refused("init", "film.mp4", "--backbone", "a/b")
    assert "did you mean videos?" in refused("init", "vidoes", "--backbone", "a/b")
    assert "there is no terminal to ask in" in refused("init")
    Path("labels.csv").write_text("video\n")
    assert "job.toml" in refused("init", videos, "--labels", "labels.csv", "--format", "folder", "--backbone", "a/b")
    assert [path.name for path in Path().iterdir() if path.suffix == ".toml"] == []
    Path("job.toml").write_text("mine")
    assert "job.toml exists" in refused("init", videos, "--backbone", "a/b")
    assert Path("job.toml").read_text() == "mine"


def test_a_terminal_is_asked_for_what_is_not_given(
    run: Any, refused: Any, videos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers: Iterator[str] = iter(["", "videos", "", "labels.csv", "owner/model"])
    asked = []

    def answer(question: str) -> str:
        asked.append(question)
        return next(answers)

    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    monkeypatch.setattr("builtins.input", answer)
    Path("labels.csv").write_text("video\n")
    assert run("init")[0] == 0
    assert asked[0] == asked[1] == "Folder of your videos: "  # an empty answer is asked for again
    assert load_job(Path("job.toml")).config.dataset.manifest == "labels.csv"
