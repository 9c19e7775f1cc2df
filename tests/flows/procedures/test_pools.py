"""A flow as a step of another one: on the pool where it is deployed, or in this process."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.states import Completed, Failed

from vadprobe.flows.procedures.steps import pools
from vadprobe.flows.procedures.steps.pools import deployment_on, run_on
from vadprobe.store.errors import VadprobeError

pytestmark = pytest.mark.filterwarnings("ignore")  # of Prefect's own libraries


@flow(name="part-of-a-test")
def part(word: str) -> str:
    """Return a word."""
    return word


@flow(name="nowhere-deployed")
def undeployed(word: str) -> str:
    """Return a word."""
    return word


@contextmanager
def worker(state: Any) -> Iterator[list[Any]]:
    """Stand in for a worker of the pool: end every run of `part` in a state, and keep the runs."""
    seen: list[Any] = []
    over = threading.Event()

    def work() -> None:
        with get_client(sync_client=True) as client:
            while not over.is_set():
                for run in client.read_flow_runs():
                    if run.deployment_id is not None and run.state is not None and run.state.is_scheduled():
                        seen.append(run)
                        client.set_flow_run_state(run.id, state, force=True)
                time.sleep(0.2)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield seen
    finally:
        over.set()
        thread.join()


def test_a_flow_runs_where_it_is_deployed_and_else_here(prefect: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pools, "POLL_SECONDS", 0.2)
    with get_client(sync_client=True) as client:
        for name in ("large", "small"):
            client.create_work_pool(WorkPoolCreate(name=name, type="process"))
        flow_id = client.create_flow_from_name("part-of-a-test")
        client.create_deployment(flow_id, "one", work_pool_name="large", enforce_parameter_schema=False)

    assert deployment_on("large", "part-of-a-test") == "one"
    with pytest.raises(VadprobeError, match=r"no deployment on the work pool 'small', only on large"):
        deployment_on("small", "part-of-a-test")
    assert run_on("large", undeployed, word="here").result() == "here"
    assert run_on(None, part, word="here").result() == "here"

    with worker(Completed(name="Completed with remarks", message="two remarks")) as seen:
        assert run_on("large", part, word="there").name == "Completed with remarks"
    assert [run.parameters for run in seen] == [{"word": "there"}]
    with (
        worker(Failed(message="no memory")),
        pytest.raises(VadprobeError, match=r"part-of-a-test ended as Failed: no memory"),
    ):
        run_on("large", part, word="there")
