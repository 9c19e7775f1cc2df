"""One shard read again, byte by byte, against its record and the declared format.

The file is read once, in blocks that stay in the processor's cache. Each block is digested, its inner chunks are
checked and decoded, and their values examined.
"""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import prod
from typing import BinaryIO

import numpy as np

from vadprobe.store.files.location import StorePath
from vadprobe.store.files.object_store import ForbiddenError
from vadprobe.store.format import shard_format
from vadprobe.store.format.shard_format import Chunk, DamagedShardError

BLOCK_BYTES = 2**20
"""Bytes, read or decoded, that are worked on at a time; one chunk if that is longer."""

FileState = tuple[int, int, int]
"""(size, time of change of the content, time of change of the file), times in ns; equal for an untouched file."""


class CheckStoppedError(Exception):
    """Error of a check that was stopped before its shard was read to the end."""


@dataclass(frozen=True)
class ShardCheck:
    """Shard to be checked, and what it must be.

    `sha256` and `n_bytes` are those of the partition's record. `failed` are row numbers counted from the shard's first
    row. `held` are the numbers, in C order, of the inner chunks that must be stored; None for all.
    """

    array: str
    path: StorePath
    sha256: object
    n_bytes: object
    shard: tuple[int, ...]
    chunk: tuple[int, ...]
    dtype: str
    is_bfloat16: bool
    n_rows: int
    failed: tuple[int, ...]
    held: tuple[int, ...] | None = None


@dataclass(frozen=True)
class ShardFinding:
    """Result of a check: sentences about damage, empty for a sound shard, and the file's state.

    `state` is None if the file changed during the check. `is_refused` is True if the shard may not be read, so that
    nothing is known about it.
    """

    messages: tuple[str, ...]
    n_bytes: int = 0
    state: FileState | None = None
    is_refused: bool = False


def file_state(path: StorePath) -> FileState | None:
    """Return the state of a file; None if there is none."""
    try:
        found = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return found.st_size, found.st_mtime_ns, found.st_ctime_ns


def check_shard(check: ShardCheck, is_stopped: Callable[[], bool] = bool) -> ShardFinding:
    """Read one shard and check it. Damage of any kind becomes a message.

    Args:
        check: the shard and what it must be.
        is_stopped: called before each block, since a shard may take many seconds; True stops the check.

    Raises:
        CheckStoppedError: if `is_stopped` returned True.
    """
    name = check.array
    try:
        before = file_state(check.path)
        if before is None or not check.path.is_file():
            return ShardFinding((f"the shard of {name} is missing",))
        if before[0] != check.n_bytes:
            sizes = f"{before[0]} bytes, its record says {check.n_bytes}"
            return ShardFinding((f"the shard of {name} has {sizes}",), before[0])
        with check.path.open("rb") as file:
            messages = _Reading(check, file, before[0], is_stopped).messages()
        after = file_state(check.path)
    except ForbiddenError as error:
        return ShardFinding(
            (f"the shard of {name} cannot be read with these credentials, or is missing: {error}",), is_refused=True
        )
    except OSError as error:
        return ShardFinding((f"the shard of {name} cannot be read: {error.strerror or error}",))
    return ShardFinding(tuple(messages), before[0], before if before == after else None)


class _Reading:
    """Single pass over a shard."""

    def __init__(self, check: ShardCheck, file: BinaryIO, size: int, is_stopped: Callable[[], bool]) -> None:
        self.check, self.file, self.size, self.is_stopped = check, file, size, is_stopped
        self.digest = hashlib.sha256()
        self.position = 0
        self.grid = tuple(whole // part for whole, part in zip(check.shard, check.chunk, strict=True))
        self.good = np.ones(check.n_rows, dtype=bool)
        self.good[list(check.failed)] = False
        self.damaged: list[str] = []
        self.inexact = self.not_finite = self.not_nan = False
        rows, width = check.chunk[0], prod(check.chunk[1:])
        self.most = max(1, BLOCK_BYTES // (rows * width * np.dtype(check.dtype).itemsize))
        self.values = np.empty((self.most, rows, width), check.dtype)

    def messages(self) -> list[str]:
        """Read the whole file and return what is wrong with it."""
        name = self.check.array
        try:
            places = self._places()
        except DamagedShardError as error:
            self.damaged.append(str(error))
            places = []
        for group in self._groups(places):
            self._check_group(group)
        while self.position < self.size:
            self._take(min(self.size, self.position + BLOCK_BYTES))
        if self.digest.hexdigest() != self.check.sha256:
            where = f" ({_first(self.damaged)})" if self.damaged else ""
            return [f"the shard of {name} was changed: its SHA-256 is not the recorded one{where}"]
        if self.damaged:
            return [f"the shard of {name} cannot be decoded: {_first(self.damaged)}"]
        found = []
        if self.inexact:
            found.append(f"{name} holds float32 values that are not bfloat16: their low 16 bits are set")
        if self.not_finite:
            found.append(f"{name} holds values that are not finite in rows that did not fail")
        if self.not_nan:
            found.append(f"{name} holds values in rows that are recorded as failed")
        return found

    def _places(self) -> list[Chunk]:
        """Read the index; return the places of the chunks that must be there, in the order of the file."""
        self.file.seek(max(0, self.size - shard_format.index_bytes(self.grid)))
        tail = self._read(min(self.size, shard_format.index_bytes(self.grid)))
        self.file.seek(0)
        entries = shard_format.decode_index(tail, self.grid, self.size)
        held = range(len(entries)) if self.check.held is None else self.check.held
        places = shard_format.chunk_places(entries, held, self.grid, self.size)
        shard_format.check_all_places(entries, places)
        return places

    def _groups(self, places: list[Chunk]) -> Iterator[list[Chunk]]:
        """Yield groups of neighbouring chunks, each group at most a block long."""
        group: list[Chunk] = []
        for place in places:
            if group and (len(group) == self.most or place[1] > group[0][0] + BLOCK_BYTES):
                yield group
                group = []
            group.append(place)
        if group:
            yield group

    def _check_group(self, group: list[Chunk]) -> None:
        """Read neighbouring chunks, decode them and look at their values."""
        self._take(group[0][0])
        start = self.position
        content = np.frombuffer(self._take(group[-1][1]), np.uint8)
        kept = 0
        for offset, stop, number in group:
            try:
                shard_format.decode_chunk(
                    shard_format.without_checksum(content[offset - start : stop - start]), self.values[kept]
                )
                kept += 1
            except DamagedShardError as error:
                self.damaged.append(f"chunk {shard_format.chunk_position(number, self.grid)} at byte {offset}: {error}")
        self._look(self.values[:kept, : self.check.n_rows])

    def _look(self, values: np.ndarray) -> None:
        """Note what is wrong with values, (chunks, rows, values of a row), of the rows that stand for clips."""
        if self.check.is_bfloat16 and values.size:
            self.inexact |= bool(np.bitwise_or.reduce(values.view(np.uint32), axis=None) & 0xFFFF)
        if self.check.failed:
            self.not_finite |= not np.isfinite(values[:, self.good]).all()
            self.not_nan |= not np.isnan(values[:, ~self.good]).all()
        else:
            self.not_finite |= not np.isfinite(values).all()

    def _take(self, stop: int) -> bytes:
        """Read from the current position to byte `stop` and add the bytes to the digest."""
        if self.is_stopped():
            raise CheckStoppedError
        content = self._read(stop - self.position)
        self.digest.update(content)
        self.position = stop
        return content

    def _read(self, count: int) -> bytes:
        """Read exactly `count` bytes."""
        found = self.file.read(count)
        if len(found) < count:
            raise OSError("the file ended while it was read")
        return found


def _first(reasons: list[str]) -> str:
    return reasons[0] + (f", and {len(reasons) - 1} more" if len(reasons) > 1 else "")
