"""One shard read again, byte by byte, against its record and the declared format.

Written apart from the readers, so that neither inherits a mistake of the other. The file is read once, in blocks that
stay in the processor's cache: digested, every inner chunk checked, decoded, and its values looked at. Nothing heavy is
imported, because processes of their own run this.
"""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import prod
from typing import BinaryIO

import google_crc32c
import numpy as np
from numcodecs import blosc

from vadprobe.store.files.location import StorePath

BLOCK_BYTES = 2**20
"""Bytes, read or decoded, that are worked on at a time; one chunk if that is longer."""

_CHECKSUM_BYTES = 4
_BLOSC_HEADER_BYTES = 16
_ABSENT = 2**64 - 1
_ENTRY = np.dtype([("offset", "<u8"), ("length", "<u8")])

FileState = tuple[int, int, int]
"""Size, time of the last change of the content and of the file, in ns: equal as long as nobody touched a file."""


class CheckStoppedError(Exception):
    """The verification was ended before this shard was read to its end."""


@dataclass(frozen=True)
class ShardCheck:
    """What a shard must be: as recorded, ``sha256`` and ``n_bytes``; ``failed`` rows count from the shard's first.

    ``held`` are the inner chunks that are to be there, by number in C order; None for all.
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
    """What was found: sentences, none if the shard is sound; and the file's state, None if it changed meanwhile."""

    messages: tuple[str, ...]
    n_bytes: int = 0
    state: FileState | None = None


def file_state(path: StorePath) -> FileState | None:
    """The state of a file; None if there is none."""
    try:
        found = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return found.st_size, found.st_mtime_ns, found.st_ctime_ns


def check_shard(check: ShardCheck, is_stopped: Callable[[], bool] = bool) -> ShardFinding:
    """Read one shard.

    Args:
        check: the shard and what it must be.
        is_stopped: asked after each block whether to give up.

    Raises:
        CheckStoppedError: if ``is_stopped`` says so. Damage of any kind is a message.
    """
    name = check.array
    try:
        before = file_state(check.path)
        if before is None or not check.path.is_file():
            return ShardFinding((f"the shard of {name} is missing",))
        if before[0] != check.n_bytes:
            sizes = f"{before[0]} bytes, its record says {check.n_bytes}"
            return ShardFinding((f"the shard of {name} has {sizes}",), before[0])
        with check.path.open("rb", buffering=0) as file:
            reading = _Reading(check, file, before[0], is_stopped)
            messages = reading.messages()
        after = file_state(check.path)
    except OSError as error:
        return ShardFinding((f"the shard of {name} cannot be read: {error.strerror or error}",))
    return ShardFinding(tuple(messages), before[0], before if before == after else None)


class _Reading:
    """The one pass over a shard."""

    def __init__(self, check: ShardCheck, file: BinaryIO, size: int, is_stopped: Callable[[], bool]) -> None:
        self.check, self.file, self.size, self.is_stopped = check, file, size, is_stopped
        self.digest = hashlib.sha256()
        self.position = 0
        self.grid = tuple(whole // part for whole, part in zip(check.shard, check.chunk, strict=True))
        self.numbers = np.arange(prod(self.grid)) if check.held is None else np.array(check.held)
        self.good = np.ones(check.n_rows, dtype=bool)
        self.good[list(check.failed)] = False
        self.damaged: list[str] = []
        self.inexact = self.not_finite = self.not_nan = False
        rows, width = check.chunk[0], prod(check.chunk[1:])
        self.most = max(1, BLOCK_BYTES // (rows * width * np.dtype(check.dtype).itemsize))
        self.values = np.empty((self.most, rows, width), check.dtype)

    def messages(self) -> list[str]:
        """Read the whole file; what is wrong with it."""
        name = self.check.array
        for group in self._groups():
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

    def _groups(self) -> Iterator[list[tuple[int, int, int]]]:
        """Chunks (offset, stop, number) in the order of the file, together as long as they fit a block."""
        entries = self._entries()
        if entries is None:
            return
        group: list[tuple[int, int, int]] = []
        for number in self.numbers[np.argsort(entries["offset"][self.numbers], kind="stable")].tolist():
            offset, length = entries[number].tolist()
            if group and (len(group) == self.most or offset + length > group[0][0] + BLOCK_BYTES):
                yield group
                group = []
            group.append((offset, offset + length, number))
        yield group

    def _entries(self) -> np.ndarray | None:
        """Where the chunks lie, in C order; None if the index does not say so."""
        count = prod(self.grid)
        end = self.size - count * _ENTRY.itemsize - _CHECKSUM_BYTES
        if end < 0:
            self.damaged.append(f"it has {self.size} bytes, fewer than its index alone")
            return None
        self.file.seek(end)
        index = self._read(self.size - end)
        self.file.seek(0)
        if not _is_whole(index):
            self.damaged.append("the checksum of its index does not agree")
            return None
        entries = np.frombuffer(index, _ENTRY, count)
        absent = np.ones(count, dtype=bool)
        absent[self.numbers] = False
        if (entries["offset"][absent] != _ABSENT).any() or (entries["length"][absent] != _ABSENT).any():
            self.damaged.append("its index names chunks that the store does not hold")
            return None
        order = np.sort(entries[self.numbers], order="offset")
        stops = order["offset"] + order["length"]
        within = order["offset"].max() <= end and order["length"].max() <= end and stops.max() <= end
        if not within or (order["offset"][1:] < stops[:-1]).any():
            self.damaged.append("its index names chunks that are missing, overlap, or lie outside the file")
            return None
        return entries

    def _check_group(self, group: list[tuple[int, int, int]]) -> None:
        """Take neighbouring chunks from the file, decode them, look at their values."""
        self._take(group[0][0])
        start = self.position
        content = self._take(group[-1][1])
        kept = 0
        for offset, stop, number in group:
            reason = _decode(content[offset - start : stop - start], self.values[kept])
            if reason is None:
                kept += 1
            else:
                position = tuple(int(part) for part in np.unravel_index(number, self.grid))
                self.damaged.append(f"chunk {position} at byte {offset}: {reason}")
        self._look(self.values[:kept, : self.check.n_rows])

    def _look(self, values: np.ndarray) -> None:
        """Remember what is wrong with values (chunks, rows, values of a row); rows past the last clip hold none."""
        if self.check.is_bfloat16 and values.size:
            self.inexact |= bool(np.bitwise_or.reduce(values.view(np.uint32), axis=None) & 0xFFFF)
        if self.check.failed:
            self.not_finite |= not np.isfinite(values[:, self.good]).all()
            self.not_nan |= not np.isnan(values[:, ~self.good]).all()
        else:
            self.not_finite |= not np.isfinite(values).all()

    def _take(self, stop: int) -> memoryview:
        """The bytes from here to ``stop``, digested."""
        if self.is_stopped():
            raise CheckStoppedError
        content = self._read(stop - self.position)
        self.digest.update(content)
        self.position = stop
        return memoryview(content)

    def _read(self, count: int) -> bytes:
        """Exactly so many bytes."""
        found = self.file.read(count) if count else b""
        while len(found) < count:  # a call may return less than was asked for
            more = self.file.read(count - len(found))
            if not more:
                raise OSError("the file ended while it was read")
            found += more
        return found


def _decode(body: memoryview, into: np.ndarray) -> str | None:
    """Check and decode one chunk; the reason why that cannot be done, None if it can."""
    if len(body) < _BLOSC_HEADER_BYTES + _CHECKSUM_BYTES:
        return f"it has {len(body)} bytes, too few for a chunk"
    if not _is_whole(body):
        return "its checksum does not agree"
    body = body[:-_CHECKSUM_BYTES]
    # Blosc believes its header, so the sizes that the header names are compared before.
    decoded, encoded = (int.from_bytes(body[at : at + 4], "little") for at in (4, 12))
    if (decoded, encoded) != (into.nbytes, len(body)):
        return f"it is {encoded} bytes that decode to {decoded}, wanted {len(body)} and {into.nbytes}"
    try:
        blosc.decompress(body, into)
    except (RuntimeError, ValueError) as error:
        return f"it cannot be decompressed ({error})"
    return None


def _is_whole(content: bytes | memoryview) -> bool:
    """Whether bytes end in the CRC-32C of those before."""
    view = np.frombuffer(content, np.uint8)
    stored = int.from_bytes(view[-_CHECKSUM_BYTES:].tobytes(), "little")
    return int(google_crc32c.value(view[:-_CHECKSUM_BYTES])) == stored


def _first(reasons: list[str]) -> str:
    return reasons[0] + (f", and {len(reasons) - 1} more" if len(reasons) > 1 else "")
