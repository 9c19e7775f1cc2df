"""The page of planted results: well-formed, complete, self-contained, and safe against hostile names."""

import base64
import csv
import hashlib
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from tests.support.planted import Planted, write_planted
from tests.support.samples.pages import Page
from vadprobe.analyze.locator.event_files import EVENTS_PARQUET, read_events
from vadprobe.analyze.report.page.writing import tables_folder, write_report
from vadprobe.analyze.report.part import FilmStrip, ReportPart
from vadprobe.analyze.report.sections.encoding import ALPHABET, UNKNOWN
from vadprobe.analyze.report.sections.measured_clips import measured_clips
from vadprobe.flows.jobs.analyze_job import analyze, open_analysis
from vadprobe.flows.jobs.job import load_job
from vadprobe.flows.jobs.reports.parts import report_part
from vadprobe.store.files.parquet import read_parquet

METHODS = ("hiprobe", "headhunt")
HOSTILE = '</script><script>alert(\'"&")</script>'


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Planted:
    planted = write_planted(tmp_path_factory.mktemp("planted"), strength=1.5, failed_row=330)
    for method in METHODS:
        analyze(load_job(planted.job(method)))
    return planted


@pytest.fixture(scope="module")
def parts(planted: Planted) -> list[ReportPart]:
    jobs = [load_job(planted.job(method)) for method in METHODS]
    return [report_part(job, open_analysis(job)) for job in jobs]


@pytest.fixture(scope="module")
def written(parts: list[ReportPart], tmp_path_factory: pytest.TempPathFactory) -> Path:
    strips = {"video27": FilmStrip(b"RIFF-not-looked-at", 3)}
    texts = pa.table({"video_id": ["video27"], "start_frame": [24], "stop_frame": [48], "text": ["A <b>dog</b>."]})
    dressed = [replace(parts[0], strips=strips, texts=texts), parts[1]]
    return write_report(dressed, tmp_path_factory.mktemp("page") / "both.html")


@pytest.fixture(scope="module")
def page(written: Path) -> Page:
    return Page.of(written.read_text())


def decoded(text: str) -> np.ndarray:
    codes = [ALPHABET.index(a) * 64 + ALPHABET.index(b) for a, b in zip(text[::2], text[1::2], strict=True)]
    return np.array([np.nan if code == UNKNOWN else code / (UNKNOWN - 1) for code in codes])


def test_ids_are_unique_and_references_lead_somewhere(page: Page) -> None:
    ids = [one.attributes["id"] for one in page.elements if "id" in one.attributes]
    assert len(set(ids)) == len(ids)
    for link in page.all("a"):
        assert str(link.attributes["href"])[1:] in ids
    for label in page.all("label"):
        assert label.attributes["for"] in ids


def test_nothing_is_fetched_and_only_the_pages_own_script_may_run(page: Page, written: Path) -> None:
    text = written.read_text()
    assert re.findall(r"https?:|[\"'(]//|@import|url\(", text) == []
    assert {name for one in page.elements for name in one.attributes if name.startswith("on")} == set()
    assert not any("style" in one.attributes for one in page.elements)
    (policy,) = page.all("meta", http_equiv="Content-Security-Policy")
    script, style = page.all("script")[-1], page.all("style")[0]
    for element in (script, style):
        digest = base64.b64encode(hashlib.sha256(element.text.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in str(policy.attributes["content"])
    assert str(policy.attributes["content"]).startswith("default-src 'none'; img-src data:;")


def test_every_picture_has_a_name_and_every_column_sorts_by_a_button(page: Page) -> None:
    plots = [one for one in page.elements if one.attributes.get("role") == "img"]
    assert len(plots) > 10
    assert all(one.attributes["aria-label"] for one in plots)
    assert all(one.attributes["alt"] for one in page.all("img"))
    heads = page.all("th")
    assert all(one.attributes["aria-sort"] == "none" and one.text.strip() for one in heads)
    assert {str(one.attributes["data-chart"]) for one in page.all("div") if "data-chart" in one.attributes} == set(
        page.data["charts"]
    )


def test_scores_truth_and_detections_of_every_test_video_are_in_the_page(planted: Planted, page: Page) -> None:
    data = page.data
    assert [video["name"] for video in data["videos"]] == [video.video_id for video in planted.dataset.of_split("test")]
    for number, method in enumerate(METHODS):
        folder = planted.folder / f"out-{method}"
        scores, events = read_parquet(folder / "scores.parquet"), read_events(folder / EVENTS_PARQUET)
        for video in data["videos"]:
            rows = scores.filter(pc.equal(scores["video_id"], video["name"]))
            one = video["series"][number]
            expected = rows["score"].to_numpy()
            assert np.allclose(decoded(one["score"]), expected, atol=1 / 4094, equal_nan=True)
            assert one["length"] == 24
            found = events.filter(pc.equal(events["video_id"], video["name"])).filter(
                pc.equal(events.filter(pc.equal(events["video_id"], video["name"]))["kind"], "anomalous")
            )
            assert one["detected"] == [[r["start_frame"], r["stop_frame"]] for r in found.to_pylist()]
            intervals = planted.dataset.intervals_of(video["name"])
            assert video["truth"] == [[i.start_frame, i.stop_frame] for i in intervals]
    (last,) = [video for video in data["videos"] if video["name"] == "video27"]
    assert last["strip"] == [base64.b64encode(b"RIFF-not-looked-at").decode(), 3]
    assert [data["words"][place] for _, _, place in last["texts"]] == ["A <b>dog</b>."]


def test_tables_are_files_with_the_same_rows(page: Page, written: Path) -> None:
    folder = tables_folder(written)
    for table in page.all("table"):
        name = str(table.attributes["id"]).removeprefix("table-of-")
        rows = list(csv.reader((folder / f"{name}.csv").read_text().splitlines()))
        assert len(rows) > 1, name
    results = list(csv.reader((folder / "results.csv").read_text().splitlines()))
    assert [row[0] for row in results[1:] if row[0] in METHODS] == list(METHODS)


def test_costs_are_sums_over_frames(parts: list[ReportPart], written: Path) -> None:
    """The area between curve and threshold where the decision is wrong, frame by frame."""
    part = parts[0]
    threshold = part.detector.locator.threshold
    rows = list(csv.DictReader((tables_folder(written) / "videos.csv").read_text().splitlines()))
    mine = {row["video"]: row for row in rows if row["analysis"] == "hiprobe"}
    assert mine.keys() == {video.video_id for video in part.truth.of_split("test")}
    for name, row in mine.items():
        clips = part.scores.filter(pc.equal(part.scores["video_id"], name)).to_pylist()
        frames = np.concatenate([np.full(c["stop_frame"] - c["start_frame"], c["score"]) for c in clips])
        truth = part.truth.truth(name, len(frames))
        with np.errstate(invalid="ignore"):
            over, under = frames > threshold, frames <= threshold
        assert float(row["cost of false alarms"]) == pytest.approx((frames - threshold)[over & ~truth].sum())
        assert float(row["cost of misses"]) == pytest.approx((threshold - frames)[under & truth].sum())
        known = ~np.isnan(frames)
        assert float(row["share of wrong frames"]) == pytest.approx((over != truth)[known].mean())


def test_errors_are_listed_by_cost_and_add_up(parts: list[ReportPart], written: Path) -> None:
    clips = measured_clips(parts[1])
    assert clips is not None
    for name, costs in (("false-alarms", clips.false_alarm_costs), ("misses", clips.miss_costs)):
        rows = csv.DictReader((tables_folder(written) / f"{name}.csv").read_text().splitlines())
        found = [float(row["cost"]) for row in rows if row["analysis"] == "headhunt"]
        assert found == sorted(found, reverse=True)
        assert sum(found) == pytest.approx(np.nansum(costs))


def renamed(part: ReportPart, names: dict[str, str]) -> ReportPart:
    """Give videos other names everywhere."""

    def table(rows: pa.Table) -> pa.Table:
        column = pa.array([names.get(name, name) for name in rows["video_id"].to_pylist()])
        return rows.set_column(rows.column_names.index("video_id"), "video_id", column)

    truth = replace(
        part.truth,
        videos=tuple(replace(v, video_id=names.get(v.video_id, v.video_id)) for v in part.truth.videos),
        intervals=tuple(replace(i, video_id=names.get(i.video_id, i.video_id)) for i in part.truth.intervals),
    )
    return replace(part, truth=truth, scores=table(part.scores), events=table(part.events), failures={HOSTILE: HOSTILE})


def test_hostile_names_stay_words(parts: list[ReportPart], tmp_path: Path) -> None:
    bad = {"video27": HOSTILE, "video26": "=cmd|' /C calc'!A0", "video25": "\u2028</title>"}
    path = write_report([renamed(part, bad) for part in parts], tmp_path / "page.html")
    page = Page.of(path.read_text())
    assert len(page.all("script")) == 2
    assert {video["name"] for video in page.data["videos"]} >= set(bad.values())
    assert HOSTILE in [one.attributes.get("value") for one in page.all("option")]
    with (tables_folder(path) / "videos.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    assert "'=cmd|' /C calc'!A0" in [row[0] for row in rows]


def test_analyses_of_one_preset_are_told_apart(parts: list[ReportPart], tmp_path: Path) -> None:
    page = Page.of(write_report([parts[0], replace(parts[0], job="other.toml")], tmp_path / "page.html").read_text())
    names = [one["name"] for one in page.data["parts"]]
    assert len(set(names)) == 2
    assert all(len(video["series"]) == 2 for video in page.data["videos"])


def test_printed_numbers_stand_beside_those_of_the_papers_sets_only(parts: list[ReportPart], tmp_path: Path) -> None:
    def named(name: str, of: str) -> str:
        result: dict[str, Any] = {**parts[0].result, "dataset": name}
        return write_report([replace(parts[0], result=result, format=of)], tmp_path / "page.html").read_text()

    page = named("ucf-crime", "ucf-crime")
    assert "Measured beside printed on ucf-crime" in page
    assert "86.72" in page
    assert "86.72" not in named("planted", "manifest")
    assert "86.72" not in named("streets", "ucf-crime")


def test_videos_without_labels_have_curves_and_no_errors(parts: list[ReportPart], tmp_path: Path) -> None:
    part = parts[0]
    truth = replace(
        part.truth, videos=tuple(replace(v, label=None, category=None) for v in part.truth.videos), intervals=()
    )
    result = {**part.result, "auc": None, "intervals": {}, "reliability": None}
    page = Page.of(write_report([replace(part, truth=truth, result=result)], tmp_path / "page.html").read_text())
    assert page.data["order"] == []
    assert {video["kind"] for video in page.data["videos"]} == {"no label"}
    assert "roc" not in page.data["charts"]
