"""Parquet files read whole, from a folder or an object store."""

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from vadprobe.store.files.atomic_files import write_bytes


def names_of(names: Sequence[str | None], codes: np.ndarray) -> pa.Array:
    """Names by their codes, an Arrow array of strings."""
    return pa.array(names, pa.string()).take(pa.array(codes))


def write_parquet(table: pa.Table, path: Path, row_group: int | None = None) -> None:
    """Write a Parquet file under a temporary name, then rename: a reader never sees half a file.

    ``row_group`` is the number of rows that can be read without the others; None leaves it to the library.
    """
    content = io.BytesIO()
    pq.write_table(table, content, compression="zstd", row_group_size=row_group)
    write_bytes(path, content.getvalue())


def read_parquet(path: Path) -> pa.Table:
    """Read a Parquet file as a table.

    ``pyarrow.parquet.read_table`` would import its datasets, and pandas with them, which takes longer than reading.

    Raises:
        FileNotFoundError, OSError, pa.ArrowException: as the path and Parquet raise them.
    """
    return pq.ParquetFile(pa.BufferReader(path.read_bytes())).read()
