"""Objects of a bucket, or files of a web server, with names and methods like those of `pathlib.Path`.

Names behave as in `pathlib.PurePosixPath`; of the methods of `Path`, those that stores need are there. A bucket has no
folders: a name counts as one while objects lie below it.
"""

import fnmatch
import io
from collections.abc import Callable, Iterator, Sequence
from pathlib import PurePosixPath
from typing import Any, BinaryIO, NoReturn, TypeVar

from vadprobe.store.errors import VadprobeError
from vadprobe.store.files.buckets.hub_client import HUB, zarr_folder
from vadprobe.store.files.buckets.object_listing import RemoteStat, objects_below, objects_in
from vadprobe.store.files.object_store import ChangedError, NoListingError, connection, request

_Result = TypeVar("_Result")


class RemotePath(PurePosixPath):
    """One object or folder. `place` is the URL up to the bucket, container or host, `key` what follows."""

    _found: RemoteStat | None = None

    @classmethod
    def of(cls, place: str, key: str, found: RemoteStat | None = None) -> "RemotePath":
        """Return the object `key` of a bucket, container or host; `found` are its properties if it was just listed.

        Raises:
            VadprobeError: if the path leads upwards.
        """
        path = cls(place, key.lstrip("/"))
        if ".." in path.parts:
            raise VadprobeError(f"{path} leads upwards ('..'); write the URL without it.")
        path._found = found
        return path

    # Names

    def __str__(self) -> str:
        return super().__str__().replace(":/", "://", 1)

    def __fspath__(self) -> NoReturn:
        raise TypeError(f"{self} is a URL, not a file on this machine.")

    @property
    def place(self) -> str:
        """Scheme and bucket, container or host."""
        return "//".join(self.parts[:2])

    @property
    def key(self) -> str:
        """Name of the object; empty for the place itself."""
        return "/".join(self.parts[2:])

    @property
    def parent(self) -> "RemotePath":
        """The folder of this object; the place itself is its own parent."""
        return super().parent if self.key else self

    @property
    def parents(self) -> Sequence["RemotePath"]:
        """The folders above, up to the place; the nearest first."""
        return [path for path in super().parents if len(path.parts) > 1]

    # What is there

    @property
    def can_list(self) -> bool:
        """True unless the place is a web server, which cannot list its files."""
        return not self.place.startswith("http")

    @property
    def is_on_hub(self) -> bool:
        """True for a repository of the Hugging Face Hub, which is read file by file and written by commits."""
        return self.place.startswith(f"{HUB}:")

    def stat(self) -> RemoteStat:
        """Return size, time and tag of the object, those of the listing if it was just listed.

        Raises:
            FileNotFoundError: if there is no such object.
        """
        if self._found is not None:
            return self._found
        return RemoteStat.of(self._try(lambda: connection(self.place).head(self.key)))

    def exists(self) -> bool:
        """Return whether an object of this name exists or, where the place can be listed, one below it."""
        return self.is_file() or self.is_dir()

    def is_file(self) -> bool:
        """Return whether there is an object of this name."""
        try:
            return bool(self.key) and self.stat() is not None
        except FileNotFoundError:
            return False

    def is_dir(self) -> bool:
        """Return whether objects lie below this name; False where the place cannot be listed."""
        return self.can_list and next(self._objects(some=1), None) is not None

    def iterdir(self) -> Iterator["RemotePath"]:
        """List objects and folders right below; none if there is no such folder."""
        self._check_listing()
        folders, items = objects_in(connection(self.place), self.key, self._try)
        for folder in folders:
            yield RemotePath.of(self.place, folder)
        for item in items:
            yield RemotePath.of(self.place, item["path"], RemoteStat.of(item))

    def glob(self, pattern: str) -> Iterator["RemotePath"]:
        """List objects and folders below that match the pattern part by part; a `*` never crosses a slash."""
        first, _, rest = pattern.partition("/")
        for path in self.iterdir():
            if fnmatch.fnmatchcase(path.name, first):
                if not rest:
                    yield path
                elif path._found is None:
                    yield from path.glob(rest)

    def rglob(self, pattern: str) -> Iterator["RemotePath"]:
        """List objects at any depth below whose last part matches the pattern."""
        return (path for path in self._objects() if fnmatch.fnmatchcase(path.name, pattern))

    def _objects(self, some: int = 1000) -> Iterator["RemotePath"]:
        self._check_listing()
        for item in objects_below(connection(self.place), self.key, self._try, some):
            yield RemotePath.of(self.place, item["path"], RemoteStat.of(item))

    def _check_listing(self) -> None:
        if not self.can_list:
            raise NoListingError(
                f"{self} is on a web server, which cannot list its files; name a store by its full URL."
            )

    # Reading

    def read_bytes(self) -> bytes:
        """Read the whole object."""
        return self._read({})[1]

    def read_text(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """Read the whole object as text."""
        return self.read_bytes().decode(encoding, errors)

    def open(self, mode: str = "r", buffering: int = -1) -> BinaryIO:
        """Read the whole object; return it as a file."""
        if mode != "rb":
            raise ValueError(f"the mode must be 'rb', got {mode!r}")
        return io.BytesIO(self.read_bytes())

    def read_tail(self, count: int) -> tuple[int, bytes]:
        """Read the last `count` bytes, or all, by one request; returns the size of the object and the bytes."""
        return self._read({"range": {"suffix": count}}, count)

    def read_ranges(self, ranges: Sequence[tuple[int, int]], gap_bytes: int) -> list[bytes]:
        """Read the bytes `[start, stop)` of each range; those with smaller gaps between them by one request."""
        starts, stops = [start for start, _ in ranges], [stop for _, stop in ranges]

        def read() -> list[bytes]:
            found = connection(self.place).get_ranges(self.key, starts=starts, ends=stops, coalesce=gap_bytes)
            contents = [bytes(content) for content in found]
            for content, (start, stop) in zip(contents, ranges, strict=True):
                _check_length(content, stop - start)
            return contents

        return self._try(read)

    def _read(self, options: dict[str, Any], most: int | None = None) -> tuple[int, bytes]:
        def read() -> tuple[int, bytes]:
            found = connection(self.place).get(self.key, options=options)
            content, size = bytes(found.bytes()), int(found.meta["size"])
            _check_length(content, size if most is None else min(most, size))
            return size, content

        return self._try(read)

    # Writing

    def write_bytes(self, content: bytes) -> int:
        """Write the object, replacing an earlier one; nobody sees half of it."""
        self._put(content, "overwrite")
        return len(content)

    def create(self, content: bytes) -> None:
        """Write the object if none of this name exists; raise FileExistsError if one of other content does."""
        self.replace_if(content, None)

    def replace_if(self, content: bytes, tag: str | None) -> None:
        """Replace the object with this tag; `tag` None creates an object where none exists.

        Raises:
            FileExistsError: if `tag` is None and an object exists.
            ChangedError: if the object has another tag, or no longer exists.
        """
        try:
            self._put(content, "create" if tag is None else {"e_tag": tag})
        except (FileExistsError, ChangedError):
            # An answer may have been lost, and the request repeated: then the object that is in the way is ours.
            if not (self.is_file() and self.read_bytes() == content):
                raise

    def unlink(self, missing_ok: bool = False) -> None:
        """Delete the object."""
        if not missing_ok and not self.is_file():
            raise FileNotFoundError(f"{self} does not exist")
        self._try(lambda: connection(self.place).delete(self.key))

    def mkdir(self, parents: bool = False, exist_ok: bool = False) -> None:
        """Do nothing: folders do not exist."""

    def _put(self, content: bytes, mode: Any) -> None:
        def put() -> None:
            if not self.can_list:
                raise NotImplementedError("a web server is for reading; name a folder or a bucket")
            connection(self.place).put(self.key, content, mode=mode, use_multipart=False)

        self._try(put)

    def _try(self, action: Callable[[], _Result]) -> _Result:
        return request(self, action)


def _check_length(content: bytes, expected: int) -> None:
    if len(content) != expected:
        raise ConnectionError(f"{len(content)} bytes came back instead of {expected}")


def zarr_store(path: RemotePath) -> Any:
    """Open the objects below a path as a store of Zarr, for reading."""
    from zarr.storage import ObjectStore  # noqa: PLC0415 - Zarr takes a while, and few paths need it

    return ObjectStore(zarr_folder(path.key) if path.is_on_hub else connection(str(path)), read_only=True)
