"""Parquet files read whole, from a folder or an object store."""

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq


def read_parquet(path: Path, columns: Sequence[str] | None = None) -> pa.Table:
    """A Parquet file as a table.

    :func:`pyarrow.parquet.read_table` would import its datasets, and pandas with them, which takes longer than reading.

    Raises:
        FileNotFoundError, OSError, pa.ArrowException: as the path and Parquet raise them.
    """
    file = pq.ParquetFile(pa.BufferReader(path.read_bytes()))
    missing = set(columns or ()) - set(file.schema_arrow.names)
    if missing:
        raise pa.ArrowInvalid(f"it has no column {', '.join(sorted(missing))}")
    return file.read(columns=columns)
