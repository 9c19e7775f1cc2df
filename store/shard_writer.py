"""Zarr shards, made straight from values: inner chunks are compressed by several threads, in one pass.

The file is what zarr-python reads (see :mod:`vadprobe.store.shard_reader` for its form), with the chunks in C order.
Zarr-python 3.1 encodes chunk after chunk with a scheduler between them, which takes about thirty times as long as
the compression itself.
"""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from math import prod

import google_crc32c
import numpy as np
from numcodecs import blosc

from vadprobe.store.errors import StoreError
from vadprobe.store.schema import ArraySpec, Compression

THREADS = 4
"""Threads that compress one shard at most."""

_ABSENT = 2**64 - 1
_SHUFFLES = {"shuffle": blosc.SHUFFLE, "bitshuffle": blosc.BITSHUFFLE}
_GROUP_BYTES = 2**20  # values handed to a thread at a time


def encode_shard(
    array: ArraySpec, values: np.ndarray, held: np.ndarray, settings: Compression, threads: int = THREADS
) -> list[bytes]:
    """The bytes of a shard, in pieces that follow each other.

    Every chunk is decompressed again and compared with its values, so that what is returned is known to be right.

    Args:
        array: the array; an inner chunk holds all rows of the shard.
        values: (n, ...) the shard's rows; those that lack to a whole shard are NaN.
        held: which inner chunks are written, bool, one for each in C order; the others are absent.
        settings: of the compressor.
        threads: that compress.

    Raises:
        StoreError: if a chunk does not decompress to its values.
    """
    rows, *part = array.chunk
    if rows != array.shard[0] or values.shape[1:] != array.shard[1:] or not 0 < len(values) <= rows:
        raise ValueError(f"values {values.shape} are no shard {array.shard} with chunks {array.chunk}.")
    grid = tuple(whole // width for whole, width in zip(array.shard[1:], part, strict=True))
    numbers = np.flatnonzero(held).tolist()
    most = max(1, _GROUP_BYTES // (rows * prod(part) * values.itemsize))
    groups = [numbers[start : start + most] for start in range(0, len(numbers), most)]

    def encode(group: Sequence[int]) -> list[bytes]:
        return [_encode(chunk, settings) for chunk in _chunks(values, rows, part, grid, group)]

    # In the main thread Blosc would start threads of its own for every chunk.
    with ThreadPoolExecutor(max(1, min(threads, os.cpu_count() or 1, len(groups)))) as pool:
        bodies = [body for encoded in pool.map(encode, groups) for body in encoded]
    return join_chunks(bodies, held)


def join_chunks(bodies: Sequence[bytes], held: np.ndarray) -> list[bytes]:
    """A shard of encoded chunks with their checksums, in pieces: the chunks that ``held`` names, and the index."""
    entries = np.full((len(held), 2), _ABSENT, dtype="<u8")
    lengths = np.array([len(body) for body in bodies], dtype=np.uint64)
    entries[held, 0] = np.cumsum(lengths) - lengths
    entries[held, 1] = lengths
    index = entries.tobytes()
    return [*bodies, index + _checksum(index)]


def _chunks(
    values: np.ndarray, rows: int, part: Sequence[int], grid: Sequence[int], numbers: Sequence[int]
) -> Iterator[np.ndarray]:
    """Inner chunks by number, contiguous and whole; the memory of one is used for the next."""
    chunk = np.full((rows, *part), np.nan, dtype=values.dtype.newbyteorder("<"))
    for number in numbers:
        place = np.unravel_index(number, grid)
        index = tuple(slice(at * width, (at + 1) * width) for at, width in zip(map(int, place), part, strict=True))
        chunk[: len(values)] = values[(slice(None), *index)]
        yield chunk


def _encode(chunk: np.ndarray, settings: Compression) -> bytes:
    body: bytes = blosc.compress(
        chunk, settings.cname.encode(), settings.clevel, _SHUFFLES[settings.shuffle], typesize=chunk.itemsize
    )
    again = np.empty_like(chunk)
    blosc.decompress(body, again)
    if again.tobytes() != chunk.tobytes():
        raise StoreError("a chunk does not decompress to what was compressed; check this machine's memory.")
    return body + _checksum(body)


def _checksum(content: bytes) -> bytes:
    return int(google_crc32c.value(content)).to_bytes(4, "little")
