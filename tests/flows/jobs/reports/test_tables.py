"""A page has the tables that were measured on its features and truth, and no others."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from tests.support.planted import Planted, write_planted
from tests.support.samples.pages import Page
from vadprobe.analyze.locator.event_files import EVENTS_PARQUET, read_events
from vadprobe.analyze.locator.explanation_files import COLUMNS, VERSION, Explanations, notice
from vadprobe.flows.command_line import main
from vadprobe.flows.jobs.analyze_job import analyze, combine, open_analysis
from vadprobe.flows.jobs.job import load_job
from vadprobe.store.files.parquet import with_metadata, write_parquet

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


def test_generated_texts_are_marked_and_an_events_own_comes_first(planted: Planted) -> None:
    job = load_job(planted.job("headhunt"))
    features = open_analysis(job).store.spec.digest
    event = next(row for row in read_events(job.out / EVENTS_PARQUET).to_pylist()
                 if row["kind"] == "anomalous" and row["split"] == "test")  # fmt: skip
    first = event["start_frame"]

    def describe(text: str, digest: str = features) -> None:
        row = {"video_id": event["video_id"], "start_frame": first, "stop_frame": first + 1, "text": text}
        table = with_metadata(pa.Table.from_pylist([row]), "texts", {"features": digest})
        write_parquet(table, job.out / "texts.parquet")

    def explain(text: str | None, is_whole: bool, digest: str = features) -> None:
        row = {**dict.fromkeys(COLUMNS), **{name: event[name] for name in COLUMNS if name in event}}
        recipe = {"version": VERSION, "features": digest}
        head = {"backbone": "tiny", "n_chosen": 2}
        Explanations([{**row, "text": text, "is_whole": is_whole}], head, recipe).write(job.out)

    describe("A street.")
    page = page_of(planted)
    assert page.all("strong")[0].text == notice("tiny")
    assert "A street." in page.all("table", id="table-of-events")[0].text
    explain("Somebody falls", is_whole=False)
    page = page_of(planted)
    assert "Somebody falls …" in page.all("table", id="table-of-events")[0].text
    assert "A street." not in page.all("table", id="table-of-events")[0].text
    assert sorted(page.data["words"]) == ["A street.", "Somebody falls …"]
    assert "vadprobe explain" in page.all("pre")[0].text
    assert "Only 1 of 2 events are explained" in page.all("section", id="videos")[0].text
    describe("Of other features.", "0")
    explain(None, is_whole=True)
    assert page_of(planted).data["words"] == []
    explain("Of other features.", True, "0")
    page = page_of(planted)
    assert (page.data["words"], page.data["notice"]) == ([], "")
    assert "Explanations are left out: " in page.all("section", id="videos")[0].text


def test_a_table_of_other_features_or_another_truth_is_left_out(planted: Planted) -> None:
    folder = planted.folder / "out-headhunt"
    change(folder / "tables" / "headhunt-1.json", features="0")
    change(folder / "sweep" / "sweep.json", truth="0")
    ids = {str(one.attributes["id"]) for one in page_of(planted).all("table") if "id" in one.attributes}
    assert [name for name in ids if "table-of-table-" in name] == ["table-of-table-0-locators-headhunt"]
