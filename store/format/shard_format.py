"""Bytes of a shard: inner chunks, each with its checksum, and an index behind them.

A Zarr v3 shard is a file of inner chunks with an index at its end: for every inner chunk, in C order, its offset and
its length as little-endian uint64, then the CRC-32C of all that. In stores of this format every chunk is compressed by
Blosc and ends in its own CRC-32C. A plain Zarr reader gives NaN for an absent chunk; here an absent chunk is damage,
unless the store was planned without it.
"""

from collections.abc import Iterable, Sequence
from itertools import pairwise
from math import prod
from struct import Struct

import google_crc32c
import numpy as np
from numcodecs import blosc

CHECKSUM_BYTES = 4
_ENTRY_BYTES = 16
_ABSENT = 2**64 - 1  # offset and length of a chunk that was not stored
_BLOSC_HEADER = Struct("<4xI4xI")  # of 16 bytes; here the sizes of the decoded and of the encoded chunk

Chunk = tuple[int, int, int]
"""(offset, stop, number) of an inner chunk: its bytes `[offset, stop)` in the shard, and its number in C order."""


class DamagedShardError(ValueError):
    """Error of a shard that is not as it was written; the message does not name the shard."""


def with_checksum(content: bytes) -> bytes:
    """Append the CRC-32C of some bytes to them."""
    return content + int(google_crc32c.value(content)).to_bytes(CHECKSUM_BYTES, "little")


def without_checksum(content: np.ndarray) -> np.ndarray:
    """Check the CRC-32C in the last four bytes; return the bytes before it.

    Raises:
        DamagedShardError: if the checksum does not fit.
    """
    body = content[:-CHECKSUM_BYTES]
    stored = int.from_bytes(content[-CHECKSUM_BYTES:].tobytes(), "little")
    if len(content) < CHECKSUM_BYTES or int(google_crc32c.value(body)) != stored:
        raise DamagedShardError("its checksum does not agree")
    return body


def index_bytes(grid: tuple[int, ...]) -> int:
    """Return the length of the index of a shard with a grid of inner chunks."""
    return prod(grid) * _ENTRY_BYTES + CHECKSUM_BYTES


def encode_index(lengths: Sequence[int], held: np.ndarray) -> bytes:
    """Return the index of a shard whose chunks follow one another.

    Args:
        lengths: bytes of each chunk that is stored, in C order.
        held: (chunks,) bool, the chunks that are stored; the others are absent.
    """
    entries = np.full((len(held), 2), _ABSENT, dtype="<u8")
    entries[held, 1] = lengths
    entries[held, 0] = np.cumsum(entries[held, 1]) - entries[held, 1]
    return with_checksum(entries.tobytes())


def decode_index(tail: bytes | np.ndarray, grid: tuple[int, ...], n_bytes: int) -> np.ndarray:
    """Return (chunks, 2) uint64, offset and length in bytes of every inner chunk, in C order.

    Args:
        tail: the last `index_bytes` of the shard, or all of a shorter one.
        grid: inner chunks of a shard along each dimension.
        n_bytes: size of the shard.

    Raises:
        DamagedShardError: if the shard is too short for its index, or the index was changed.
    """
    if len(tail) < index_bytes(grid):
        raise DamagedShardError(f"it has {n_bytes} bytes, fewer than its index alone")
    try:
        return without_checksum(np.frombuffer(tail, np.uint8)).view("<u8").reshape(-1, 2)
    except DamagedShardError as error:
        raise DamagedShardError("the checksum of its index does not agree") from error


def chunk_places(entries: np.ndarray, numbers: Iterable[int], grid: tuple[int, ...], n_bytes: int) -> list[Chunk]:
    """Return the places of chunks in a shard of `n_bytes`, by their numbers in C order, ascending by offset.

    Raises:
        DamagedShardError: if a chunk is absent or reaches into the index.
    """
    end = n_bytes - index_bytes(grid)
    numbers = list(numbers)
    places = []
    for number, (offset, length) in zip(numbers, entries[numbers].tolist(), strict=True):
        if offset == length == _ABSENT:
            raise DamagedShardError(f"it holds no chunk {chunk_position(number, grid)}")
        if offset + length > end:
            raise DamagedShardError(
                f"its index puts chunk {chunk_position(number, grid)} at bytes {offset} to {offset + length}, but "
                f"chunks end at {end}"
            )
        places.append((offset, offset + length, number))
    return sorted(places)


def check_all_places(entries: np.ndarray, places: list[Chunk]) -> None:
    """Check that the chunks of a shard do not overlap, and that it holds no other chunk.

    Raises:
        DamagedShardError: if they do, or it does.
    """
    absent = np.ones(len(entries), dtype=bool)
    absent[[number for _, _, number in places]] = False
    if (entries[absent] != _ABSENT).any():
        raise DamagedShardError("its index names chunks that the store does not hold")
    if any(offset < stop for (_, stop, _), (offset, _, _) in pairwise(places)):
        raise DamagedShardError("its index names chunks that overlap")


def chunk_position(number: int, grid: tuple[int, ...]) -> tuple[int, ...]:
    """Return the position of a chunk in its grid."""
    return tuple(int(position) for position in np.unravel_index(number, grid))


def decode_chunk(body: np.ndarray, into: np.ndarray) -> None:
    """Decompress the bytes of a chunk, given without their checksum, into contiguous memory.

    Raises:
        DamagedShardError: if they do not decompress to exactly as many bytes as `into` has.
    """
    # Blosc believes its header, so the two sizes that the header names are compared before.
    decoded, encoded = _BLOSC_HEADER.unpack_from(body.data) if len(body) >= _BLOSC_HEADER.size else (0, 0)
    if (decoded, encoded) != (into.nbytes, len(body)):
        raise DamagedShardError(
            f"its header must name {len(body)} bytes that decode to {into.nbytes}, got {encoded} and {decoded}"
        )
    try:
        blosc.decompress(body, into)
    except (RuntimeError, ValueError) as error:
        raise DamagedShardError(f"it cannot be decompressed ({error})") from error
