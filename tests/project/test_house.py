"""Rules of CONTRIBUTING.md that a program can check: few entries a folder, small files, a sentence for each folder."""

import ast
from pathlib import Path

import pytest

from tests.support.paths import ROOT

PACKAGES = ("store", "extract", "analyze", "detect", "flows")
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


QUESTIONS = ("What", "Whether", "How", "Where", "Which", "Who", "Whose", "So", "As")


def test_no_docstring_opens_with_a_question() -> None:
    """Ruff asks for a verb where something acts; this holds for classes, properties and modules as well."""
    found = []
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Module):
                text = ast.get_docstring(node) or ""
                if text.split(" ", 1)[0].rstrip(",") in QUESTIONS:
                    found.append(f"{path.relative_to(ROOT)}: {text.splitlines()[0]}")
    assert found == []
