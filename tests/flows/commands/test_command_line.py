"""The command line as a user meets it: exit codes, one-sentence errors, a finished run that is not repeated."""

import signal
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from tests.support import profiles
from tests.support.planted import write_planted
from tests.support.processes.forked import start
from vadprobe.flows.command_line import main

JOB = """\
workspace = "."
prompts = {prompts}
[dataset]
name = "set"
videos = "videos"
[store]
root = "features"
[[sampling]]
unit = "segment"
clip_length = {length}
frames_per_clip = 2
[backbone]
key = "tiny"
path = "{backbone}"
dtype = "float32"
frame_size = [56, 56]
{more}
"""


@pytest.fixture
def job(tmp_path: Path, tiny_backbones: Mapping[str, Path], write_video: Callable[..., Path]) -> Callable[..., Path]:
    """Write a job over two small videos; the arguments replace parts of it."""
    (tmp_path / "videos").mkdir()
    for number in range(2):
        write_video(tmp_path / "videos" / f"clip{number}.mp4", n_frames=20)

    def write(prompts: str = '["coarse"]', length: int = 8, more: str = "", backbone: str | None = None) -> Path:
        path = tmp_path / "job.toml"
        path.write_text(
            JOB.format(prompts=prompts, length=length, more=more, backbone=backbone or tiny_backbones["qwen2_5_vl"])
        )
        return path

    return write


def run(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    code = main([str(word) for word in words])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def refused(capsys: pytest.CaptureFixture[str], *words: object) -> str:
    """The sentence with which a command refuses its input."""
    code, _, err = run(capsys, *words)
    assert code == 2
    sentence = err.strip().splitlines()[-1]
    assert sentence.startswith("vadprobe: ")
    assert "Traceback" not in err
    return sentence


def test_extract_verify_and_a_second_extract(job: Callable[..., Path], capsys: pytest.CaptureFixture[str]) -> None:
    path = job()
    code, out, _ = run(capsys, "plan", path)
    assert code == 0
    assert "6 clips are left to compute" in out
    code, out, _ = run(capsys, "extract", path)
    assert code == 0
    assert "Worked on 6 of 6 clips" in out
    code, out, _ = run(capsys, "verify", path)
    assert code == 0
    assert "sound" in out
    code, out, _ = run(capsys, "extract", path)
    assert code == 0
    assert "Nothing to compute" in out


def test_extract_writes_the_store_card_and_lists_in_the_root(
    job: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    path = job(prompts='["coarse", "question"]')
    run(capsys, "extract", path)
    (card,) = path.parent.rglob("README.md")
    before = card.read_bytes()
    assert b"`coarse.zarr` | 6 of 6 | 0 | committed" in before
    assert b"`question.zarr` | 6 of 6 | 0 | committed" in before
    assert run(capsys, "verify", path)[0] == 0
    run(capsys, "extract", path)
    assert card.read_bytes() == before
    code, out, _ = run(capsys, "ls", path.parent / "features")
    assert code == 0
    assert out.splitlines()[-1].startswith("2 stores, ")


def test_a_card_that_cannot_be_written_harms_no_extraction(
    job: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    path = job()
    run(capsys, "plan", path)
    next(path.parent.rglob("coarse.zarr")).with_name("README.md").mkdir()
    code, out, err = run(capsys, "extract", path)
    assert code == 0
    assert "1 partitions are committed" in out
    assert "the stores are whole without it" in err


def test_verify_of_a_damaged_store_exits_with_1_and_names_the_partition(
    job: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    path = job()
    run(capsys, "extract", path)
    shard = next(path.parent.rglob("coarse.zarr/hidden_states/c/0/0/0"))
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 1
    shard.write_bytes(content)
    code, out, _ = run(capsys, "verify", path)
    assert code == 1
    assert "partition 0: the shard of hidden_states was changed" in out


def test_a_missing_video_folder(job: Callable[..., Path], capsys: pytest.CaptureFixture[str]) -> None:
    path = job()
    (path.parent / "videos").rename(path.parent / "elsewhere")
    assert "does not exist; set 'videos' in [dataset]" in refused(capsys, "extract", path)


def test_a_folder_without_videos(job: Callable[..., Path], capsys: pytest.CaptureFixture[str]) -> None:
    path = job()
    for video in (path.parent / "videos").iterdir():
        video.unlink()
    assert "holds no video file" in refused(capsys, "extract", path)


def test_an_unknown_backbone_family(job: Callable[..., Path], capsys: pytest.CaptureFixture[str]) -> None:
    path = job(backbone="other")
    (path.parent / "other").mkdir()
    (path.parent / "other" / "config.json").write_text('{"model_type": "bert"}')
    sentence = refused(capsys, "extract", path)
    assert "unknown family 'bert'" in sentence
    assert "qwen2_5_vl" in sentence


def test_an_empty_prompt_set(job: Callable[..., Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert "the prompt set is empty" in refused(capsys, "extract", job(prompts="[]"))


def test_an_unknown_key(job: Callable[..., Path], capsys: pytest.CaptureFixture[str]) -> None:
    sentence = refused(capsys, "extract", job(more="[extraction]\nbatch_clip = 4"))
    assert "unknown key 'extraction.batch_clip'; did you mean 'batch_clips'?" in sentence


def test_a_store_of_another_specification_is_left_alone(
    job: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    path = job()
    run(capsys, "extract", path)
    before = {p: p.read_bytes() for p in (path.parent / "features").rglob("*") if p.is_file()}
    text = path.read_text().replace("frame_size = [56, 56]", "frame_size = [56, 84]")
    path.write_text(text)
    sentence = refused(capsys, "extract", path)
    assert "another specification" in sentence
    assert "recipe.frame_size: [56, 56], not [56, 84]" in sentence
    after = {p: p.read_bytes() for p in (path.parent / "features").rglob("*") if p.is_file()}
    assert {p: b for p, b in after.items() if p.name != "videos.parquet"} == {
        p: b for p, b in before.items() if p.name != "videos.parquet"
    }


def test_analyze_without_features_and_report_without_analysis(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    planted = write_planted(tmp_path)
    assert "there is no finished analysis" in refused(capsys, "report", planted.job("hiprobe"))
    (tmp_path / "features").rename(tmp_path / "gone")
    assert "there are no features" in refused(capsys, "analyze", planted.job("hiprobe"))


def test_analyze_prints_the_numbers_and_report_draws_one_page(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    planted = write_planted(tmp_path)
    for method in ("hiprobe", "headhunt"):
        job = planted.job(method)
        job.write_text(job.read_text().replace("workers = 0", "workers = 0\ncurves = 1"))  # few pictures
        code, out, _ = run(capsys, "analyze", planted.job(method))
        assert code == 0
        assert f"{method} on planted (test)" in out
        for baseline in ("video_flat", "shorter", "centre"):
            assert f"baseline {baseline}" in out
    page = tmp_path / "page.html"
    code, out, _ = run(capsys, "report", planted.job("hiprobe"), planted.job("headhunt"), "--out", page)
    assert code == 0
    assert page.is_file()


def test_wrong_words_are_refused_by_the_parser(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["extrakt", "job.toml"])
    assert caught.value.code == 2
    assert "invalid choice: 'extrakt'" in capsys.readouterr().err


HELD = """
import sys, time
from pathlib import Path
from vadprobe.flows.command_line import main
from vadprobe.flows.jobs.progress import ClipProgress

count = ClipProgress.done

def count_and_wait(self, computed):
    count(self, computed)
    Path(sys.argv[1]).touch()
    time.sleep(600)

ClipProgress.done = count_and_wait
sys.exit(main(sys.argv[2:]))
"""
"""The command, which after its first clip touches a file and waits to be interrupted."""


@pytest.mark.parametrize("number", profiles.some([signal.SIGINT, signal.SIGTERM], 1))
def test_an_interrupted_extract_says_so_and_goes_on_later(
    job: Callable[..., Path], capsys: pytest.CaptureFixture[str], number: signal.Signals
) -> None:
    path = job(length=2, prompts='["coarse", "detailed"]')
    mark = path.with_name("first clip")
    with path.with_name("said").open("w+") as said:
        process = start(HELD, [str(mark), "extract", str(path)], said, said)
        while not mark.exists() and process.poll() is None:
            time.sleep(0.02)
        process.send_signal(number)
        code = process.wait(300)
        err = path.with_name("said").read_text()
    assert code == 130, err
    assert "the same command goes on where it stopped" in err
    assert "Traceback" not in err
    assert run(capsys, "extract", path)[0] == 0
    assert run(capsys, "verify", path)[0] == 0
