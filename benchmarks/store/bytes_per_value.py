"""Bytes per value of the store's shards on heavy-tailed activations, beside raw values and the codecs that others use.

Run `python -m benchmarks.store.bytes_per_value`. Every distribution is drawn once, rounded to bfloat16, float16 and
float32, and encoded in chunks of 256 clips: one head, or one layer. The store's figure is that of whole shards, with
checksums and indices. The others encode the same chunks, a bfloat16 as its two bytes, and keep nothing else. Everything
is decoded again and compared bit by bit. The limit is the entropy of single values, taken from their frequencies: no
codec that looks at values one by one does better, but one that knows neighbours can. Rates are of one thread, without
the store's second look at what it has compressed.
"""

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np
from numcodecs import GZip, Shuffle, blosc

from vadprobe.store.format.schema import PARTITION_ROWS, ArraySpec, compression, storage_dtype
from vadprobe.store.writing.shard_writer import encode_shard

Draw = Callable[[np.random.Generator, tuple[int, int, int]], np.ndarray]

RAW = {"bfloat16": 2, "float16": 2, "float32": 4}
"""Bytes of an uncompressed value, by dtype."""

OURS = "store"
CARRIED = "carrier, zstd 3, byte shuffle"
RATED = "Student t, 4 degrees"


def normal(generator: np.random.Generator, shape: tuple[int, int, int]) -> np.ndarray:
    """Draw standard normal values, the case without tails."""
    return generator.standard_normal(shape)


def student(freedom: int) -> Draw:
    """Return a function that draws Student's t with few degrees of freedom: heavy tails in every channel."""
    return lambda generator, shape: generator.standard_t(freedom, shape)


def outliers(generator: np.random.Generator, shape: tuple[int, int, int]) -> np.ndarray:
    """Draw normal values, of which one in a thousand is a hundred times as large."""
    return generator.standard_normal(shape) * np.where(generator.random(shape) < 1e-3, 100, 1)


def neighbours(generator: np.random.Generator, shape: tuple[int, int, int]) -> np.ndarray:
    """Draw rows that correlate by 0.95 with the next, as clips of one video; channels have scales of their own."""
    values = generator.standard_t(4, shape)
    for row in range(1, len(values)):
        values[row] = 0.95 * values[row - 1] + np.sqrt(1 - 0.95**2) * values[row]
    return values * generator.lognormal(0, 1, shape[1:])


DISTRIBUTIONS: dict[str, Draw] = {
    "normal": normal,
    "Student t, 4 degrees": student(4),
    "Student t, 3 degrees": student(3),
    "normal, 0.1 % x 100": outliers,
    "correlated rows": neighbours,
}


@dataclass(frozen=True)
class Codec:
    """A codec: a function from a chunk to encoded bytes, and one from those to the bytes of the chunk."""

    encode: Callable[[np.ndarray], bytes]
    decode: Callable[[bytes], bytes]


def by_blosc(name: str, level: int, shuffle: int) -> Codec:
    """Return Blosc on the values' own width."""
    return Codec(lambda chunk: blosc.compress(chunk, name.encode(), level, shuffle), blosc.decompress)


def by_gzip(shuffled: bool) -> Codec:
    """Return gzip at level 4, as HDF5 has it by default, with or without its byte shuffle."""

    def encode(chunk: np.ndarray) -> bytes:
        content = Shuffle(chunk.itemsize).encode(chunk).tobytes() if shuffled else chunk.tobytes()
        return bytes([chunk.itemsize]) + GZip(4).encode(content)

    def decode(body: bytes) -> bytes:
        content = np.frombuffer(GZip(4).decode(body[1:]), np.uint8)
        return np.asarray(Shuffle(body[0]).decode(content)).tobytes() if shuffled else content.tobytes()

    return Codec(encode, decode)


CODECS = {
    "LZ without shuffle (lz4)": by_blosc("lz4", 5, blosc.NOSHUFFLE),
    "lz4, bit shuffle": by_blosc("lz4", 5, blosc.BITSHUFFLE),
    "zstd 3, byte shuffle": by_blosc("zstd", 3, blosc.SHUFFLE),
    "zstd 3, bit shuffle": by_blosc("zstd", 3, blosc.BITSHUFFLE),
    "gzip 4": by_gzip(shuffled=False),
    "gzip 4, byte shuffle": by_gzip(shuffled=True),
}


def rounded(values: np.ndarray, dtype: str) -> np.ndarray:
    """Return values in the store's carrier, rounded to nearest, ties to even."""
    if dtype != "bfloat16":
        return values.astype(storage_dtype(dtype))
    bits = values.astype(np.float32).view(np.uint32)
    return (bits + 0x7FFF + (bits >> 16 & 1) & np.uint32(0xFFFF0000)).view(np.float32)


def narrow(values: np.ndarray, dtype: str) -> np.ndarray:
    """Return the bits of values, as wide as the values are, which is what others store."""
    bits = values.view(np.uint16 if dtype == "float16" else np.uint32)
    return (bits >> 16).astype(np.uint16) if dtype == "bfloat16" else bits


def shard_bytes(values: np.ndarray, dtype: str) -> int:
    """Return the bytes of the store's shards of (clips, parts, width) values, after decoding and comparing them."""
    n_clips, n_parts, width = values.shape
    dims, rows = ("clip", "layer", "hidden"), PARTITION_ROWS
    array = ArraySpec("hidden_states", dims, values.shape, (rows, n_parts, width), (rows, 1, width), "")
    total = 0
    for start in range(0, n_clips, rows):
        block = values[start : start + rows]
        *bodies, index = encode_shard(array, block, np.ones(n_parts, bool), compression(dtype))
        for part, body in enumerate(bodies):
            decoded = np.frombuffer(blosc.decompress(body[:-4]), values.dtype).reshape(rows, width)
            if google_crc32c.value(body[:-4]) != int.from_bytes(body[-4:], "little"):
                raise ValueError("a checksum does not agree")
            check(decoded, block[:, part])
        total += sum(map(len, bodies)) + len(index)
    return total


def codec_bytes(bits: np.ndarray, codec: Codec) -> tuple[int, float, float]:
    """Return the bytes of all chunks, each decoded and compared, and the values encoded and decoded per second."""
    total, encoding, decoding = 0, 0.0, 0.0
    for start in range(0, len(bits), PARTITION_ROWS):
        for part in range(bits.shape[1]):
            chunk = np.ascontiguousarray(bits[start : start + PARTITION_ROWS, part])
            begin = time.perf_counter()
            body = codec.encode(chunk)
            middle = time.perf_counter()
            decoded = codec.decode(body)
            encoding, decoding = encoding + middle - begin, decoding + time.perf_counter() - middle
            check(np.frombuffer(decoded, chunk.dtype).reshape(chunk.shape), chunk)
            total += len(body)
    return total, bits.size / encoding, bits.size / decoding


def check(found: np.ndarray, wanted: np.ndarray) -> None:
    """Refuse a codec that loses a bit."""
    if found.tobytes() != wanted.tobytes():
        raise ValueError("a codec has changed values")


def entropy_bytes(bits: np.ndarray) -> float:
    """Return the entropy of single values of two bytes, in bytes."""
    counts = np.bincount(bits.reshape(-1), minlength=1)
    frequencies = counts[counts > 0] / bits.size
    return float(-(frequencies * np.log2(frequencies)).sum() / 8)


def measure_one(values: np.ndarray, dtype: str) -> tuple[dict[str, float], dict[str, tuple[float, float]]]:
    """Return the bytes per value by codec, and the values per second that each encodes and decodes."""
    bits, ours = narrow(values, dtype), compression(dtype)
    shuffle = blosc.BITSHUFFLE if ours.shuffle == "bitshuffle" else blosc.SHUFFLE
    sizes = {OURS: shard_bytes(values, dtype) / values.size, "raw": float(RAW[dtype])}
    rates = {OURS: codec_bytes(values, by_blosc(ours.cname, ours.clevel, shuffle))[1:]}
    todo = {name: (bits, codec) for name, codec in CODECS.items()}
    if dtype == "bfloat16":
        todo[CARRIED] = values, CODECS["zstd 3, byte shuffle"]
    for name, (content, codec) in todo.items():
        total, *both = codec_bytes(content, codec)
        sizes[name], rates[name] = total / values.size, (both[0], both[1])
    if bits.itemsize == 2:
        sizes["limit"] = entropy_bytes(bits)
    return sizes, rates


def measure(sizes: argparse.Namespace) -> dict[str, Any]:
    """Measure bytes per value by kind of chunk, dtype, distribution and codec; rates for heads of one distribution."""
    shapes = {
        f"heads of {sizes.head_dim}": (sizes.clips, sizes.heads, sizes.head_dim),
        f"hidden states of {sizes.hidden}": (sizes.clips, sizes.layers, sizes.hidden),
    }
    found: dict[str, Any] = {"bytes": {}, "rates": {}}
    for kind, shape in shapes.items():
        by_dtype = found["bytes"].setdefault(kind, {dtype: {} for dtype in RAW})
        for name, draw in DISTRIBUTIONS.items():
            drawn = draw(np.random.default_rng(0), shape)
            for dtype, by_name in by_dtype.items():
                by_name[name], rates = measure_one(rounded(drawn, dtype), dtype)
                if name == RATED:
                    found["rates"].setdefault(dtype, rates)
    return found


def tables(found: dict[str, Any]) -> str:
    """Return the figures as text: a table per kind of chunk and dtype, the least of each column starred; then rates."""
    lines = ["bytes per value; * is the least of a column"]
    for kind, by_dtype in found["bytes"].items():
        for dtype, by_name in by_dtype.items():
            lines += ["", f"{f'{kind}, {dtype}':<34}" + "".join(f"{name:>22}" for name in by_name)]
            least = [min(value for codec, value in row.items() if codec != "limit") for row in by_name.values()]
            for codec in next(iter(by_name.values())):
                figures = zip((row[codec] for row in by_name.values()), least, strict=True)
                cells = (f"{value:.3f}{'*' if value == best else ' '}" for value, best in figures)
                lines.append(f"  {codec:<32}" + "".join(f"{cell:>22}" for cell in cells))
    lines += ["", f"{f'million values/s, heads, {RATED}':<46}" + "".join(f"{dtype:>22}" for dtype in found["rates"])]
    for codec in found["rates"]["bfloat16"]:
        both = (rates.get(codec) for rates in found["rates"].values())
        cells = (f"{pair[0] / 1e6:.0f} / {pair[1] / 1e6:.0f}" if pair else "" for pair in both)
        lines.append(f"  {f'{codec}: encode / decode':<44}" + "".join(f"{cell:>22}" for cell in cells))
    return "\n".join(lines)


def main() -> None:
    """Read the sizes, measure, print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=512, help="a multiple of 256")
    parser.add_argument("--heads", type=int, default=16)
    parser.add_argument("--head-dim", type=int, default=128)
    parser.add_argument("--layers", type=int, default=1)
    parser.add_argument("--hidden", type=int, default=3584)
    parser.add_argument("--json", type=Path, help="also write the results to this file")
    sizes = parser.parse_args()
    if sizes.clips < 1 or sizes.clips % PARTITION_ROWS:
        parser.error("clips must be a multiple of 256: a short chunk is filled up, which is not its values' size")
    blosc.set_nthreads(1)
    found = measure(sizes)
    print(tables(found))
    if sizes.json:
        sizes.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
