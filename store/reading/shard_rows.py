"""Requested rows of one shard, and reading the shard with a check of its recorded size."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vadprobe.store.errors import StoreError
from vadprobe.store.files.object_store import ForbiddenError, RemoteError
from vadprobe.store.reading.byte_sources import ByteSource


@dataclass(frozen=True, eq=False)
class ShardRows:
    """Requested rows of one shard.

    Attributes:
        path: of the shard.
        partition: number of the shard's partition.
        n_bytes: size that the partition's record names; 0 for a partition whose rows all failed, which has no shard.
        rows: (n,) row numbers counted from the shard's first row, any order, repeats allowed.
        targets: (n,) rows of the result that they fill.
    """

    path: str
    partition: int
    n_bytes: int
    rows: np.ndarray
    targets: np.ndarray

    def error(self, reason: object) -> StoreError:
        """Return an error that names the shard, its partition, the reason, and what to do."""
        if isinstance(reason, RemoteError | ForbiddenError):  # nothing is wrong with the store
            return StoreError(f"partition {self.partition}: {reason}.")
        return StoreError(
            f"{self.path} (partition {self.partition}): {reason}. Run 'vadprobe verify', then extract again."
        )

    def _refused(self, error: ForbiddenError) -> StoreError:
        return StoreError(
            f"{self.path} (partition {self.partition}) cannot be read with these credentials, or is "
            f"missing; nothing says that it is damaged: {error}. Use credentials that can read it."
        )

    def tail(self, source: ByteSource, count: int = 1) -> bytes:
        """Read the shard's last `count` bytes, or all of a shorter one; return no bytes if the partition has no shard.

        A plain reader would give NaN for a missing shard without an error, so the size is compared with the record.

        Raises:
            StoreError: if the size differs, naming the shard, its partition, and both sizes.
        """
        try:
            found = source.tail(self.path, count)
        except ForbiddenError as error:
            if self.n_bytes:
                raise self._refused(error) from error
            found = None  # no shard, as recorded: without permission to list, a bucket refuses missing objects too
        except OSError as error:
            raise self.error(_reason(error, "its size cannot be read")) from error
        size, content = found if found is not None else (0, b"")
        if size != self.n_bytes:
            raise StoreError(
                f"{self.path} is {'missing' if found is None else 'damaged'}: {size} bytes, its record says "
                f"{self.n_bytes} (partition {self.partition}). Run 'vadprobe verify', then extract again."
            )
        return content

    def read(self, source: ByteSource, ranges: Sequence[tuple[int, int]]) -> list[np.ndarray]:
        """Read bytes `[start, stop)` of the shard, for each range.

        Raises:
            StoreError: if they cannot be read, or fewer come back.
        """
        try:
            found = source.read(self.path, ranges)
        except ForbiddenError as error:
            raise self._refused(error) from error
        except OSError as error:
            raise self.error(_reason(error, f"bytes {ranges[0][0]} to {ranges[-1][1]} cannot be read")) from error
        for content, (start, stop) in zip(found, ranges, strict=True):
            if len(content) != stop - start:
                raise self.error(f"{len(content)} bytes came back for bytes {start} to {stop}")
        return [np.frombuffer(content, np.uint8) for content in found]


def _reason(error: OSError, lead: str) -> object:
    """Return an error with its own advice unchanged; put `lead` before the text of any other."""
    return error if isinstance(error, RemoteError | ForbiddenError) else f"{lead} ({error})"
