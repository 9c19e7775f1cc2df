"""The command figure: every figure of both papers from planted stores, its numbers, and why one cannot be drawn."""

import csv
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.analyze.figures.test_drawing import read_cells
from tests.flows.commands.conftest import Run
from tests.support.paths import SHARED
from tests.support.planted import HEAD, LAYER, Planted, write_planted
from vadprobe.analyze.figures.catalogue import FIGURES
from vadprobe.store.files.atomic_files import read_json

PUBLISHED = SHARED / "papers" / "published.json"


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Planted:
    return write_planted(tmp_path_factory.mktemp("planted"))


def jobs_of(planted: Planted) -> list[Path]:
    return [planted.job("hiprobe"), planted.job("headhunt")]


def column(content: dict[str, list[list[object]]], name: str) -> list[object]:
    place = content["columns"].index(name)
    return [row[place] for row in content["rows"]]


def test_every_figure_is_drawn_with_its_numbers(planted: Planted, run: Run) -> None:
    code, out, _ = run("figure", "--all", "--jobs", *jobs_of(planted))
    assert code == 0
    assert "Note: No seconds and TFLOP per segment" in out
    drawn = {path.stem: path for folder in planted.folder.glob("out-*/figures") for path in folder.glob("*.json")}
    assert set(drawn) == set(FIGURES)
    for name, path in drawn.items():
        assert path.parent.parent.name == f"out-{FIGURES[name].method}"
        content = read_json(path)
        assert content["paper"] == FIGURES[name].paper
        assert content["sources"][0]["n_anomalous"] == 8
        cells = read_cells(path.with_suffix(".csv"))
        assert cells[0] == content["columns"]
        assert cells[1:] == [[cell if cell != "" else None for cell in row] for row in content["rows"]], name
        assert path.with_suffix(".png").read_bytes().startswith(b"\x89PNG")
        assert b"<dc:date>" not in path.with_suffix(".svg").read_bytes()
    metrics, maps = read_json(drawn["hiprobe-2"]), read_json(drawn["headhunt-2"])
    assert {
        layer for layer, chosen in zip(column(metrics, "layer"), column(metrics, "chosen"), strict=True) if chosen
    } == {LAYER}
    heads = zip(column(maps, "block"), column(maps, "head"), column(maps, "chosen"), strict=True)
    assert {(block, head) for block, head, chosen in heads if chosen} == {HEAD}
    silhouettes = read_json(drawn["hiprobe-3"])
    assert 1 + int(np.argmax(column(silhouettes, "silhouette"))) == LAYER
    curves = read_json(drawn["hiprobe-6"])
    above = [score > 0.5 for score in column(curves, "score")]  # type: ignore[operator]
    assert any(above)
    assert not all(above)

    efficiency = read_json(drawn["headhunt-4"])
    assert column(efficiency, "value") == [96, 8, 16, 16]  # 3 x 4 heads of 8 values, one of them; every training video

    code, out, _ = run("figure", "hiprobe-4", "headhunt-5", "--jobs", *jobs_of(planted))
    assert code == 0
    assert "0 steps were computed" in out


def test_a_figure_beside_an_analysis_is_in_its_report(planted: Planted, run: Run) -> None:
    job = planted.job("hiprobe")
    assert run("analyze", job)[0] == 0
    assert run("figure", "hiprobe-3", "--jobs", job)[0] == 0
    assert run("report", job, "--out", planted.folder / "page.html")[0] == 0
    page = (planted.folder / "page.html").read_text()
    assert "Silhouette of the classes over the layers (hiprobe-3)" in page
    assert run("figure", "hiprobe-3", "--fraction", "0.75", "--jobs", job)[0] == 0
    assert run("report", job, "--out", planted.folder / "page.html")[0] == 0
    assert "(hiprobe-3)" not in (planted.folder / "page.html").read_text()


def test_one_job_serves_both_methods_and_another_set_is_another_line(
    tmp_path: Path, planted: Planted, run: Run
) -> None:
    other = write_planted(tmp_path, name="elsewhere").job("hiprobe")
    words = ["figure", "hiprobe-3", "headhunt-2", "--jobs", planted.job("headhunt"), other, "--out", tmp_path / "out"]
    assert run(*words)[0] == 0
    for name in ("hiprobe-3", "headhunt-2"):
        sources = read_json(tmp_path / "out" / f"{name}.json")["sources"]
        assert {source["dataset"] for source in sources} == {"planted", "elsewhere"}


def test_videos_are_those_asked_for(tmp_path: Path, planted: Planted, run: Run) -> None:
    words = ["--jobs", planted.job("hiprobe"), "--out", tmp_path]
    assert run("figure", "hiprobe-6", "--videos", "video23,video22", *words)[0] == 0
    with (tmp_path / "hiprobe-6.csv").open(newline="") as file:
        assert list(dict.fromkeys(row["video"] for row in csv.DictReader(file))) == ["video23", "video22"]
    code, out, _ = run("figure", "hiprobe-6", "--videos", "video00", *words)
    assert code == 3
    assert "hiprobe-6 is not drawn: 'video00' is not a scored test video of 'planted'" in out


def test_too_few_samples_and_a_rule_that_ranks_nothing(tmp_path: Path, planted: Planted, run: Run) -> None:
    job = planted.folder / "last.toml"
    job.write_text(planted.job("hiprobe").read_text() + 'selection = {rule = "last-layer"}\n')
    words = ["figure", "hiprobe-2", "hiprobe-4", "--fraction", "0.3", "--jobs", job, "--out", tmp_path]
    code, out, _ = run(*words)
    assert code == 3
    assert "hiprobe-4 is not drawn: a plane of samples needs at least 8" in out
    content = json.loads((tmp_path / "hiprobe-2.json").read_text())
    assert content["sources"][0]["n_normal"] == 3


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["hiprobe-5"], "there is no figure 'hiprobe-5'; the figures are hiprobe-2"),
        ([], "no figure is named; name at least one, or give --all"),
        (["--all"], "no job is named"),
    ],
)
def test_wrong_words_are_sentences(refused: Callable[..., str], words: list[str], sentence: str) -> None:
    assert refused("figure", *words).startswith(sentence)


def test_the_list_says_what_the_papers_figures_show(run: Run) -> None:
    code, out, _ = run("figure", "--list")
    assert code == 0
    assert [line.split()[0] for line in out.splitlines()] == list(FIGURES)
    if not PUBLISHED.exists():
        pytest.skip("the papers' numbers are not beside the checkout")
    published = json.loads(PUBLISHED.read_text())
    printed = {
        f"{paper}-{n}": text for paper in ("hiprobe", "headhunt") for n, text in published[paper]["figures"].items()
    }
    assert {name: one.paper for name, one in FIGURES.items()} == printed
