"""A real Dask cluster of separate processes, started as a user starts one and reached by its address."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.paths import ROOT
from tests.support.processes.waiting import wait_until


@dataclass(frozen=True)
class RunningCluster:
    """A cluster: the `address` of its scheduler, and the processes of scheduler and workers."""

    address: str
    scheduler: "subprocess.Popen[bytes]"
    workers: "list[subprocess.Popen[bytes]]"


@contextmanager
def running_cluster(folder: Path, workers: int = 2) -> Iterator[RunningCluster]:
    """Run `dask scheduler` and `dask worker --nthreads 1` without nannies: a worker that is killed stays dead.

    Workers import the modules of the tests; their BLAS may use two threads.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"tcp://127.0.0.1:{port}"
    paths = [str(ROOT), *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "2")
    environment = os.environ | threads | {"PYTHONPATH": os.pathsep.join(paths)}
    dask = [sys.executable, "-m", "dask"]
    commands = [[*dask, "scheduler", "--host", "127.0.0.1", "--port", str(port), "--no-dashboard"]]
    commands += [
        [*dask, "worker", address, "--nthreads", "1", "--no-nanny", "--no-dashboard", "--local-directory", str(folder)]
    ] * workers
    started: list[subprocess.Popen[bytes]] = []
    try:
        for command in commands:
            with (folder / f"dask-{len(started)}.log").open("wb") as log:
                started.append(subprocess.Popen(command, env=environment, stdout=log, stderr=log))
            if len(started) == 1:
                _wait_until_open(port, folder / "dask-0.log")
        yield RunningCluster(address, started[0], started[1:])
    finally:
        for process in reversed(started):
            process.kill()
            process.wait()


def _wait_until_open(port: int, log: Path) -> None:
    def is_open() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    wait_until(is_open, f"the scheduler did not start, see {log}")
