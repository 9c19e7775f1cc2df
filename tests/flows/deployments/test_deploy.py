"""A job's prefect.yaml holds the job's parameters and no path of this machine, and what cannot be deployed is said."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.planted import write_planted
from vadprobe.flows.command_line import main

Deploy = Callable[..., tuple[int, str, str]]


@pytest.fixture
def deploy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Deploy:
    """Run the command in the folder of two jobs, far from any server."""
    write_planted(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path / "prefect"))

    def run(*words: object) -> tuple[int, str, str]:
        code = main(["deploy", *map(str, words)])
        return code, *capsys.readouterr()

    return run


def written(path: Path) -> dict[str, dict[str, Any]]:
    content = yaml.safe_load(path.read_text())
    assert content["pull"] == []
    return {one["entrypoint"].rpartition(".")[2]: one for one in content["deployments"]}


def test_the_file_has_the_jobs_parameters_and_no_path_of_this_machine(deploy: Deploy, tmp_path: Path) -> None:
    words = ("--write-only", "--gpu-pool", "a100", "--jobs", "/team/jobs", "--name", "planted")
    code, out, _ = deploy(tmp_path / "headhunt.toml", *words)
    assert code == 0
    assert " deployments of headhunt.toml" in out
    assert "prefect deploy --all" in out
    path = tmp_path / "prefect.yaml"
    assert str(tmp_path) not in path.read_text()
    found = written(path)
    assert found["extract_features"]["parameters"] == {"config": "headhunt.toml"}
    assert found["render_report"]["parameters"] == {"configs": ["headhunt.toml"]}
    assert found["verify_store"]["parameters"] == {}  # its folder is another one on each machine
    shared = found["extract_partitions"]  # started by runs, with their parameters
    assert (shared["name"], shared.get("parameters")) == ("extract-partitions", None)
    assert {one["name"] for one in found.values() if one is not shared} == {"planted"}
    pools = {name: one["work_pool"]["name"] for name, one in found.items()}
    assert (pools["extract_features"], pools["extract_partitions"], pools["analyze_features"]) == (
        "a100",
        "a100",
        "cpu",
    )
    for one in found.values():
        environment = one["work_pool"]["job_variables"]["env"]
        assert environment.items() >= {"VADPROBE_JOBS": "/team/jobs", "DO_NOT_TRACK": "1"}.items()


def test_a_job_in_a_bucket_is_verified_there_and_one_without_analysis_is_not_analyzed(
    deploy: Deploy, tmp_path: Path
) -> None:
    job = tmp_path / "headhunt.toml"
    text = job.read_text().replace('root = "features"', 'root = "s3://team/features"')
    job.write_text(text.partition("[analysis]")[0])
    assert deploy("headhunt.toml", "--write-only")[0] == 0
    found = written(tmp_path / "prefect.yaml")
    assert {"extract_features", "verify_store"} <= set(found)
    assert not {"analyze_features", "render_report"} & set(found)
    assert found["verify_store"]["parameters"] == {"place": "s3://team/features"}
    assert found["extract_features"]["name"] == "extract-features"
    assert deploy("hiprobe", "--write-only")[0] == 0  # its own file is replaced
    assert written(tmp_path / "prefect.yaml")["analyze_features"]["parameters"] == {"config": "hiprobe"}


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("headhint.toml", "there is no job file headhint.toml"),
        ("hiprob", "there is no shipped job 'hiprob'; did you mean 'hiprobe'?"),
        ("headhunt.toml --file other.yaml", "other.yaml was not written by 'vadprobe deploy', and is left alone"),
        ("headhunt.toml --file nowhere/prefect.yaml", "there is no folder nowhere for prefect.yaml"),
    ],
)
def test_what_cannot_be_written_is_said(deploy: Deploy, tmp_path: Path, words: str, sentence: str) -> None:
    (tmp_path / "other.yaml").write_text("name: mine\n")
    code, _, complaint = deploy(*words.split())
    assert code == 2
    assert sentence in complaint
    assert (tmp_path / "other.yaml").read_text() == "name: mine\n"
    assert not (tmp_path / "prefect.yaml").exists()


def test_failed_runs_are_told_by_a_block_of_the_team(prefect: None, deploy: Deploy, tmp_path: Path) -> None:
    from prefect.blocks.notifications import CustomWebhookNotificationBlock
    from prefect.blocks.system import Secret
    from prefect.client.orchestration import get_client

    from vadprobe.flows.deployments.notifications import add_notification, block_id
    from vadprobe.store.errors import VadprobeError

    for name in ("team", "night"):
        CustomWebhookNotificationBlock(name=name, url="http://127.0.0.1:9/").save(name)
    Secret(value="s").save("word")
    for name, sentence in (
        ("team", "must be TYPE/NAME of a block, such as slack-webhook/team, got 'team'"),
        ("custom-webhook/day", "no block 'custom-webhook/day'; those that send messages are custom-webhook/night, "),
        ("secret/word", "'secret/word' must be one that sends messages"),
    ):
        with pytest.raises(VadprobeError, match=re.escape(sentence)):
            block_id(name)
    words = ("headhunt.toml", "--notify", "custom-webhook/team", "--write-only")
    assert "--write-only leaves it alone" in deploy(*words)[2]
    blocks = [block_id(f"custom-webhook/{name}") for name in ("team", "night")]
    for block in (*blocks, blocks[0]):
        name = add_notification(block)
    with get_client(sync_client=True) as client:
        (made,) = client.read_automations_by_name(name)
    assert [action.block_document_id for action in made.actions] == blocks  # each once
    assert made.trigger.expect == {"prefect.flow-run.Failed", "prefect.flow-run.Crashed"}
    assert "{{ flow_run.state.message }}" in made.actions[0].body


def test_what_the_server_lacks_is_said_before_anything_is_written(
    prefect: None, deploy: Deploy, tmp_path: Path
) -> None:
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.actions import WorkPoolCreate
    from prefect.settings import PREFECT_API_URL, temporary_settings

    words = ("headhunt.toml", "--gpu-pool", "no-gpus", "--cpu-pool", "no-cpus")  # the server is that of other tests too
    code, _, complaint = deploy(*words)
    assert code == 2
    assert "has no work pool 'no-cpus' and no 'no-gpus'. Make it with 'prefect work-pool create no-cpus" in complaint
    with get_client(sync_client=True) as client:
        client.create_work_pool(WorkPoolCreate(name="no-gpus", type="process"))
    assert "has no work pool 'no-cpus'. Make" in deploy(*words)[2]
    for address, sentence in (
        (None, "no Prefect server is named, so there is nothing to deploy to"),
        ("http://127.0.0.1:9/api", "no Prefect server answers at http://127.0.0.1:9/api (ConnectError: "),
    ):
        with temporary_settings({PREFECT_API_URL: address}):
            assert sentence in deploy(*words)[2]
    assert not (tmp_path / "prefect.yaml").exists()
