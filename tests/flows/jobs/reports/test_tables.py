"""A page has the tables that were measured on its features and truth, and no others."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.planted import Planted, write_planted
from tests.support.samples.pages import Page
from vadprobe.flows.command_line import main
from vadprobe.flows.jobs.analyze_job import analyze, combine
from vadprobe.flows.jobs.job import load_job

pytestmark = pytest.mark.usefixtures("blank")


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Planted:
    planted = write_planted(tmp_path_factory.mktemp("planted"))
    job = planted.job("headhunt")
    analyze(load_job(job))
    assert main(["table", "headhunt-1", "locators-headhunt", "--draws", "1", "--jobs", str(job)]) == 0
    assert main(["sweep", str(job), "--over", "top-heads=1,2", "--draws", "1"]) == 0
    return planted


def page_of(planted: Planted) -> Page:
    return Page.of(combine([load_job(planted.job("headhunt"))], planted.folder / "page.html").read_text())


def change(path: Path, **changes: Any) -> None:
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, "sources": [{**content["sources"][0], **changes}]}))


def test_tables_and_sweeps_are_in_the_page_with_the_commands_that_make_them(planted: Planted) -> None:
    page = page_of(planted)
    ids = {str(one.attributes["id"]) for one in page.all("table")}
    assert {"table-of-table-0-headhunt-1", "table-of-table-1-locators-headhunt", "table-of-table-2-sweep"} <= ids
    (commands,) = page.all("pre")
    assert "vadprobe table headhunt-1 locators-headhunt --draws 1 --jobs" in commands.text
    assert "vadprobe sweep" in commands.text
    assert "--over top-heads=1,2" in commands.text
    assert (planted.folder / "page-tables" / "table-2-sweep.csv").exists()


def test_a_table_of_other_features_or_another_truth_is_left_out(planted: Planted) -> None:
    folder = planted.folder / "out-headhunt"
    change(folder / "tables" / "headhunt-1.json", features="0")
    change(folder / "sweep" / "sweep.json", truth="0")
    ids = {str(one.attributes["id"]) for one in page_of(planted).all("table") if "id" in one.attributes}
    assert [name for name in ids if "table-of-table-" in name] == ["table-of-table-0-locators-headhunt"]
