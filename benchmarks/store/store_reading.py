"""Reading features back, beside the files people use instead: seconds cold and warm, bytes from the disk, peak memory.

Run ``python -m benchmarks.store.store_reading``. Every format holds the same bfloat16 values, (clip, block, head,
head_dim), and every read returns them as float32. Every case runs in a process of its own. Files and stores are opened
before the clock; formats of one file per video, and np.memmap, open their files while they read. Cold: after a sync,
every file is dropped from the page cache (posix_fadvise DONTNEED; the disk's own cache is not); what was then fetched
from the disk is shown. Cold is the best of three, warm the best of five. The store of many rows is made of hard links
to the shards, which share their cached pages: its cold seconds are the sum over passes of as many rows as there are
different clips, with everything dropped before each, and a peer reads its files again in each pass.
"""

import argparse
import hashlib
import importlib.util
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vadprobe.store.datasets.video import Video
from vadprobe.store.exchange.compaction import compact
from vadprobe.store.exchange.transfer import Choice
from vadprobe.store.files.atomic_files import write_json
from vadprobe.store.files.digests import digest_json
from vadprobe.store.format.clip_table import ClipTable
from vadprobe.store.format.layout import DatasetLayout, records_of
from vadprobe.store.format.partition_records import read_record, record_name, shard_path
from vadprobe.store.format.prompts import Prompt
from vadprobe.store.format.sampling import Sampling
from vadprobe.store.format.schema import PARTITION_ROWS, codecs, compression, feature_arrays, partition_rows
from vadprobe.store.format.specification import BackboneSpec, FeatureSpec
from vadprobe.store.reading.feature_store import FeatureStore
from vadprobe.store.writing.shard_writer import encode_shard
from vadprobe.store.writing.writer import PartitionData, plan

Heads = list[tuple[int, int]]


@dataclass(frozen=True)
class Pattern:
    """What is read: rows, and the heads of each; None for all."""

    rows: np.ndarray
    heads: Heads | None


def patterns(sizes: argparse.Namespace) -> dict[str, Pattern]:
    """The five reads of every format."""
    generator = np.random.default_rng(1)
    every = np.arange(sizes.clips)
    grid = [(block, head) for block in range(sizes.blocks) for head in range(sizes.heads)]
    five = [grid[number] for number in generator.choice(len(grid), min(5, len(grid)), replace=False)]
    scattered = np.sort(generator.choice(sizes.clips, min(32, sizes.clips), replace=False))
    video = sizes.clips // sizes.video_clips // 2 * sizes.video_clips
    return {
        "256 whole rows": Pattern(every[PARTITION_ROWS : 2 * PARTITION_ROWS], None),
        "32 scattered rows, all heads": Pattern(scattered, None),
        "one head, all rows": Pattern(every, five[:1]),
        "five heads, all rows": Pattern(every, five),
        "one video, all heads": Pattern(every[video : video + sizes.video_clips], None),
    }


def make_values(sizes: argparse.Namespace, partition: int) -> np.ndarray:
    """Heavy-tailed float32 values of a partition, the low 16 bits zero: (256, blocks, heads, head_dim)."""
    generator = np.random.default_rng(partition)
    shape = (PARTITION_ROWS, sizes.blocks, sizes.heads, sizes.head_dim)
    values = generator.standard_t(4, size=shape).astype(np.float32)
    return (values.view(np.uint32) & np.uint32(0xFFFF0000)).view(np.float32)


def narrow(values: np.ndarray) -> np.ndarray:
    """The bfloat16 bits of carried values, uint16."""
    return (values.view(np.uint32) >> 16).astype(np.uint16)


def widen(bits: np.ndarray) -> np.ndarray:
    """The float32 values of bfloat16 bits."""
    wide = bits.astype(np.uint32)
    wide <<= 16
    return wide.view(np.float32)


class Format:
    """A way to keep features in files: ``write`` is given partition by partition, ``read`` returns float32."""

    needs: tuple[str, ...] = ()
    closes_before_eviction = False

    def __init__(self, folder: Path, sizes: argparse.Namespace) -> None:
        self.folder, self.sizes = folder, sizes

    def write(self, partition: int, values: np.ndarray) -> None:
        """Write one partition."""
        raise NotImplementedError

    def finish(self) -> None:
        """What is to be done after the last partition."""

    def open(self) -> None:
        """What a user does once."""

    def read(self, wanted: Pattern) -> np.ndarray:
        """(n, blocks, heads, head_dim), or (n, k, head_dim) for k heads."""
        raise NotImplementedError


class Direct(Format):
    """The store, by FeatureStore."""

    prefix = "store"

    def path(self, n_clips: int) -> tuple[Path, FeatureSpec, ClipTable]:
        """Where the store of so many clips is, and what it is planned for."""
        sampling = Sampling("segment", 24, 8)
        count, frames = self.sizes.video_clips, 24 * self.sizes.video_clips
        videos = [Video(f"{n}", f"{n}.mp4", frames, 25.0) for n in range(n_clips // count)]
        clips = ClipTable.build(videos, [f"{n:064x}" for n in range(len(videos))], sampling)
        backbone = BackboneSpec(
            "bench", "bench", "example/bench", "0", "bfloat16", "eager", self.sizes.blocks, self.sizes.heads,
            self.sizes.head_dim, 16,
        )  # fmt: skip
        prompt = Prompt("prompt", "Is it anomalous?")
        spec = FeatureSpec("bench", clips.digest, n_clips, sampling, backbone, prompt, {"device": "cpu"}, {})
        root = DatasetLayout(self.folder.parent / f"{self.prefix}-{n_clips}", "bench")
        return root.store(sampling, "bench", "prompt"), spec, clips

    def write(self, partition: int, values: np.ndarray) -> None:
        if partition == 0:
            self.writer = plan(*self.path(self.sizes.clips))
        rest = PartitionData.empty(self.writer.spec, len(values))
        for other in (rest.hidden_states, rest.answer_logits):
            other[...] = 0
        self.writer.write_partition(partition, PartitionData(rest.hidden_states, values, rest.answer_logits))

    def finish(self) -> None:
        self.writer.commit()

    def open(self) -> None:
        self.store = FeatureStore.open(self.path(self.sizes.clips)[0])

    def read(self, wanted: Pattern) -> np.ndarray:
        if wanted.heads is None:
            return self.store.blocks(wanted.rows, range(self.sizes.blocks))
        return self.store.head_outputs(wanted.rows, wanted.heads)


class Compacted(Direct):
    """Five heads of the store of many rows, by 'vadprobe compact'."""

    prefix = "compact"


class ByZarr(Direct):
    """The same store, by zarr-python."""

    def open(self) -> None:
        import zarr  # noqa: PLC0415

        self.array: Any = zarr.open_array(self.path(self.sizes.clips)[0] / "head_outputs", mode="r", zarr_format=3)

    def read(self, wanted: Pattern) -> np.ndarray:
        if wanted.heads is not None:
            begin, stop = int(wanted.rows[0]), int(wanted.rows[-1]) + 1
            return np.stack([self.array[begin:stop, block, head] for block, head in wanted.heads], axis=1)
        found = []
        for number in np.unique(wanted.rows // PARTITION_ROWS).tolist():  # faster than indexing scattered rows
            here = wanted.rows[wanted.rows // PARTITION_ROWS == number]
            found.append(np.asarray(self.array[here[0] : here[-1] + 1])[here - here[0]])
        return found[0] if len(found) == 1 else np.concatenate(found)


class ByTensorstore(Direct):
    """The same store, by tensorstore."""

    needs = ("tensorstore",)

    def open(self) -> None:
        import tensorstore  # noqa: PLC0415

        path = self.path(self.sizes.clips)[0] / "head_outputs"
        source = {"driver": "zarr3", "kvstore": {"driver": "file", "path": str(path)}}
        self.array: Any = tensorstore.open(source, open=True).result()

    def read(self, wanted: Pattern) -> np.ndarray:
        begin, stop = int(wanted.rows[0]), int(wanted.rows[-1]) + 1
        if wanted.heads is not None:
            reads = [self.array[begin:stop, block, head].read() for block, head in wanted.heads]
            return np.stack([read.result() for read in reads], axis=1)
        rows = slice(begin, stop) if stop - begin == len(wanted.rows) else wanted.rows
        return np.asarray(self.array[rows].read().result())


class Files(Format):
    """A file per ``rows_per_file`` rows, each an array of bfloat16 bits."""

    suffix = ""

    @property
    def rows_per_file(self) -> int:
        """Rows in one file."""
        return int(self.sizes.video_clips)

    def name(self, number: int) -> Path:
        """The file of a number."""
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
        """An array of a file's values or bits, in memory or not."""
        raise NotImplementedError

    def to_float32(self, found: Any) -> np.ndarray:
        """Values of what indexing ``load`` returned."""
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
    """np.save, np.load."""

    suffix = ".npy"

    def save(self, number: int, values: np.ndarray) -> None:
        np.save(self.name(number), narrow(values))

    def load(self, number: int) -> Any:
        return np.load(self.name(number))


class TorchPerVideo(Files):
    """torch.save, torch.load."""

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
    """torch.save, torch.load with mmap=True."""

    memory_map = True


class MemoryMap(Files):
    """One np.memmap of everything."""

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
        """A head's name."""
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


FORMATS: dict[str, type[Format]] = {
    "store, vadprobe": Direct,
    "store, zarr-python": ByZarr,
    "store, tensorstore": ByTensorstore,
    ".pt per video": TorchPerVideo,
    ".pt per video, mmap": TorchMapped,
    ".npy per video": NumpyPerVideo,
    "np.memmap": MemoryMap,
    "safetensors per 256 rows": Safetensors,
    "HDF5, same chunks, raw": Hdf5,
    "HDF5, same chunks, lzf": Hdf5Compressed,
    "HDF5, same chunks, bitshuffle lz4": Hdf5Bitshuffle,
    "Parquet, fixed-size lists": Parquet,
}
OURS = "store, vadprobe"
COMPACTED = "store, vadprobe compact"
MANY = (OURS, COMPACTED, ".pt per video", "np.memmap", "HDF5, same chunks, raw", "HDF5, same chunks, lzf")


def make_format(name: str, sizes: argparse.Namespace) -> Format:
    """A format in its folder."""
    folder = sizes.folder / "".join(letter if letter.isalnum() else "-" for letter in name)
    return (Compacted if name == COMPACTED else FORMATS[name])(folder, sizes)


def timed(action: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds on the wall, and the result."""
    start = time.perf_counter()
    result = action()
    return time.perf_counter() - start, result


def evict(folder: Path) -> None:
    """Drop every file below a folder from the page cache."""
    os.sync()
    for path in folder.rglob("*"):
        if path.is_file():
            descriptor = os.open(path, os.O_RDONLY)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(descriptor)


def peak_bytes() -> int:
    """The most memory this process has held."""
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def disk_bytes() -> int:
    """Bytes this process has fetched from the disk."""
    lines = Path("/proc/self/io").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("read_bytes"))


def folder_of(files: Format) -> Path:
    """Where a format's files are."""
    return files.path(files.sizes.clips)[0].parent if isinstance(files, Direct) else files.folder


def case_write(name: str, sizes: argparse.Namespace) -> dict[str, Any]:
    """Seconds to write everything and sync it, making the values not included."""
    files, seconds = make_format(name, sizes), 0.0
    for partition in range(sizes.clips // PARTITION_ROWS):
        values = make_values(sizes, partition)
        seconds += timed(lambda values=values, partition=partition: files.write(partition, values))[0]  # type: ignore[misc]
    seconds += timed(files.finish)[0] + timed(os.sync)[0]
    return {
        "seconds": seconds,
        "bytes": sum(path.stat().st_size for path in folder_of(files).rglob("*") if path.is_file()),
    }


def case_read(name: str, sizes: argparse.Namespace, wanted: Pattern) -> dict[str, Any]:
    """Seconds of one pattern, cold and warm."""
    files = make_format(name, sizes)
    opening = timed(files.open)[0]
    baseline = peak_bytes()
    cold, fetched = [], 0
    for _ in range(3):
        evict(folder_of(files))
        before = disk_bytes()
        seconds, found = timed(lambda: files.read(wanted))
        cold.append(seconds)
        fetched = disk_bytes() - before
        digest = hashlib.sha256(np.ascontiguousarray(found).tobytes()).hexdigest()
        size = found.nbytes
        del found
    peak = peak_bytes() - baseline - 2 * size  # the result, and its copy for the digest
    warm = min(timed(lambda: files.read(wanted))[0] for _ in range(5))
    return {"open": opening, "cold": min(cold), "warm": warm, "disk": fetched, "peak": max(peak, 0), "digest": digest}


def case_many(name: str, sizes: argparse.Namespace, repeats: int) -> dict[str, Any]:
    """Five heads of all rows of a store that holds the clips ``repeats`` times; see the head of this file."""
    many = argparse.Namespace(**vars(sizes))
    files = make_format(name, many)
    five, base = patterns(sizes)["five heads, all rows"].heads, sizes.clips
    if isinstance(files, Direct):
        many.clips = base * repeats
    opening = timed(files.open)[0]
    baseline, cold = peak_bytes(), 0.0
    result = np.empty((base * repeats, len(five or ()), sizes.head_dim), np.float32)

    def fill(number: int) -> None:
        rows = np.arange(base) + (number * base if isinstance(files, Direct) else 0)
        result[number * base : (number + 1) * base] = files.read(Pattern(rows, five))

    def fill_all() -> None:
        for number in range(repeats):
            fill(number)

    if isinstance(files, Compacted):  # it has no cached pages in common with anything, so one pass is cold throughout

        def fill_all() -> None:
            result[...] = files.read(Pattern(np.arange(base * repeats), five))

        evict(folder_of(files))
        cold = timed(fill_all)[0]
    else:
        for number in range(repeats):
            evict(folder_of(files))
            cold += timed(lambda number=number: fill(number))[0]  # type: ignore[misc]
    peak = peak_bytes() - baseline - result.nbytes
    warm = min(timed(fill_all)[0] for _ in range(3))
    digests = {hashlib.sha256(part.tobytes()).hexdigest() for part in np.split(result, repeats)}
    return {"open": opening, "cold": cold, "warm": warm, "peak": max(peak, 0), "digest": "".join(sorted(digests))}


def case_links(sizes: argparse.Namespace, repeats: int) -> dict[str, Any]:
    """Make the store of many rows: a planned store, hard links to the shards, and records of its own."""
    files = Direct(sizes.folder / "x", sizes)
    path, spec, _ = files.path(sizes.clips)
    writer = plan(*files.path(sizes.clips * repeats))
    per = sizes.clips // PARTITION_ROWS
    for partition in range(writer.n_partitions):
        for array in feature_arrays(spec.backbone, spec.n_clips):
            target = shard_path(writer.path, array, partition)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.hardlink_to(shard_path(path, array, partition % per))
        rows = partition_rows(partition, len(writer.clips))
        content = dict(read_record(path, partition % per) or {})
        del content["digest"]
        content |= {"partition": partition, "rows": [rows.start, rows.stop], "spec_digest": writer.spec.digest}
        content |= {"rows_digest": writer.clips.row_digest(rows)}
        write_json(records_of(writer.path) / record_name(partition), {**content, "digest": digest_json(content)})
    writer.commit()
    five = patterns(sizes)["five heads, all rows"].heads or []
    root = sizes.folder / f"{Compacted.prefix}-{sizes.clips * repeats}"
    seconds, done = timed(lambda: compact(FeatureStore.open(writer.path), root, Choice(heads=tuple(five))))
    return {"compact": seconds, "bytes": done.n_bytes}


def case_limits(sizes: argparse.Namespace) -> dict[str, Any]:
    """By pattern: copying the result in memory, and widening its bits; and the codec on one partition, encoding."""
    import google_crc32c  # noqa: PLC0415
    from numcodecs import blosc  # noqa: PLC0415

    found: dict[str, Any] = {}
    for pattern, wanted in patterns(sizes).items():
        heads = sizes.blocks * sizes.heads if wanted.heads is None else len(wanted.heads)
        values = np.ones((len(wanted.rows), heads, sizes.head_dim), np.float32)
        bits = narrow(values)
        found[pattern] = [
            min(timed(action)[0] for _ in range(5)) for action in (values.copy, lambda bits=bits: widen(bits))
        ]
    values = make_values(sizes, 0)
    parts = [np.ascontiguousarray(values[:, b, h]) for b in range(sizes.blocks) for h in range(sizes.heads)]
    codec = codecs("bfloat16")[0].to_dict()["configuration"]

    array = feature_arrays(BackboneSpec("b", "b", "b", "0", "bfloat16", "eager", *values.shape[1:], 1), len(values))[1]
    blosc.use_threads = False

    def encode() -> None:
        for part in parts:
            body = blosc.compress(part, codec["cname"].encode(), codec["clevel"], blosc.BITSHUFFLE)
            google_crc32c.value(body)

    def shard() -> None:
        encode_shard(array, values, np.ones(len(parts), dtype=bool), compression("bfloat16"))

    ours = min(timed(shard)[0] for _ in range(3)) * sizes.clips / PARTITION_ROWS
    alone = min(timed(encode)[0] for _ in range(3)) * sizes.clips / PARTITION_ROWS
    return {"patterns": found, "encode": alone, "shard": ours}


def run_apart(sizes: argparse.Namespace, *case: str) -> dict[str, Any]:
    """Run one case in a process of its own."""
    given = ("clips", "blocks", "heads", "head_dim", "video_clips", "folder")
    arguments = [f"--{name.replace('_', '-')}={getattr(sizes, name)}" for name in given]
    done = subprocess.run(
        [sys.executable, "-m", __spec__.name, *arguments, "--case", *case],
        env=os.environ | dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"),
        stdout=subprocess.PIPE, text=True, check=True,
    )  # fmt: skip
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def run_here(sizes: argparse.Namespace) -> None:
    """Run one case in this process and print its result as JSON."""
    kind, *rest = sizes.case
    if kind == "write":
        result = case_write(rest[0], sizes)
    elif kind == "read":
        result = case_read(rest[0], sizes, patterns(sizes)[rest[1]])
    elif kind == "many":
        result = case_many(rest[0], sizes, int(rest[1]))
    elif kind == "links":
        result = case_links(sizes, int(rest[0]))
    else:
        result = case_limits(sizes)
    print(json.dumps(result))


def line(name: str, found: dict[str, Any], ours: dict[str, Any]) -> str:
    """One row of a table: seconds, and how many times ours; less than 1 means that the peer wins."""
    cold, warm = found["cold"] / ours["cold"], found["warm"] / ours["warm"]
    wins = [word for word, ratio in (("cold", cold), ("warm", warm)) if ratio < 1]
    disk = f"{found['disk'] / 2**20:8.1f}" if "disk" in found else " " * 8
    return (
        f"  {name:<34}{found['cold']:9.4f} {cold:7.2f} x {found['warm']:9.4f} {warm:7.2f} x {disk} "
        f"{found['peak'] / 2**20:7.0f} {found['open']:8.4f}"
        + (f"  faster than ours {' and '.join(wins)}" if wins else "")
    )


def run_all(sizes: argparse.Namespace) -> dict[str, Any]:
    """Every case, with its table printed as soon as it is there."""
    here = [name for name, kind in FORMATS.items() if all(importlib.util.find_spec(need) for need in kind.needs)]
    for name in FORMATS.keys() - set(here):
        print(f"skipped: {name} ({', '.join(FORMATS[name].needs)} not installed)")
    limits = run_apart(sizes, "limits")
    raw = sizes.clips * sizes.blocks * sizes.heads * sizes.head_dim * 2
    print(f"{sizes.clips} clips x {sizes.blocks} x {sizes.heads} x {sizes.head_dim} bfloat16, {raw / 1e6:.0f} MB")
    print("writing: seconds, times ours, MB/s of raw values, bytes per value")
    written = {
        name: run_apart(sizes, "write", name) for name in here if name == OURS or not issubclass(FORMATS[name], Direct)
    }
    for name, found in written.items():
        ratio = found["seconds"] / written[OURS]["seconds"]
        rate, size = raw / 1e6 / found["seconds"], 2 * found["bytes"] / raw
        print(f"  {name:<34}{found['seconds']:9.3f} {ratio:7.2f} x {rate:9.0f} {size:7.2f}")
    print(f"  {'limit: the codec alone, one thread':<34}{limits['encode']:9.3f}")
    print(f"  {'our encoder, each chunk checked':<34}{limits['shard']:9.3f}", flush=True)
    head = f"{'cold s':>9} {'/ours':>9} {'warm s':>9} {'/ours':>9} {'disk MiB':>8} {'MiB':>7} {'open s':>8}"
    reads: dict[str, Any] = {}
    for pattern in patterns(sizes):
        print(f"{pattern:<36}{head}")
        reads[pattern] = {name: run_apart(sizes, "read", name, pattern) for name in here}
        for name, found in reads[pattern].items():
            print(line(name, found, reads[pattern][OURS]))
        copy, widening = limits["patterns"][pattern]
        print(f"  limit: memcpy of the result {copy:.4f} s, widening its bits {widening:.4f} s", flush=True)
    many: dict[str, Any] = {}
    whole = -(-sizes.many_rows // sizes.clips)
    for repeats in (max(2, whole // 2), max(3, whole)):
        made = run_apart(sizes, "links", str(repeats))
        count = repeats * sizes.clips
        print(f"{f'five heads of {count} rows':<36}{head}")
        run = [name for name in MANY if name in here or name == COMPACTED]
        many[str(count)] = {name: run_apart(sizes, "many", name, str(repeats)) for name in run}
        for name, found in many[str(count)].items():
            print(line(name, found, many[str(count)][OURS]), flush=True)
        print(f"  compacting the five heads took {made['compact']:.2f} s, {made['bytes'] / 2**20:.0f} MiB")
    return {"limits": limits, "write": written, "read": reads, "many": many}


def main() -> None:
    """Read the sizes, run every case, print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=2048, help="a multiple of 256, two partitions at least")
    parser.add_argument("--blocks", type=int, default=28)
    parser.add_argument("--heads", type=int, default=28)
    parser.add_argument("--head-dim", type=int, default=128)
    parser.add_argument("--video-clips", type=int, default=32, help="clips of a video; divides 256")
    parser.add_argument("--many-rows", type=int, default=100_000, help="rows of the store made of links, at least")
    parser.add_argument(
        "--folder", type=Path, help="an empty folder on the disk to be measured; default a temporary one"
    )
    parser.add_argument("--json", type=Path, help="also write the results to this file")
    parser.add_argument("--case", nargs="+", help="run this case only, in this process; prints JSON")
    sizes = parser.parse_args()
    if sizes.clips % PARTITION_ROWS or sizes.clips < 2 * PARTITION_ROWS or PARTITION_ROWS % sizes.video_clips:
        parser.error("clips must be a multiple of 256, from 512, and the clips of a video must divide 256")
    if sizes.case:
        run_here(sizes)
        return
    with tempfile.TemporaryDirectory(dir=sizes.folder) as folder:
        sizes.folder = Path(folder)
        found = run_all(sizes)
    if sizes.json:
        sizes.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
