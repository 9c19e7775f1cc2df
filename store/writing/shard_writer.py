"""Zarr shards, made straight from values: inner chunks are compressed by several threads, in one pass.

The file is what zarr-python reads (see ``reading.shard_reader`` for its form), with the chunks in C order.
Zarr-python 3.1 encodes chunk after chunk with a scheduler between them, which takes about thirty times as long as
the compression itself.
"""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from math import prod

import google_crc32c
import numpy as np
from numcodecs import blosc

from vadprobe.store.errors import StoreError
from vadprobe.store.format.schema import ArraySpec, Compression

THREADS = 2
"""Threads that compress one shard at most. More gain nothing: the interpreter runs between all of their chunks."""

_ABSENT = 2**64 - 1
_SHUFFLES = {"shuffle": blosc.SHUFFLE, "bitshuffle": blosc.BITSHUFFLE}
_GROUP_BYTES = 2**20  # values handed to a thread at a time


def encode_shard(
    array: ArraySpec, values: np.ndarray, held: np.ndarray, settings: Compression, threads: int = THREADS
) -> list[bytes]:
    """The bytes of a shard, in pieces that follow each other.

    Args:
        array: the array; an inner chunk holds all rows of the shard.
        values: (n, ...) the shard's rows; those that lack to a whole shard are NaN.
        held: which inner chunks are written, bool, one for each in C order; the others are absent.
        settings: of the compressor.
        threads: that compress.

    Raises:
        StoreError: if a chunk does not decompress to its values.
    """
    if array.chunk[0] != array.shard[0] or values.shape[1:] != array.shard[1:] or not 0 < len(values) <= array.chunk[0]:
        raise ValueError(f"values {values.shape} are no shard {array.shard} with chunks {array.chunk}.")
    part = array.chunk[1:]
    grid = tuple(whole // width for whole, width in zip(array.shard[1:], part, strict=True))
    places = [tuple(map(int, np.unravel_index(number, grid))) for number in np.flatnonzero(held).tolist()]
    chunks = [
        values[(slice(None), *(slice(at * width, (at + 1) * width) for at, width in zip(place, part, strict=True)))]
        for place in places
    ]
    return join_chunks(encode_chunks(chunks, array.chunk, settings, threads), held)


def encode_chunks(
    chunks: Sequence[np.ndarray], shape: tuple[int, ...], settings: Compression, threads: int = THREADS
) -> list[bytes]:
    """Inner chunks as they are stored, each with its checksum.

    Every chunk is decompressed again and compared with its values, so that what is returned is known to be right.

    Args:
        chunks: (n, ...) values each; rows that lack to the whole ``shape`` are NaN.
        shape: of a chunk.
        settings: of the compressor.
        threads: that compress.

    Raises:
        StoreError: if a chunk does not decompress to its values.
    """
    if not chunks:
        return []
    most = max(1, _GROUP_BYTES // (prod(shape) * chunks[0].itemsize))
    groups = [chunks[start : start + most] for start in range(0, len(chunks), most)]

    def encode(group: Sequence[np.ndarray]) -> list[bytes]:
        chunk = np.full(shape, np.nan, dtype=group[0].dtype.newbyteorder("<"))  # its memory is used for all of them
        bodies = []
        for values in group:
            chunk[: len(values)] = values.reshape(len(values), *shape[1:])
            bodies.append(_encode(chunk, settings))
        return bodies

    # In the main thread Blosc would start threads of its own for every chunk.
    with ThreadPoolExecutor(max(1, min(threads, os.cpu_count() or 1, len(groups)))) as pool:
        return [body for encoded in pool.map(encode, groups) for body in encoded]


def join_chunks(bodies: Sequence[bytes], held: np.ndarray) -> list[bytes]:
    """A shard of encoded chunks with their checksums, in pieces: the chunks that ``held`` names, and the index."""
    entries = np.full((len(held), 2), _ABSENT, dtype="<u8")
    lengths = np.array([len(body) for body in bodies], dtype=np.uint64)
    entries[held, 0] = np.cumsum(lengths) - lengths
    entries[held, 1] = lengths
    index = entries.tobytes()
    return [*bodies, index + _checksum(index)]


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
