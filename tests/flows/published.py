"""Runs and artifacts that a Prefect server holds."""

from dataclasses import dataclass
from typing import Any

from prefect.client.orchestration import get_client
from prefect.client.schemas.sorting import FlowRunSort, TaskRunSort


@dataclass(frozen=True)
class Published:
    """Flow and task runs in the order of their creation, and the latest artifact of each key."""

    runs: list[Any]
    tasks: list[Any]
    artifacts: dict[str, Any]


def published() -> Published:
    """Ask the server of the test."""
    with get_client(sync_client=True) as client:
        artifacts = client.read_artifacts()
        return Published(
            client.read_flow_runs(sort=FlowRunSort.START_TIME_ASC),
            sorted(client.read_task_runs(sort=TaskRunSort.END_TIME_DESC), key=lambda run: run.expected_start_time),
            {each.key: each for each in sorted(artifacts, key=lambda each: each.updated)},
        )
