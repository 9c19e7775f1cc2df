"""Layout of an array in its shards, read from the array's metadata."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import Any

import numpy as np


@dataclass(frozen=True)
class ShardLayout:
    """Layout of an array in its shards: shapes in values, and the encoding of an inner chunk."""

    shape: tuple[int, ...]
    shard: tuple[int, ...]
    chunk: tuple[int, ...]
    dtype: np.dtype[Any]
    fill_value: float
    compressed: bool
    checked: bool

    @cached_property
    def grid(self) -> tuple[int, ...]:
        """Inner chunks of a shard along each dimension."""
        return tuple(whole // part for whole, part in zip(self.shard, self.chunk, strict=True))

    @cached_property
    def chunk_width(self) -> int:
        """Number of values of one row in an inner chunk."""
        return prod(self.chunk[1:])

    @cached_property
    def chunks_per_row(self) -> int:
        """Number of inner chunks that hold the values of one row."""
        return prod(self.grid[1:])

    @classmethod
    def of(cls, metadata: Mapping[str, Any]) -> "ShardLayout | None":
        """Return the layout that an array's `zarr.json` describes; None if the shard reader does not read it.

        The shard reader reads shards of whole rows that end in an index with a checksum. Their inner chunks must be
        little-endian floating-point values, with or without Blosc and CRC-32C, and hold one contiguous piece of each
        row.
        """
        try:
            (sharding,) = metadata["codecs"]
            settings = sharding["configuration"]
            (to_bytes, *encoders), index = settings["codecs"], settings["index_codecs"]
            names = tuple(encoder["name"] for encoder in encoders)
            layout = cls(
                tuple(metadata["shape"]),
                tuple(metadata["chunk_grid"]["configuration"]["chunk_shape"]),
                tuple(settings["chunk_shape"]),
                np.dtype(metadata["data_type"]).newbyteorder("<"),
                float(metadata["fill_value"]),
                "blosc" in names,
                "crc32c" in names,
            )
            known = (
                metadata["zarr_format"] == 3
                and sharding["name"] == "sharding_indexed"
                and metadata["data_type"] in {"float16", "float32", "float64"}
                and metadata["chunk_grid"]["name"] == "regular"
                and metadata["chunk_key_encoding"] in _KEYS
                and not metadata.get("storage_transformers")
                and settings.get("index_location", "end") == "end"
                and [_plain(codec) for codec in index] == [_LITTLE_ENDIAN, _CHECKSUM]
                and _plain(to_bytes) == _LITTLE_ENDIAN
                and names in {(), ("blosc",), ("crc32c",), ("blosc", "crc32c")}
            )
            return layout if known and layout._holds_pieces_of_rows() else None
        except (KeyError, TypeError, ValueError):
            return None

    def _holds_pieces_of_rows(self) -> bool:
        """Return whether chunks hold contiguous pieces of each row, in the order of the row."""
        if self.shard[1:] != self.shape[1:] or any(
            whole % part for whole, part in zip(self.shard, self.chunk, strict=True)
        ):
            return False
        first = next((axis for axis, size in enumerate(self.chunk[1:], 1) if size > 1), len(self.chunk))
        return self.chunk[first + 1 :] == self.shape[first + 1 :]


_LITTLE_ENDIAN = ("bytes", {"endian": "little"})
_CHECKSUM: tuple[str, dict[str, Any]] = ("crc32c", {})
_KEYS = ({"name": "default"}, {"name": "default", "configuration": {"separator": "/"}})


def _plain(codec: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    return codec["name"], dict(codec.get("configuration") or {})
