"""A second reader of feature stores, written from `store/format/FORMAT.md` alone, and a parser of that page.

It uses nothing of the package, so a wrong result shows a fault of the page or of the store.
"""

import hashlib
import json
import re
import struct
from math import prod
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np
import pyarrow.parquet as pq
from numcodecs import blosc

from tests.support.paths import ROOT

PAGE = ROOT / "store" / "format" / "FORMAT.md"


# The page


def table(first: str) -> list[list[str]]:
    """Return the rows of the page's table whose first column has this heading, without the marks of code."""
    blocks = re.findall(r"(?:^\|.*\n)+", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    rows = [
        [[cell.strip() for cell in line.strip()[1:-1].split("|")] for line in block.splitlines()] for block in blocks
    ]
    (found,) = [content for content in rows if content[0][0].replace("`", "") == first]
    return [[cell[1:-1] if re.fullmatch(r"`[^`]*`", cell) else cell for cell in row] for row in found[2:]]


def column(first: str, number: int = 1) -> dict[str, str]:
    """Return one column of a table of the page, by its first column."""
    rows = table(first)
    found = {row[0]: row[number] for row in rows}
    assert len(found) == len(rows), f"the table {first!r} names something twice"
    return found


def examples(language: str) -> list[str]:
    """Return the page's blocks of code in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


# Digests


def canonical(value: Any) -> str:
    """Return a JSON value in the form of which digests are made."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, str):
        short = {'"': '\\"', "\\": "\\\\", "\b": "\\b", "\t": "\\t", "\n": "\\n", "\f": "\\f", "\r": "\\r"}
        escaped = (short.get(c) or (f"\\u00{ord(c):02x}" if ord(c) < 0x20 else c) for c in value)
        return f'"{"".join(escaped)}"'
    if isinstance(value, dict):
        keys = sorted(value, key=lambda key: [ord(c) for c in key])
        return "{" + ",".join(f"{canonical(key)}:{canonical(value[key])}" for key in keys) + "}"
    return "[" + ",".join(canonical(item) for item in value) + "]"


def digest(value: Any) -> str:
    """Return the digest of a JSON value."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()


def clips_digest(folder: Path) -> str:
    """Return the digest of a clip table, from its two files."""
    clips, videos = (pq.ParquetFile(folder / name).read() for name in ("clips.parquet", "clip_videos.parquet"))
    columns = ("video_code", "index", "start_frame", "stop_frame", "frame_indices")
    return digest(
        {
            "sampling": folder.name,
            "videos": videos["video_id"].to_pylist(),
            "fps": [canonical(value) for value in videos["fps"].to_pylist()],
            "fingerprints": videos["fingerprint"].to_pylist(),
            "rows": digest([clips[name].to_pylist() for name in columns]),
        }
    )


def rows_digest(folder: Path, rows: list[int]) -> str:
    """Return the digest of the clips in rows of a clip table."""
    clips = pq.ParquetFile(folder / "clips.parquet").read().slice(rows[0], rows[1] - rows[0])
    return digest([clips[name].to_pylist() for name in ("video_id", "start_frame", "stop_frame", "frame_indices")])


def fingerprint(content: bytes) -> str:
    """Return the fingerprint of a file."""
    tail = content[max(2**20, len(content) - 2**20) :]
    return hashlib.sha256(str(len(content)).encode() + content[: 2**20] + tail).hexdigest()


def crc32c(content: bytes) -> int:
    """Return the CRC-32C by its definition, bit by bit; slow."""
    register = 0xFFFFFFFF
    for byte in content:
        register ^= byte
        for _ in range(8):
            register = register >> 1 ^ (0x82F63B78 if register & 1 else 0)
    return register ^ 0xFFFFFFFF


# Values


def without_checksum(content: bytes) -> bytes:
    """Return bytes without the CRC-32C at their end, after comparing it."""
    (stored,) = struct.unpack("<I", content[-4:])
    assert google_crc32c.value(content[:-4]) == stored
    return content[:-4]


def decode_shard(content: bytes, chunks: int, dtype: np.dtype[Any]) -> list[np.ndarray | None]:
    """Return the values of each inner chunk of a shard, flat, in C order; None where it is absent."""
    entries = struct.unpack(f"<{2 * chunks}Q", without_checksum(content[-(16 * chunks + 4) :]))
    found: list[np.ndarray | None] = []
    for offset, length in zip(entries[::2], entries[1::2], strict=True):
        if offset == length == 2**64 - 1:
            found.append(None)
            continue
        frame = without_checksum(content[offset : offset + length])
        decoded_size, frame_size = struct.unpack("<I", frame[4:8]) + struct.unpack("<I", frame[12:16])
        values = np.frombuffer(blosc.decompress(frame), dtype)
        assert (decoded_size, frame_size) == (values.nbytes, len(frame))
        found.append(values)
    return found


def read_array(store: Path, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Return all values of an array, NaN where none is known, and which rows are written; check all that must be."""
    attributes = json.loads((store / "zarr.json").read_text(encoding="utf-8"))["attributes"]["vadprobe"]
    spec, backbone = attributes["spec"], attributes["spec"]["backbone"]
    assert (
        attributes["format_version"]
        == spec["format_version"]
        == (2 if "block_heads" in backbone or not backbone["n_heads"] else 1)
    )
    assert digest(spec) == attributes["digest"]
    assert clips_digest(store.parents[1]) == spec["clips_digest"]
    rows = attributes["partition_rows"]
    terms = {"n_clips": spec["n_clips"], "n_layers + 1": backbone["n_layers"] + 1, "rows": rows, **backbone}
    _, dims, *shapes = next(row for row in table("array") if row[0] == name)
    shape, shard, chunk = ([int(terms.get(term, term)) for term in row.split(", ")] for row in shapes)
    dtype = np.dtype(column("values")[backbone["dtype"]]).newbyteorder("<")
    n_chunks = prod(shard) // prod(chunk)
    values, written = np.full(shape, np.nan, dtype), np.zeros(shape[0], bool)
    for number, start in enumerate(range(0, shape[0], rows)):
        record = read_record(store, number, attributes)
        if record is None:
            continue
        stop = min(start + rows, shape[0])
        written[start:stop] = [str(row) not in record["failures"] for row in range(start, stop)]
        path = store.joinpath(name, "c", str(number), *["0"] * (len(dims.split(", ")) - 1))
        content = path.read_bytes() if path.exists() else b""
        assert len(content) == record["shards"][name]["bytes"]
        assert (hashlib.sha256(content).hexdigest() if content else None) == record["shards"][name]["sha256"]
        block = values[start:stop].reshape(stop - start, n_chunks, -1)
        for position, found in enumerate(decode_shard(content, n_chunks, dtype) if content else []):
            if found is not None:
                block[:, position] = found.reshape(rows, -1)[: stop - start]
    return values, written


def read_record(store: Path, number: int, attributes: dict[str, Any]) -> dict[str, Any] | None:
    """Return the record of a partition; None if it does not count."""
    path = store.with_name(f"{store.name.removesuffix('.zarr')}.records") / f"{number:06d}.json"
    if not path.exists():
        return None
    record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    contents = attributes.get("contents")
    known = (
        record["digest"] == digest({key: value for key, value in record.items() if key != "digest"})
        and record["partition"] == number
        and record["spec_digest"] == attributes["digest"]
        and record.get("contents_digest") == (None if contents is None else digest(contents))
    )
    return record if known else None
