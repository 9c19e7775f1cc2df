"""Connections to buckets and web servers, and requests that are repeated after temporary errors.

Credentials come from the environment (`AWS_*`, `GOOGLE_*`, `AZURE_*`, `HF_TOKEN`) and are never part of a path, its
text or an error. The package `obstore` is imported with the first request.
"""

import functools
import os
import re
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any, TypeVar

from vadprobe.store.errors import VadprobeError
from vadprobe.store.files.buckets.hub import HubFiles
from vadprobe.store.files.buckets.hub_client import HUB
from vadprobe.store.files.buckets.refusals import (
    ChangedError,
    ForbiddenError,
    NoListingError,
    RemoteError,
    UnreachableError,
)

__all__ = [
    "ChangedError",
    "ForbiddenError",
    "NoListingError",
    "RemoteError",
    "UnreachableError",
    "connection",
    "request",
]

ATTEMPTS = 3
"""Number of attempts of a request as a whole; within each, the library repeats it as well, see `RETRIES`."""

RETRIES = 4
"""Number of times that the library repeats a request after a temporary refusal (5xx, too many) or no answer."""

RETRY_SECONDS = 60.0
"""Seconds after which the library begins no further repeat."""

ANSWER_SECONDS = 60.0
"""Seconds after which a request counts as unanswered."""

_METADATA_HOST = "169.254.169.254"
"""Address at which machines of a cloud are given credentials."""
_FORBIDDEN = re.compile(r"status code: 40[13]\b")

_Result = TypeVar("_Result")


@functools.cache
def connection(url: str) -> Any:
    """Open the bucket, container, host, hub or folder of a URL; one connection serves all its paths."""
    if url.startswith(f"{HUB}:"):
        return HubFiles()
    from obstore.exceptions import BaseError  # noqa: PLC0415 - only URLs need this package
    from obstore.store import from_url  # noqa: PLC0415

    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or ""
    options: dict[str, Any] = {} if not (url.startswith("s3:") and endpoint) else {"endpoint": endpoint}
    plain = url.startswith("http:") or endpoint.startswith("http:")
    try:
        return from_url(
            url,
            client_options={
                "timeout": timedelta(seconds=ANSWER_SECONDS),
                "connect_timeout": timedelta(seconds=10),
                **({"allow_http": True} if plain else {}),
            },
            retry_config={"max_retries": RETRIES, "retry_timeout": timedelta(seconds=RETRY_SECONDS)},
            **options,
        )
    except (BaseError, ValueError) as error:
        raise VadprobeError(f"{url} cannot be opened: {_reason(error)}") from error


def request(url: object, action: Callable[[], _Result]) -> _Result:
    """Make a request to an object store and return its result; repeat it after temporary errors.

    Raises:
        FileNotFoundError, FileExistsError, ChangedError, ForbiddenError, RemoteError: with the URL and the reason.
    """
    from obstore import exceptions as obs  # noqa: PLC0415 - only URLs need this package

    for attempt in range(1, ATTEMPTS + 1):
        try:
            return action()
        except (obs.NotFoundError, FileNotFoundError) as error:
            raise FileNotFoundError(f"{url} does not exist") from error
        except obs.AlreadyExistsError as error:
            raise FileExistsError(f"{url} exists already") from error
        except obs.PreconditionError as error:
            raise ChangedError(f"{url} was changed by somebody else") from error
        except (obs.PermissionDeniedError, obs.UnauthenticatedError, PermissionError) as error:
            raise ForbiddenError(url, _reason(error)) from error
        except (obs.NotSupportedError, NotImplementedError) as error:
            if "range" in str(error).lower():
                raise RemoteError(
                    f"{url}: the server sends whole files only, as it does not know the header Range. Copy the store "
                    "with 'vadprobe pull', without --detector and --splits, or serve it by a server that knows Range, "
                    "such as nginx"
                ) from error
            raise RemoteError(f"{url}: the server does not support this operation: {_reason(error)}") from error
        except obs.InvalidPathError as error:
            raise NoListingError(
                f"{url} cannot be listed, because an object below it has a name that is no path: "
                f"{_reason(error)}. Delete or rename that object; vadprobe did not write it."
            ) from error
        except (obs.BaseError, OSError, ValueError) as error:
            if _METADATA_HOST in str(error):  # asked for credentials of a cloud machine, as the environment has none
                raise ForbiddenError(
                    url,
                    "the environment of this process has no credentials. Set those of the store, such as "
                    "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, where it runs (for a flow: on the worker).",
                ) from error
            if _FORBIDDEN.search(str(error)):  # a listing says so in its text alone
                raise ForbiddenError(url, _reason(error)) from error
            if attempt == ATTEMPTS:
                raise UnreachableError(f"{url} cannot be reached: {_reason(error)}") from error
            time.sleep(0.05 * 4**attempt)
    raise AssertionError("unreachable")


def _reason(error: BaseException) -> str:
    """Return the first line of a library's error, without its details for developers."""
    return str(error).strip().partition("\n")[0][:300]
