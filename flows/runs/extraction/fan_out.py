"""Runs of `extract-partitions` that compute beside a run of `extract-features`, one on each worker that is free.

What they compute is agreed by the claims in the stores alone. A helper that never begins, fails or is lost costs time,
nothing else: the run that started it computes too, and takes over what is left.
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

from vadprobe.flows.runs.labels import job_tags, run_name
from vadprobe.flows.runs.parameters import ExtractionOverrides
from vadprobe.store.errors import VadprobeError

if TYPE_CHECKING:
    from vadprobe.flows.jobs.job import Job

FLOW = "extract-partitions"
"""Name of the flow of a helper, and of its deployment."""

PART = "partitions"
"""Word of the names of helpers' runs."""

_BEFORE = (StateType.SCHEDULED, StateType.PENDING)
_ALIVE = [*_BEFORE, StateType.RUNNING]
_LOGGER = logging.getLogger(__name__)


@dataclass
class Helpers:
    """Helpers of one run.

    Attributes:
        deployment: what they are runs of.
        parameters: theirs, the same for all of them.
        queue: work queue of their pool; None: the deployment's own.
        job: what they compute.
    """

    deployment: UUID
    parameters: dict[str, Any]
    queue: str | None
    job: "Job"
    _mine: set[UUID] = field(default_factory=set)
    _ended: set[UUID] = field(default_factory=set)

    def start(self, wanted: int) -> None:
        """Start as many as are lacking: helpers of an earlier or another run of the same job count, too."""
        with get_client(sync_client=True) as client:
            found = FlowRunFilter.model_validate({"state": {"type": {"any_": _ALIVE}}, **self._theirs()})
            others = [run for run in client.read_flow_runs(flow_run_filter=found) if run.parameters == self.parameters]
        self._mine.update(run.id for run in others)
        for _ in range(wanted - len(others)):
            # As a run below this one: it is seen in the graph, and cancelled with it.
            made: Any = run_deployment(
                self.deployment,
                parameters=self.parameters,
                timeout=0,
                flow_run_name=run_name(self.job, PART),
                tags=job_tags(self.job),
                work_queue_name=self.queue,
            )
            self._mine.add(made.id)
        _LOGGER.info(
            "Helpers wanted: %d; started: %d, there before: %d", wanted, max(0, wanted - len(others)), len(others)
        )

    def look(self) -> None:
        """Log which have failed or were lost; what these held is taken over, and a crashed one may be retried."""
        for run in self._read():
            if run.state is not None and run.state.is_final() and run.id not in self._ended:
                self._ended.add(run.id)
                if not run.state.is_completed():
                    _LOGGER.warning("Helper %s: %s: %s", run.name, run.state.name, run.state.message)

    def dismiss(self, *, running: bool) -> None:
        """Cancel those that have not begun, for which nothing is left, and `running` ones if nobody waits for them."""
        with get_client(sync_client=True) as client:
            for run in self._read():
                if run.state is not None and (run.state.type in _BEFORE or (running and run.state.is_running())):
                    client.set_flow_run_state(run.id, State(type=StateType.CANCELLING))

    def _read(self) -> list[FlowRun]:
        if not self._mine:
            return []
        with get_client(sync_client=True) as client:
            found = FlowRunFilter.model_validate({"id": {"any_": sorted(self._mine)}})
            return client.read_flow_runs(flow_run_filter=found)

    def _theirs(self) -> dict[str, Any]:
        return {"deployment_id": {"any_": [self.deployment]}, "tags": {"all_": job_tags(self.job)}}


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
    """Start the helpers of a run, which is itself one of its `workers`, and yield what looks after them.

    At the end, those that have not begun are cancelled; if the run fails or is cancelled, the others as well.

    Raises:
        VadprobeError: if there is no deployment of theirs, or no such pool.
    """
    if workers == 1:
        yield lambda: None
        return
    with get_client(sync_client=True) as client:
        deployment = _deployment(client, pool)
    helpers = Helpers(deployment, parameters, queue, job)
    helpers.start(workers - 1)
    try:
        yield helpers.look
    except BaseException:
        helpers.dismiss(running=True)
        raise
    helpers.dismiss(running=False)


def _deployment(client: SyncPrefectClient, pool: str | None) -> UUID:
    """Return the deployment of helpers on a pool; that of another pool than its own is made from it."""
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
