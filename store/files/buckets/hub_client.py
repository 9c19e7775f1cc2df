"""The Hugging Face Hub as its own client reaches it: repositories of data sets, and what the hub answers.

The hub is that of `HF_ENDPOINT`, the token that of `HF_TOKEN`; neither is part of a path, its text or an error.
"""

import importlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, unquote

from vadprobe.store.errors import VadprobeError

HUB = "hf"
"""Scheme of the URLs of repositories."""

FORBIDDEN = (401, 403)
_CHANGED = 412


@dataclass(frozen=True)
class Repository:
    """A data set's repository at a revision, and a path in it."""

    name: str
    revision: str
    path: str

    @classmethod
    def of(cls, key: str) -> "Repository":
        """Return the repository, revision and path that a key names.

        Raises:
            VadprobeError: if it does not begin with an owner and a name.
        """
        owner, _, rest = key.partition("/")
        named, _, path = rest.partition("/")
        name, _, revision = named.partition("@")
        if not owner or not name:
            raise VadprobeError(
                f"a place on the hub must be hf://datasets/OWNER/NAME, then @REVISION and folders, got "
                f"'hf://datasets/{key}'."
            )
        return cls(f"{owner}/{name}", unquote(revision) or "main", path)


def zarr_folder(key: str) -> Any:
    """Open the files below a key as a place of Zarr's object stores, for reading."""
    from obstore.store import HTTPStore  # noqa: PLC0415 - only URLs need this package

    at, endpoint = Repository.of(key), hub_api().endpoint
    url = f"{endpoint}/datasets/{at.name}/resolve/{quote(at.revision, safe='')}/{quote(at.path)}"
    is_plain = endpoint.startswith("http:")
    return HTTPStore.from_url(url, client_options={"default_headers": request_headers(), "allow_http": is_plain})


def library(module: str) -> Any:
    """Import a module of the hub's own client, which only such places need."""
    return importlib.import_module(f"huggingface_hub.{module}")


def hub_api() -> Any:
    """Return the hub's client, for the endpoint and the token of the environment."""
    return library("hf_api").HfApi(
        endpoint=os.environ.get("HF_ENDPOINT") or None, token=os.environ.get("HF_TOKEN") or False
    )


def request_headers() -> dict[str, str]:
    """Return the headers of a request, with the token if the environment has one."""
    token = os.environ.get("HF_TOKEN") or False
    return dict(library("utils").build_hf_headers(token=token, library_name="vadprobe"))


def ask(at: Repository, action: Callable[[Any], Any]) -> Any:
    """Return what `action` gets from the hub's client; None for a path that does not exist.

    Raises:
        FileNotFoundError, PermissionError, ConnectionError: if the hub refuses, with the reason in a sentence.
        FileExistsError: if the parent of a commit is no longer the newest commit.
    """
    errors = library("errors")
    try:
        return action(hub_api())
    except errors.EntryNotFoundError:
        return None
    except errors.RevisionNotFoundError as error:
        raise FileNotFoundError(f"the repository {at.name} has no revision {at.revision!r}") from error
    except errors.HfHubHTTPError as error:
        status = error.response.status_code
        if status in (*FORBIDDEN, 404):
            raise PermissionError(closed(at, status)) from error
        if status == _CHANGED:
            raise FileExistsError(f"the repository {at.name} was changed") from error
        raise ConnectionError(f"the hub answers with status {status}") from error
    except errors.HTTPError as error:
        raise ConnectionError(str(error).partition("\n")[0] or type(error).__name__) from error


def closed(at: Repository, status: int) -> str:
    return (
        f"there is no data set repository {at.name} on the hub, or the environment's HF_TOKEN does not open it "
        f"(status {status}). Make it there first, or set the token where this process runs"
    )
