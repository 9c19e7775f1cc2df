"""Flows as steps of another flow: by their deployment on a work pool if there is one, else in this process."""

import logging
import time
from typing import Any
from uuid import UUID

from prefect import Flow, State, runtime
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import FlowFilter, FlowFilterName
from prefect.deployments import run_deployment
from prefect.exceptions import TerminationSignal
from prefect.states import Cancelling
from pydantic import BaseModel

from vadprobe.flows.runs.faults import stop_if_suspended
from vadprobe.store.errors import VadprobeError

POLL_SECONDS = 3.0
"""Seconds between two checks of a run in another process."""

_LOGGER = logging.getLogger(__name__)


def run_on(pool: str | None, flow: Flow[..., Any], **parameters: Any) -> State[Any]:
    """Run a flow to its end and return the state that it ends in.

    If the pool has a deployment of the flow, one of the pool's workers takes the run, as a child of this run. The flow
    runs in this process if no pool is named, if the flow has no deployment at all, or if the pool is that of this run,
    because its worker may have no room for a second run.

    Raises:
        VadprobeError: if the flow is deployed, but not on this pool; or if its run does not complete.
    """
    deployment = deployment_on(pool, flow.name)
    if deployment is None:
        here: Any = flow
        state: State[Any] = here(**parameters, return_state=True)
    else:
        _LOGGER.info("%s runs on the work pool %r.", flow.name, pool)
        state = _run_elsewhere(f"{flow.name}/{deployment}", {name: _plain(given) for name, given in parameters.items()})
    if not state.is_completed():
        raise VadprobeError(f"{flow.name} ended as {state.name}: {state.message}")
    _LOGGER.info("%s: %s. %s", flow.name, state.name, state.message or "")
    return state


def deployment_on(pool: str | None, name: str) -> str | None:
    """Return the name of a flow's deployment on a pool; None where the flow is to run in this process.

    Raises:
        VadprobeError: if all its deployments are on other pools.
    """
    if pool is None:
        return None
    with get_client(sync_client=True) as client:
        found = client.read_deployments(flow_filter=FlowFilter(name=FlowFilterName(any_=[name])))
        # Of several on a pool, the one that is called as this run's own is of the same job.
        found.sort(key=lambda one: one.name == runtime.deployment.name)
        pools = {one.work_pool_name: one.name for one in found}
        if not pools or pool == _own_pool(client):
            return None
    if pool not in pools:
        raise VadprobeError(
            f"{name} has no deployment on the work pool {pool!r}, only on {', '.join(sorted(map(str, pools)))}; name "
            "one of these, or deploy it there."
        )
    return pools[pool]


def _own_pool(client: SyncPrefectClient) -> str | None:
    run_id = runtime.flow_run.id
    return None if run_id is None else client.read_flow_run(UUID(run_id)).work_pool_name


def _run_elsewhere(name: str, parameters: dict[str, Any]) -> State[Any]:
    """Start a run of a deployment and wait for it; if this run is cancelled, cancel that one too."""
    run: Any = run_deployment(name, parameters=parameters, timeout=0)
    said = ""
    with get_client(sync_client=True) as client:
        try:
            while True:
                state = client.read_flow_run(run.id).state
                if state is not None and state.name != said:
                    said = state.name or ""
                    _LOGGER.info("%s, run %s: %s", name, run.name, said)
                if state is not None and state.is_final():
                    return state
                stop_if_suspended()
                time.sleep(POLL_SECONDS)
        except (KeyboardInterrupt, TerminationSignal):
            client.set_flow_run_state(run.id, Cancelling())
            raise


def _plain(given: Any) -> Any:
    return given.model_dump(mode="json", exclude_none=True) if isinstance(given, BaseModel) else given
