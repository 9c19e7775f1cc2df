"""Both flows run to Completed in an embedded Prefect, and prefect.yaml names what exists."""

import importlib
import json
import re
import threading
import tomllib
from collections.abc import Callable
from pathlib import Path
from uuid import UUID

import pytest
import yaml
from prefect import flow, runtime
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.events.schemas.automations import AutomationCore
from prefect.exceptions import Pause
from prefect.states import Suspended

from tests.flows.published import published
from tests.support.paths import ROOT
from tests.support.planted import write_planted
from vadprobe.flows.jobs.job import load_job
from vadprobe.flows.jobs.job_files.merging import shipped_jobs
from vadprobe.flows.prefect_plugin import DEPLOYMENTS
from vadprobe.flows.runs import faults
from vadprobe.flows.runs.endings import UNREADABLE
from vadprobe.flows.runs.faults import stop_if_suspended
from vadprobe.store.errors import VadprobeError
from vadprobe.store.files.object_store import UnreachableError
from vadprobe.store.format.store_header import StoreHeader
from vadprobe.store.verification.verify import verify

# Prefect and what it loads warn about each other's interfaces; none of it is ours to mend.
pytestmark = pytest.mark.filterwarnings("ignore")


def test_the_extract_flow_computes_commits_verifies_and_names_what_it_could_not_read(
    prefect: None, job: Callable[..., Path]
) -> None:
    from vadprobe.flows.extract_features import extract_features

    path = job(prompts='["coarse", "question"]')
    (path.parent / "videos" / "empty.mp4").write_bytes(b"")
    state = extract_features(str(path), return_state=True)
    summary = str(state.result())
    assert state.name == UNREADABLE
    assert "1 video and 0 clips could not be read" in str(state.message)
    assert "Worked on 6 of 6 clips" in str(summary)
    assert "empty: the file is empty (0 bytes)" in summary
    stores = list((path.parent / "features").rglob("*.zarr"))
    assert len(stores) == 2
    assert not any(verify(store).problems for store in stores)
    again = extract_features(str(path), strict=True, return_state=True)
    assert again.is_failed()
    assert "Nothing to compute" in str(again.message)
    seen = published()
    assert [run.name for run in seen.tasks] == [
        "plan job",
        "extract segment-8-2/coarse, question partition 0",
        "commit job",
        "verify segment-8-2/coarse",
        "verify segment-8-2/question",
        "plan job",
        "commit job",
    ]
    assert {run.name for run in seen.runs} == {f"job {load_job(path).digest[:8]}"}
    assert {"dataset:set", "backbone:tiny"} <= set(seen.runs[0].tags)
    assert seen.artifacts["progress-set-tiny"].data == 100.0
    assert "6 of 6 clips" in seen.artifacts["progress-set-tiny"].description
    assert re.search(r"MB to write, [\d,]+ MB free.*`vadprobe extract /", seen.artifacts["plan-set-tiny"].description)
    assert '"empty"' in seen.artifacts["not-readable-set-tiny"].data


def test_helpers_that_nobody_takes_are_cancelled_and_the_run_does_all_by_itself(
    prefect: None, job: Callable[..., Path]
) -> None:
    from vadprobe.flows.extract_features import extract_features
    from vadprobe.flows.procedures.extract_partitions import extract_partitions

    path = job()
    with pytest.raises(VadprobeError, match=r"workers must be 1 .* 'prefect deploy -n extract-partitions'"):
        extract_features(str(path), workers=3)
    with get_client(sync_client=True) as client:
        for pool in ("gpu", "cluster"):
            client.create_work_pool(WorkPoolCreate(name=pool, type="process"))
    extract_partitions.to_deployment("extract-partitions", work_pool_name="gpu").apply(work_pool_name="gpu")
    with pytest.raises(VadprobeError, match=r"work_pool must be a pool of the server, got 'nowhere'"):
        extract_features(str(path), workers=3, work_pool="nowhere")
    state = extract_features(str(path), workers=3, work_pool="cluster", work_queue="fast", return_state=True)
    assert "Worked on 6 of 6 clips" in str(state.message)
    with get_client(sync_client=True) as client:
        pool = client.read_deployment_by_name("extract-partitions/cluster").work_pool_name
        helpers = [run for run in client.read_flow_runs() if run.work_queue_name == "fast"]
    assert pool == "cluster"
    assert [run.state.name for run in helpers if run.state] == ["Cancelled"] * 2
    assert {run.name for run in helpers} == {f"job {load_job(path).digest[:8]} partitions"}


def test_a_helper_leaves_the_commit_to_the_run_that_it_helps(prefect: None, job: Callable[..., Path]) -> None:
    from vadprobe.flows.extract_features import extract_features
    from vadprobe.flows.procedures.extract_partitions import extract_partitions

    path = job()
    with pytest.raises(VadprobeError, match=r"digest \w{8}, but the run that it helps computes 12345678"):
        extract_partitions(str(path), digest="12345678" * 8)
    state = extract_partitions(str(path), digest=load_job(path).digest, return_state=True)
    assert "6 of 6 clips" in str(state.message)
    (store,) = (path.parent / "features").rglob("*.zarr")
    assert StoreHeader.read(store).attributes["state"] == "open"
    state = extract_features(str(path), return_state=True)
    assert "Nothing to compute" in str(state.message)
    assert StoreHeader.read(store).attributes["state"] == "committed"
    assert "verify segment-8-2/coarse" in [run.name for run in published().tasks][-1]


def test_the_analyze_flow_writes_results_and_report(prefect: None, tmp_path: Path) -> None:
    from vadprobe.flows.analyze_features import analyze_features

    job = write_planted(tmp_path).job("hiprobe")
    job.write_text(job.read_text().replace("workers = 0", "workers = 0\ncurves = 1"))  # few pictures
    report = analyze_features(str(job))
    assert Path(report).is_file()
    result = json.loads((Path(report).parent / "results.json").read_text())["results"][0]
    assert result["auc"] > 0.95
    seen = published()
    table = json.loads(seen.artifacts["result-planted-tiny-hiprobe"].data)
    assert table[0] == {"scores": "hiprobe"} | {name: table[0][name] for name in ("AUC", "AP", "macro AUC", "F1")}
    assert next(row["scores"] for row in table if "baseline" in row["scores"]) == "baseline video_flat"
    assert report in seen.artifacts["report-planted-tiny-hiprobe"].data
    assert "method:hiprobe" in seen.runs[-1].tags


def test_a_wrong_job_fails_the_run_with_its_sentence(prefect: None, job: Callable[..., Path]) -> None:
    from vadprobe.flows.extract_features import extract_features

    with pytest.raises(VadprobeError, match=r"unknown key 'backbone\.colour'"):
        extract_features(str(job(more="colour = 3")))


def test_a_suspended_run_ends_between_two_steps(prefect: None) -> None:
    @flow
    def suspended() -> None:
        with get_client(sync_client=True) as client:
            client.set_flow_run_state(UUID(str(runtime.flow_run.id)), Suspended(timeout_seconds=60), force=True)
        stop_if_suspended()
        raise AssertionError("the next step has begun")

    with pytest.raises(Pause):
        suspended()


def test_a_step_that_hangs_is_ended(prefect: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faults, "DELAYS", ())
    hung = faults.step(lambda: threading.Event().wait(60), "hang", "hang", timeout=0.5)

    @flow
    def hanging() -> None:
        hung()

    with pytest.raises(TimeoutError):
        hanging()


def test_a_fault_that_may_pass_is_tried_again_and_another_is_not(
    prefect: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(faults, "DELAYS", (0.0, 0.0))
    tries: list[str] = []

    def reach(error: Exception) -> str:
        tries.append(str(error))
        if len(tries) < 3:
            raise error
        return "reached"

    tried = faults.step(reach, "reach", "reach")

    @flow
    def reaching(error: Exception) -> str:
        return tried(error)

    assert reaching(UnreachableError("no answer")) == "reached"
    tries.clear()
    with pytest.raises(VadprobeError, match="wrong"):
        reaching(VadprobeError("wrong"))
    assert tries == ["wrong"]


def test_the_automations_wait_for_every_state_that_a_run_ends_in_and_retry_our_runs_alone() -> None:
    path = ROOT / "flows" / "deployments" / "automations.yaml"
    lost, retried = (AutomationCore.model_validate(each) for each in yaml.safe_load(path.read_text())["automations"])
    ends = {"Completed", UNREADABLE, "Failed", "Cancelled", "Crashed", "Suspended", "heartbeat"}
    assert {event.removeprefix("prefect.flow-run.") for event in lost.trigger.expect} == ends
    (related,) = [retried.trigger.match_related]
    assert related.model_dump()["prefect.resource.id"] == "prefect.tag.vadprobe"
    deployments = yaml.safe_load((ROOT / "prefect.yaml").read_text())["deployments"]
    assert all("vadprobe" in deployment["tags"] for deployment in deployments)


def test_the_deployments_are_importable_flows_of_the_same_name() -> None:
    deployments = yaml.safe_load((ROOT / "prefect.yaml").read_text())["deployments"]
    assert tuple(deployment["name"] for deployment in deployments) == DEPLOYMENTS
    assert str(ROOT) not in (ROOT / "prefect.yaml").read_text()
    for deployment in deployments:
        assert deployment["work_pool"]["job_variables"]["env"]["PREFECT_FLOWS_HEARTBEAT_FREQUENCY"] == "30"
        module, _, name = deployment["entrypoint"].rpartition(".")
        flow = getattr(importlib.import_module(module), name)
        assert flow.name == deployment["name"]
        assert deployment.get("parameters", {}).get("config", "hiprobe") in shipped_jobs()


def test_the_deployments_of_a_checkout_are_the_same() -> None:
    installed, checkout = (
        yaml.safe_load((ROOT / name).read_text()) for name in ("prefect.yaml", "flows/deployments/prefect-git.yaml")
    )
    assert checkout["deployments"] == installed["deployments"]
    assert [list(one) for one in checkout["pull"]] == [
        ["prefect.deployments.steps.git_clone"],
        ["vadprobe.flows.deployments.checkout.use"],
    ]


def test_the_trigger_takes_tagged_extractions_in_every_state_that_has_features() -> None:
    (deployment,) = (
        one for one in yaml.safe_load((ROOT / "prefect.yaml").read_text())["deployments"] if "triggers" in one
    )
    content = deployment["triggers"][0]
    trigger = AutomationCore.model_validate({"name": "any", "trigger": {**content, "within": 0}, "actions": []}).trigger
    assert trigger.expect == {"prefect.flow-run.Completed", f"prefect.flow-run.{UNREADABLE}"}
    assert {"prefect.resource.id": "prefect.tag.then-analyze"} in content["match_related"]
    assert content["parameters"] == {"config": "{{ flow_run.parameters['config'] }}"}


def test_the_settings_in_pyproject_are_the_ones_the_readme_relies_on() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["prefect"]
    assert settings["plugins"] == {"enabled": True, "allow": ["vadprobe"]}
    assert settings["server"]["ephemeral"]["startup_timeout_seconds"] >= 120
    assert settings["server"]["analytics_enabled"] is False
    assert settings["flows"]["heartbeat_frequency"] == 30
