"""The command line as a user meets it: exit codes, one-sentence errors, a finished run that is not repeated."""

import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.flows.commands.conftest import Run
from tests.support import profiles
from tests.support.planted import write_planted
from tests.support.processes.forked import start
from tests.support.processes.waiting import wait_until
from vadprobe.flows.command_line import COMMANDS, main


def test_extract_verify_and_a_second_extract(job: Callable[..., Path], run: Run) -> None:
    path = job()
    for command, words in (
        ("plan", "6 clips are left to compute"),
        ("extract", "Worked on 6 of 6 clips"),
        ("verify", "sound"),
        ("extract", "Nothing to compute"),
    ):
        code, out, _ = run(command, path)
        assert (code, words in out) == (0, True), out


def test_extract_writes_the_store_card_and_lists_in_the_root(job: Callable[..., Path], run: Run) -> None:
    path = job(prompts='["coarse", "question"]')
    run("extract", path)
    (card,) = path.parent.rglob("README.md")
    before = card.read_bytes()
    assert b"`coarse.zarr` | 6 of 6 | 0 | committed" in before
    assert b"`question.zarr` | 6 of 6 | 0 | committed" in before
    assert run("verify", path)[0] == 0
    run("extract", path)
    assert card.read_bytes() == before
    code, out, _ = run("ls", path.parent / "features")
    assert code == 0
    assert out.splitlines()[-1].startswith("2 stores, ")


def test_a_card_that_cannot_be_written_harms_no_extraction(job: Callable[..., Path], run: Run) -> None:
    path = job()
    run("plan", path)
    next(path.parent.rglob("coarse.zarr")).with_name("README.md").mkdir()
    code, out, err = run("extract", path)
    assert code == 0
    assert "1 partition is committed" in out
    assert "the stores are complete without it" in err


def test_a_missing_video_folder_and_one_without_videos(job: Callable[..., Path], refused: Callable[..., str]) -> None:
    path = job("owner/checkpoint")  # no hub is asked before the videos were looked for
    (path.parent / "videos").rename(path.parent / "elsewhere")
    assert "does not exist; set 'videos' in [dataset]" in refused("extract", path)
    (path.parent / "videos").mkdir()
    assert "holds no video file" in refused("extract", path)


def test_an_unknown_key(job: Callable[..., Path], refused: Callable[..., str]) -> None:
    sentence = refused("extract", job(more="[extraction]\nbatch_clip = 4"))
    assert "unknown key 'extraction.batch_clip'; did you mean 'batch_clips'?" in sentence


def test_a_store_of_another_specification_is_left_alone(
    job: Callable[..., Path], run: Run, refused: Callable[..., str]
) -> None:
    path = job()
    run("extract", path)
    before = {p: p.read_bytes() for p in (path.parent / "features").rglob("*") if p.is_file()}
    text = path.read_text().replace("frame_size = [56, 56]", "frame_size = [56, 84]")
    path.write_text(text)
    sentence = refused("extract", path)
    assert "another specification" in sentence
    assert "recipe.frame_size: [56, 56], not [56, 84]" in sentence
    after = {p: p.read_bytes() for p in (path.parent / "features").rglob("*") if p.is_file()}
    assert {p: b for p, b in after.items() if p.name != "videos.parquet"} == {
        p: b for p, b in before.items() if p.name != "videos.parquet"
    }


def test_analyze_without_features_and_report_without_analysis(tmp_path: Path, refused: Callable[..., str]) -> None:
    planted = write_planted(tmp_path)
    assert "there is no finished analysis" in refused("report", planted.job("hiprobe"))
    (tmp_path / "features").rename(tmp_path / "gone")
    assert "there are no features" in refused("analyze", planted.job("hiprobe"))


def test_analyze_prints_the_numbers_and_report_draws_one_page(tmp_path: Path, run: Run) -> None:
    planted = write_planted(tmp_path)
    for method in ("hiprobe", "headhunt"):
        job = planted.job(method)
        job.write_text(job.read_text().replace("workers = 0", "workers = 0\ncurves = 1"))  # few pictures
        code, out, _ = run("analyze", planted.job(method))
        assert code == 0
        assert f"{method} on planted (test)" in out
        for baseline in ("video_flat", "shorter", "centre"):
            assert f"baseline {baseline}" in out
    page = tmp_path / "page.html"
    code, out, _ = run("report", planted.job("hiprobe"), planted.job("headhunt"), "--out", page)
    assert code == 0
    assert page.is_file()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("nonsense", "there is no command 'nonsense'; 'vadprobe --help' lists them."),
        ("extrakt job.toml", "there is no command 'extrakt'; did you mean 'extract'?"),
        ("dataset adit", "there is no command 'adit'; did you mean 'audit'?"),
        ("ls --hlep", "there is no option --hlep; did you mean '--help'?"),
        ("verify . --wrokers 2", "there is no option --wrokers; did you mean '--workers'?"),
        ("ls", "ROOT is missing; 'vadprobe ls --help' shows what the command takes."),
        ("ls . x", "'x' is one word too many; 'vadprobe ls --help' shows what the command takes."),
        ("evaluate", "--scores is missing; 'vadprobe evaluate --help' shows what the command takes."),
        ("verify . --json", "--json needs a file, or '-' for standard output; 'vadprobe verify --help' shows"),
        ("verify . --json --resume", "--json must be followed by a file, or by '-', got --resume."),
        (
            "extract job.toml --devices",
            "--devices needs a value; 'vadprobe extract --help' shows what the command takes.",
        ),
        ("export s o --format npz", "--format must be one of npy, safetensors, got 'npz'; did you mean 'npy'?"),
        (
            "export s o --format npy --layers 1,x",
            "--layers must be whole numbers from 0, separated by commas, got",
        ),
        ("verify . --workers x", "--workers must be a whole number from 1, got x."),
        ("verify . --workers 0", "--workers must be a whole number from 1, got 0."),
        ("pull a b --splits tset", "--splits must be some of train, validation, test, got 'tset'."),
        (
            "pull a b --detector d --layers 3",
            "--detector names the layers or heads already; leave",
        ),
        ("ls foo://x", "a place must be a folder, or a URL that begins with s3://"),
    ],
)
def test_wrong_words_are_a_sentence_with_the_right_ones(refused: Callable[..., str], words: str, sentence: str) -> None:
    assert refused(*words.split()).startswith(sentence)


@pytest.mark.parametrize(
    ("words", "code"), [("--help", 0), ("ls --help", 0), ("dataset -h", 0), ("", 2), ("import", 2)]
)
def test_help_is_shown_when_asked_for_and_when_no_command_is_named(run: Run, words: str, code: int) -> None:
    found, out, err = run(*words.split())
    assert (found, err) == (code, "")
    assert out.startswith("Usage: vadprobe")


def test_the_help_imports_no_command() -> None:
    code = "import sys; from vadprobe.flows.command_line import main; main(['--help']); print(*sys.modules, sep='\\n')"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    heavy = {"zarr", "numpy", "pandas", "pyarrow", "pydantic", "torch", "dask", "sklearn", "vadprobe.flows.commands"}
    assert not heavy & set(out.splitlines())


def test_every_command_of_the_table_is_a_function_with_help(run: Run) -> None:
    names = [name for modules in COMMANDS.values() for commands in modules.values() for name in commands]
    assert len(names) == len(set(names))
    for name in names:
        code, out, _ = run(*name.split(), "--help")
        assert (code, f"{out.splitlines()[0]} ".startswith(f"Usage: vadprobe {name} ")) == (0, True)


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


@pytest.mark.slow
@pytest.mark.parametrize("number", profiles.some([signal.SIGINT, signal.SIGTERM], 1))
def test_an_interrupted_extract_says_so_and_goes_on_later(
    job: Callable[..., Path], run: Run, number: signal.Signals
) -> None:
    path = job(length=2, prompts='["coarse", "detailed"]')
    mark = path.with_name("first clip")
    with path.with_name("said").open("w+") as said:
        process = start(HELD, [str(mark), "extract", str(path)], said, said)
        wait_until(lambda: mark.exists() or process.poll() is not None)
        process.send_signal(number)
        code = process.wait(300)
        err = path.with_name("said").read_text()
    assert code == 130, err
    assert "the same command continues where it stopped" in err
    assert "Traceback" not in err
    assert run("extract", path)[0] == 0
    assert run("verify", path)[0] == 0


def test_a_path_that_cannot_be_used_is_said_in_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        assert main(["demo", "--no-prefect", "--out", str(path)]) == 2
        assert f"{path} cannot be used" in capsys.readouterr().err
