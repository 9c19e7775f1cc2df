"""Every array of a feature store, declared once.

A store is a plain Zarr v3 group. One shard is one partition of `PARTITION_ROWS` clips with all layers and heads;
one inner chunk is one layer or one head of those clips, so that a single head is read without the rest.
"""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from vadprobe.store.errors import StoreError
from vadprobe.store.format.clip_table import ClipTable
from vadprobe.store.format.prompts import LAST_PROMPT, POSITIONS, Position
from vadprobe.store.format.specification import BackboneSpec, FeatureSpec

PARTITION_ROWS = 256
"""Clips in a partition of a store that was not compacted. A partition is the unit of work, with one record."""

ANSWERS = ("yes", "no")
"""Order of the `answer` dimension of `answer_logits`."""


@dataclass(frozen=True)
class ArraySpec:
    """One array as it is declared.

    Attributes:
        name: name of the array.
        dims: names of its dimensions, the rows first.
        shape: its shape.
        shard: shape of a shard, which holds all of one partition.
        chunk: shape of an inner chunk: one layer, one head, or both answers of a partition.
        prose: its meaning, for people.
        exists: one bool for each inner chunk of a shard, in C order, False for chunks that are always absent: the heads
            that a block does not have. None if all exist.
    """

    name: str
    dims: tuple[str, ...]
    shape: tuple[int, ...]
    shard: tuple[int, ...]
    chunk: tuple[int, ...]
    prose: str
    exists: tuple[bool, ...] | None = None

    def rows(self, count: int) -> tuple[int, ...]:
        """Return the shape of `count` rows of this array."""
        return (count, *self.shape[1:])


def feature_arrays(
    backbone: BackboneSpec, n_clips: int, rows: int | None = None, position: Position = LAST_PROMPT
) -> tuple[ArraySpec, ...]:
    """Return the arrays that hold features, in the order in which they are written.

    A backbone without heads has no `head_outputs`.

    Args:
        backbone: the model.
        n_clips: rows of every array.
        rows: clips in a partition; None for `PARTITION_ROWS`.
        position: tokens whose values are the features; it only changes the descriptions.
    """
    of_state, of_head = POSITIONS[position]
    layers, heads = backbone.n_layers, backbone.n_heads
    rows = rows or PARTITION_ROWS
    ragged = backbone.block_heads is not None
    arrays = (
        ArraySpec(
            "hidden_states",
            ("clip", "layer", "hidden"),
            (n_clips, layers + 1, backbone.hidden_size),
            (rows, layers + 1, backbone.hidden_size),
            (rows, 1, backbone.hidden_size),
            f"Hidden state {of_state}. Layer 0 is the embedding, layer l the output of block l - 1, "
            "before the final norm.",
        ),
        ArraySpec(
            "head_outputs",
            ("clip", "block", "head", "head_dim"),
            (n_clips, layers, heads, backbone.head_dim),
            (rows, layers, heads, backbone.head_dim),
            (rows, 1, 1, backbone.head_dim),
            f"What each attention head sends into the output projection {of_head}. Block 0 is the "
            "first block: its output is layer 1 of hidden_states."
            + (" Blocks differ in the number or width of their heads: see block_heads." if ragged else ""),
            tuple(head < count for count, _ in backbone.head_shapes for head in range(heads)) if ragged else None,
        ),
        ArraySpec(
            "answer_logits",
            ("clip", "answer"),
            (n_clips, len(ANSWERS)),
            (rows, len(ANSWERS)),
            (rows, len(ANSWERS)),
            "Logits of the first generated token for the answers yes and no.",
        ),
    )
    return tuple(array for array in arrays if array.name != "head_outputs" or heads)


COORDINATES = ("clip", "layer", "block", "video_code", "answer_code")
"""Names of the coordinates, in the order of `coordinates`."""


def coordinates(spec: FeatureSpec, clips: ClipTable) -> dict[str, tuple[str, np.ndarray]]:
    """Return the coordinates of a store by name: each one's dimension and values."""
    return {
        "clip": ("clip", np.arange(len(clips), dtype=np.int64)),
        "layer": ("layer", np.arange(spec.backbone.n_layers + 1, dtype=np.int32)),
        "block": ("block", np.arange(spec.backbone.n_layers, dtype=np.int32)),
        "video_code": ("clip", clips.video_codes),
        "answer_code": ("answer", np.arange(len(ANSWERS), dtype=np.int32)),
    }


def storage_dtype(dtype: str) -> np.dtype[Any]:
    """Return the NumPy dtype that stores values of a backbone's dtype without loss.

    bfloat16 is stored as float32 with the low 16 bits zero, because common Zarr readers have no bfloat16.
    """
    return np.dtype(np.float16 if dtype == "float16" else np.float32)


@dataclass(frozen=True)
class Compression:
    """Settings of Blosc."""

    cname: Literal["lz4", "zstd"]
    clevel: int
    shuffle: Literal["shuffle", "bitshuffle"]


def compression(dtype: str) -> Compression:
    """Return the settings that compress an inner chunk.

    The low half of a bfloat16 stored as float32 is zero: bit shuffling with lz4 removes it at almost no cost. Other
    values compress better with byte shuffling and zstd.
    """
    return Compression("lz4", 5, "bitshuffle") if dtype == "bfloat16" else Compression("zstd", 3, "shuffle")


def codecs(dtype: str) -> list[Any]:
    """Return compressor and checksum of an inner chunk for Zarr: every chunk ends in its own CRC-32C."""
    from zarr.codecs import BloscCodec, Crc32cCodec  # noqa: PLC0415 - takes longer to import than most commands run

    settings = compression(dtype)
    return [BloscCodec(cname=settings.cname, clevel=settings.clevel, shuffle=settings.shuffle), Crc32cCodec()]


def check_values(name: str, values: np.ndarray, dtype: str) -> None:
    """Refuse values that are not exact values of the backbone's `dtype` in its storage dtype.

    Raises:
        StoreError: if the array has not the storage dtype, or a float32 value is no bfloat16 where that is declared.
    """
    if values.dtype != storage_dtype(dtype):
        raise StoreError(f"{name} holds {values.dtype}, but a {dtype} store is written as {storage_dtype(dtype)}.")
    if dtype == "bfloat16" and _any_bits(values) & 0xFFFF:
        raise StoreError(
            f"{name} holds float32 values that are not bfloat16 (their low 16 bits are set); the backbone was declared "
            "bfloat16. Declare dtype = 'float32' or round before writing."
        )


def _any_bits(values: np.ndarray) -> int:
    """Return the bits that are set in at least one float32 value."""
    return int(np.bitwise_or.reduce(np.ascontiguousarray(values).view(np.uint32), axis=None))


def n_partitions(n_clips: int, rows: int | None = None) -> int:
    """Return the number of partitions of `n_clips` rows; the last one may be short."""
    return -(-n_clips // (rows or PARTITION_ROWS))


def partition_rows(partition: int, n_clips: int, rows: int | None = None) -> slice:
    """Return the rows `[start, stop)` of a partition.

    Raises:
        StoreError: if there is no such partition.
    """
    count = rows or PARTITION_ROWS
    start = partition * count
    if not 0 <= start < n_clips:
        total = n_partitions(n_clips, count)
        raise StoreError(f"partition {partition} does not exist; the store has {total} partitions.")
    return slice(start, min(start + count, n_clips))
