"""Scores and tables as runs: the numbers of the commands, published."""

import json
from pathlib import Path
from typing import get_args

import pytest

from tests.flows.published import published
from tests.support.planted import write_planted
from vadprobe.flows.jobs.experiments.score_source import ScoreSource
from vadprobe.flows.procedures.parameters import Intervals, TableName
from vadprobe.flows.procedures.steps.scores import open_truth
from vadprobe.store.errors import VadprobeError

pytestmark = pytest.mark.filterwarnings("ignore")  # of Prefect's own libraries

MANIFEST = "video_id,label,n_frames,intervals\na,0,40,\nb,1,50,10-20\n"


def test_scores_are_measured_published_and_named(
    prefect: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from vadprobe.flows.procedures.evaluate_scores import evaluate_scores

    monkeypatch.setenv("VADPROBE_JOBS", str(tmp_path))
    (tmp_path / "own.csv").write_text(MANIFEST)
    (tmp_path / "s.json").write_text(json.dumps({"a": [0.1] * 40, "b": [0.2] * 10 + [0.9] * 10 + [0.3] * 30}))
    said = evaluate_scores(
        ScoreSource(scores=Path("s.json")),
        dataset={"name": "own", "format": "manifest", "manifest": "own.csv"},
        intervals=Intervals(resamples=20),
    )
    assert "1.0000" in said
    assert json.loads((tmp_path / "s-evaluated" / "metrics.json").read_text())["auc"] == 1.0
    seen = published()
    rows = json.loads(seen.artifacts["scores-own-s"].data)
    assert [row["AUC"] for row in rows if row["scores"] == "s.json"] == ["1.0000"]
    assert any(row["scores"].startswith("baseline") for row in rows)
    assert seen.artifacts["curves-own-s"].data.startswith("data:image/png;base64,iVBOR")
    assert seen.runs[-1].name.startswith("s ")
    assert "dataset:own" in seen.runs[-1].tags


def test_one_truth_must_be_named(tmp_path: Path) -> None:
    with pytest.raises(VadprobeError, match=r"either config.* or dataset must be given"):
        open_truth(None, None, None, "test")


def test_the_names_of_tables_in_the_form_are_those_there_are() -> None:
    from vadprobe.analyze.experiments.tables import TABLES

    assert get_args(TableName) == tuple(TABLES)


@pytest.mark.slow  # two runs of a flow, three analyses
def test_an_experiment_without_deployments_runs_its_parts_here(
    prefect: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from prefect.states import Completed

    from vadprobe.flows.procedures import run_experiment as module
    from vadprobe.flows.runs.endings import UNREADABLE

    job = write_planted(tmp_path).job("hiprobe")
    job.write_text(job.read_text().replace("workers = 0", "workers = 0\ncurves = 1"))
    run_on = module.run_on

    def planted_is_extracted(pool, flow, **parameters):  # type: ignore[no-untyped-def]
        if flow.name == "extract-features":
            assert (pool, parameters["config"]) == ("gpu", str(job))
            return Completed(name=UNREADABLE, message="1 video could not be read")
        return run_on(pool, flow, **parameters)

    monkeypatch.setattr(module, "run_on", planted_is_extracted)
    state = module.run_experiment(str(job), tables=["layers"], return_state=True)
    assert state.name == UNREADABLE
    assert "The result is in" in str(state.message)
    seen = published()
    names = {run.name for run in seen.runs[-4:]}
    assert any(name.startswith("layers of hiprobe ") for name in names)
    assert "| " in seen.artifacts["table-layers-planted-tiny"].data
    assert len(list(tmp_path.rglob("tables/layers.json"))) == 1
    assert seen.artifacts["curves-planted-tiny-hiprobe"].data.startswith("data:image/png")
