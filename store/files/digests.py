"""Digests: the same content has the same digest on every machine and in every version."""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from vadprobe.store.files.parquet import as_arrow

_BLOCK = 1 << 20
_LIST_ROWS = 1 << 16  # rows whose text is held at a time
_FEW_NUMBERS = 1 << 13  # below which Python joins them in less time than Arrow's functions take to import


def digest_json(value: Any) -> str:
    """Return the SHA-256 (hexadecimal) of a JSON value written canonically: sorted keys, no spaces, UTF-8, no NaN."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def digest_integers(arrays: Iterable[np.ndarray]) -> str:
    """Return `digest_json` of integer arrays, each (n,) or (n, k), as nested lists, in a tenth of the time."""
    total = hashlib.sha256()
    for number, array in enumerate(arrays):
        total.update(b",[" if number else b"[[")
        for start in range(0, len(array), _LIST_ROWS):
            total.update(b"," if start else b"")
            total.update(_joined_text(array[start : start + _LIST_ROWS]))
        total.update(b"]")
    total.update(b"]")
    return total.hexdigest()


def _joined_text(rows: np.ndarray) -> bytes:
    """Write the items of a JSON list of integers, or of lists of integers, without the outer brackets."""
    if rows.size < _FEW_NUMBERS:
        return json.dumps(rows.tolist(), separators=(",", ":"))[1:-1].encode()
    import pyarrow.compute as pc  # noqa: PLC0415 - takes a tenth of the time of a short command

    texts = pc.cast(as_arrow(rows.reshape(-1)), pa.string())
    before, between, after = "", ",", ""
    if rows.ndim == 2:
        offsets = np.arange(len(rows) + 1, dtype=np.int32) * rows.shape[1]
        texts = pc.binary_join(pa.ListArray.from_arrays(as_arrow(offsets), texts), _word(","))
        before, between, after = "[", "],[", "]"
    joined = pc.binary_join(
        pa.ListArray.from_arrays(as_arrow(np.array([0, len(rows)], np.int32)), texts), _word(between)
    )
    return f"{before}{joined[0].as_py()}{after}".encode()


def _word(text: str) -> pa.StringScalar:
    """Return an ASCII word as an Arrow scalar, without importing pandas (see `as_arrow`)."""
    content = text.encode()
    return pa.StringArray.from_buffers(1, pa.py_buffer(np.array([0, len(content)], np.int32)), pa.py_buffer(content))[0]


def digest_file(path: Path) -> str:
    """Return the SHA-256 (hexadecimal) of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest_arrays(arrays: Iterable[np.ndarray]) -> str:
    """Return the SHA-256 (hexadecimal) of arrays in order: dtype, shape and little-endian bytes of each."""
    total = hashlib.sha256()
    for array in arrays:
        if array.dtype.hasobject:
            raise TypeError("arrays of Python objects have no digest: their bytes are addresses")
        little = np.asarray(array, order="C").astype(array.dtype.newbyteorder("<"), copy=False)
        total.update(f"{little.dtype.str}{little.shape};".encode())
        total.update(little.tobytes())
    return total.hexdigest()


def fingerprint_file(path: Path) -> str:
    """Return the SHA-256 of a file's size with its first and last mebibyte.

    Videos are large: two short reads are enough to notice a re-encoded or replaced file.
    """
    size = path.stat().st_size
    total = hashlib.sha256(str(size).encode())
    with path.open("rb") as file:
        total.update(file.read(_BLOCK))
        if size > _BLOCK:
            file.seek(max(_BLOCK, size - _BLOCK))
            total.update(file.read(_BLOCK))
    return total.hexdigest()


_MISSING = object()


def json_differences(prefix: str, mine: Any, theirs: Any) -> list[str]:
    """Name each part of two JSON values that differs, as `name: mine, not theirs`; empty when their digests agree."""
    if isinstance(mine, dict) and isinstance(theirs, dict):
        return [
            line
            for name in sorted(mine.keys() | theirs.keys())
            for line in json_differences(
                f"{prefix}.{name}" if prefix else name, mine.get(name, _MISSING), theirs.get(name, _MISSING)
            )
        ]
    # As JSON, which is what the digest sees: 1 is not 1.0, and a tuple is a list.
    shown = [("missing" if value is _MISSING else json.dumps(value, sort_keys=True)) for value in (mine, theirs)]
    if shown[0] == shown[1]:
        return []
    plain = ["missing" if value is _MISSING else repr(value) for value in (mine, theirs)]
    return [f"{prefix}: {plain[0]}, not {plain[1]}"]
