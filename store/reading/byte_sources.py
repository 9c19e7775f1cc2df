"""Sources of a store's bytes: local files, or objects of an object store or web server."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Protocol

from vadprobe.store.files.location import StorePath, is_remote
from vadprobe.store.files.remote_path import RemotePath

THREADS = 2
"""Largest number of threads of one read. More gain nothing: between chunks each thread needs the interpreter."""


class ByteSource(Protocol):
    """Source of the bytes of shards. Several threads call its methods at once."""

    is_local: bool
    """True if a read is limited by the processor, not by waiting: then threads beyond the cores gain nothing."""
    gap_bytes: int
    """Largest gap between two chunks, in bytes, that is cheaper to read along than to make a second request."""
    range_bytes: int
    """Largest number of bytes of one call, unless a single chunk is longer."""
    threads: int
    """Largest number of threads that gain anything for one read."""

    def tail(self, path: str, count: int) -> tuple[int, bytes] | None:
        """Return the size of a file and its last `count` bytes, or all; None when there is no file.

        Raises:
            OSError: if the source fails.
        """

    def expect(self, path: str, ranges: Sequence[tuple[int, int]]) -> None:
        """Announce ranges that will be read soon, so that they can be fetched ahead; ignore a missing file."""

    def read(self, path: str, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        """Return all bytes `[start, stop)` of each range.

        Raises:
            OSError: if the file is missing or ends too early, or the source fails.
        """


class LocalFiles:
    """Shards in a folder of this machine."""

    is_local = True
    gap_bytes = 2**14
    range_bytes = 2**20  # what was read is decoded while it is in the processor's cache
    threads = THREADS

    def tail(self, path: str, count: int) -> tuple[int, bytes] | None:
        """Return the size of a file and its last `count` bytes, or all; None when there is no file."""
        try:
            with _opened(path) as descriptor:
                size = os.fstat(descriptor).st_size
                return size, _read_range(descriptor, max(0, size - count), size)
        except (FileNotFoundError, NotADirectoryError):
            return None

    def expect(self, path: str, ranges: Sequence[tuple[int, int]]) -> None:
        """Let the disk begin to read all ranges at once: waiting for them one by one takes most of a cold read."""
        if not hasattr(os, "posix_fadvise"):
            return
        with suppress(OSError), _opened(path) as descriptor:  # `read` will raise the error
            for start, stop in ranges:
                os.posix_fadvise(descriptor, start, stop - start, os.POSIX_FADV_WILLNEED)

    def read(self, path: str, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        """Return the bytes `[start, stop)` of each range; OSError if the file ends before."""
        with _opened(path) as descriptor:
            return [_read_range(descriptor, start, stop) for start, stop in ranges]


@contextmanager
def _opened(path: str) -> Iterator[int]:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _read_range(descriptor: int, start: int, stop: int) -> bytes:
    found = os.pread(descriptor, stop - start, start)
    while len(found) < stop - start:  # a call returns at most 2 GiB, or less when it is interrupted
        more = os.pread(descriptor, stop - start - len(found), start + len(found))
        if not more:
            raise OSError(f"the file ends at byte {start + len(found)}, before byte {stop}")
        found += more
    return found


class RemoteObjects:
    """Shards on an object store or web server.

    The first byte of an answer takes tens of milliseconds, in which 100 MB/s would bring some megabytes. So gaps up to
    a quarter of a mebibyte are read along, and many requests are under way at once.
    """

    is_local = False
    gap_bytes = 2**18
    range_bytes = 2**23
    threads = 16

    def __init__(self, store: RemotePath) -> None:
        self._store = store

    def tail(self, path: str, count: int) -> tuple[int, bytes] | None:
        """Return the size of an object and its last `count` bytes, or all; None when there is none. One request."""
        try:
            return self._object(path).read_tail(count)
        except FileNotFoundError:
            return None

    def expect(self, path: str, ranges: Sequence[tuple[int, int]]) -> None:
        """Do nothing: bytes fetched ahead would have to be kept in memory."""

    def read(self, path: str, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        """Return the bytes `[start, stop)` of each range; OSError if they cannot be read."""
        found: list[bytes] = self._object(path).read_ranges(ranges, self.gap_bytes)
        return found

    def _object(self, path: str) -> RemotePath:
        return self._store / path.removeprefix(f"{self._store}/")


def source_of(store: StorePath) -> ByteSource:
    """Return the source of the shards of the store at `store`."""
    return RemoteObjects(store) if is_remote(store) else LocalFiles()
