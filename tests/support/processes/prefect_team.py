"""A Prefect server and workers as separate processes, as a team runs them, to be killed and restarted."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import FlowRunFilter
from prefect.client.schemas.objects import FlowRun

from tests.support.paths import ROOT

PATIENCE = 900.0
"""Seconds that a run of a test never needs, even on a busy machine."""

Process = subprocess.Popen[bytes]


@dataclass
class Team:
    """A server with its database in `folder`, and the workers that were started."""

    folder: Path
    port: int
    variables: Mapping[str, str] = field(default_factory=dict)
    server: Process | None = None
    workers: dict[str, Process] = field(default_factory=dict)

    @property
    def url(self) -> str:
        """Address of the server's API."""
        return f"http://127.0.0.1:{self.port}/api"

    @property
    def database(self) -> Path:
        """The server's SQLite file."""
        return self.folder / "home" / "prefect.db"

    def client(self) -> SyncPrefectClient:
        """Open a client of this server; leave its `with` block to close it."""
        return SyncPrefectClient(self.url)

    def environment(self, **more: str) -> dict[str, str]:
        """Return the environment of the team's processes."""
        paths = [str(ROOT / "src"), *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
        own = {
            "PREFECT_HOME": str(self.folder / "home"),
            "PREFECT_API_URL": self.url,
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "PREFECT_WORKER_QUERY_SECONDS": "2",
            "PREFECT_PLUGINS_ENABLED": "false",
            "DO_NOT_TRACK": "1",
            "HF_HUB_OFFLINE": "1",
            "PYTHONPATH": os.pathsep.join(paths),
        }
        return {**os.environ, **own, **self.variables, **more}

    def command(self, *words: str, cwd: Path | None = None) -> None:
        """Run a command of Prefect's to its end."""
        done = subprocess.run(
            _prefect(*words), env=self.environment(), cwd=cwd or self.folder, capture_output=True, check=False
        )
        assert done.returncode == 0, (done.stdout + done.stderr).decode()

    def start_server(self) -> None:
        """Start the server, and wait until it answers."""
        words = ("server", "start", "--host", "127.0.0.1", "--port", str(self.port), "--no-ui")
        self.server = self._start("server", words, self.environment())
        eventually(self._answers, "the server does not answer")

    def stop_server(self) -> None:
        """Kill the server; its database stays."""
        assert self.server is not None
        os.killpg(self.server.pid, signal.SIGKILL)
        self.server.wait()
        self.server = None

    def start_worker(self, name: str, pool: str, **variables: str) -> Process:
        """Start a worker for one run at a time, in a process group of its own."""
        words = ("worker", "start", "--pool", pool, "--type", "process", "--limit", "1", "--name", name)
        self.workers[name] = self._start(name, words, self.environment(**variables))
        return self.workers[name]

    def kill(self, name: str) -> None:
        """Kill a worker and its runs at once."""
        process = self.workers.pop(name)
        for one in (process.pid, *children_of(process.pid)):
            with suppress(ProcessLookupError):
                os.kill(one, signal.SIGKILL)
        process.wait()

    def create(self, deployment: str, parameters: dict[str, Any]) -> UUID:
        """Create a run of one of the project's deployments."""
        with self.client() as client:
            made = client.read_deployment_by_name(f"{deployment}/{deployment}")
            return client.create_flow_run_from_deployment(made.id, parameters=parameters).id

    def read(self, run: UUID) -> FlowRun:
        """Return a run as the server knows it."""
        with self.client() as client:
            return client.read_flow_run(run)

    def runs_of(self, deployment: str) -> list[FlowRun]:
        """Return all runs of one of the project's deployments, in the order of their creation."""
        with self.client() as client:
            made = client.read_deployment_by_name(f"{deployment}/{deployment}")
            chosen = FlowRunFilter.model_validate({"deployment_id": {"any_": [made.id]}})
            return sorted(client.read_flow_runs(flow_run_filter=chosen, limit=200), key=lambda run: str(run.created))

    def wait_for(self, run: UUID, *states: str) -> FlowRun:
        """Wait until a run has one of some states.

        Raises:
            AssertionError: if the run reaches none of them; the error has its state.
        """
        found: list[FlowRun] = []

        def is_there() -> bool:
            found.append(self.read(run))
            return found[-1].state is not None and found[-1].state.name in states

        try:
            eventually(is_there, "")
        except AssertionError as error:
            raise AssertionError(f"{run} is {found[-1].state}, not one of {states}") from error
        return found[-1]

    def stop(self) -> None:
        """Kill all processes."""
        for name in list(self.workers):
            self.kill(name)
        if self.server is not None:
            self.stop_server()

    def _start(self, name: str, words: tuple[str, ...], environment: dict[str, str]) -> Process:
        with (self.folder / f"{name}.log").open("ab") as log:
            return subprocess.Popen(
                _prefect(*words), env=environment, cwd=self.folder, stdout=log, stderr=log, start_new_session=True
            )

    def _answers(self) -> bool:
        try:
            return httpx.get(f"{self.url}/health", timeout=5.0).is_success
        except httpx.HTTPError:
            return False


def _prefect(*words: str) -> list[str]:
    return [sys.executable, "-m", "prefect", "--no-prompt", *words]


def children_of(process: int) -> list[int]:
    """Return the child processes of a process, at any depth."""
    found: list[int] = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(path.read_text().rpartition(")")[2].split()[1])
        except (OSError, IndexError):
            continue
        if parent == process:
            child = int(path.parent.name)
            found += [child, *children_of(child)]
    return found


@contextmanager
def team_of(folder: Path, **variables: str) -> Iterator[Team]:
    """Start a server on a free port; all processes of the team have the `variables`."""
    folder.mkdir(parents=True, exist_ok=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        team = Team(folder, free.getsockname()[1], variables)
    try:
        team.start_server()
        yield team
    finally:
        team.stop()


def eventually(condition: Callable[[], Any], never: str) -> None:
    """Wait until a condition of a server or a file system holds, checked twice a second.

    Raises:
        AssertionError: with the sentence `never`, if it does not hold in time.
    """
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, never
        time.sleep(0.5)
