"""Creating the empty Zarr group of a planned store."""

import os
import shutil
from pathlib import Path

import numpy as np
import zarr

from vadprobe.store.clips import ClipTable
from vadprobe.store.group_files import ATTRIBUTE
from vadprobe.store.layout import records_of
from vadprobe.store.records import FORMAT_VERSION, FeatureSpec
from vadprobe.store.schema import ANSWERS, PARTITION_ROWS, codecs, feature_arrays, storage_dtype


def create_group(path: Path, spec: FeatureSpec, clips: ClipTable) -> None:
    """Build the empty group aside and rename it: a plan that is killed leaves no half-made store."""
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
                "partition_rows": PARTITION_ROWS,
                "state": "open",
            }
        },
    )
    for array in feature_arrays(spec.backbone, spec.n_clips):
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
    coordinates: dict[str, np.ndarray] = {
        "clip": np.arange(len(clips), dtype=np.int64),
        "layer": np.arange(spec.backbone.n_layers + 1, dtype=np.int32),
        "block": np.arange(spec.backbone.n_layers, dtype=np.int32),
    }
    for name, values in coordinates.items():
        group.create_array(name, data=values, chunks=values.shape, dimension_names=(name,))
    group.create_array("video_code", data=clips.video_codes, chunks=clips.video_codes.shape, dimension_names=("clip",))
    group.create_array(
        "answer_code",
        data=np.arange(len(ANSWERS), dtype=np.int32),
        chunks=(len(ANSWERS),),
        dimension_names=("answer",),
        attributes={"description": f"0 is {ANSWERS[0]}, 1 is {ANSWERS[1]}."},
    )
    records_of(path).mkdir(parents=True, exist_ok=True)
    try:
        aside.rename(path)
    except OSError:
        # Another worker planned the same store in between; whether it is the same is checked by the caller.
        shutil.rmtree(aside, ignore_errors=True)
        if not path.exists():
            raise
