"""Files that people use instead of a store: .npy, .pt, memory maps, safetensors, HDF5, Parquet."""

from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.support.read_patterns import Format, Pattern, narrow, widen
from vadprobe.store.format.schema import PARTITION_ROWS


class Files(Format):
    """A file per `rows_per_file` rows, each an array of bfloat16 bits."""

    suffix = ""

    @property
    def rows_per_file(self) -> int:
        """Rows in one file."""
        return int(self.sizes.video_clips)

    def name(self, number: int) -> Path:
        """Return the path of file `number`."""
        self.folder.mkdir(parents=True, exist_ok=True)
        return self.folder / f"{number}{self.suffix}"

    def write(self, partition: int, values: np.ndarray) -> None:
        for first in range(0, len(values), self.rows_per_file):
            self.save(
                (partition * PARTITION_ROWS + first) // self.rows_per_file, values[first : first + self.rows_per_file]
            )

    def save(self, number: int, values: np.ndarray) -> None:
        """Write one file."""
        raise NotImplementedError

    def load(self, number: int) -> Any:
        """Return an array of a file's values or bits, in memory or not."""
        raise NotImplementedError

    def to_float32(self, found: Any) -> np.ndarray:
        """Return the float32 values of what indexing the result of `load` gave."""
        return widen(np.asarray(found))

    def read(self, wanted: Pattern) -> np.ndarray:
        sizes, count = self.sizes, 0
        tail = (sizes.blocks, sizes.heads) if wanted.heads is None else (len(wanted.heads),)
        result = np.empty((len(wanted.rows), *tail, sizes.head_dim), np.float32)
        for number in np.unique(wanted.rows // self.rows_per_file).tolist():
            rows = wanted.rows[wanted.rows // self.rows_per_file == number] - number * self.rows_per_file
            content, target = self.load(number), result[count : count + len(rows)]
            first, stop = int(rows[0]), int(rows[-1]) + 1
            if wanted.heads is None:
                block = content[first:stop]
                target[...] = self.to_float32(block if len(rows) == stop - first else block[rows - first])
            else:
                for position, (layer, head) in enumerate(wanted.heads):
                    target[:, position] = self.to_float32(content[first:stop, layer, head])
            count += len(rows)
        return result


class NumpyPerVideo(Files):
    """A .npy file for each video, by np.save and np.load."""

    suffix = ".npy"

    def save(self, number: int, values: np.ndarray) -> None:
        np.save(self.name(number), narrow(values))

    def load(self, number: int) -> Any:
        return np.load(self.name(number))


class TorchPerVideo(Files):
    """A .pt file for each video, by torch.save and torch.load."""

    needs = ("torch",)
    suffix = ".pt"
    memory_map = False

    def save(self, number: int, values: np.ndarray) -> None:
        import torch  # noqa: PLC0415

        torch.save(torch.from_numpy(values).to(torch.bfloat16), self.name(number))

    def load(self, number: int) -> Any:
        import torch  # noqa: PLC0415

        return torch.load(self.name(number), weights_only=True, mmap=self.memory_map)

    def to_float32(self, found: Any) -> np.ndarray:
        return np.asarray(found.float().numpy())


class TorchMapped(TorchPerVideo):
    """The same, by torch.load with mmap=True."""

    memory_map = True


class MemoryMap(Files):
    """One np.memmap of all values."""

    suffix = ".raw"

    @property
    def rows_per_file(self) -> int:
        """All of them."""
        return int(self.sizes.clips)

    def write(self, partition: int, values: np.ndarray) -> None:
        with self.name(0).open("r+b" if partition else "wb") as file:
            file.seek(partition * values.nbytes // 2)
            file.write(narrow(values).tobytes())

    def load(self, number: int) -> Any:
        shape = (self.sizes.clips, self.sizes.blocks, self.sizes.heads, self.sizes.head_dim)
        return np.memmap(self.name(number), np.uint16, "r", shape=shape)


class Safetensors(Files):
    """safetensors, a file per 256 rows, read by slices."""

    needs = ("safetensors",)
    suffix = ".safetensors"
    rows_per_file = PARTITION_ROWS

    def save(self, number: int, values: np.ndarray) -> None:
        from safetensors.numpy import save_file  # noqa: PLC0415

        save_file({"values": narrow(values)}, self.name(number))

    def load(self, number: int) -> Any:
        from safetensors import safe_open  # noqa: PLC0415

        return safe_open(self.name(number), "np").get_slice("values")


class Hdf5(Files):
    """One HDF5 file with the inner chunks of the store."""

    needs = ("h5py",)
    suffix = ".h5"
    filters: dict[str, Any] = {}  # noqa: RUF012

    @property
    def rows_per_file(self) -> int:
        """All of them."""
        return int(self.sizes.clips)

    def write(self, partition: int, values: np.ndarray) -> None:
        import h5py  # noqa: PLC0415

        with h5py.File(self.name(0), "a" if partition else "w") as file:
            if not partition:
                shape, chunk = (self.sizes.clips, *values.shape[1:]), (PARTITION_ROWS, 1, 1, self.sizes.head_dim)
                file.create_dataset("values", shape, "u2", chunks=chunk, **self.filters)
            file["values"][partition * PARTITION_ROWS : (partition + 1) * PARTITION_ROWS] = narrow(values)

    def open(self) -> None:
        import h5py  # noqa: PLC0415

        self.file = h5py.File(self.name(0), "r")

    def load(self, number: int) -> Any:
        return self.file["values"]


class Hdf5Compressed(Hdf5):
    """The same with h5py's own fast filters."""

    filters = {"shuffle": True, "compression": "lzf"}  # noqa: RUF012


class Hdf5Bitshuffle(Hdf5):
    """The same with bit shuffling and lz4, as the store has."""

    needs = ("h5py", "hdf5plugin")

    def write(self, partition: int, values: np.ndarray) -> None:
        import hdf5plugin  # noqa: PLC0415

        self.filters = dict(hdf5plugin.Bitshuffle(cname="lz4"))
        super().write(partition, values)

    def open(self) -> None:
        import hdf5plugin  # noqa: F401, PLC0415

        super().open()


class Parquet(Format):
    """A column of fixed-size lists for each head, row groups of 256 rows."""

    def column(self, block: int, head: int) -> str:
        """Return the name of a head's column."""
        return f"{block}.{head}"

    def write(self, partition: int, values: np.ndarray) -> None:
        import pyarrow as pa  # noqa: PLC0415
        import pyarrow.parquet as pq  # noqa: PLC0415

        bits = narrow(values)
        columns = {
            self.column(block, head): pa.FixedSizeListArray.from_arrays(
                pa.array(np.ascontiguousarray(bits[:, block, head]).reshape(-1)), self.sizes.head_dim
            )
            for block in range(self.sizes.blocks)
            for head in range(self.sizes.heads)
        }
        table = pa.table(columns)
        if not partition:
            self.folder.mkdir(parents=True, exist_ok=True)
            self.writer = pq.ParquetWriter(self.folder / "values.parquet", table.schema, compression="lz4")
        self.writer.write_table(table)

    def finish(self) -> None:
        self.writer.close()

    def open(self) -> None:
        import pyarrow.parquet as pq  # noqa: PLC0415

        self.file = pq.ParquetFile(self.folder / "values.parquet")

    def read(self, wanted: Pattern) -> np.ndarray:
        sizes, count = self.sizes, 0
        heads = wanted.heads or [(block, head) for block in range(sizes.blocks) for head in range(sizes.heads)]
        result = np.empty((len(wanted.rows), len(heads), sizes.head_dim), np.float32)
        for number in np.unique(wanted.rows // PARTITION_ROWS).tolist():
            rows = wanted.rows[wanted.rows // PARTITION_ROWS == number] - number * PARTITION_ROWS
            table = self.file.read_row_group(number, [self.column(*pair) for pair in heads])
            for position, pair in enumerate(heads):
                bits = table.column(self.column(*pair)).chunk(0).flatten().to_numpy().reshape(-1, sizes.head_dim)
                result[count : count + len(rows), position] = widen(bits[rows])
            count += len(rows)
        return result if wanted.heads else result.reshape(len(result), sizes.blocks, sizes.heads, sizes.head_dim)
