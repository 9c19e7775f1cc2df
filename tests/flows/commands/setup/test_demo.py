"""The demo from beginning to end on a few short videos, with weights that nobody trained in the captioner's layout."""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.samples.pages import Page
from vadprobe.extract.demo import surveillance
from vadprobe.extract.demo.captioner.training.architecture import captioner, new_model, write_half
from vadprobe.extract.demo.captioner.vocabulary import captioner_tokenizer
from vadprobe.extract.demo.scenes.shot import NAMED_KINDS
from vadprobe.flows.commands.setup.demo import run_demo
from vadprobe.flows.jobs.demo import composition
from vadprobe.flows.jobs.demo.ingredients import Size, preset
from vadprobe.store.files.parquet import read_parquet

pytestmark = pytest.mark.usefixtures("blank")
NOTE = "demo-captioner: pre-trained on nothing; says nothing about any real camera."


@pytest.fixture(scope="module")
def stand_in(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint as the shipped one, but for its weights."""
    folder = tmp_path_factory.mktemp("models") / "stand-in"
    folder.mkdir()
    tiny = captioner(captioner_tokenizer(1000))
    write_half(folder, new_model(tiny, 0), tiny)
    card = {"kind": "demo-captioner", "note": NOTE.split(": ")[1].rstrip("."), "named": list(NAMED_KINDS)}
    (folder / "backbone_card.json").write_text(json.dumps(card))
    return folder


@pytest.fixture
def in_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Draw and compute without other processes, which take seconds to start."""

    def one_by_one(function: Callable[..., object], arguments: Sequence[tuple[Any, ...]], **others: object) -> None:
        for values in arguments:
            function(*values)

    @contextmanager
    def changed(name: str) -> Iterator[Path]:
        with preset(name) as path:
            text = path.read_text().replace("[analysis]", "[analysis]\nworkers = 0")
        copy = tmp_path / f"{name}.toml"
        copy.write_text(text)
        yield copy

    monkeypatch.setattr(composition, "preset", changed)
    monkeypatch.setattr(surveillance, "run_side_by_side", one_by_one)


@pytest.mark.slow
def test_the_demo_shows_results_comparisons_and_captions(
    tmp_path: Path, stand_in: Path, in_process: None, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "out"
    size = Size(n_videos=16, n_second=16, seconds=(1.2, 1.6))
    assert run_demo(folder, 0, with_prefect=False, backbone=stand_in, size=size) == 0
    shown = capsys.readouterr().out
    for words in (
        "hiprobe on surveillance (test)",
        "headhunt on surveillance (test)",
        f"Note: {NOTE}",
        "comparison: what the methods add",
        "best fixed layer (chosen on test)",
        "random heads",
        "text about 24 frames: p of event words",
        "baseline: true video label, flat",
        "RHI's AUC",
        "Fitted on surveillance, measured on surveillance-second.",
        "test segments, drawn by a seed",
        "What these numbers mean",
    ):
        assert words in shown, words
    assert shown.index("hiprobe on surveillance (test)") < shown.index("[4/6]")
    assert "MEANINGLESS" not in shown
    results = json.loads((folder / "results.json").read_text())["results"]
    assert [result["preset"] for result in results] == ["hiprobe", "headhunt"]
    assert all(result["caveats"][0] == NOTE for result in results)
    page = Page.of((folder / "report.html").read_text())
    assert NOTE in page.all("p", class_="warning")[0].text
    assert all(len(video["strip"]) == 2 for video in page.data["videos"])
    assert any("comparison" in str(one.attributes["id"]) for one in page.all("table"))
    assert set(read_parquet(folder / "hiprobe" / "texts.parquet")["split"].to_pylist()) == {"test"}
    assert run_demo(folder, 0, with_prefect=False, backbone=stand_in, size=size) == 0
    again = capsys.readouterr().out
    assert "Nothing to compute" in again
    assert [line for line in again.splitlines() if "layer by DLSP" in line] == [
        line for line in shown.splitlines() if "layer by DLSP" in line
    ]
