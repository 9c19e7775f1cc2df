"""Parquet files read whole, from a folder or an object store."""

import io
import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from vadprobe.store.files.atomic_files import write_bytes
from vadprobe.store.files.location import StorePath

_NOTES = "notes"


def with_metadata(table: pa.Table, name: str, value: Any) -> pa.Table:
    """Return the table with a JSON value in its metadata, under a key that begins with vadprobe's prefix."""
    return table.replace_schema_metadata({**(table.schema.metadata or {}), f"vadprobe_{name}": json.dumps(value)})


def metadata_in(schema: pa.Schema, name: str) -> Any:
    """Return the value that `with_metadata` stored under a name; None if there is none."""
    found = (schema.metadata or {}).get(f"vadprobe_{name}".encode())
    return None if found is None else json.loads(found)


def with_notes(table: pa.Table, notes: Sequence[str]) -> pa.Table:
    """Return the table with notes for its readers in its metadata; without notes, the table itself."""
    return with_metadata(table, _NOTES, list(notes)) if notes else table


def notes_in(path: StorePath) -> tuple[str, ...]:
    """Return the notes that `with_notes` stored in a Parquet file; empty without notes or if the file is damaged."""
    try:
        schema = pq.read_schema(io.BytesIO(path.read_bytes()))
    except (OSError, pa.ArrowException):
        return ()  # whoever reads the table says so
    return tuple(metadata_in(schema, _NOTES) or ())


def as_arrow(values: np.ndarray) -> pa.Array:
    """Return numbers, (n,), as an Arrow array without a copy.

    `pa.array` and `to_numpy` would import pandas where it is installed, which takes longer than a short command.
    """
    values = np.ascontiguousarray(values)
    return pa.Array.from_buffers(pa.from_numpy_dtype(values.dtype), len(values), [None, pa.py_buffer(values)])


def as_numpy(column: pa.Array | pa.ChunkedArray) -> np.ndarray:
    """Return a column of numbers, (n,), read-only.

    Raises:
        pa.ArrowException: if a value is missing, or is no number.
    """
    if column.null_count or not (pa.types.is_integer(column.type) or pa.types.is_floating(column.type)):
        raise pa.ArrowInvalid(f"a column must hold numbers, none missing; got {column.type}")
    return np.from_dlpack(column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column)


def names_of(names: Sequence[str | None], codes: np.ndarray) -> pa.Array:
    """Return `names[code]` for each of (n,) codes, as an Arrow array of strings."""
    return pa.array(names, pa.string()).take(as_arrow(codes))


def write_parquet(table: pa.Table, path: StorePath, row_group: int | None = None) -> None:
    """Write a Parquet file under a temporary name, then rename: a reader never sees half a file.

    `row_group` is the number of rows that can be read without the others; None leaves it to the library.
    """
    write_bytes(path, parquet_bytes(table, row_group))


def parquet_bytes(table: pa.Table, row_group: int | None = None) -> bytes:
    """Return the Parquet file of a table; arguments as for `write_parquet`."""
    content = io.BytesIO()
    pq.write_table(table, content, compression="zstd", row_group_size=row_group)
    return content.getvalue()


def read_parquet(path: StorePath) -> pa.Table:
    """Read a Parquet file as a table.

    `pyarrow.parquet.read_table` would import its datasets, and pandas with them, which takes longer than reading. And
    its threads would hold on to Python's bytes a moment longer: if the process ends in that moment, it is aborted.

    Raises:
        FileNotFoundError, OSError, pa.ArrowException: as the path and Parquet raise them.
    """
    return pq.ParquetFile(pa.BufferReader(path.read_bytes())).read(use_threads=False)
