"""Both flows run to Completed in an embedded Prefect, and prefect.yaml names what exists."""

import importlib
import json
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from tests.support.paths import ROOT
from tests.support.planted import write_planted
from vadprobe.flows.prefect_plugin import DEPLOYMENTS
from vadprobe.store.errors import VadprobeError
from vadprobe.store.verification.verify import verify

# Prefect and what it loads warn about each other's interfaces; none of it is ours to mend.
pytestmark = pytest.mark.filterwarnings("ignore")


def test_the_extract_flow_computes_commits_verifies_and_names_what_it_could_not_read(
    prefect: None, job: Callable[..., Path]
) -> None:
    from vadprobe.flows.extract_features import extract_features

    path = job(prompts='["coarse", "question"]')
    (path.parent / "videos" / "empty.mp4").write_bytes(b"")
    summary = extract_features(str(path))
    assert "Worked on 6 of 6 clips" in summary
    assert "empty: the file is empty (0 bytes)" in summary
    stores = list((path.parent / "features").rglob("*.zarr"))
    assert len(stores) == 2
    assert not any(verify(store).problems for store in stores)
    assert "Nothing to compute" in extract_features(str(path))


def test_the_analyze_flow_writes_results_and_report(prefect: None, tmp_path: Path) -> None:
    from vadprobe.flows.analyze_features import analyze_features

    job = write_planted(tmp_path).job("hiprobe")
    job.write_text(job.read_text().replace("workers = 0", "workers = 0\ncurves = 1"))  # few pictures
    report = analyze_features(str(job))
    assert Path(report).is_file()
    result = json.loads((Path(report).parent / "results.json").read_text())["results"][0]
    assert result["auc"] > 0.95


def test_a_wrong_job_fails_the_run_with_its_sentence(prefect: None, job: Callable[..., Path]) -> None:
    from vadprobe.flows.extract_features import extract_features

    with pytest.raises(VadprobeError, match=r"unknown key 'backbone\.colour'"):
        extract_features(str(job(more="colour = 3")))


def test_the_deployments_are_importable_flows_of_the_same_name() -> None:
    deployments = yaml.safe_load((ROOT / "prefect.yaml").read_text())["deployments"]
    assert tuple(deployment["name"] for deployment in deployments) == DEPLOYMENTS
    for deployment in deployments:
        module, _, name = deployment["entrypoint"].rpartition(".")
        flow = getattr(importlib.import_module(module), name)
        assert flow.name == deployment["name"]
        assert (ROOT / deployment["parameters"]["config"]).is_file()


def test_the_settings_in_pyproject_are_the_ones_the_readme_relies_on() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["prefect"]
    assert settings["plugins"] == {"enabled": True, "allow": ["vadprobe"]}
    assert settings["server"]["ephemeral"]["startup_timeout_seconds"] >= 120
    assert settings["server"]["analytics_enabled"] is False
    assert settings["logging"]["extra_loggers"] == ["vadprobe"]
