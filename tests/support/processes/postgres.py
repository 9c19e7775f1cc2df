"""A PostgreSQL server for one test: a new cluster in a temporary folder, on a free port of this machine."""

import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.processes.waiting import wait_until

OWNER = "postgres"
"""Account that runs the server where the tests run as root, because PostgreSQL refuses root."""

_ROLE, _PASSWORD = "prefect", "only-on-this-machine"


def free_port() -> int:
    """Return a port on which nothing listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@contextlib.contextmanager
def postgres_server() -> Iterator[str]:
    """Yield the address of an empty database, `ROLE:PASSWORD@HOST:PORT/DATABASE`; without a server, skip the test."""
    if not (shutil.which("initdb") and shutil.which("postgres")):
        pytest.skip("PostgreSQL (initdb, postgres) is not installed")
    folder = Path(tempfile.mkdtemp(prefix="vadprobe-postgres-"))  # pytest's folders are closed to other accounts
    (folder / "password").write_text(_PASSWORD)
    account: dict[str, Any] = {}
    if os.geteuid() == 0:
        try:
            found = pwd.getpwnam(OWNER)
        except KeyError:
            pytest.skip(f"root may not run PostgreSQL, and there is no account {OWNER!r}")
        account = {"user": found.pw_uid, "group": found.pw_gid, "extra_groups": []}
        for path in (folder, folder / "password"):
            os.chown(path, found.pw_uid, found.pw_gid)
    port = free_port()
    new = ["initdb", "--no-sync", "-D", "data", "-E", "UTF8", "-U", _ROLE, "-A", "scram-sha-256", "--pwfile=password"]
    subprocess.run(new, cwd=folder, check=True, stdout=subprocess.DEVNULL, **account)
    command = ["postgres", "-D", "data", "-p", str(port), "-k", str(folder), "-c", "listen_addresses=127.0.0.1"]
    log = (folder / "log").open("wb")
    server = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log, **account)
    try:
        wait_until(lambda: _is_open(port), f"PostgreSQL did not start: {(folder / 'log').read_text()}")
        yield f"{_ROLE}:{_PASSWORD}@127.0.0.1:{port}/postgres"
    finally:
        server.send_signal(signal.SIGINT)  # it ends its connections first
        server.wait()
        log.close()
        shutil.rmtree(folder)


def _is_open(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
