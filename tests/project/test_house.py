"""Rules of CONTRIBUTING.md that a program can check: few entries a folder, small files, a sentence for each folder."""

import ast
from pathlib import Path

import pytest

from tests.support.paths import ROOT

PACKAGES = ("store", "extract", "analyze", "flows")
FOLDERS = sorted(
    folder.relative_to(ROOT).as_posix()
    for top in (*PACKAGES, "tests", "benchmarks")
    for folder in (ROOT / top, *(ROOT / top).rglob("*/"))
    if any(folder.glob("*.py")) or any(folder.glob("*/*.py"))
)
SOURCES = sorted(path for top in PACKAGES for path in (ROOT / top).rglob("*.py"))


def lines_of(path: Path) -> int:
    return len(path.read_text(encoding="utf-8").splitlines())


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_folder_holds_at_most_twelve_entries(folder: str) -> None:
    entries = {entry.name for entry in (ROOT / folder).iterdir() if not entry.name.startswith((".", "__"))}
    assert len(entries - {"py.typed"}) <= 12, sorted(entries)


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_folder_says_in_one_sentence_what_lives_there(folder: str) -> None:
    text = ast.get_docstring(ast.parse((ROOT / folder / "__init__.py").read_text(encoding="utf-8")))
    if folder.startswith("tests/") and not folder.startswith(("tests/support", "tests/data")):
        return  # these mirror the rooms
    assert text, folder
    assert text.splitlines()[0].endswith("."), text


def test_no_source_file_is_long() -> None:
    assert {path.name: lines for path in SOURCES if (lines := lines_of(path)) > 350} == {}
    lengths = sorted(lines_of(path) for path in SOURCES if path.name != "__init__.py")
    assert lengths[len(lengths) // 2] <= 130
