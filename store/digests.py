"""Digests: the same content has the same digest on every machine and in every version."""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

_BLOCK = 1 << 20


def digest_json(value: Any) -> str:
    """SHA-256 (hexadecimal) of a JSON value written canonically: sorted keys, no spaces, UTF-8, no NaN."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def digest_file(path: Path) -> str:
    """SHA-256 (hexadecimal) of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest_arrays(arrays: Iterable[np.ndarray]) -> str:
    """SHA-256 (hexadecimal) of arrays in order: dtype, shape and little-endian bytes of each."""
    total = hashlib.sha256()
    for array in arrays:
        if array.dtype.hasobject:
            raise TypeError("arrays of Python objects have no digest: their bytes are addresses")
        little = np.asarray(array, order="C").astype(array.dtype.newbyteorder("<"), copy=False)
        total.update(f"{little.dtype.str}{little.shape};".encode())
        total.update(little.tobytes())
    return total.hexdigest()


def fingerprint_file(path: Path) -> str:
    """SHA-256 of a file's size with its first and last mebibyte.

    Videos are large, so this is what tells a re-encoded or replaced file apart at the cost of two reads.
    """
    size = path.stat().st_size
    total = hashlib.sha256(str(size).encode())
    with path.open("rb") as file:
        total.update(file.read(_BLOCK))
        if size > _BLOCK:
            file.seek(max(_BLOCK, size - _BLOCK))
            total.update(file.read(_BLOCK))
    return total.hexdigest()
