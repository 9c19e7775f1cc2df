"""What a change touches is found by names, the closest first."""

import subprocess
import sys
from pathlib import Path

import pytest
from touched import changed_files, touched

TESTS = {
    "tests/test_writer.py": "from vadprobe.store.writer import write\nfrom vadprobe.store.schema import x\n",
    "tests/test_reader.py": "from vadprobe.store.reader import read\n",
    "tests/test_whole.py": (
        "from vadprobe.store import reader, schema\nfrom vadprobe.extract.a import b\n"
        "from vadprobe.extract.c import d\nfrom planted import p\n"
    ),
    "tests/test_format.py": 'PAGE = "FORMAT.md"\n',
    "tests/test_speed.py": '@pytest.mark.slow\ndef test(): run("store_reading.py")\n',
}


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ("store/writer.py", ["tests/test_writer.py"]),
        ("store/reader.py", ["tests/test_reader.py", "tests/test_whole.py"]),
        ("store/schema.py", ["tests/test_whole.py", "tests/test_writer.py"]),
        ("store/FORMAT.md", ["tests/test_format.py"]),
        ("tests/planted.py", ["tests/test_whole.py"]),
        ("tests/test_format.py", ["tests/test_format.py"]),
        ("benchmarks/store_reading.py", ["tests/test_speed.py"]),
        ("store/read.py", []),
        ("Makefile", []),
    ],
)
def test_a_test_is_touched_by_what_it_names(changed: str, expected: list[str]) -> None:
    chosen, left = touched([changed], TESTS, limit=9)
    assert (sorted(chosen), left) == (expected, 0)


def test_what_is_closest_stays_within_the_limit() -> None:
    assert touched(["store/reader.py", "store/schema.py"], TESTS, limit=1) == (
        ["tests/test_reader.py", "tests/test_writer.py"],
        1,
    )
    assert touched(["store/reader.py"], TESTS, limit=0) == (["tests/test_reader.py"], 1)


def test_files_are_found_that_git_knows_and_that_it_does_not(tmp_path: Path) -> None:
    def git(*arguments: str) -> None:
        subprocess.run(["git", "-c", "user.name=a", "-c", "user.email=a@b", *arguments], cwd=tmp_path, check=True)

    git("init", "--quiet")
    for name in ("same.py", "edited.py", "removed.py"):
        (tmp_path / name).write_text("1\n")
    git("add", ".")
    git("commit", "--quiet", "-m", "first")
    (tmp_path / "edited.py").write_text("2\n")
    (tmp_path / "removed.py").unlink()
    (tmp_path / "new.py").write_text("3\n")
    assert changed_files(tmp_path, "HEAD") == ["edited.py", "new.py", "removed.py"]


def test_the_program_prints_test_files_alone() -> None:
    program = Path(__file__).with_name("touched.py")
    ended = subprocess.run([sys.executable, program, "--limit", "2"], capture_output=True, text=True, check=False)
    if ended.returncode:
        pytest.skip("git knows no repository here")
    assert all((program.parents[1] / line).name.startswith("test_") for line in ended.stdout.splitlines())
