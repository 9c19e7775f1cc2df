"""A team's Prefect: a server on PostgreSQL, and workers that are started and killed as those of several machines."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from tests.support.paths import ROOT
from tests.support.processes.postgres import free_port, postgres_server
from tests.support.processes.waiting import wait_until

# Python imports this when it starts, and so does every process below it.
WITHOUT_TORCH = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "transformers", "decord", "av"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Absent())
"""


@dataclass
class Team:
    """A running server.

    Attributes:
        folder: for the homes and logs of all processes.
        api: URL of the server.
        environment: what every process of the team gets.
        workers: processes of the workers that were started, by name.
    """

    folder: Path
    api: str
    environment: Mapping[str, str]
    workers: "dict[str, subprocess.Popen[bytes]]" = field(default_factory=dict)

    def worker(self, name: str, pool: str, machine: Path, with_torch: bool = True) -> None:
        """Start a worker whose runs find their jobs in the folder `machine`."""
        environment = {**self.environment_of(with_torch), "VADPROBE_JOBS": str(machine)}
        command = ["worker", "start", "--pool", pool, "--name", name, "--limit", "1"]
        self.workers[name] = _started(command, self.folder / f"{name}.log", environment, machine)

    def environment_of(self, with_torch: bool) -> dict[str, str]:
        """The environment of a process that can import torch, or of one that cannot."""
        if with_torch:
            return dict(self.environment)
        hook = self.folder / "without-torch"
        hook.mkdir(exist_ok=True)
        (hook / "sitecustomize.py").write_text(WITHOUT_TORCH)
        return {**self.environment, "PYTHONPATH": f"{hook}{os.pathsep}{self.environment['PYTHONPATH']}"}

    def kill(self, name: str) -> None:
        """Kill a worker with all its runs, as when its machine is switched off."""
        process = self.workers.pop(name)
        for each in [*psutil.Process(process.pid).children(recursive=True), process]:
            with contextlib.suppress(psutil.NoSuchProcess):
                each.kill()
        process.wait()

    def prefect(self, *words: str) -> str:
        """Run a command of Prefect; give what it printed."""
        return self._command("prefect", *words, machine=self.folder)

    def vadprobe(self, *words: object, machine: Path, with_torch: bool = False) -> str:
        """Run a command in the folder of a machine; give what it printed."""
        return self._command("vadprobe.flows.command_line", *words, machine=machine, with_torch=with_torch)

    def _command(self, module: str, *words: object, machine: Path, with_torch: bool = False) -> str:
        done = subprocess.run(
            [sys.executable, "-m", module, *map(str, words)], cwd=machine, env=self.environment_of(with_torch),
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def ask(self, path: str, **body: Any) -> Any:
        """Post a question to the server."""
        request = urllib.request.Request(
            f"{self.api}/{path}", json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request) as answer:
            return json.load(answer)

    def run(self, run_id: str) -> dict[str, Any]:
        """The run of an id."""
        (found,) = self.ask("flow_runs/filter", flow_runs={"id": {"any_": [run_id]}})
        return dict(found)

    def state(self, run_id: str) -> str:
        """Name of the state of a run."""
        return str(self.run(run_id)["state_name"])

    def log_of(self, run_id: str) -> str:
        """Lines of the log of a run."""
        return "\n".join(line["message"] for line in self._lines(run_id))

    def _lines(self, run_id: str) -> list[dict[str, Any]]:
        return list(self.ask("logs/filter", logs={"flow_run_id": {"any_": [run_id]}}, sort="TIMESTAMP_ASC"))

    def _has_whole_log(self, run_id: str) -> bool:
        """Return True once the last line that a run writes has arrived, which is later than its state."""
        last = ("prefect.flow_runs", "Finished in state")
        return any(line["name"] == last[0] and line["message"].startswith(last[1]) for line in self._lines(run_id))

    def wait(self, run_id: str, state: str) -> str:
        """Wait until a run has ended, in a state; give its log."""
        wait_until(
            lambda: self.state(run_id) == state or self.run(run_id)["state_type"] in ("FAILED", "CRASHED"),
            f"{run_id} never became {state}",
        )
        assert self.state(run_id) == state, self.log_of(run_id)
        wait_until(lambda: self._has_whole_log(run_id), f"the log of {run_id} never arrived")
        return self.log_of(run_id)


def _started(command: list[str], log: Path, environment: Mapping[str, str], folder: Path) -> "subprocess.Popen[bytes]":
    with log.open("ab") as file:
        return subprocess.Popen(
            [sys.executable, "-m", "prefect", *command], cwd=folder, env=dict(environment), stdin=subprocess.DEVNULL,
            stdout=file, stderr=file, start_new_session=True,
        )  # fmt: skip


@contextlib.contextmanager
def running_team(folder: Path) -> Iterator[Team]:
    """A server on PostgreSQL; at the end it and all workers are stopped."""
    port = free_port()
    paths = [str(ROOT / "src"), *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    environment = os.environ | {
        "PREFECT_HOME": str(folder / "prefect"),
        "PREFECT_API_URL": f"http://127.0.0.1:{port}/api",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_PLUGINS_ENABLED": "true",
        "DO_NOT_TRACK": "1",
        "PYTHONPATH": os.pathsep.join(dict.fromkeys(paths)),
        "OMP_NUM_THREADS": "1",
    }
    with postgres_server() as database:
        team = Team(folder, environment["PREFECT_API_URL"], environment)
        of_server = {**environment, "PREFECT_SERVER_DATABASE_CONNECTION_URL": f"postgresql+asyncpg://{database}"}
        log = folder / "server.log"
        server = _started(["server", "start", "--host", "127.0.0.1", "--port", str(port)], log, of_server, folder)
        try:
            wait_until(lambda: _is_healthy(team.api), f"the server did not start, see {log}")
            yield team
        finally:
            for name in list(team.workers):
                team.kill(name)
            os.killpg(server.pid, signal.SIGTERM)
            server.wait()


def _is_healthy(api: str) -> bool:
    try:
        with urllib.request.urlopen(f"{api}/health") as answer:
            return bool(json.load(answer))
    except OSError:
        return False
