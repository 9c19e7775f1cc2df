"""Every published number is the one that its paper prints, and those of other works stand apart."""

import json
from typing import Any

import pytest

from tests.support.paths import SHARED
from vadprobe.analyze.report.published.numbers import (
    METRICS,
    PublishedNumber,
    other_works,
    printed_tables,
    published_on,
)

PRINTED = SHARED / "papers" / "published.json"


def cells(paper: str, number: str) -> list[tuple[str, str, float]]:
    """Row, metric and value of every cell of a table, as the checked transcript has them."""
    table: dict[str, Any] = json.loads(PRINTED.read_text())[paper][f"table-{number}"]
    if "metric" in table:
        return [(label, METRICS[table["metric"]], value) for _, label, _, value in table["rows"]]
    columns = [METRICS[name] for name in table["columns"]]
    return [
        (label, metric, value)
        for label, *values in table["rows"]
        for metric, value in zip(columns, values, strict=True)
    ]


def own_rows(name: str) -> list[PublishedNumber]:
    """Numbers of a table that it does not share with the other paper's."""
    table = printed_tables()[name]
    shared = {row.label for row in printed_tables()[table.shares].rows} if table.shares else set()
    return [number for row in table.rows if row.label not in shared for number in row.numbers]


@pytest.mark.skipif(not PRINTED.exists(), reason="the transcript of the papers (../shared/data/papers) is not here")
@pytest.mark.parametrize("name", printed_tables())
def test_every_printed_cell_is_there_in_the_paper_s_order(name: str) -> None:
    paper, number = name.split("-")
    assert [(one.row, one.metric, one.value) for one in own_rows(name)] == cells(paper, number)


@pytest.mark.skipif(not PRINTED.exists(), reason="the transcript of the papers (../shared/data/papers) is not here")
def test_words_and_titles_are_those_of_the_transcript() -> None:
    printed = json.loads(PRINTED.read_text())
    for name, table in printed_tables().items():
        paper, number = name.split("-")
        wanted = printed[paper][f"table-{number}"]
        assert table.title == wanted["title"]
        assert table.source == printed["papers"][paper]
        words = {row[1]: {"supervision": row[0], "features": row[2]} for row in wanted["rows"] if "metric" in wanted}
        assert all(row.words == words[row.label] for row in table.rows if row.label in words)


def test_the_papers_print_103_numbers() -> None:
    assert sum(len(own_rows(name)) for name in printed_tables()) == 103
    assert all(number.source and number.table == name for name in printed_tables() for number in own_rows(name))


def test_a_table_repeats_the_other_paper_s_rows_under_its_own_name() -> None:
    table = printed_tables()["headhunt-1"]
    labels = [row.label for row in table.rows]
    assert labels[-4:] == ["EventVAD", "HiProbe-VAD", "HeadHunt-VAD", "Holmes-VAU"]
    assert not any(label.startswith("HiProbe-VAD (") for label in labels)
    assert {number.table for row in table.rows for number in row.numbers} == {"headhunt-1"}


def test_other_works_are_in_no_table_and_have_a_source() -> None:
    found = {(number.row, number.metric): number for number in other_works()}
    printed = {(n.row, n.metric) for table in printed_tables().values() for row in table.rows for n in row.numbers}
    assert not set(found) & printed
    assert all(number.source and not number.table for number in found.values())
    assert found["VERA", METRICS["XD"]].caveat == "its AP is the trapezoid area"
    assert {row for row, _ in found} == {"VADTree", "PANDA", "SteerVAD", "VERA", "PRISM"}


@pytest.mark.parametrize("name", ["ucf-crime", "xd-violence"])
def test_each_method_is_published_once_on_a_set(name: str) -> None:
    rows = [number.row for number in published_on(name)]
    assert len(set(rows)) == len(rows)
    assert {"HeadHunt-VAD", "HiProbe-VAD (InternVL2.5)", "EventVAD", "SteerVAD"} <= set(rows)
