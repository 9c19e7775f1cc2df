"""Files of arrays, written block by block so that an array need not fit into memory: `.npy` and `.safetensors`.

Both formats are a header and the values. safetensors (https://huggingface.co/docs/safetensors): eight bytes with the
length of the header, little-endian; the header, JSON with a type, a shape and two offsets for each tensor; the values.
"""

import hashlib
import io
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from vadprobe.store.files.atomic_files import write_pieces

SAFETENSORS_TYPES = {"bfloat16": "BF16", "float16": "F16", "float32": "F32"}


@dataclass(frozen=True)
class FileContent:
    """SHA-256 and size in bytes of a file that was written."""

    sha256: str
    n_bytes: int


def write_npy(path: Path, shape: tuple[int, ...], dtype: np.dtype[Any], blocks: Iterable[np.ndarray]) -> FileContent:
    """Write one array whose rows come in blocks; the file is written whole or not at all.

    Args:
        path: of the file.
        shape: of the whole array.
        dtype: of the values; they are written little-endian.
        blocks: (n, ...) rows, all of them in order.
    """
    header = io.BytesIO()
    little = dtype.newbyteorder("<")
    np.lib.format.write_array_header_1_0(
        header, {"descr": np.lib.format.dtype_to_descr(little), "fortran_order": False, "shape": shape}
    )
    return write_blocks(path, header.getvalue(), (block.astype(little, copy=False) for block in blocks))


def safetensors_header(tensors: Mapping[str, tuple[str, tuple[int, ...]]], metadata: Mapping[str, str]) -> bytes:
    """Return the header of a file whose tensors follow one another.

    The header is padded with spaces to a multiple of eight bytes, as the library does, so that values are aligned.

    Args:
        tensors: (type, shape) by name; the type in the format's words, such as "BF16".
        metadata: text by name.
    """
    header: dict[str, Any] = {"__metadata__": dict(metadata)}
    stop = 0
    for name, (kind, shape) in tensors.items():
        start, stop = stop, stop + math.prod(shape) * (4 if kind == "float32" else 2)
        header[name] = {"dtype": SAFETENSORS_TYPES[kind], "shape": list(shape), "data_offsets": [start, stop]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


def safetensors_block(block: np.ndarray, kind: str) -> np.ndarray:
    """Return values as a safetensors file stores them; of a bfloat16 that is the high half of its float32."""
    if kind == "bfloat16":
        return (np.ascontiguousarray(block).view(np.uint32) >> np.uint32(16)).astype("<u2")
    return block.astype(block.dtype.newbyteorder("<"), copy=False)


def write_blocks(path: Path, header: bytes, blocks: Iterable[np.ndarray]) -> FileContent:
    """Write a header and blocks of values; the file is written whole or not at all."""
    digest, n_bytes = hashlib.sha256(), 0

    def counted() -> Iterator[bytes | memoryview]:
        nonlocal n_bytes
        for piece in chain([header], map(_bytes_of, blocks)):
            digest.update(piece)
            n_bytes += len(piece)
            yield piece

    write_pieces(path, counted())
    return FileContent(digest.hexdigest(), n_bytes)


def _bytes_of(block: np.ndarray) -> bytes | memoryview:
    return np.ascontiguousarray(block).data.cast("B") if block.size else b""
