"""A team with its stores in a bucket: Prefect on PostgreSQL, and machines of which some cannot import torch."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID

from prefect.client.schemas.filters import LogFilter
from prefect.client.schemas.objects import Log
from prefect.client.schemas.sorting import LogSort

from tests.support.processes.postgres import free_port, postgres_server
from tests.support.processes.prefect_team import Team, children_of, eventually

# Python imports this when it starts, and so does every process below it.
WITHOUT_TORCH = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "transformers", "decord", "av"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Absent())
"""


class TeamOfMachines(Team):
    """A team of machines, each of which is a folder with the job and the labels."""

    def machine(self, name: str, pool: str, folder: Path, with_torch: bool = True) -> None:
        """Start the worker of a machine; its runs find their jobs in the folder."""
        self.start_worker(name, pool, VADPROBE_JOBS=str(folder), **self.imports(with_torch))

    def imports(self, with_torch: bool) -> dict[str, str]:
        """Return the variables with which a process can, or cannot, import torch."""
        if with_torch:
            return {}
        hook = self.folder / "without-torch"
        hook.mkdir(exist_ok=True)
        (hook / "sitecustomize.py").write_text(WITHOUT_TORCH)
        return {"PYTHONPATH": f"{hook}{os.pathsep}{self.environment()['PYTHONPATH']}"}

    def prefect(self, *words: str) -> str:
        """Run a command of Prefect; return its output."""
        return self._said("prefect", *words, folder=self.folder)

    def vadprobe(self, *words: object, folder: Path, with_torch: bool = False) -> str:
        """Run a command in the folder of a machine; return its output."""
        return self._said("vadprobe.flows.command_line", *words, folder=folder, with_torch=with_torch)

    def worker_of(self, run: UUID) -> str:
        """Wait until a worker computes a run; return the worker's name."""
        found: list[str] = []

        def is_known() -> bool:
            process = int((self.read(run).infrastructure_pid or "").rpartition(":")[2] or 0)
            found.extend(name for name, worker in self.workers.items() if process in children_of(worker.pid))
            return bool(found)

        eventually(is_known, f"no worker has begun {run}")
        return found[0]

    def ended(self, run: UUID, state: str = "Completed") -> str:
        """Wait until a run has ended in `state`; return its log, whose last line arrives later than the state."""
        self.wait_for(run, state)

        def is_whole() -> bool:
            last = ("prefect.flow_runs", "Finished in state")
            return any(line.name == last[0] and line.message.startswith(last[1]) for line in self._lines(run))

        eventually(is_whole, f"the log of {run} never arrived")
        return "\n".join(line.message for line in self._lines(run))

    def states(self, run: UUID) -> list[str]:
        """Return the names of the states that a run has been in."""
        with self.client() as client:
            found = client.read_flow_run_states(run)
        return [str(state.name) for state in sorted(found, key=lambda state: state.timestamp)]

    def _lines(self, run: UUID) -> list[Log]:
        chosen = LogFilter.model_validate({"flow_run_id": {"any_": [run]}})
        with self.client() as client:
            return client.read_logs(chosen, sort=LogSort.TIMESTAMP_ASC)

    def _said(self, module: str, *words: object, folder: Path, with_torch: bool = True) -> str:
        done = subprocess.run(
            [sys.executable, "-m", module, *map(str, words)], cwd=folder,
            env=self.environment(**self.imports(with_torch)), capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@contextmanager
def team_on_postgres(folder: Path) -> Iterator[TeamOfMachines]:
    """Run a team with a server on PostgreSQL; at the end, stop it and all workers."""
    with postgres_server() as database:
        variables = {
            "PREFECT_SERVER_DATABASE_CONNECTION_URL": f"postgresql+asyncpg://{database}",
            "PREFECT_PLUGINS_ENABLED": "true",  # for the plain names of deployments
            "OMP_NUM_THREADS": "1",
        }
        team = TeamOfMachines(folder, free_port(), variables)
        try:
            team.start_server()
            yield team
        finally:
            team.stop()
