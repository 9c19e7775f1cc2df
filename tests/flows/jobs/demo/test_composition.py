"""The demo's steps on planted features: a result is shown as soon as it is there, and all are kept together."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.planted import write_planted
from tests.support.samples.pages import Page
from vadprobe.extract.demo.scenes.shot import NAMED_KINDS, UNNAMED_KINDS
from vadprobe.flows.commands import stages
from vadprobe.flows.jobs.analyze_job import analyze
from vadprobe.flows.jobs.demo import composition
from vadprobe.flows.jobs.demo.composition import MEANING, Demo
from vadprobe.flows.jobs.job import load_job
from vadprobe.store.errors import VadprobeError

pytestmark = pytest.mark.usefixtures("blank")


def test_the_first_result_comes_before_the_second_method(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    planted = write_planted(tmp_path)
    happened: list[str] = []

    @contextmanager
    def planted_preset(name: str) -> Iterator[Path]:
        yield planted.job(name)

    def extracted(path: str, workspace: str) -> str:
        happened.append(f"extracted {Path(path).stem}")
        return "all features are there"

    def analyzed(path: str, workspace: str) -> str:
        happened.append(f"analyzed {Path(path).stem}")
        return str(analyze(load_job(Path(path), Path(workspace))).report)

    monkeypatch.setattr(composition, "preset", planted_preset)
    monkeypatch.setattr(composition, "write_film_strips", lambda job, *others: [f"No film strip in {job.out.name}."])
    demo = Demo(tmp_path, 0, extracted, analyzed, happened.append)
    jobs = demo.results()
    assert [job.path.stem for job in jobs] == ["hiprobe", "headhunt"]
    steps = [line.split(":")[0] if line.startswith("[") else line.splitlines()[-1] for line in happened]
    places = [steps.index(step) for step in ("extracted hiprobe", "analyzed hiprobe", "extracted headhunt")]
    assert places == sorted(places)
    first = next(place for place, line in enumerate(happened) if "hiprobe on planted (test)" in line)
    assert places[1] < first < places[2]
    assert happened.count("all features are there") == 2
    results = json.loads((tmp_path / "results.json").read_text())["results"]
    assert [result["preset"] for result in results] == ["hiprobe", "headhunt"]
    page = Page.of(demo.page(jobs).read_text())
    assert [part["name"] for part in page.data["parts"]] == ["hiprobe", "headhunt"]
    assert "No film strip in out-hiprobe." in happened


def test_a_wrong_backbone_is_refused_before_anything_is_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(composition, "make_set", lambda *given: pytest.fail("a set was drawn"))
    demo = Demo(tmp_path / "out", 0, lambda *given: "", lambda *given: "", print, backbone=tmp_path / "nothing")
    with pytest.raises(VadprobeError, match="make-demo-backbone"):
        demo.prepare()
    assert not (tmp_path / "out").exists()


def test_what_the_captions_name_is_said() -> None:
    assert "6 of the 10 kinds that this set calls anomalous" in MEANING
    assert "six of the ten kinds that the set calls anomalous" in (stages.demo.__doc__ or "")
    assert all(kind in MEANING for kind in (*NAMED_KINDS, *UNNAMED_KINDS))
