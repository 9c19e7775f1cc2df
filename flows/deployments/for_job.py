"""Deployments of one job: the shipped ones with the job's parameters, pools and name, written as a prefect.yaml."""

import copy
import importlib
import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml

from vadprobe.store.errors import VadprobeError

MARK = "# Written by 'vadprobe deploy'; the next call replaces it. Change the job, or the options of that command."
"""First line of a prefect.yaml that `vadprobe deploy` may replace."""

STAGE_2 = "stage-2"
"""Tag of the deployments that read the job's section [analysis]."""


SHARED = ("extract-partitions",)
"""Deployments that serve every job: other runs start them by name, with their own parameters."""


@dataclass(frozen=True)
class Choices:
    """Differences between the deployments of a job and the shipped ones.

    Attributes:
        config: name of a shipped job, or path of the job file as the workers find it.
        place: URL of the feature stores; None for a folder, whose path each machine sets for itself.
        is_analyzed: True if the job has a section [analysis].
        pools: work pool in place of a shipped one, by the name of the shipped one.
        name: name of the deployments; None to give each the name of its flow.
        environment: environment variables of the runs, in addition to those of the shipped deployments.
    """

    config: str
    place: str | None = None
    is_analyzed: bool = True
    pools: Mapping[str, str] = field(default_factory=dict)
    name: str | None = None
    environment: Mapping[str, str] = field(default_factory=dict)


def shipped_deployments() -> dict[str, Any]:
    """Return the content of the shipped prefect.yaml."""
    content: dict[str, Any] = yaml.safe_load(files("vadprobe.flows.deployments").joinpath("prefect.yaml").read_text())
    return content


def deployments(choices: Choices) -> list[dict[str, Any]]:
    """Return the shipped deployments with the choices of a job."""
    found = []
    for shipped in shipped_deployments()["deployments"]:
        if STAGE_2 in shipped["tags"] and not choices.is_analyzed:
            continue
        one = copy.deepcopy(shipped)
        if shipped["name"] not in SHARED:
            one["name"] = choices.name or shipped["name"]
            one["parameters"] = _parameters(shipped, choices)
        for trigger in one.get("triggers", ()):
            for related in trigger["match_related"]:
                if related.get("prefect.resource.role") == "deployment":
                    related["prefect.resource.name"] = choices.name or related["prefect.resource.name"]
        pool = one["work_pool"]
        pool["name"] = choices.pools.get(pool["name"], pool["name"])
        pool["job_variables"]["env"].update(choices.environment)
        found.append(one)
    return found


def _parameters(shipped: Mapping[str, Any], choices: Choices) -> dict[str, Any]:
    """Return the parameters of a deployment: the shipped ones, and those of the job that its flow accepts."""
    module, _, name = shipped["entrypoint"].rpartition(".")
    taken = inspect.signature(getattr(importlib.import_module(module), name).fn).parameters
    ours = {"config": choices.config, "configs": [choices.config], "place": choices.place}
    given = {key: value for key, value in ours.items() if key in taken and value is not None}
    return {**shipped.get("parameters", {}), **given}


def write(path: Path, found: list[dict[str, Any]]) -> None:
    """Write deployments as a prefect.yaml.

    Raises:
        VadprobeError: if there is a file that this command did not write.
    """
    check_replaceable(path)
    content = {"name": "vadprobe", "pull": [], "deployments": copy.deepcopy(found)}
    path.write_text(f"{MARK}\n{yaml.safe_dump(content, sort_keys=False, width=120)}", encoding="utf-8")


def check_replaceable(path: Path) -> None:
    """Check that a file may be written: there is none, or `vadprobe deploy` wrote it.

    Raises:
        VadprobeError: if something else wrote the file, or its folder is missing.
    """
    if not path.parent.is_dir():
        raise VadprobeError(f"there is no folder {path.parent} for {path.name}; make it, or name another --file.")
    if path.exists() and not path.read_text(encoding="utf-8", errors="replace").startswith(MARK):
        raise VadprobeError(f"{path} was not written by 'vadprobe deploy', and is left alone; name another --file.")
