"""Inner chunks of Zarr shards, read straight from their bytes.

Only the wanted chunks are read, neighbours in one request, and decoded by several threads, while zarr-python 3.1 reads
and decodes them one by one. The values are those of zarr-python; what a plain reader would fill with NaN (a missing or
short shard, an absent chunk) is an error.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from math import prod
from typing import TypeVar

import numpy as np

from vadprobe.store.format import shard_format
from vadprobe.store.format.shard_format import Chunk, DamagedShardError
from vadprobe.store.reading.byte_sources import ByteSource
from vadprobe.store.reading.read_plan import Span, bounds, neighbours_in_result, requests_of, spans_of
from vadprobe.store.reading.shard_layout import ShardLayout
from vadprobe.store.reading.shard_rows import ShardRows

_GROUP_BYTES = 2**20  # decoded values that are put in place together
_BYTES_PER_THREAD = 2**20  # below, another thread waits for the interpreter more than it decodes
_SHARDS_PER_THREAD = 4  # the same of indices
_EXPECTED = 64  # ranges of a shard; more of them are read in a row, which the system foresees
_BATCH = 64  # shards whose indices are in memory at a time

_Item = TypeVar("_Item")


@dataclass(frozen=True, eq=False)
class _Request:
    """Chunks of a shard that one call reads; each inner list is one range of neighbouring chunks."""

    shard: ShardRows
    rows: np.ndarray | slice  # of the chunks
    targets: np.ndarray | slice  # of the result
    ranges: list[list[Chunk]]

    @property
    def n_bytes(self) -> int:
        """Bytes that are read."""
        return sum(stop - start for start, stop in map(bounds, self.ranges))


@dataclass(frozen=True, eq=False)
class ShardReader:
    """Reader of parts of rows from many shards of one array into one result.

    Besides the result, memory holds the positions of the wanted chunks of 64 shards and, for each thread, the bytes of
    one call of the source and a mebibyte of decoded values (one chunk, if that is longer).
    """

    source: ByteSource
    layout: ShardLayout

    def read(self, shards: Sequence[ShardRows], parts: Sequence[tuple[int, ...]], result: np.ndarray) -> None:
        """Read parts of rows.

        Args:
            shards: which rows of which shards, and where they go.
            parts: k parts of a row, each by its leading indices: `(layer,)` is a layer, `(block, head)` a head, `()`
                the whole row. They are of one size; repeats are allowed.
            result: C-contiguous (n, k, ...) of the layout's dtype, filled at each shard's `targets`.

        Raises:
            StoreError: if a shard is missing, of another size than recorded, or damaged anywhere in what is read.
        """
        if not result.flags.c_contiguous:
            raise ValueError("the result is not C-contiguous, so a row of it cannot be filled piece by piece.")
        flat = result.reshape(len(result), prod(result.shape[1:]))
        spans = spans_of(self.layout, parts)
        n_index = shard_format.index_bytes(self.layout.grid)
        with ThreadPoolExecutor(self._threads()) as pool:
            for first in range(0, len(shards), _BATCH):
                batch = shards[first : first + _BATCH]
                for shard in batch:
                    start = shard.n_bytes - n_index
                    self.source.expect(shard.path, [(start, shard.n_bytes)] if start > 0 else [])
                requests: list[_Request] = []
                find = partial(self._find_all, spans, flat, requests)
                _share(pool, self._threads(len(batch) // _SHARDS_PER_THREAD), batch, find)
                n_bytes = sum(request.n_bytes for request in requests)
                fill = partial(self._fill_all, spans, flat)
                _share(pool, self._threads(n_bytes // _BYTES_PER_THREAD), requests, fill)

    def _threads(self, more: int | None = None) -> int:
        """Return the number of threads for a job that can use `more` threads beside the first; None for no such limit.

        If the source is not local, threads wait most of the time, so all that the source allows are used.
        """
        if not self.source.is_local:
            return self.source.threads
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        threads = min(self.source.threads, cores)
        return threads if more is None else min(threads, 1 + more)

    def bodies(self, shard: ShardRows, numbers: Sequence[int]) -> list[bytes]:
        """Return encoded chunks of a shard, given by number in C order, with checksums, for a copy without decoding.

        Raises:
            StoreError: if the shard is missing, of another size than recorded, or one of the chunks is damaged.
        """
        entries = self._entries(shard)
        if entries is None:
            raise shard.error("it has no shard of this array")
        found: dict[int, bytes] = {}
        for ranges in requests_of(self._places(shard, entries, numbers), self.source):
            for number, body in _bodies(shard, ranges, self.source):
                self._checked(shard, number, body)
                found[number] = body.tobytes()
        return [found[number] for number in numbers]

    def _find_all(
        self, spans: dict[int, list[Span]], flat: np.ndarray, requests: list[_Request], shards: Iterable[ShardRows]
    ) -> None:
        """Add the requests of every shard; at once fill the rows of a partition that has no shard."""
        for shard in shards:
            entries = self._entries(shard)
            if entries is not None:
                requests.extend(self._find(spans, shard, entries))
            else:
                flat[shard.targets] = self.layout.fill_value

    def _find(self, spans: dict[int, list[Span]], shard: ShardRows, entries: np.ndarray) -> Iterator[_Request]:
        """Yield the requests that bring the wanted chunks of a shard."""
        row_chunks = shard.rows // self.layout.chunk[0]
        for row_chunk in np.unique(row_chunks).tolist():
            here = row_chunks == row_chunk
            rows = _as_slice(shard.rows[here] - row_chunk * self.layout.chunk[0])
            targets = _as_slice(shard.targets[here])
            numbers = [row_chunk * self.layout.chunks_per_row + number for number in spans]
            plan = list(requests_of(self._places(shard, entries, numbers), self.source))
            if sum(map(len, plan)) <= _EXPECTED:
                self.source.expect(shard.path, [bounds(chunks) for ranges in plan for chunks in ranges])
            for ranges in plan:
                yield _Request(shard, rows, targets, ranges)

    def _entries(self, shard: ShardRows) -> np.ndarray | None:
        """Return (chunks, 2) offset and length of every inner chunk, in C order; None if the partition has no shard."""
        tail = shard.tail(self.source, shard_format.index_bytes(self.layout.grid))
        if not shard.n_bytes:
            return None
        try:
            return shard_format.decode_index(tail, self.layout.grid, shard.n_bytes)
        except DamagedShardError as error:
            raise shard.error(error) from error

    def _places(self, shard: ShardRows, entries: np.ndarray, numbers: Iterable[int]) -> list[Chunk]:
        try:
            return shard_format.chunk_places(entries, numbers, self.layout.grid, shard.n_bytes)
        except DamagedShardError as error:
            raise shard.error(error) from error

    def _fill_all(self, spans: dict[int, list[Span]], flat: np.ndarray, requests: Iterable[_Request]) -> None:
        """Read the requests one after another and put their values where they belong."""
        height, width = self.layout.chunk[0], self.layout.chunk_width
        scratch = np.empty((max(1, _GROUP_BYTES // (height * width * flat.itemsize)), height, width), flat.dtype)
        for request in requests:
            self._fill(spans, flat, scratch, request)

    def _fill(self, spans: dict[int, list[Span]], flat: np.ndarray, scratch: np.ndarray, request: _Request) -> None:
        """Read and decode the chunks of a request, and put the wanted values into the result.

        Args:
            spans: values of a chunk and their places in a row of the result.
            flat: (n, values) the result.
            scratch: (chunks, rows, values of a row) memory for decoded chunks.
            request: the chunks.
        """
        most, height, width = scratch.shape
        rows, targets = request.rows, request.targets
        bodies = dict(_bodies(request.shard, request.ranges, self.source))
        # If a row of the result is one chunk whose rows are all wanted in order, the chunk is decoded in place.
        is_all = isinstance(rows, slice) and rows == slice(0, height)
        straight = flat.shape[1] == width and isinstance(targets, slice) and is_all
        for group in neighbours_in_result(sorted(bodies), spans, self.layout, most):
            found = spans[group[0] % self.layout.chunks_per_row]
            if straight and len(found) == 1:
                self._decode(request.shard, group[0], bodies[group[0]], flat[targets])
                continue
            for number, decoded in zip(group, scratch, strict=False):
                self._decode(request.shard, number, bodies[number], decoded)
            if len(group) > 1:
                # Whole chunks that are neighbours in the result: one assignment writes long pieces of each row.
                values = scratch[: len(group), rows].swapaxes(0, 1)
                first = found[0][2]
                flat[targets, first : first + len(group) * width] = values.reshape(len(values), -1)
            else:
                # Pieces of chunks. A part that was asked for twice goes to two places.
                for begin, count, target in found:
                    flat[targets, target : target + count] = scratch[0, rows, begin : begin + count]

    def _checked(self, shard: ShardRows, number: int, body: np.ndarray) -> np.ndarray:
        """Return the bytes of a chunk without their checksum."""
        if not self.layout.checked:
            return body
        try:
            return shard_format.without_checksum(body)
        except DamagedShardError as error:
            raise shard.error(f"{self._name(number)}: {error}") from error

    def _decode(self, shard: ShardRows, number: int, body: np.ndarray, into: np.ndarray) -> None:
        """Check the bytes of a chunk and decode them into contiguous memory."""
        body = self._checked(shard, number, body)
        if self.layout.compressed:
            try:
                shard_format.decode_chunk(body, into)
            except DamagedShardError as error:
                raise shard.error(f"{self._name(number)}: {error}") from error
        elif len(body) != into.nbytes:
            raise shard.error(f"{self._name(number)}: it must have {into.nbytes} bytes, got {len(body)}")
        else:
            into[...] = body.view(self.layout.dtype).reshape(into.shape)

    def _name(self, number: int) -> str:
        return f"chunk {shard_format.chunk_position(number, self.layout.grid)}"


def _bodies(shard: ShardRows, ranges: list[list[Chunk]], source: ByteSource) -> Iterator[tuple[int, np.ndarray]]:
    """Read ranges of neighbouring chunks by one call; yield (number, bytes) of each chunk."""
    contents = shard.read(source, [bounds(chunks) for chunks in ranges])
    for content, chunks in zip(contents, ranges, strict=True):
        for offset, stop, number in chunks:
            yield number, content[offset - chunks[0][0] : stop - chunks[0][0]]


def _as_slice(numbers: np.ndarray) -> np.ndarray | slice:
    """Return consecutive ascending numbers as a slice, which copies faster; return others unchanged."""
    first, count = int(numbers[0]), len(numbers)
    if int(numbers[-1]) == first + count - 1 and bool((np.diff(numbers) == 1).all()):
        return slice(first, first + count)
    return numbers


def _share(
    pool: ThreadPoolExecutor, threads: int, items: Sequence[_Item], work: Callable[[Iterable[_Item]], None]
) -> None:
    """Let several threads work on items until none is left; raise the first error.

    Even a single thread is taken from the pool: in the main thread Blosc starts threads of its own, which cost more
    than they save for chunks of this size.
    """
    remaining = iter(items)  # one iterator for all threads: taking the next item is atomic
    tasks = [pool.submit(work, remaining) for _ in range(min(threads, len(items)))]
    for task in tasks:
        task.result()
