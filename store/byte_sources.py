"""Where the shards of a store are read from, by the store's place."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vadprobe.store.location import is_remote
from vadprobe.store.shard_reader import ByteSource, LocalFiles


class RemoteObjects:
    """Shards on an object store or web server.

    A request takes tens of milliseconds before its first byte, in which 100 MB/s would bring some megabytes: so gaps up
    to a quarter of a mebibyte are read along, and many requests are under way at once.
    """

    gap_bytes = 2**18
    range_bytes = 2**23
    threads = 16

    def __init__(self, store: Any) -> None:
        self._store = store

    def tail(self, path: str, count: int) -> tuple[int, bytes] | None:
        """Bytes of an object, and the last ``count`` of them, or all; None when there is no object. One request."""
        try:
            found: tuple[int, bytes] = self._object(path).read_tail(count)
        except FileNotFoundError:
            return None
        return found

    def expect(self, path: str, ranges: Sequence[tuple[int, int]]) -> None:
        """Nothing: what is fetched ahead would have to be kept."""

    def read(self, path: str, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        """The bytes ``[start, stop)`` of each range; OSError if they cannot be had."""
        found: list[bytes] = self._object(path).read_ranges(ranges, self.gap_bytes)
        return found

    def _object(self, path: str) -> Any:
        return self._store / path.removeprefix(f"{self._store}/")


def source_of(store: Path) -> ByteSource:
    """What reads the shards of the store at ``store``."""
    return RemoteObjects(store) if is_remote(store) else LocalFiles()
