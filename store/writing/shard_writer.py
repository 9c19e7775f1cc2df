"""Zarr shards encoded directly from values: inner chunks are compressed by several threads, in one pass.

The file is what zarr-python reads (`format.shard_format` has its form), with the chunks in C order. Zarr-python 3.1
encodes chunk after chunk with a scheduler between them, which takes about thirty times as long as the compression.
"""

import os
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from math import prod

import numpy as np
from numcodecs import blosc

from vadprobe.store.errors import StoreError
from vadprobe.store.format.schema import ArraySpec, Compression
from vadprobe.store.format.shard_format import encode_index, with_checksum

THREADS = 2
"""Largest number of threads for one shard. More gain nothing: between chunks each thread needs the interpreter."""

_SHUFFLES = {"shuffle": blosc.SHUFFLE, "bitshuffle": blosc.BITSHUFFLE}
_GROUP_BYTES = 2**20  # values handed to a thread at a time


def encode_shard(
    array: ArraySpec, values: np.ndarray, held: np.ndarray, settings: Compression, threads: int = THREADS
) -> list[bytes]:
    """Return the bytes of a shard, in pieces that follow each other.

    Args:
        array: the array; an inner chunk holds all rows of the shard.
        values: (n, ...) the first rows of the shard; the others are NaN.
        held: (chunks,) bool, True for inner chunks that are written, in C order; the others are absent.
        settings: of the compressor.
        threads: largest number of threads.

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
    """Compress inner chunks to the bytes that are stored, each with its checksum.

    Every chunk is decompressed again and compared with its values bit by bit.

    Args:
        chunks: (n, ...) values each, the first rows of a chunk; the others are NaN.
        shape: of a chunk.
        settings: of the compressor.
        threads: largest number of threads.

    Raises:
        StoreError: if a chunk does not decompress to its values.
    """
    if not chunks:
        return []
    most = max(1, _GROUP_BYTES // (prod(shape) * chunks[0].itemsize))
    groups = [chunks[start : start + most] for start in range(0, len(chunks), most)]

    own = threading.local()  # each thread has the memory of two chunks, which it uses for all that it encodes

    def encode(group: Sequence[np.ndarray]) -> list[bytes]:
        if not hasattr(own, "chunk"):
            own.chunk = np.empty(shape, dtype=group[0].dtype.newbyteorder("<"))
            own.again = bytearray(own.chunk.nbytes)
        chunk, again, bodies = own.chunk, own.again, []
        for values in group:
            chunk[: len(values)] = values.reshape(len(values), *shape[1:])
            chunk[len(values) :] = np.nan
            body: bytes = blosc.compress(
                chunk, settings.cname.encode(), settings.clevel, _SHUFFLES[settings.shuffle], typesize=chunk.itemsize
            )
            check_body(body, chunk, again)
            bodies.append(with_checksum(body))
        return bodies

    # In the main thread Blosc would start threads of its own for every chunk.
    with ThreadPoolExecutor(max(1, min(threads, os.cpu_count() or 1, len(groups)))) as pool:
        return [body for encoded in pool.map(encode, groups) for body in encoded]


def join_chunks(bodies: Sequence[bytes], held: np.ndarray) -> list[bytes]:
    """Return a shard in pieces: the encoded chunks that `held` names, and the index."""
    return [*bodies, encode_index([len(body) for body in bodies], held)]


def check_body(body: bytes, chunk: np.ndarray, again: bytearray) -> None:
    """Check that an encoded chunk decompresses to its values, bit by bit.

    Args:
        body: the encoded chunk, with or without its checksum.
        chunk: the values.
        again: memory of the chunk's size, overwritten with the decompressed bytes.

    Raises:
        StoreError: if the bytes differ.
    """
    blosc.decompress(body, again)
    if again != chunk.data:  # a bytearray compares the memory as it lies; NumPy takes three times as long
        raise StoreError("a chunk does not decompress to what was compressed; check this machine's memory.")
