"""A Prefect server: checks before a job is deployed, the deployment itself, and the automations of a team."""

import subprocess
import sys
from collections.abc import Iterable
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.events.schemas.automations import AutomationCore
from prefect.exceptions import ObjectNotFound
from prefect.settings import get_current_settings

from vadprobe.store.errors import VadprobeError


def server_address() -> str:
    """Return the URL of the server that this process is set to use.

    Raises:
        VadprobeError: if no server is set.
    """
    address = get_current_settings().api.url
    if not address:
        raise VadprobeError(
            "no Prefect server is named, so there is nothing to deploy to. Start one with 'prefect server start', then "
            "'export PREFECT_API_URL=http://127.0.0.1:4200/api' (or the address of the team's server); --write-only "
            "writes the file alone."
        )
    return address


def check_server(pools: Iterable[str]) -> str:
    """Check that a server answers and has the pools; return its address.

    Raises:
        VadprobeError: if no server is set, it does not answer, or a pool is missing.
    """
    address = server_address()
    with get_client(sync_client=True) as client:
        if fault := client.api_healthcheck():
            raise VadprobeError(
                f"no Prefect server answers at {address} ({_short(fault)}). Start it with 'prefect server start', or "
                "correct PREFECT_API_URL."
            )
        missing = sorted({pool for pool in pools if not _has_pool(client, pool)})
    if missing:
        commands = " && ".join(f"prefect work-pool create {pool} --type process" for pool in missing)
        raise VadprobeError(
            f"the server at {address} has no work pool {' and no '.join(repr(pool) for pool in missing)}. Make it with "
            f"'{commands}', or name another with --gpu-pool and --cpu-pool."
        )
    return address


def deploy_file(path: Path) -> None:
    """Deploy all that a prefect.yaml names.

    Raises:
        VadprobeError: if Prefect fails; the error has the last lines of its output.
    """
    command = [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all", "--prefect-file", str(path)]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    said = [line.strip() for line in (done.stdout + done.stderr).splitlines() if line.strip()]
    if done.returncode:
        raise VadprobeError(f"'prefect deploy' of {path} failed: {' '.join(said[-3:])}")


def add_automations() -> list[str]:
    """Create the shipped automations that the server lacks; return their names.

    An existing automation stays as it is, because a team may have changed or paused it.
    """
    made = []
    with get_client(sync_client=True) as client:
        for content in shipped_automations():
            if not client.read_automations_by_name(content["name"]):
                client.create_automation(AutomationCore.model_validate(content))
                made.append(str(content["name"]))
    return made


def shipped_automations() -> list[dict[str, Any]]:
    """Return the contents of the shipped automations."""
    text = files("vadprobe.flows.deployments").joinpath("automations.yaml").read_text(encoding="utf-8")
    found: list[dict[str, Any]] = yaml.safe_load(text)["automations"]
    return found


def _has_pool(client: SyncPrefectClient, name: str) -> bool:
    try:
        client.read_work_pool(name)
    except ObjectNotFound:
        return False
    return True


def _short(fault: Exception) -> str:
    return f"{type(fault).__name__}: {fault}" if str(fault) else type(fault).__name__
