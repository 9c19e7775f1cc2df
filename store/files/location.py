"""Places of stores: a folder of this machine, or the URL of an object store or web server."""

import importlib.util
import re
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from vadprobe.store.errors import VadprobeError
from vadprobe.store.files.buckets.hub_client import HUB, Repository
from vadprobe.store.files.object_store import ForbiddenError
from vadprobe.store.files.remote_path import RemotePath

if TYPE_CHECKING:
    from typing_extensions import TypeIs

StorePath = Path | RemotePath
"""Path of a store, or of a file or folder of one."""

SCHEMES = ("s3", "gs", "az", "hf", "http", "https")
"""Schemes of the URLs that are taken."""

_URL = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]*)://")


def location(text: str) -> StorePath:
    """Return the place that a path or URL names.

    Args:
        text: a path of this machine, or a URL that begins with one of `SCHEMES`.

    Raises:
        VadprobeError: if the URL is of another kind or carries a secret, or the package for URLs is not installed.
    """
    found = _URL.match(text)
    if not found:
        return Path(text)
    scheme = found.group(1).lower()
    if scheme == "file":
        return Path(urlsplit(text).path)
    if scheme not in SCHEMES:
        known = ", ".join(f"{name}://" for name in SCHEMES)
        raise VadprobeError(f"a place must be a folder, or a URL that begins with {known}, got {text!r}.")
    parts = urlsplit(text)
    if "@" in parts.netloc or parts.query or parts.fragment:
        shown = f"{scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
        raise VadprobeError(
            f"the URL {shown} carries a user name, a password or a query: it would end up in logs and reports. Give "
            "credentials by the environment (such as AWS_ACCESS_KEY_ID), and the URL without them."
        )
    if not parts.netloc:
        raise VadprobeError(f"the URL {text!r} names no bucket, container or host.")
    if importlib.util.find_spec("obstore") is None:
        raise VadprobeError(
            f"{text} is a URL, which needs the package 'obstore'; install it with: pip install 'vadprobe[remote]'"
        )
    if scheme == HUB:
        _check_hub(text, parts.netloc, parts.path.lstrip("/"))
    return RemotePath.of(f"{scheme}://{parts.netloc}", parts.path)


def _check_hub(text: str, kind: str, key: str) -> None:
    if kind != "datasets":
        raise VadprobeError(
            f"a place on the hub must be hf://datasets/OWNER/NAME, then @REVISION and folders, got {text!r}."
        )
    Repository.of(key)
    if importlib.util.find_spec("huggingface_hub") is None:
        raise VadprobeError(
            f"{text} is on the Hugging Face Hub, which needs the package 'huggingface_hub'; install it with: "
            "pip install 'vadprobe[hub]'"
        )


def can_list(path: StorePath) -> bool:
    """Return whether the folders of a place can be listed; those of a web server cannot."""
    return isinstance(path, Path) or path.can_list


def is_there(path: StorePath) -> bool:
    """Return whether a file exists; False for one that may not be read.

    A bucket that may not be listed gives the same refusal for objects that do not exist.
    """
    try:
        return path.is_file()
    except ForbiddenError:
        return False


def is_remote(path: StorePath) -> "TypeIs[RemotePath]":
    """Return whether a place is a URL."""
    return isinstance(path, RemotePath)
