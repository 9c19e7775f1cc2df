"""Faults of steps: faults that may pass, new tries of a step, and work that goes on without Prefect's server."""

import errno
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any, TypeVar
from uuid import UUID

import httpx
from prefect import Task, runtime, task
from prefect.cache_policies import NO_CACHE
from prefect.client.orchestration import get_client
from prefect.exceptions import Pause
from prefect.settings import PREFECT_CLIENT_MAX_RETRIES, temporary_settings

from vadprobe.store.files.object_store import UnreachableError

DELAYS = (10.0, 30.0, 90.0)
"""Seconds before each new try of a step."""

TIMEOUT = 24 * 3600.0
"""Seconds after which a step counts as hung and is tried again. Running C code is not interrupted, but ends first."""

_PASSING = {
    errno.EAGAIN,
    errno.ECONNRESET,
    errno.EHOSTUNREACH,
    errno.EIO,
    errno.ENETDOWN,
    errno.ENETUNREACH,
    errno.ESTALE,
    errno.ETIMEDOUT,
}
"""Errors of network file systems that may not occur in a later try."""

_LOGGER = logging.getLogger(__name__)
_Step = TypeVar("_Step", bound=Callable[..., Any])


def step(function: _Step, name: str, run_name: str, timeout: float | None = TIMEOUT) -> _Step:
    """Return a function as a task that is tried again after faults that may pass.

    The store's records decide what is left to do, never Prefect's cache: every run of a step reads them anew.

    Args:
        function: the step.
        name: name of the task.
        run_name: name of its runs, with the names of parameters in braces.
        timeout: seconds that a run may take; None for no limit, if the step waits for others.
    """
    made: Any = task(
        name=name,
        task_run_name=run_name,
        cache_policy=NO_CACHE,
        persist_result=False,
        retries=len(DELAYS),
        retry_delay_seconds=list(DELAYS),
        retry_condition_fn=_worth_a_try,
        timeout_seconds=timeout,
    )(function)
    result: _Step = made
    return result


def may_pass(error: BaseException) -> bool:
    """Return True for errors that may not occur in a later try: of network, object store or device memory.

    Wrong input, damaged stores and missing permissions do not pass.
    """
    return any(
        isinstance(cause, UnreachableError | ConnectionError | TimeoutError)
        or type(cause).__name__ == "OutOfMemoryError"  # torch's, which is not imported for this
        or (isinstance(cause, OSError) and cause.errno in _PASSING)
        for cause in _causes(error)
    )


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__


def _worth_a_try(_: Task[..., Any], __: Any, state: Any) -> bool:
    try:
        state.result()
    except Exception as error:  # noqa: BLE001 - whatever it was, it is only looked at
        return may_pass(error)
    return False


@contextmanager
def without_server(*, at_once: bool = False) -> Iterator[None]:
    """Log and ignore failed requests to Prefect's server inside, when it does not answer or its database is locked.

    Args:
        at_once: do not repeat a request, which takes a minute; for requests that are made all the time.
    """
    try:
        with temporary_settings({PREFECT_CLIENT_MAX_RETRIES: 0}) if at_once else nullcontext():
            yield
    except httpx.HTTPError as error:
        _LOGGER.warning("Prefect's server does not answer; the work goes on. %s: %s", type(error).__name__, error)


def stop_if_suspended() -> None:
    """End this process between two steps if the run was suspended; a resumed run starts anew and continues.

    Raises:
        Pause: Prefect's own way out of a run that is to be resumed.
    """
    run_id = runtime.flow_run.id
    if run_id is None:
        return
    state = None
    with without_server(at_once=True), get_client(sync_client=True) as client:
        state = client.read_flow_run(UUID(run_id)).state
    if state is not None and state.is_paused():
        raise Pause(state=state)
