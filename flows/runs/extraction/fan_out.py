"""Runs of `extract-partitions` that compute beside a run of `extract-features`, one on each worker that is free.

Only the claims in the stores decide which run computes which partition. A helper that never begins, fails or is lost
costs nothing but time: the run that started it computes too, and takes over what is left.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from uuid import UUID

from prefect import State
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import FlowRunFilter
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.deployments import run_deployment
from prefect.exceptions import ObjectNotFound

from vadprobe.flows.runs.faults import without_server
from vadprobe.flows.runs.labels import job_tags, run_name
from vadprobe.flows.runs.parameters import ExtractionOverrides
from vadprobe.store.errors import VadprobeError

if TYPE_CHECKING:
    from vadprobe.flows.jobs.job import Job

FLOW = "extract-partitions"
"""Name of the helpers' flow, and of its deployment."""

PART = "partitions"
"""Word for the part of the job in the names of helpers' runs."""

_BEFORE = [StateType.SCHEDULED, StateType.PENDING]
_ALIVE = [*_BEFORE, StateType.RUNNING]
_LOGGER = logging.getLogger(__name__)


@dataclass
class Helpers:
    """Helpers of one run.

    Attributes:
        parameters: parameters of all helpers.
        queue: work queue of their pool; None for the deployment's own.
        job: the job that they compute.
    """

    parameters: dict[str, Any]
    queue: str | None
    job: "Job"
    _mine: set[UUID] = field(default_factory=set)
    _others: set[UUID] = field(default_factory=set)
    _ended: set[UUID] = field(default_factory=set)

    def start(self, deployment: UUID, wanted: int) -> None:
        """Start runs of a deployment until `wanted` exist; helpers of an earlier or another run of the job count."""
        alive = {"state": {"type": {"any_": _ALIVE}}, "deployment_id": {"any_": [deployment]}}
        others = [run for run in _read(alive) if run.parameters == self.parameters]
        self._others.update(run.id for run in others)
        lacking = max(0, wanted - len(others))
        for _ in range(lacking):
            # As a child of this run: it appears in its graph, and is cancelled with it.
            made: Any = run_deployment(
                deployment,
                parameters=self.parameters,
                timeout=0,
                flow_run_name=run_name(self.job, PART),
                tags=job_tags(self.job),
                work_queue_name=self.queue,
            )
            self._mine.add(made.id)
        _LOGGER.info("Helpers wanted: %d; started now: %d; already running: %d", wanted, lacking, len(others))

    def look(self) -> None:
        """Log helpers that have failed or were lost; their partitions are taken over, and a crashed one may restart."""
        with without_server(at_once=True):
            for run in self._known():
                if run.state is not None and run.state.is_final() and run.id not in self._ended:
                    self._ended.add(run.id)
                    if not run.state.is_completed():
                        _LOGGER.warning("Helper %s: %s: %s", run.name, run.state.name, run.state.message)

    def dismiss(self, *, running: bool) -> None:
        """Cancel helpers that have not begun, for whom nothing is left; with `running`, all that were started here."""
        with without_server(), get_client(sync_client=True) as client:
            for run in self._known():
                state = None if run.state is None else run.state.type
                if state in _BEFORE:  # no worker computes for it, so there is nobody who could end it
                    client.set_flow_run_state(run.id, State(type=StateType.CANCELLED))
                elif running and state == StateType.RUNNING and run.id in self._mine:
                    client.set_flow_run_state(run.id, State(type=StateType.CANCELLING))

    def _known(self) -> list[FlowRun]:
        known = self._mine | self._others
        return _read({"id": {"any_": sorted(known)}}) if known else []


def _read(filters: dict[str, Any]) -> list[FlowRun]:
    with get_client(sync_client=True) as client:
        return client.read_flow_runs(flow_run_filter=FlowRunFilter.model_validate(filters))


def helper_parameters(
    job: "Job", config: str, workspace: str | None, overrides: ExtractionOverrides, span_minutes: float
) -> dict[str, Any]:
    """Return the parameters of a helper: those of its run, and the digest that its job must have."""
    return {
        "config": config,
        "workspace": workspace,
        "overrides": overrides.model_dump(mode="json"),
        "span_minutes": span_minutes,
        "digest": job.digest,
    }


@contextmanager
def helping(
    job: "Job", workers: int, parameters: dict[str, Any], pool: str | None, queue: str | None
) -> Iterator[Callable[[], None]]:
    """Start the helpers of a run, `workers - 1` of them, and yield a function that checks on them.

    At the end, helpers that have not begun are cancelled; if the run fails or is cancelled, all that it started.

    Raises:
        VadprobeError: if the helpers' flow has no deployment, or there is no such pool.
    """
    if workers == 1:
        yield lambda: None
        return
    helpers = Helpers(parameters, queue, job)
    with without_server(), get_client(sync_client=True) as client:
        helpers.start(_deployment(client, pool), workers - 1)
    try:
        yield helpers.look
    except BaseException:
        helpers.dismiss(running=True)
        raise
    helpers.dismiss(running=False)


def _deployment(client: SyncPrefectClient, pool: str | None) -> UUID:
    """Return the deployment of helpers on a pool; for a pool other than its own, it is copied to that pool."""
    name = f"{FLOW}/{FLOW}"
    try:
        own = client.read_deployment_by_name(name)
    except ObjectNotFound as error:
        raise VadprobeError(
            f"workers must be 1 where there is no deployment {name!r}; make it with 'prefect deploy -n {FLOW}'."
        ) from error
    if pool is None or pool == own.work_pool_name:
        return own.id
    try:
        client.read_work_pool(pool)
    except ObjectNotFound as error:
        raise VadprobeError(
            f"work_pool must be a pool of the server, got {pool!r}; make it with 'prefect work-pool create {pool}'."
        ) from error
    with suppress(ObjectNotFound):
        return client.read_deployment_by_name(f"{FLOW}/{pool}").id
    return client.create_deployment(
        own.flow_id,
        pool,
        work_pool_name=pool,
        entrypoint=own.entrypoint,
        pull_steps=own.pull_steps,
        path=own.path,
        parameters=own.parameters,
        parameter_openapi_schema=own.parameter_openapi_schema,
        enforce_parameter_schema=own.enforce_parameter_schema,
        job_variables=own.job_variables,
        tags=own.tags,
        description=own.description,
    )
