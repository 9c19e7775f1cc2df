"""The site is built without a warning: every link and anchor leads somewhere, and nothing is fetched from elsewhere."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.project.docs.pages import DOCS
from tests.support.paths import ROOT
from tests.support.processes.chromium import CHROMIUM, running_browser

FOLDERS = ("tutorials", "how-to", "reference", "explanation")
NAVIGATION = re.findall(r"^ +- (?:[^:#\n]+: )?([\w/.-]+\.md)$", (ROOT / "mkdocs.yml").read_text(encoding="utf-8"), re.M)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built from a copy of the pages, so that no folder of it stays in the tree."""
    for name in ("zensical", "latex2mathml", "mkdocstrings"):
        pytest.importorskip(name)
    folder = tmp_path_factory.mktemp("site")
    shutil.copytree(DOCS, folder / "docs")
    shutil.copyfile(ROOT / "mkdocs.yml", folder / "mkdocs.yml")
    (folder / "src").symlink_to(ROOT / "src")
    done = subprocess.run(
        [sys.executable, "-m", "zensical", "build", "--strict"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(DOCS / "assets"), os.environ.get("PYTHONPATH", "")])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "site"


def test_every_page_has_its_place_in_the_navigation() -> None:
    pages = {path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md")}
    assert set(NAVIGATION) == pages
    assert len(NAVIGATION) == len(pages)


def test_a_folder_of_pages_has_at_most_twelve_entries() -> None:
    folders = [path for path in DOCS.rglob("*/") if path.is_dir()]
    assert set(FOLDERS) <= {path.name for path in folders}
    counts = {path: sum(entry.name[0] not in "._" for entry in path.iterdir()) for path in (DOCS, *folders)}
    assert {str(path): count for path, count in counts.items() if count > 12} == {}


def test_every_page_is_built_and_fetches_nothing(site: Path) -> None:
    assert {path.removesuffix(".md") + ".html" for path in NAVIGATION} <= {
        path.relative_to(site).as_posix() for path in site.rglob("*.html")
    }
    fetched = re.compile(r"<(?:script|img|link|iframe|source)\b[^>]*?(?:src|href)=\"((?:https?:)?//[^\"]+)", re.I)
    for page in site.rglob("*.html"):
        assert fetched.findall(page.read_text(encoding="utf-8")) == [], page
    for style in site.rglob("*.css"):
        assert not re.search(r"@import|url\([\"']?(?:https?:)?//", style.read_text(encoding="utf-8")), style


def test_formulas_and_docstrings_are_in_the_pages(site: Path) -> None:
    assert "<math" in (site / "explanation" / "hiprobe.html").read_text(encoding="utf-8")
    for page in site.rglob("*.html"):
        unknown = re.findall(r"<m[ion]>\\[a-zA-Z]+", page.read_text(encoding="utf-8"))
        assert unknown == [], f"{page}: commands of LaTeX that the page would show as they stand"
    assert 'id="vadprobe.detect.Detector.load"' in (site / "reference" / "python.html").read_text(encoding="utf-8")


@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed, so no browser opens the page")
def test_the_search_answers_in_pages_that_are_opened_from_a_folder(site: Path, tmp_path: Path) -> None:
    with running_browser(tmp_path / "profile") as browser:
        tab = browser.open(site / "tutorials" / "demo.html")
        tab.until("document.querySelector('.md-search__button') !== null")
        tab.value("document.querySelector('.md-search__button').click()")
        tab.until("[...document.querySelectorAll('*')].some(one => one.shadowRoot?.activeElement)")
        tab.ask("Input.insertText", text="heartbeat")
        tab.until("[...document.querySelectorAll('*')].some(one => /\\d+ results/.test(one.shadowRoot?.textContent))")
        assert (tab.problems, tab.fetched) == ([], [])
