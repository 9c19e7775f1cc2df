"""Creating the empty Zarr group of a planned store."""

import os
import shutil
from pathlib import Path

import zarr

from vadprobe.store.errors import StoreError
from vadprobe.store.files.atomic_files import sync
from vadprobe.store.files.locks import sole_planner
from vadprobe.store.format.clip_table import ClipTable
from vadprobe.store.format.layout import records_of
from vadprobe.store.format.provenance import ATTRIBUTE
from vadprobe.store.format.schema import ANSWERS, codecs, coordinates, storage_dtype
from vadprobe.store.format.specification import FORMAT_VERSION, FeatureSpec
from vadprobe.store.format.stored_parts import EVERYTHING, StoredParts


def create_group(path: Path, spec: FeatureSpec, clips: ClipTable, contents: StoredParts = EVERYTHING) -> None:
    """Build the empty group aside and rename it: a plan that is killed leaves no half-made store.

    Records of a store that was removed are deleted first, so that they never count for the new one. When another
    worker created a store there in between, nothing is done; whether it is the same is for the caller to check.

    Raises:
        StoreError: if the file system refuses, for example because it is full.
    """
    try:
        with sole_planner(path.parent):
            if path.exists():
                return
            if records_of(path).exists():
                shutil.rmtree(records_of(path))
            records_of(path).mkdir(parents=True)
            aside = _build(path, spec, clips, contents)
            aside.rename(path)
            sync(path.parent)
    except OSError as error:
        raise StoreError(
            f"the store {path} cannot be created: {error.strerror or error}. Check free space and permissions, then "
            "plan again; there is no half-made store in the way."
        ) from error


def _build(path: Path, spec: FeatureSpec, clips: ClipTable, contents: StoredParts) -> Path:
    aside = path.with_name(f"{path.name}.{os.getpid()}.partial")
    shutil.rmtree(aside, ignore_errors=True)
    group = zarr.create_group(
        aside,
        zarr_format=3,
        attributes={
            ATTRIBUTE: {
                "format_version": FORMAT_VERSION,
                "spec": spec.to_json(),
                "digest": spec.digest,
                "clips_digest": clips.digest,
                "partition_rows": contents.partition_rows,
                "state": "open",
                **({} if contents.is_complete else {"contents": contents.to_json()}),
            }
        },
    )
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
    for created in (*aside.rglob("*"), aside):
        sync(created)
    return aside
