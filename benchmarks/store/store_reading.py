"""Reading features back, beside the files people use instead: seconds cold and warm, bytes from the disk, peak memory.

Run `python -m benchmarks.store.store_reading`. Every format holds the same bfloat16 values, (clip, block, head,
head_dim), and every read returns them as float32. Every case runs in a process of its own. Files and stores are opened
before the clock; formats of one file per video, and np.memmap, open their files while they read. Cold: after a sync,
every file is dropped from the page cache (posix_fadvise DONTNEED; the disk's own cache is not); the bytes then fetched
from the disk are shown. Cold is the best of three, warm the best of five. The store of many rows is made of hard links
to the shards, which share their cached pages. So its cold seconds are a sum over passes: each pass covers as many rows
as there are different clips, everything is dropped before it, and a peer reads its files again in it.
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
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.support.file_formats import (
    Hdf5,
    Hdf5Bitshuffle,
    Hdf5Compressed,
    MemoryMap,
    NumpyPerVideo,
    Parquet,
    Safetensors,
    TorchMapped,
    TorchPerVideo,
)
from benchmarks.support.read_patterns import Format, Pattern, make_values, narrow, patterns, widen
from benchmarks.support.store_formats import ByTensorstore, ByZarr, Compacted, Direct
from vadprobe.store.exchange.compaction import compact
from vadprobe.store.exchange.transfer import Choice
from vadprobe.store.files.atomic_files import write_json
from vadprobe.store.files.digests import digest_json
from vadprobe.store.format.layout import records_of
from vadprobe.store.format.partition_records import read_record, record_name, shard_path
from vadprobe.store.format.schema import PARTITION_ROWS, codecs, compression, feature_arrays, partition_rows
from vadprobe.store.format.specification import BackboneSpec
from vadprobe.store.reading.feature_store import FeatureStore
from vadprobe.store.writing.shard_writer import encode_shard
from vadprobe.store.writing.writer import plan

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
    """Return a format in its folder."""
    folder = sizes.folder / "".join(letter if letter.isalnum() else "-" for letter in name)
    return (Compacted if name == COMPACTED else FORMATS[name])(folder, sizes)


def timed(action: Callable[[], Any]) -> tuple[float, Any]:
    """Return the seconds by the clock, and the result."""
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
    """Return the most bytes of memory that this process has held."""
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def disk_bytes() -> int:
    """Return the bytes that this process has fetched from the disk."""
    lines = Path("/proc/self/io").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("read_bytes"))


def folder_of(files: Format) -> Path:
    """Return the folder of a format's files."""
    return files.path(files.sizes.clips)[0].parent if isinstance(files, Direct) else files.folder


def case_write(name: str, sizes: argparse.Namespace) -> dict[str, Any]:
    """Measure the seconds to write everything and sync it, without making the values."""
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
    """Measure the seconds of one pattern, cold and warm."""
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
    """Measure five heads of all rows of a store that holds the clips `repeats` times; see the head of this file."""
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

    if isinstance(files, Compacted):  # it shares no cached pages with other files, so a single pass is cold throughout

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
    """Measure, by pattern, copying the result and widening its bits; and the codec on one partition, encoding."""
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
    """Return one row of a table: seconds, and how many times ours; less than 1 means that the peer wins."""
    cold, warm = found["cold"] / ours["cold"], found["warm"] / ours["warm"]
    wins = [word for word, ratio in (("cold", cold), ("warm", warm)) if ratio < 1]
    disk = f"{found['disk'] / 2**20:8.1f}" if "disk" in found else " " * 8
    return (
        f"  {name:<34}{found['cold']:9.4f} {cold:7.2f} x {found['warm']:9.4f} {warm:7.2f} x {disk} "
        f"{found['peak'] / 2**20:7.0f} {found['open']:8.4f}"
        + (f"  faster than ours {' and '.join(wins)}" if wins else "")
    )


def run_all(sizes: argparse.Namespace) -> dict[str, Any]:
    """Run every case, and print each table as soon as it is measured."""
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
