"""Parquet files are read by the calling thread alone, and numbers pass to Arrow and back as they are."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from vadprobe.store.files.parquet import as_arrow, as_numpy, write_parquet

# Prints how many threads reading has started, and whether pandas was imported.
PROGRAM = """
import os, sys
from pathlib import Path
from vadprobe.store.files.parquet import as_numpy, read_parquet
before = len(os.listdir("/proc/self/task"))
as_numpy(read_parquet(Path(sys.argv[1]))["number"])
print(len(os.listdir("/proc/self/task")) - before, "pandas" in sys.modules)
"""


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="needs a list of the process's threads")
def test_reading_starts_no_thread_that_could_outlive_the_process(tmp_path: Path) -> None:
    path = tmp_path / "table.parquet"
    write_parquet(pa.table({"number": np.arange(1000), "word": ["a"] * 1000}), path)
    done = subprocess.run([sys.executable, "-c", PROGRAM, path], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["0", "False"]


@pytest.mark.parametrize(
    "values", [np.arange(7), np.arange(12, dtype=np.int32)[::3], np.array([0.5, np.nan]), np.empty(0)]
)
def test_numbers_pass_to_arrow_and_back(values: np.ndarray) -> None:
    array = as_arrow(values)
    assert array.equals(pa.array(values)) or np.isnan(values).any()
    for column in (array, pa.chunked_array([array, array])):
        found = as_numpy(column)
        assert found.dtype == values.dtype
        np.testing.assert_array_equal(found[: len(values)], values)


def test_a_missing_number_is_refused() -> None:
    for column in (pa.array([1, None]), pa.array(["a"])):
        with pytest.raises(pa.ArrowException, match="must hold numbers"):
            as_numpy(column)
