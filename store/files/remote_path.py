"""Objects of a bucket, or files of a web server, by the names and methods of ``pathlib.Path``.

Only what stores need is there. Folders do not exist: a name is a folder as long as objects lie below it. Credentials
come from the environment (``AWS_*``, ``GOOGLE_*``, ``AZURE_*``) and are never part of a path, its text or an error.
"""

import fnmatch
import functools
import hashlib
import io
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import PurePosixPath
from typing import Any, BinaryIO, TypeVar

import obstore
from obstore.exceptions import (
    AlreadyExistsError,
    BaseError,
    NotFoundError,
    NotSupportedError,
    PermissionDeniedError,
    PreconditionError,
    UnauthenticatedError,
)
from obstore.store import from_url

from vadprobe.store.errors import VadprobeError

ATTEMPTS = 3
"""How often a read is tried as a whole; each try is repeated by the library as well, see ``RETRIES``."""

RETRIES = 4
"""How often the library repeats a request that was refused for the moment (5xx, too many) or never answered."""

RETRY_SECONDS = 60.0
"""After which it does not begin another repeat."""

ANSWER_SECONDS = 60.0
"""After which a request counts as unanswered."""

_Result = TypeVar("_Result")


class RemoteError(OSError, VadprobeError):
    """Something behind a URL that cannot be read or written, said in a sentence."""


class ForbiddenError(PermissionError, VadprobeError):
    """The credentials of the environment do not suffice."""


class NoListingError(RemoteError):
    """A web server does not say what it has."""


class ChangedError(OSError):
    """An object is not the one that was to be replaced."""


@dataclass(frozen=True)
class RemoteStat:
    """What is known of an object, by the names of ``os.stat_result``: equal as long as nobody replaced it.

    ``st_ctime_ns`` is made of the object's tag, which changes with its content. ``tag`` is None where there is none.
    """

    st_size: int
    st_mtime_ns: int
    st_ctime_ns: int
    tag: str | None


@functools.cache
def _store(url: str) -> Any:
    """The connection to a bucket, container or host; one for all its paths."""
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


def _reason(error: BaseException) -> str:
    """The first line of an error of the library, without what follows for its developers."""
    return str(error).strip().partition("\n")[0][:300]


@functools.total_ordering
class RemotePath:
    """One object or folder. ``place`` is the URL up to the bucket, container or host, ``key`` what follows."""

    __slots__ = ("_found", "key", "place")

    def __init__(self, place: str, key: PurePosixPath, found: RemoteStat | None = None) -> None:
        self.place, self.key, self._found = place, key, found

    @classmethod
    def of(cls, place: str, path: str) -> "RemotePath":
        """The object at ``path`` of a bucket, container or host.

        Raises:
            VadprobeError: if the path leads upwards.
        """
        key = PurePosixPath(path.strip("/"))
        if ".." in key.parts:
            raise VadprobeError(f"{place}/{key} leads upwards ('..'); write the URL without it.")
        return cls(place, key)

    # Names

    def __str__(self) -> str:
        return f"{self.place}/{self._name}" if self._name else self.place

    def __repr__(self) -> str:
        return f"RemotePath({str(self)!r})"

    def __fspath__(self) -> str:
        raise TypeError(f"{self} is a URL, no file of this machine.")

    def __reduce__(self) -> Any:
        return RemotePath.of, (self.place, str(self.key))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RemotePath) and (self.place, self.key) == (other.place, other.key)

    def __lt__(self, other: "RemotePath") -> bool:
        return (self.place, self.key) < (other.place, other.key)

    def __hash__(self) -> int:
        return hash((self.place, self.key))

    def __truediv__(self, name: object) -> "RemotePath":
        return self.joinpath(str(name))

    def joinpath(self, *names: object) -> "RemotePath":
        """The path below this one."""
        return RemotePath.of(self.place, str(self.key.joinpath(*map(str, names))))

    @property
    def _name(self) -> str:
        """The key as the library wants it: empty for the place itself."""
        return "" if self.key == PurePosixPath() else str(self.key)

    @property
    def name(self) -> str:
        """The last part."""
        return self.key.name

    @property
    def stem(self) -> str:
        """The last part without its ending."""
        return self.key.stem

    @property
    def suffix(self) -> str:
        """The ending of the last part."""
        return self.key.suffix

    @property
    def parts(self) -> tuple[str, ...]:
        """The place and the parts of the key."""
        return (self.place, *self.key.parts)

    @property
    def parent(self) -> "RemotePath":
        """The folder; of the place itself, the place."""
        return RemotePath(self.place, self.key.parent)

    @property
    def parents(self) -> Sequence["RemotePath"]:
        """The folders above, the nearest first."""
        return [RemotePath(self.place, key) for key in self.key.parents]

    def with_name(self, name: str) -> "RemotePath":
        """Another object of the same folder."""
        return RemotePath(self.place, self.key.with_name(name))

    def with_suffix(self, suffix: str) -> "RemotePath":
        """The object with another ending."""
        return RemotePath(self.place, self.key.with_suffix(suffix))

    def relative_to(self, other: "RemotePath") -> PurePosixPath:
        """The path from ``other``, a folder above; ValueError if it is none."""
        if not isinstance(other, RemotePath) or other.place != self.place:
            raise ValueError(f"{self} is not below {other}")
        return self.key.relative_to(other.key)

    def is_relative_to(self, other: object) -> bool:
        """Whether ``other`` is this path or a folder above it."""
        return isinstance(other, RemotePath) and other.place == self.place and self.key.is_relative_to(other.key)

    def absolute(self) -> "RemotePath":
        """The path itself."""
        return self

    resolve = absolute

    # What is there

    @property
    def can_list(self) -> bool:
        """Whether the server says what it has."""
        return not self.place.startswith("http")

    def stat(self) -> RemoteStat:
        """Size, time and tag, those of the listing if it was just listed; FileNotFoundError if there is no object."""
        if self._found is not None:
            return self._found
        return _stat(self._try(lambda: obstore.head(_store(self.place), self._name)))

    def exists(self) -> bool:
        """Whether there is an object of this name or, where the server says so, one below it."""
        return self.is_file() or self.is_dir()

    def is_file(self) -> bool:
        """Whether there is an object of this name."""
        if not self._name:
            return False
        if self._found is None:  # else it was just listed
            try:
                self.stat()
            except FileNotFoundError:
                return False
        return True

    def is_dir(self) -> bool:
        """Whether there are objects below; False where the server does not say what it has."""
        return self.can_list and next(self._objects(some=1), None) is not None

    def iterdir(self) -> Iterator["RemotePath"]:
        """Objects and folders right below; none if there is no such folder."""
        self._check_listing()
        found = self._try(lambda: obstore.list_with_delimiter(_store(self.place), self._name or None))
        for prefix in found["common_prefixes"]:
            yield RemotePath.of(self.place, prefix)
        for item in found["objects"]:
            yield RemotePath(self.place, PurePosixPath(item["path"]), _stat(item))

    def glob(self, pattern: str) -> Iterator["RemotePath"]:
        """Objects and folders below whose parts fit the pattern's; ``*`` is one part."""
        first, _, rest = pattern.partition("/")
        for path in self.iterdir():
            if fnmatch.fnmatchcase(path.name, first):
                if not rest:
                    yield path
                elif path._found is None:
                    yield from path.glob(rest)

    def rglob(self, pattern: str) -> Iterator["RemotePath"]:
        """Objects at any depth below whose last part fits the pattern."""
        return (path for path in self._objects() if fnmatch.fnmatchcase(path.name, pattern))

    def _objects(self, some: int = 1000) -> Iterator["RemotePath"]:
        self._check_listing()
        pages = iter(obstore.list(_store(self.place), self._name or None, chunk_size=some))
        while (page := self._try(lambda: next(pages, None))) is not None:
            for item in page:
                if item["path"] != self._name:
                    yield RemotePath(self.place, PurePosixPath(item["path"]), _stat(item))

    def _check_listing(self) -> None:
        if not self.can_list:
            raise NoListingError(f"{self} is on a web server, which does not say what it has; name a store itself.")

    # Reading

    def read_bytes(self) -> bytes:
        """The whole object."""
        return self._try(self._get)

    def read_text(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """The whole object as text."""
        return self.read_bytes().decode(encoding, errors)

    def open(self, mode: str = "r", buffering: int = -1) -> BinaryIO:
        """The whole object as a file for reading."""
        if mode != "rb":
            raise ValueError(f"{self} is opened as 'rb', not {mode!r}.")
        return io.BytesIO(self.read_bytes())

    def read_tail(self, count: int) -> tuple[int, bytes]:
        """Size of the object and its last bytes, ``count`` of them or all, by one request."""
        return self._try(lambda: self._get_tail(count))

    def read_ranges(self, ranges: Sequence[tuple[int, int]], gap_bytes: int) -> list[bytes]:
        """The bytes ``[start, stop)`` of each range; those with smaller gaps between them by one request."""
        starts, stops = [start for start, _ in ranges], [stop for _, stop in ranges]

        def get() -> list[bytes]:
            found = obstore.get_ranges(_store(self.place), self._name, starts=starts, ends=stops, coalesce=gap_bytes)
            contents = [bytes(content) for content in found]
            for content, (start, stop) in zip(contents, ranges, strict=True):
                self._check_length(len(content), stop - start)
            return contents

        return self._try(get)

    def _get(self) -> bytes:
        found = obstore.get(_store(self.place), self._name)
        content = bytes(found.bytes())
        self._check_length(len(content), found.meta["size"])
        return content

    def _get_tail(self, count: int) -> tuple[int, bytes]:
        found = obstore.get(_store(self.place), self._name, options={"range": {"suffix": count}})
        content, size = bytes(found.bytes()), int(found.meta["size"])
        self._check_length(len(content), min(count, size))
        return size, content

    def _check_length(self, found: int, wanted: int) -> None:
        if found != wanted:
            raise ConnectionError(f"{self}: {found} bytes came back, {wanted} were wanted")

    # Writing

    def write_bytes(self, content: bytes) -> int:
        """Put the object, replacing one that is there; nobody sees half of it."""
        self._try(lambda: self._put(content, "overwrite"))
        return len(content)

    def create(self, content: bytes) -> None:
        """Put the object where there is none; FileExistsError if there is one of other content."""
        self.replace_if(content, None)

    def replace_if(self, content: bytes, tag: str | None) -> None:
        """Put the object in the place of the one with this tag, or of none.

        Raises:
            FileExistsError: if there was to be none, and there is one.
            ChangedError: if there is another object, or none any more.
        """
        mode: Any = "create" if tag is None else {"e_tag": tag}
        try:
            self._try(lambda: self._put(content, mode))
        except (FileExistsError, ChangedError):
            # An answer may have been lost, and the request repeated: then the object that is in the way is ours.
            if not self._holds(content):
                raise

    def unlink(self, missing_ok: bool = False) -> None:
        """Delete the object."""
        if not missing_ok and not self.is_file():
            raise FileNotFoundError(f"{self} does not exist")
        self._try(lambda: obstore.delete(_store(self.place), self._name))

    def mkdir(self, parents: bool = False, exist_ok: bool = False) -> None:
        """Nothing: folders do not exist."""

    def rmdir(self) -> None:
        """Nothing: folders do not exist."""

    def _put(self, content: bytes, mode: Any) -> None:
        if not self.can_list:
            raise NotSupportedError("a web server is for reading; name a folder or a bucket")
        obstore.put(_store(self.place), self._name, content, mode=mode, use_multipart=False)

    def _holds(self, content: bytes) -> bool:
        try:
            return self.stat().st_size == len(content) and self.read_bytes() == content
        except FileNotFoundError:
            return False

    # Errors

    def _try(self, action: Callable[[], _Result]) -> _Result:
        """Do something, a few times where it may help; errors as those of files, with the URL and the reason."""
        for attempt in range(ATTEMPTS):
            try:
                return action()
            except (NotFoundError, FileNotFoundError) as error:
                raise FileNotFoundError(f"{self} does not exist") from error
            except AlreadyExistsError as error:
                raise FileExistsError(f"{self} exists already") from error
            except PreconditionError as error:
                raise ChangedError(f"{self} was changed by somebody else") from error
            except (PermissionDeniedError, UnauthenticatedError, PermissionError) as error:
                raise ForbiddenError(
                    f"{self} may not be reached with the credentials of the environment: {_reason(error)}"
                ) from error
            except (NotSupportedError, NotImplementedError) as error:
                raise RemoteError(f"{self}: the server does not do that: {_reason(error)}") from error
            except (BaseError, OSError, ValueError) as error:
                if attempt == ATTEMPTS - 1:
                    raise RemoteError(f"{self} cannot be reached: {_reason(error)}") from error
                time.sleep(0.2 * 4**attempt)
        raise AssertionError("unreachable")


def _stat(item: Any) -> RemoteStat:
    tag = item.get("e_tag")
    changed = item["last_modified"]
    digest = hashlib.sha256(str(tag).encode()).digest()
    return RemoteStat(int(item["size"]), int(changed.timestamp() * 1e9), int.from_bytes(digest[:7], "little"), tag)


def zarr_store(path: object) -> Any:
    """The objects below a path as a store of Zarr, for reading."""
    from zarr.storage import ObjectStore  # noqa: PLC0415 - Zarr takes a while, and few paths need it

    if not isinstance(path, RemotePath):
        raise TypeError(f"{path} is no URL.")
    return ObjectStore(_store(str(path)), read_only=True)
