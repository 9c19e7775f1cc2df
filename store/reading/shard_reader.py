"""Inner chunks of Zarr shards, read straight from their bytes.

A Zarr v3 shard is a file of inner chunks with an index at its end: for every inner chunk, in C order, its offset and
its length as little-endian uint64, then the CRC-32C of all that. Here only the wanted chunks are read, neighbours in
one request, and decoded by several threads, while zarr-python 3.1 reads and decodes them one by one. The values are
those of zarr-python; what a plain reader would fill with NaN (a missing or short shard, an absent chunk) is an error.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from math import prod
from typing import TypeVar

import google_crc32c
import numpy as np
from numcodecs import blosc

from vadprobe.store.errors import StoreError
from vadprobe.store.reading.byte_sources import ByteSource, LocalFiles
from vadprobe.store.reading.shard_layout import _CHECKSUM_BYTES, ShardLayout

_ABSENT = 2**64 - 1  # offset and length of a chunk that was not stored
_BLOSC_HEADER_BYTES = 16
_GROUP_BYTES = 2**20  # decoded values that are put in place together
_BYTES_PER_THREAD = 2**20  # below, another thread waits for the interpreter more than it decodes
_EXPECTED = 64  # ranges of a shard; more of them are read in a row, which the system foresees
_BATCH = 64  # shards whose indices are held at a time

_Item = TypeVar("_Item")
_Chunk = tuple[int, int, int]  # (offset, stop, number) of an inner chunk in its shard, by bytes and in C order
_Span = tuple[int, int, int]  # (start in a row of the chunk, count, start in a row of the result), in values


@dataclass(frozen=True, eq=False)
class ShardRows:
    """What is wanted of one shard."""

    path: str
    partition: int
    n_bytes: int  # size that the partition's record names; 0 for a partition whose rows all failed: it has no shard
    rows: np.ndarray  # (n,) rows, counted from the shard's first, any order, repeats allowed
    targets: np.ndarray  # (n,) where each goes in the result

    def error(self, what: str) -> StoreError:
        """An error that names the shard and its partition."""
        return StoreError(
            f"{self.path} (partition {self.partition}): {what}. Run 'vadprobe verify', then extract again."
        )

    def check_size(self, source: ByteSource, count: int = 1) -> bytes:
        """Refuse a shard of another size than recorded: a missing or cut one would read as NaN without a word.

        Returns:
            Its last ``count`` bytes, or all; none if there is to be no shard.

        Raises:
            StoreError: naming the shard, its partition, and both sizes.
        """
        try:
            found = source.tail(self.path, count)
        except OSError as error:
            raise self.error(f"its size cannot be read ({error})") from error
        size, content = found if found is not None else (0, b"")
        if size != self.n_bytes:
            raise StoreError(
                f"{self.path} is {'missing' if found is None else 'damaged'}: {size} bytes, its record says "
                f"{self.n_bytes} (partition {self.partition}). Run 'vadprobe verify', then extract again."
            )
        return content


@dataclass(frozen=True, eq=False)
class _Request:
    """Chunks of the same rows of a shard, read by one call: each inner list is one range of neighbours."""

    shard: ShardRows
    rows: np.ndarray | slice  # of the chunks
    targets: np.ndarray | slice  # of the result
    ranges: list[list[_Chunk]]

    @property
    def n_bytes(self) -> int:
        """Bytes that are read."""
        return sum(_bounds(chunks)[1] - _bounds(chunks)[0] for chunks in self.ranges)


@dataclass(frozen=True, eq=False)
class ShardReader:
    """Reads parts of many shards of one array into one result.

    Besides the result it holds, for each thread, what one call of the source returned and a mebibyte of decoded values
    (or one chunk, if that is longer), and the places of the wanted chunks of 64 shards.
    """

    source: ByteSource
    layout: ShardLayout
    threads: int | None = None  # by default as many as are of use for the source

    def read(self, shards: Sequence[ShardRows], parts: Sequence[tuple[int, ...]], result: np.ndarray) -> None:
        """Read parts of rows.

        Args:
            shards: which rows of which shards, and where they go.
            parts: k parts of a row, each by its leading indices: ``(layer,)`` is a layer, ``(block, head)`` a head,
                ``()`` the whole row. They are of one size; repeats are allowed.
            result: C-contiguous (n, k, ...) of the layout's dtype, filled at each shard's ``targets``.

        Raises:
            StoreError: if a shard is missing, of another size than recorded, or damaged anywhere in what is read.
        """
        if not result.flags.c_contiguous:
            raise ValueError("the result is not C-contiguous, so a row of it cannot be filled piece by piece.")
        flat = result.reshape(len(result), prod(result.shape[1:]))
        spans = _spans(self.layout, parts)
        allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        is_local = isinstance(self.source, LocalFiles)  # else most of the time is waiting, which needs no processor
        threads = max(1, min(self.threads or self.source.threads, allowed if is_local else 2**10))
        with ThreadPoolExecutor(threads) as pool:
            for first in range(0, len(shards), _BATCH):
                batch = shards[first : first + _BATCH]
                for shard in batch:
                    start = shard.n_bytes - self.layout.index_bytes
                    self.source.expect(shard.path, [(start, shard.n_bytes)] if start > 0 else [])
                requests: list[_Request] = []
                n_finders = min(threads, 1 + len(batch) // 4) if is_local else threads
                _share(pool, n_finders, batch, partial(self._find_all, spans, flat, requests))
                n_bytes = sum(request.n_bytes for request in requests)
                useful = min(threads, 1 + n_bytes // _BYTES_PER_THREAD) if is_local else threads
                _share(pool, useful, requests, partial(self._fill_all, spans, flat))

    def bodies(self, shard: ShardRows, numbers: Sequence[int]) -> list[bytes]:
        """Encoded chunks of a shard with their checksums, by number in C order, for a copy without decoding.

        Raises:
            StoreError: if the shard is missing, of another size than recorded, or one of the chunks is damaged.
        """
        entries = self._entries(shard)
        if entries is None:
            raise shard.error("it has no shard of this array")
        places = sorted(self._places(shard, entries, list(numbers)))
        found: dict[int, bytes] = {}
        for ranges in _plan(places, self.source):
            contents = self._bytes(shard, [_bounds(chunks) for chunks in ranges])
            for content, chunks in zip(contents, ranges, strict=True):
                for offset, stop, number in chunks:
                    body = content[offset - chunks[0][0] : stop - chunks[0][0]]
                    if self.layout.checked and not _is_whole(body):
                        raise shard.error(f"the checksum of chunk {self._name(number)} does not agree")
                    found[number] = body.tobytes()
        return [found[number] for number in numbers]

    def _find_all(
        self, spans: dict[int, list[_Span]], flat: np.ndarray, requests: list[_Request], shards: Iterable[ShardRows]
    ) -> None:
        """Add the requests of every shard; the rows of a shard that was never written get the fill value at once."""
        for shard in shards:
            entries = self._entries(shard)
            if entries is not None:
                requests.extend(self._find(spans, shard, entries))
            else:
                flat[shard.targets] = self.layout.fill_value

    def _find(self, spans: dict[int, list[_Span]], shard: ShardRows, entries: np.ndarray) -> Iterator[_Request]:
        """What to read of a shard to have the wanted chunks."""
        row_chunks = shard.rows // self.layout.chunk[0]
        for row_chunk in np.unique(row_chunks).tolist():
            here = row_chunks == row_chunk
            rows = _as_slice(shard.rows[here] - row_chunk * self.layout.chunk[0])
            targets = _as_slice(shard.targets[here])
            numbers = [row_chunk * self.layout.chunks_per_row + number for number in spans]
            plan = list(_plan(sorted(self._places(shard, entries, numbers)), self.source))
            if sum(len(ranges) for ranges in plan) <= _EXPECTED:
                self.source.expect(shard.path, [_bounds(chunks) for ranges in plan for chunks in ranges])
            for ranges in plan:
                yield _Request(shard, rows, targets, ranges)

    def _entries(self, shard: ShardRows) -> np.ndarray | None:
        """(chunks, 2) offset and length of every inner chunk, in C order; None if there is to be no shard."""
        index = np.frombuffer(shard.check_size(self.source, self.layout.index_bytes), np.uint8)
        if not shard.n_bytes:
            return None
        if len(index) < self.layout.index_bytes:
            raise shard.error(f"it has {shard.n_bytes} bytes, fewer than its index alone")
        if not _is_whole(index):
            raise shard.error("the checksum of its index does not agree")
        return index[:-_CHECKSUM_BYTES].view("<u8").reshape(-1, 2)

    def _places(self, shard: ShardRows, entries: np.ndarray, numbers: list[int]) -> Iterator[_Chunk]:
        """Where chunks lie in a shard. One that was not stored is an error: the writer stores them all."""
        end = shard.n_bytes - self.layout.index_bytes
        shortest = _CHECKSUM_BYTES if self.layout.checked else 0
        for number, (offset, length) in zip(numbers, entries[numbers].tolist(), strict=True):
            if offset == length == _ABSENT:
                raise shard.error(f"it holds no chunk {self._name(number)}")
            if offset + length > end or length < shortest:
                raise shard.error(
                    f"its index puts chunk {self._name(number)} at bytes {offset} to {offset + length}, but chunks end "
                    f"at {end}"
                )
            yield offset, offset + length, number

    def _bytes(self, shard: ShardRows, ranges: list[tuple[int, int]]) -> list[np.ndarray]:
        """Bytes ``[start, stop)`` of a shard, for each range."""
        try:
            found = self.source.read(shard.path, ranges)
        except OSError as error:
            raise shard.error(f"bytes {ranges[0][0]} to {ranges[-1][1]} cannot be read ({error})") from error
        for content, (start, stop) in zip(found, ranges, strict=True):
            if len(content) != stop - start:
                raise shard.error(f"{len(content)} bytes came back for bytes {start} to {stop}")
        return [np.frombuffer(content, np.uint8) for content in found]

    def _fill_all(self, spans: dict[int, list[_Span]], flat: np.ndarray, requests: Iterable[_Request]) -> None:
        """Read, decode the chunks, and put the wanted values where they belong."""
        height, width = self.layout.chunk[0], self.layout.chunk_width
        scratch = np.empty((max(1, _GROUP_BYTES // (height * width * flat.itemsize)), height, width), flat.dtype)
        for request in requests:
            self._fill(spans, flat, scratch, request)

    def _fill(self, spans: dict[int, list[_Span]], flat: np.ndarray, scratch: np.ndarray, request: _Request) -> None:
        per_row, (most, height, width) = self.layout.chunks_per_row, scratch.shape
        rows, targets = request.rows, request.targets
        contents = self._bytes(request.shard, [_bounds(chunks) for chunks in request.ranges])
        bodies = {
            number: content[offset - chunks[0][0] : stop - chunks[0][0]]
            for content, chunks in zip(contents, request.ranges, strict=True)
            for offset, stop, number in chunks
        }
        straight = flat.shape[1] == width and isinstance(targets, slice) and _is_all(rows, height)
        for group in _groups(sorted(bodies), spans, width, per_row, most):
            found = spans[group[0] % per_row]
            if straight and len(found) == 1:
                self._decode(request.shard, group[0], bodies[group[0]], flat[targets])
                continue
            for number, decoded in zip(group, scratch, strict=False):
                self._decode(request.shard, number, bodies[number], decoded)
            if len(group) > 1:
                values = scratch[: len(group), rows].swapaxes(0, 1)
                first = found[0][2]
                flat[targets, first : first + len(group) * width] = values.reshape(len(values), -1)
                continue
            for begin, count, target in found:
                flat[targets, target : target + count] = scratch[0, rows, begin : begin + count]

    def _decode(self, shard: ShardRows, number: int, body: np.ndarray, into: np.ndarray) -> None:
        """Check the bytes of a chunk and decode them into contiguous memory."""
        if self.layout.checked:
            if not _is_whole(body):
                raise shard.error(f"the checksum of chunk {self._name(number)} does not agree")
            body = body[:-_CHECKSUM_BYTES]
        if self.layout.compressed:
            # Blosc believes its header, so the two sizes it names (decoded and encoded) are compared first.
            sizes = body[4:8].tobytes() + body[12:_BLOSC_HEADER_BYTES].tobytes()
            if sizes != into.nbytes.to_bytes(4, "little") + len(body).to_bytes(4, "little"):
                raise shard.error(f"chunk {self._name(number)} does not decode to the {into.nbytes} bytes of its shape")
            try:
                blosc.decompress(body, into)
            except (RuntimeError, ValueError) as error:
                raise shard.error(f"chunk {self._name(number)} cannot be decompressed ({error})") from error
        elif len(body) != into.nbytes:
            raise shard.error(f"chunk {self._name(number)} has {len(body)} bytes, wanted {into.nbytes}")
        else:
            into[...] = body.view(self.layout.dtype).reshape(into.shape)

    def _name(self, number: int) -> tuple[int, ...]:
        return tuple(int(position) for position in np.unravel_index(number, self.layout.grid))


def _spans(layout: ShardLayout, parts: Sequence[tuple[int, ...]]) -> dict[int, list[_Span]]:
    """By inner chunk (of those that hold the same rows): which of its values go where in a row of the result."""
    found: dict[int, list[_Span]] = {}
    width = layout.chunk_width
    for position, part in enumerate(parts):
        size = prod(layout.shape[1 + len(part) :])
        first = 0
        for index, extent in zip(part, layout.shape[1:], strict=False):
            first = first * extent + index
        start, stop = first * size, (first + 1) * size
        for number in range(start // width, -(-stop // width)):
            begin, end = max(start, number * width), min(stop, (number + 1) * width)
            found.setdefault(number, []).append((begin - number * width, end - begin, position * size + begin - start))
    return found


def _bounds(neighbours: list[_Chunk]) -> tuple[int, int]:
    return neighbours[0][0], max(stop for _, stop, _ in neighbours)


def _plan(chunks: Iterable[_Chunk], source: ByteSource) -> Iterator[list[list[_Chunk]]]:
    """What to read by one call each: chunks, ascending by offset, with neighbours joined to one range."""
    ranges: list[list[_Chunk]] = []
    n_bytes = 0
    for chunk in chunks:
        offset, stop, _ = chunk
        near = bool(ranges) and offset <= ranges[-1][-1][1] + source.gap_bytes
        more = stop - (ranges[-1][-1][1] if near else offset)
        if ranges and n_bytes + more > source.range_bytes:
            yield ranges
            ranges, n_bytes, near, more = [], 0, False, stop - offset
        if near:
            ranges[-1].append(chunk)
        else:
            ranges.append([chunk])
        n_bytes += more
    if ranges:
        yield ranges


def _groups(
    numbers: Iterable[int], spans: dict[int, list[_Span]], width: int, per_row: int, most: int
) -> Iterator[list[int]]:
    """Chunks that are neighbours in the result, to be put there together; any other chunk alone."""
    group: list[int] = []
    following = None  # where the next chunk of the group would go
    for number in numbers:
        found = spans[number % per_row]
        whole = len(found) == 1 and found[0][1] == width
        if group and not (whole and found[0][2] == following and len(group) < most):
            yield group
            group = []
        group.append(number)
        following = found[0][2] + width if whole else None
    if group:
        yield group


def _is_whole(body: np.ndarray) -> bool:
    """Whether bytes end in the CRC-32C of those before."""
    stored = int.from_bytes(body[-_CHECKSUM_BYTES:].tobytes(), "little")
    return int(google_crc32c.value(body[:-_CHECKSUM_BYTES])) == stored


def _is_all(rows: np.ndarray | slice, height: int) -> bool:
    return isinstance(rows, slice) and rows == slice(0, height)


def _as_slice(numbers: np.ndarray) -> np.ndarray | slice:
    """Consecutive ascending numbers as a slice, which copies faster; others unchanged."""
    first, count = int(numbers[0]), len(numbers)
    if int(numbers[-1]) == first + count - 1 and bool((np.diff(numbers) == 1).all()):
        return slice(first, first + count)
    return numbers


def _share(
    pool: ThreadPoolExecutor, threads: int, items: Sequence[_Item], work: Callable[[Iterable[_Item]], None]
) -> None:
    """Let every thread work on items until none is left; the first error is raised.

    Even one thread is one of the pool: in the main thread Blosc starts threads of its own, which cost more than they
    save on chunks of this size.
    """
    remaining = iter(items)  # one iterator for all threads: taking the next item is atomic
    tasks = [pool.submit(work, remaining) for _ in range(min(threads, len(items)))]
    for task in tasks:
        task.result()
