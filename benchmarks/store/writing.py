"""Writing a store beside its codec, and the cost of each guarantee: `python -m benchmarks.store.writing`.

All values are bfloat16 in float32, the heads of every clip. "Codec" compresses the inner chunks as they lie in the
shard and keeps the bytes: no copy, no check, no file. Seconds are processor time, user and system, the fastest of the
repeats, taken in turns; seconds by the clock stand beside them and include the disk. The parts are measured with the
functions that the writer calls, each alone.
"""

import argparse
import hashlib
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numcodecs import blosc

from benchmarks.support.machine import machine
from benchmarks.support.read_patterns import make_values
from benchmarks.support.store_formats import Direct
from vadprobe.store.claims.local_claims import LocalStaging
from vadprobe.store.format.schema import PARTITION_ROWS, ArraySpec, compression, feature_arrays
from vadprobe.store.format.shard_format import with_checksum
from vadprobe.store.format.specification import BackboneSpec
from vadprobe.store.writing import shard_writer

SETTINGS = compression("bfloat16")


def taken(action: Callable[[], object]) -> tuple[float, float]:
    """Return processor seconds and seconds by the clock of one call."""
    started, worked = time.perf_counter(), time.process_time()
    action()
    return time.process_time() - worked, time.perf_counter() - started


def compress(chunk: np.ndarray) -> bytes:
    """Return a chunk compressed by the codec alone."""
    body: bytes = blosc.compress(chunk, SETTINGS.cname.encode(), SETTINGS.clevel, blosc.BITSHUFFLE, typesize=4)
    return body


class Parts:
    """The parts of writing one partition, each alone; the input of each part is made beforehand."""

    def __init__(self, array: ArraySpec, values: np.ndarray, folder: Path) -> None:
        self.array, self.values, self.folder = array, values, folder
        rows, blocks, heads, size = values.shape
        self.slices = [values[:, block, head] for block in range(blocks) for head in range(heads)]
        self.chunks = [np.ascontiguousarray(one).reshape(rows, 1, 1, size) for one in self.slices]
        self.bodies = [compress(chunk) for chunk in self.chunks]
        self.shard = [with_checksum(body) for body in self.bodies]

    def codec(self) -> None:
        for chunk in self.chunks:
            compress(chunk)

    def gathered(self) -> None:
        target = np.empty_like(self.chunks[0][:, 0, 0])
        for one in self.slices:
            np.copyto(target, one)

    def decompressed(self) -> None:
        target = bytearray(self.chunks[0].nbytes)
        for chunk, body in zip(self.chunks, self.bodies, strict=True):
            shard_writer.check_body(body, chunk, target)

    def checksums(self) -> None:
        for body in self.bodies:
            with_checksum(body)

    def digest(self) -> None:
        digest = hashlib.sha256()
        for piece in self.shard:
            digest.update(piece)

    def staged(self) -> None:
        LocalStaging(self.folder / "staging").stage("heads", self.shard)

    def encoded(self) -> None:
        held = np.ones(len(self.chunks), bool)
        shard_writer.encode_shard(self.array, self.values, held, SETTINGS)


NAMES = {
    "codec": "the codec alone",
    "gathered": "heads gathered from the rows",
    "decompressed": "every chunk decompressed and compared",
    "checksums": "CRC-32C of every chunk",
    "digest": "SHA-256 of the shard",
    "staged": "written, synced, read again and compared",
    "encoded": "encode_shard (gathered, codec, compared, CRC-32C)",
}


def measure(sizes: argparse.Namespace, folder: Path) -> dict[str, dict[str, float]]:
    """Return seconds of writing a store, and of the parts, by name."""
    partitions = [make_values(sizes, number) for number in range(sizes.clips // PARTITION_ROWS)]
    backbone = BackboneSpec("b", "b", "b", "0", "bfloat16", "eager", sizes.blocks, sizes.heads, sizes.head_dim, 16)
    array = feature_arrays(backbone, sizes.clips)[1]
    found: dict[str, list[tuple[float, float]]] = {}
    for turn in range(sizes.repeats):
        files = Direct(folder / f"turn{turn}" / "store", sizes)

        def write(files: Direct = files) -> None:
            for number, values in enumerate(partitions):
                files.write(number, values)
            files.finish()

        found.setdefault("the whole way to a committed store", []).append(taken(write))
        for number, values in enumerate(partitions):
            parts = Parts(array, values, folder)
            for name, words in NAMES.items():
                of_all = found.setdefault(words, [])
                cost = taken(getattr(parts, name))
                if number == 0:
                    of_all.append(cost)
                else:
                    of_all[-1] = (of_all[-1][0] + cost[0], of_all[-1][1] + cost[1])
    codec = min(cost for cost, _ in found[NAMES["codec"]])
    return {
        name: {
            "processor_seconds": min(cost for cost, _ in costs),
            "seconds": min(clock for _, clock in costs),
            "of_the_codec": min(cost for cost, _ in costs) / codec,
        }
        for name, costs in found.items()
    }


def main() -> None:
    """Measure, print the table, and write JSON if asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (
        ("clips", 2048),
        ("blocks", 28),
        ("heads", 28),
        ("head-dim", 128),
        ("repeats", 3),
        ("video-clips", 32),
    ):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--folder", type=Path, help="where to write; by default the folder for temporary files")
    parser.add_argument("--json", type=Path)
    sizes = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=sizes.folder) as folder:
        found: dict[str, Any] = {"parts": measure(sizes, Path(folder))}
    for name, part in found["parts"].items():
        print(
            f"{name}: {part['processor_seconds']:.2f} s of processor time ({part['of_the_codec']:.2f} of the codec), "
            f"{part['seconds']:.2f} s by the clock"
        )
    if sizes.json:
        sizes.json.write_text(json.dumps({**found, **machine(("numpy", "numcodecs", "pyarrow"))}, indent=1))


if __name__ == "__main__":
    main()
