"""Listings of a bucket, without the markers of folders that other tools leave in it.

Folders do not exist in a bucket. Consoles, `aws s3 sync` and file systems over buckets put empty objects in their
place: `folder/`, `folder_$folder$` (Hadoop), or `folder` beside objects `folder/...` (Azure). None of them is data.
"""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from vadprobe.store.files.buckets.refusals import ForbiddenError, NoListingError

_HADOOP = "_$folder$"
_Result = TypeVar("_Result")


class Attempt(Protocol):
    """Function that makes a request, repeats it where that may help, and returns its result."""

    def __call__(self, action: Callable[[], _Result], /) -> _Result:
        """Make the request."""


@dataclass(frozen=True)
class RemoteStat:
    """Properties of an object under the names of `os.stat_result`; they stay equal until the object is replaced.

    `st_ctime_ns` is computed from the object's tag, which changes with its content. `tag` is None if the server gives
    none.
    """

    st_size: int
    st_mtime_ns: int
    st_ctime_ns: int
    tag: str | None

    @classmethod
    def of(cls, item: Any) -> "RemoteStat":
        """Return the properties that a listing or an answer about one object names."""
        tag = item.get("e_tag")
        changed = item["last_modified"]
        digest = hashlib.sha256(str(tag).encode()).digest()
        return cls(int(item["size"]), int(changed.timestamp() * 1e9), int.from_bytes(digest[:7], "little"), tag)


def objects_in(bucket: Any, key: str, attempt: Attempt) -> tuple[list[str], list[Any]]:
    """Return the keys of the folders right below a key, and the listing's entries of the objects there.

    Args:
        bucket: the connection.
        key: of the folder; empty for the whole bucket.
        attempt: makes the request.

    Raises:
        NoListingError: if the credentials do not allow listing.
    """
    found = _listed(attempt, lambda: bucket.list_with_delimiter(key or None))
    folders = list(found["common_prefixes"])
    markers = {key, *folders}
    return folders, [item for item in found["objects"] if not (_is_empty(item) and _names_folder(item, markers))]


def objects_below(bucket: Any, key: str, attempt: Attempt, page: int) -> Iterator[Any]:
    """Yield the objects at any depth below a key, as the listing has them, asked for in pages.

    The library gives the marker `folder/` the name `folder`. An empty object is a marker if the next one in the sorted
    listing lies below it. Otherwise the bucket is asked for an object of that name: it is a marker if there is none.

    Raises:
        NoListingError: if the credentials do not allow listing.
    """
    empty: Any = None
    for items in _pages(bucket, key, attempt, page):
        for item in items:
            if empty is not None and _is_object(bucket, empty, item["path"], attempt):
                yield empty
            empty = None
            if not _is_empty(item):
                yield item
            elif not _names_folder(item, {key}):
                empty = item
    if empty is not None and _is_object(bucket, empty, "", attempt):
        yield empty


def _pages(bucket: Any, key: str, attempt: Attempt, page: int) -> Iterator[list[Any]]:
    """Yield a listing page by page; after an error, begin a new listing behind the last object that was seen."""
    last: str | None = None
    pages: Iterator[list[Any]] | None = None

    def next_page() -> list[Any] | None:
        nonlocal pages
        current = pages or iter(bucket.list(key or None, offset=last, chunk_size=page))
        pages = None
        found = next(current, None)
        pages = current
        return found

    while items := _listed(attempt, next_page):
        yield items
        last = items[-1]["path"]


def _listed(attempt: Attempt, action: Callable[[], _Result]) -> _Result:
    try:
        return attempt(action)
    except ForbiddenError as error:
        raise NoListingError(
            f"{error.url} cannot be listed with the credentials of the environment: {error.reason}"
        ) from error


def _is_object(bucket: Any, empty: Any, following: str, attempt: Attempt) -> bool:
    """Return whether an empty entry of a listing is an object of that name, and not the marker of a folder."""
    if following.startswith(f"{empty['path']}/"):
        return False
    try:
        attempt(lambda: bucket.head(empty["path"]))
    except FileNotFoundError:
        return False
    except ForbiddenError:
        return True  # it was listed
    return True


def _is_empty(item: Any) -> bool:
    return int(item["size"]) == 0


def _names_folder(item: Any, folders: set[str]) -> bool:
    return item["path"] in folders or item["path"].endswith(_HADOOP)
