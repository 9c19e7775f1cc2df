"""Every link from one page to another leads to a file, and to a heading of it, on the site and in the folder alike."""

import re
from pathlib import Path
from urllib.parse import unquote

import pytest

from tests.project.docs.pages import DOCS, READ
from tests.support.paths import ROOT

PAGES = [*READ, ROOT / "CHANGELOG.md", *(ROOT / "benchmarks" / "results").glob("*.md")]
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_CODE = re.compile(r"^ *```.*?^ *```|`[^`\n]*`", re.DOTALL | re.MULTILINE)


def anchors(path: Path) -> set[str]:
    """Return the anchors of a page: its headings as Python-Markdown names them, and what it names by itself."""
    text = path.read_text(encoding="utf-8")
    headings = re.findall(r"^#{1,6} (.+)$", re.sub(r"^ *```.*?^ *```", "", text, flags=re.DOTALL | re.MULTILINE), re.M)
    names = [re.sub(r"[^\w\s-]", "", heading).strip().lower() for heading in headings]
    return {re.sub(r"[-\s]+", "-", name) for name in names} | set(re.findall(r'<a id="([^"]+)"', text))


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_the_links_of_a_page_lead_somewhere(page: Path) -> None:
    for link in _LINK.findall(_CODE.sub("", page.read_text(encoding="utf-8"))):
        if "://" in link:
            continue
        target, _, anchor = unquote(link).partition("#")
        path = (page.parent / target).resolve() if target else page
        assert path.exists(), link
        if DOCS in page.parents:
            assert DOCS in path.parents or (page.parent / target).is_symlink(), f"{link} leaves the site"
        if anchor:
            assert anchor in anchors(path), link
