"""The page as a reader uses it: in Node.js on a stand-in for a browser, and in headless Chromium where there is one."""

import json
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import pytest

from tests.support.paths import ROOT
from tests.support.planted import write_planted
from tests.support.samples.pages import VOID, Page
from vadprobe.analyze.report.page.writing import write_report
from vadprobe.flows.jobs.analyze_job import analyze, open_analysis
from vadprobe.flows.jobs.job import load_job
from vadprobe.flows.jobs.reports.parts import report_part

NODE = shutil.which("node")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
STAND_IN = ROOT / "tests" / "analyze" / "report" / "page" / "small_page.js"


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    planted = write_planted(tmp_path_factory.mktemp("planted"), strength=1.5)
    parts = []
    for method in ("hiprobe", "headhunt"):
        job = load_job(planted.job(method))
        analyze(job)
        parts.append(report_part(job, open_analysis(job)))
    return write_report(parts, planted.folder / "page.html")


class Tree(Page):
    """A page as nested lists of tag, attributes, children and text."""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        super().handle_starttag(tag, attrs)
        node: list[Any] = [tag, {name: value or "" for name, value in attrs}, [], ""]
        self.nodes[-1][2].append(node)
        if tag not in VOID:
            self.nodes.append(node)

    def handle_endtag(self, tag: str) -> None:
        super().handle_endtag(tag)
        self.nodes.pop()

    def handle_data(self, data: str) -> None:
        super().handle_data(data)
        self.nodes[-1][3] += data

    def __post_init__(self) -> None:
        super().__post_init__()
        self.nodes: list[list[Any]] = [["page", {}, [], ""]]


def used(written: Path, program: str) -> Any:
    """Open the page on the stand-in, run a program, and return what it gives."""
    tree = Tree.of(written.read_text())
    assert isinstance(tree, Tree)
    script = tree.all("script")[-1].text
    lines = [f"const TREE = {json.dumps(tree.nodes[0])};", STAND_IN.read_text(), script, "start(page);"]
    with tempfile.NamedTemporaryFile("w", suffix=".js") as file:
        file.write("\n".join([*lines, f"console.log(JSON.stringify((() => {{ {program} }})()));"]))
        file.flush()
        found = subprocess.run([str(NODE), file.name], check=False, capture_output=True, text=True, timeout=60)
    assert found.returncode == 0, found.stderr
    return json.loads(found.stdout)


with_node = pytest.mark.skipif(NODE is None, reason="Node.js is not installed, so the page's script cannot be run")


@with_node
def test_every_chart_and_example_is_drawn(written: Path) -> None:
    drawn = used(written, "return page.querySelectorAll('.plot').map((one) => (one.drawn || '').length);")
    assert len(drawn) > 10
    assert min(drawn) > 300


@with_node
def test_columns_sort_both_ways_and_back(written: Path) -> None:
    before, *found = used(
        written,
        """const table = page.getElementById("table-of-videos");
        const head = table.tHead.rows[0].cells[4];
        const cells = () => table.tBodies[0].rows.map((row) => row.cells[4].textContent);
        const names = () => [head.getAttribute("aria-sort"), cells()];
        const found = [names()];
        for (let n = 0; n < 3; n += 1) { head.querySelector("button").click(); found.push(names()); }
        return found;""",
    )
    assert [state for state, _ in found] == ["ascending", "descending", "none"]
    frames = [[int(value) for value in values] for _, values in found]
    assert frames[0] == sorted(frames[0])
    assert frames[1] == sorted(frames[0], reverse=True)
    assert found[2][1] == before[1]


@with_node
def test_the_cursor_is_a_range_that_tells_what_lies_under_it(written: Path) -> None:
    first, later = used(
        written,
        """const figure = page.querySelectorAll("figure").find((one) => one.attributes["data-video"] !== undefined);
        const range = figure.querySelector("input"); const words = figure.querySelector("output");
        const found = [[range.getAttribute("aria-label"), range.getAttribute("aria-valuetext"), words.textContent]];
        range.value = 3; range.fire("input");
        return [...found, [range.max, range.getAttribute("aria-valuetext"), words.textContent]];""",
    )
    assert first[0].startswith("Cursor on video")
    assert first[1].startswith("frame 12, 0:00.4;")
    assert later[1] == later[2]
    assert later[1].startswith("frame 84, 0:03.3; truly ")
    assert "hiprobe: score " in later[1]
    assert "headhunt: score " in later[1]


@with_node
def test_videos_are_found_by_name_and_by_how_well_they_went(written: Path) -> None:
    data = Page.of(written.read_text()).data
    found = used(
        written,
        """const search = page.getElementById("search"); const said = page.getElementById("found");
        const found = [said.textContent];
        for (const name of ["VIDEO24", "26", "nothing"]) {
          search.value = name; search.fire("change"); found.push(said.textContent);
        }
        for (const button of page.querySelectorAll("button").filter((one) => one.dataset.pick)) {
          button.click(); found.push(said.textContent);
        }
        return found;""",
    )
    assert found[1].startswith("video24: ")
    assert found[2].startswith("video26: ")
    assert found[3] == 'No test video has a name with "nothing".'
    order = [data["videos"][place]["name"] for place in data["order"]]
    assert found[4].startswith(f"The best: {order[0]}: ")
    assert found[5].startswith(f"The median: {order[len(order) // 2]}: ")
    assert found[6].startswith(f"The worst: {order[-1]}: ")


@with_node
def test_the_theme_goes_round(written: Path) -> None:
    found = used(
        written,
        """const button = page.getElementById("theme"); const found = [];
        for (let n = 0; n < 3; n += 1) {
          button.click(); found.push([button.textContent, page.documentElement.dataset.theme || ""]);
        }
        return found;""",
    )
    assert found == [["Theme: dark", "dark"], ["Theme: light", "light"], ["Theme: as the system", ""]]


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed, so no browser opens the page")
@pytest.mark.parametrize("size", ["1200,1600", "390,1600"])
def test_a_browser_draws_the_page_without_an_error(written: Path, tmp_path: Path, size: str) -> None:
    flags = ["--headless=new", "--no-sandbox", "--disable-gpu", f"--window-size={size}", "--virtual-time-budget=5000",
             "--enable-logging=stderr", f"--user-data-dir={tmp_path / 'profile'}"]  # fmt: skip
    browser = [str(CHROMIUM), *flags]
    found = subprocess.run(
        [*browser, "--dump-dom", written.as_uri()], check=True, capture_output=True, text=True, timeout=120
    )
    assert "CONSOLE" not in found.stderr, found.stderr
    assert found.stdout.count('<svg viewBox="0 0') > 10
    picture = tmp_path / "page.png"
    subprocess.run(
        [*browser, f"--screenshot={picture}", written.as_uri()], check=True, capture_output=True, timeout=120
    )
    assert picture.stat().st_size > 10_000
