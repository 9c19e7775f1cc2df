"""A change touches the tests that name it, the closest first."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.project.touched import changed_files, touched

TESTS = {
    "tests/store/writing/test_writer.py": (
        "from vadprobe.store.writing.writer import write\nfrom vadprobe.store.format.schema import x\n"
    ),
    "tests/store/reading/test_reader.py": "from vadprobe.store.reading.reader import read\n",
    "tests/test_whole.py": (
        "from vadprobe.store.reading import reader\nfrom vadprobe.store.format import layout, schema\n"
        "from vadprobe.extract.a import b\nfrom vadprobe.extract.c import d\nfrom tests.support.planted import p\n"
    ),
    "tests/test_format.py": 'PAGE = "FORMAT.md"\n',
    "tests/test_speed.py": '@pytest.mark.slow\ndef test(): run("store_reading")\n',
}


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ("store/writing/writer.py", ["tests/store/writing/test_writer.py"]),
        ("store/reading/reader.py", ["tests/store/reading/test_reader.py", "tests/test_whole.py"]),
        ("store/format/schema.py", ["tests/store/writing/test_writer.py", "tests/test_whole.py"]),
        ("store/format/FORMAT.md", ["tests/test_format.py"]),
        ("tests/support/planted.py", ["tests/test_whole.py"]),
        ("tests/test_format.py", ["tests/test_format.py"]),
        ("benchmarks/store/store_reading.py", ["tests/test_speed.py"]),
        ("store/reading/read.py", []),
        ("Makefile", []),
    ],
)
def test_a_test_is_touched_by_what_it_names(changed: str, expected: list[str]) -> None:
    chosen, left = touched([changed], TESTS, limit=9)
    assert (sorted(chosen), left) == (expected, 0)


def test_what_is_closest_stays_within_the_limit() -> None:
    assert touched(["store/reading/reader.py", "store/format/schema.py"], TESTS, limit=1) == (
        ["tests/store/reading/test_reader.py", "tests/store/writing/test_writer.py"],
        1,
    )
    assert touched(["store/reading/reader.py"], TESTS, limit=0) == (["tests/store/reading/test_reader.py"], 1)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with one commit, and a file that differs from it, one that is gone and one that is new."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    own |= {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}

    def git(*arguments: str) -> None:
        words = ["git", "-c", "user.name=a", "-c", "user.email=a@b", *arguments]
        subprocess.run(words, cwd=tmp_path, check=True, env=own)

    git("init", "--quiet")
    for name in ("store/same.py", "store/edited.py", "store/removed.py", "tests/test_new.py", "tests/test_same.py"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"import vadprobe.store.{path.stem.removeprefix('test_')}\n")
    git("add", ".")
    git("commit", "--quiet", "-m", "first")
    (tmp_path / "store" / "edited.py").write_text("2\n")
    (tmp_path / "store" / "removed.py").unlink()
    (tmp_path / "store" / "new.py").write_text("3\n")
    return tmp_path


def test_files_are_found_that_git_knows_and_that_it_does_not(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_DIR", "elsewhere")
    assert changed_files(repository, "HEAD") == ["store/edited.py", "store/new.py", "store/removed.py"]
    with pytest.raises(SystemExit, match=r"git merge-base elsewhere HEAD: .*elsewhere"):
        changed_files(repository, "elsewhere")


def test_the_program_prints_the_touched_test_files(repository: Path) -> None:
    program = repository / "tests" / "project" / "touched.py"
    program.parent.mkdir()
    shutil.copyfile(Path(__file__).with_name("touched.py"), program)
    ended = subprocess.run([sys.executable, program], capture_output=True, text=True, check=True)
    assert (ended.stdout, ended.stderr) == ("tests/test_new.py\n", "")
    (repository / "tests" / "conftest.py").touch()
    ended = subprocess.run([sys.executable, program], capture_output=True, text=True, check=True)
    assert ended.stdout == "tests/test_new.py\n"
    assert "tests/conftest.py touches every test; 'make test' runs them." in ended.stderr
