"""The files of a store that was just planned: metadata and coordinates, with a checksum of each in its header.

Features are not among them. The checksums tell damage from what another version of a library writes.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from vadprobe.store.files.digests import digest_json
from vadprobe.store.files.location import StorePath
from vadprobe.store.format.clip_table import ClipTable
from vadprobe.store.format.layout import clips_of
from vadprobe.store.format.schema import ANSWERS, COORDINATES, codecs, coordinates, storage_dtype
from vadprobe.store.format.specification import FeatureSpec
from vadprobe.store.format.store_header import ATTRIBUTE
from vadprobe.store.format.stored_parts import StoredParts

CLIP_FILES = ("clip_videos.parquet", "clips.parquet")
"""The files of the clip table, which a store's checksums cover as well."""

Files = dict[str, bytes]
"""Contents of files by path below the store, with '/' between its parts."""


def planned_files(path: StorePath, spec: FeatureSpec, clips: ClipTable, contents: StoredParts) -> Files:
    """Return all files of the empty store at `path`, whose clip table must lie in its place already."""
    files = _group_files(spec, clips, contents)
    document = json.loads(files.pop("zarr.json"))
    covered = {**files, **{name: covered_path(path, name).read_bytes() for name in CLIP_FILES}}
    document["attributes"][ATTRIBUTE]["checksums"] = _checksums(covered)
    return {"zarr.json": as_zarr_writes(document), **files}


def covered_names(spec: FeatureSpec, contents: StoredParts) -> frozenset[str]:
    """Return the names of all files that a store's checksums cover: paths as in `Files`, and `CLIP_FILES`."""
    arrays = {f"{array.name}/zarr.json" for array in contents.arrays(spec)}
    return frozenset(
        arrays | {f"{name}/{file}" for name in COORDINATES for file in ("zarr.json", "c/0")} | {*CLIP_FILES}
    )


def covered_path(store: StorePath, name: str) -> StorePath:
    """Return the file that a store's checksums call `name`: below the store, or beside its clip table."""
    return clips_of(store).with_name(name) if name in CLIP_FILES else store / name


def sha256(content: bytes) -> str:
    """Return the SHA-256 of some bytes in hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()


def are_intact(checksums: Any, names: frozenset[str]) -> bool:
    """Return whether a header's checksums cover exactly these files and have the digest that they name."""
    if not isinstance(checksums, dict) or not isinstance(checksums.get("files"), dict):
        return False
    return bool(checksums["files"].keys() == names) and bool(
        checksums == {"files": checksums["files"], "digest": digest_json(checksums["files"])}
    )


def as_zarr_writes(content: dict[str, Any]) -> bytes:
    """Return metadata in the form in which Zarr writes them."""
    return json.dumps(content, indent=2).encode()


def _checksums(files: Mapping[str, bytes]) -> dict[str, Any]:
    found = {name: sha256(files[name]) for name in sorted(files)}
    return {"files": found, "digest": digest_json(found)}


def _group_files(spec: FeatureSpec, clips: ClipTable, contents: StoredParts) -> Files:
    """Return the files of the group, which Zarr creates in memory."""
    import zarr  # noqa: PLC0415 - takes longer to import than most commands take to run
    from zarr.abc.buffer import Buffer  # noqa: PLC0415
    from zarr.storage import MemoryStore  # noqa: PLC0415

    written: dict[str, Buffer] = {}
    header = {
        "format_version": spec.format_version,
        "spec": spec.to_json(),
        "digest": spec.digest,
        "clips_digest": clips.digest,
        "partition_rows": contents.partition_rows,
        "state": "open",
        **({} if contents.is_complete else {"contents": contents.to_json()}),
    }
    group = zarr.create_group(MemoryStore(written), zarr_format=3, attributes={ATTRIBUTE: header})
    for array in contents.arrays(spec):
        group.create_array(
            array.name,
            shape=array.shape,
            dtype=storage_dtype(spec.backbone.dtype),
            chunks=array.chunk,
            shards=array.shard,
            compressors=codecs(spec.backbone.dtype),
            fill_value=float("nan"),
            dimension_names=array.dims,
            attributes={"description": array.prose, "values": spec.backbone.dtype},
            config={"write_empty_chunks": True},
        )
    for name, (dimension, values) in coordinates(spec, clips).items():
        group.create_array(
            name,
            data=values,
            chunks=values.shape,
            compressors=codecs("float32"),
            fill_value=-1,  # no coordinate is negative, so a lost chunk is seen
            dimension_names=(dimension,),
            attributes={"description": f"0 is {ANSWERS[0]}, 1 is {ANSWERS[1]}."} if name == "answer_code" else {},
            config={"write_empty_chunks": True},
        )
    return {name: buffer.to_bytes() for name, buffer in sorted(written.items())}
