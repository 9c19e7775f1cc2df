"""Other programs that open stores: zarr, xarray, Dask, tensorstore and DuckDB give the values that were written.

Warnings are errors here as in every test, so none of them warns.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import dask
import dask.array
import numpy as np
import pytest
import zarr

from tests.support import format_page
from tests.support.builders import (
    BACKBONE,
    FEATURES,
    all_features,
    clip_table,
    committed_store,
    feature_spec,
    features,
    planned_store,
    store_path,
)
from vadprobe.store.datasets.probed_videos import VideoFacts, write_video_facts
from vadprobe.store.errors import StoreError
from vadprobe.store.format.partition_records import shard_path
from vadprobe.store.format.schema import ArraySpec, codecs, compression, feature_arrays, storage_dtype
from vadprobe.store.format.stored_parts import StoredParts
from vadprobe.store.reading.feature_store import FeatureStore
from vadprobe.store.writing.shard_writer import encode_shard
from vadprobe.store.writing.writer import StoreWriter, plan

DTYPES = ("bfloat16", "float16", "float32")
N_CLIPS = 600  # three partitions, the last one short
FAILURES = {3: "a frame is broken", 599: "another"}
COORDINATES = ("clip", "layer", "block", "video_code", "answer_code")


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    """A store of each dtype, with rows that failed."""
    root = tmp_path_factory.mktemp("stores")
    return {dtype: committed_store(root / dtype, N_CLIPS, dtype, FAILURES) for dtype in DTYPES}


@pytest.fixture(scope="module")
def many_heads(tmp_path_factory):
    """A store of 5 partitions with 60 inner chunks in a shard of heads."""
    writer = planned_store(tmp_path_factory.mktemp("heads"), 1100, backbone=replace(BACKBONE, n_layers=6, n_heads=10))
    for partition in range(writer.n_partitions):
        writer.write_partition(partition, features(writer.spec, partition))
    writer.commit()
    return writer


def bits(values: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(values).view(f"u{values.dtype.itemsize}")


def open_by_zarr(path: Path) -> np.ndarray:
    return np.asarray(zarr.open_array(path, mode="r")[...])


def open_by_tensorstore(path: Path) -> np.ndarray:
    tensorstore = pytest.importorskip("tensorstore", reason="tensorstore is not installed")
    where = {"driver": "zarr3", "kvstore": {"driver": "file", "path": str(path)}}
    return np.asarray(tensorstore.open(where, open=True, read=True).result().read().result())


def open_by_xarray(path: Path) -> np.ndarray:
    xarray = pytest.importorskip("xarray", reason="xarray is not installed")
    return np.asarray(xarray.open_zarr(path.parent, consolidated=False, chunks=None)[path.name].values)


def open_by_dask(path: Path) -> np.ndarray:
    node = zarr.open_array(path, mode="r")
    return np.asarray(dask.array.from_zarr(node, chunks=node.shards or node.chunks).compute(scheduler="synchronous"))


READERS = {"zarr": open_by_zarr, "tensorstore": open_by_tensorstore, "xarray": open_by_xarray, "dask": open_by_dask}


# Every array, every reader


@pytest.mark.parametrize("name", FEATURES)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("reader", READERS)
def test_every_reader_gives_the_bits_that_were_written(stores, reader, dtype, name):
    found = READERS[reader](stores[dtype].path / name)
    wanted = all_features(stores[dtype].spec, name, FAILURES)
    assert (found.dtype, found.shape) == (wanted.dtype, wanted.shape)
    np.testing.assert_array_equal(bits(found), bits(wanted))


@pytest.mark.parametrize("name", COORDINATES)
@pytest.mark.parametrize("reader", READERS)
def test_every_reader_gives_the_coordinates(stores, reader, name):
    clips = stores["bfloat16"].clips
    wanted = {"clip": np.arange(N_CLIPS), "layer": np.arange(3), "block": np.arange(2), "answer_code": np.arange(2)}
    wanted["video_code"] = clips.video_codes
    np.testing.assert_array_equal(READERS[reader](stores["bfloat16"].path / name), wanted[name])


@pytest.mark.parametrize("reader", READERS)
def test_every_reader_gives_nan_for_what_a_partial_store_does_not_hold(tmp_path, reader):
    clips = clip_table(300)
    spec = feature_spec(clips)
    writer = plan(store_path(tmp_path, spec), spec, clips, StoredParts.of(spec.backbone, 300, [2], [(1, 1)], False))
    writer.write_partition(0, features(spec, 0))
    hidden, heads, answers = (READERS[reader](writer.path / name) for name in FEATURES)
    np.testing.assert_array_equal(hidden[:256, 2], features(spec, 0).hidden_states[:, 2])
    np.testing.assert_array_equal(heads[:256, 1, 1], features(spec, 0).head_outputs[:, 1, 1])
    assert np.isnan(hidden[:, :2]).all()
    assert np.isnan(heads[:256].reshape(256, 6, -1)[:, [0, 1, 2, 3, 5]]).all()
    assert np.isnan(answers).all()
    assert np.isnan(hidden[256:]).all(), "a partition that was never written"


@pytest.mark.parametrize("place", ["chunk", "index"])
@pytest.mark.parametrize("reader", READERS)
def test_every_reader_finds_a_flipped_bit(tmp_path, reader, place):
    store = committed_store(tmp_path, 300)
    shard = shard_path(store.path, feature_arrays(BACKBONE, 300)[0], 1)
    content = bytearray(shard.read_bytes())
    content[30 if place == "chunk" else -10] ^= 1
    shard.write_bytes(content)
    with pytest.raises(ValueError, match=r"(?i)checksum|digest mismatch|blosc"):
        READERS[reader](store.path / "hidden_states")


@pytest.mark.parametrize("reader", READERS)
def test_no_reader_but_ours_misses_a_shard(tmp_path, reader):
    """Why FORMAT.md wants the records to be looked at."""
    store = committed_store(tmp_path, 300)
    shard_path(store.path, feature_arrays(BACKBONE, 300)[0], 1).unlink()
    found = READERS[reader](store.path / "hidden_states")
    assert np.flatnonzero(np.isnan(found).all(axis=(1, 2))).tolist() == list(range(256, 300))
    with pytest.raises(StoreError, match="is missing"):
        FeatureStore.open(store.path).hidden_states(np.arange(300), [0])


# Bit patterns


ARRAY = ArraySpec(
    "head_outputs", ("clip", "block", "head", "head_dim"), (256, 2, 1, 128), (256, 2, 1, 128), (256, 1, 1, 128), ""
)


def patterns(dtype: str) -> np.ndarray:
    """Every bit pattern of two bytes, or random ones of four, in the carrier dtype; infinities and NaN payloads too."""
    every = np.arange(1 << 16, dtype=np.uint32)
    if dtype == "bfloat16":
        found = every << 16
    elif dtype == "float16":
        found = every.astype(np.uint16)
    else:
        found = np.random.default_rng(0).integers(0, 1 << 32, 1 << 16, dtype=np.uint32)
        found[:4096] |= np.uint32(0x7F800000)  # infinities and NaN of any payload
    return found.view(storage_dtype(dtype)).reshape(ARRAY.shape)


def written_by_zarr(node: "zarr.Array[Any]", path: Path, values: np.ndarray, dtype: str) -> None:
    node[...] = values


def written_by_us(node: "zarr.Array[Any]", path: Path, values: np.ndarray, dtype: str) -> None:
    shard = shard_path(path.parent, ARRAY, 0)
    shard.parent.mkdir(parents=True)
    shard.write_bytes(b"".join(encode_shard(ARRAY, values, np.ones(2, bool), compression(dtype))))


def read_by_the_page(path: Path) -> np.ndarray:
    node = zarr.open_array(path, mode="r")
    found = format_page.decode_shard(shard_path(path.parent, ARRAY, 0).read_bytes(), 2, node.dtype)
    return np.stack([chunk.reshape(256, 1, 128) for chunk in found if chunk is not None], axis=1)


Write = Callable[["zarr.Array[Any]", Path, np.ndarray, str], None]


@pytest.mark.parametrize("write", [written_by_zarr, written_by_us])
@pytest.mark.parametrize("dtype", DTYPES)
def test_every_bit_pattern_survives_every_writer_and_reader(tmp_path, dtype, write: Write):
    values, path = patterns(dtype), tmp_path / ARRAY.name
    zarr.create_group(tmp_path)
    node = zarr.create_array(
        path, shape=ARRAY.shape, chunks=ARRAY.chunk, shards=ARRAY.shard, dtype=storage_dtype(dtype),
        compressors=codecs(dtype), fill_value=float("nan"), dimension_names=ARRAY.dims,
    )  # fmt: skip
    write(node, path, values, dtype)
    for name, read in {**READERS, "page": read_by_the_page}.items():
        np.testing.assert_array_equal(bits(read(path)), bits(values), err_msg=name)
    if dtype != "float32":
        assert len(np.unique(bits(values))) == 65_536


# xarray and Dask


def test_xarray_names_dimensions_and_selects_by_them(stores):
    xarray = pytest.importorskip("xarray", reason="xarray is not installed")
    store = stores["bfloat16"]
    found = xarray.open_zarr(store.path, consolidated=False)
    for array in feature_arrays(BACKBONE, N_CLIPS):
        assert found[array.name].dims == array.dims
        assert found[array.name].attrs == {"description": array.prose, "values": "bfloat16"}
    assert {name: coordinate.dims for name, coordinate in found.coords.items()} == {
        "clip": ("clip",), "layer": ("layer",), "block": ("block",)
    }  # fmt: skip
    assert set(found.data_vars) == {*FEATURES, "video_code", "answer_code"}
    assert found.attrs["vadprobe"]["digest"] == store.spec.digest
    heads, hidden = (all_features(store.spec, name, FAILURES) for name in ("head_outputs", "hidden_states"))
    np.testing.assert_array_equal(found.head_outputs.sel(block=1, head=2).values, heads[:, 1, 2])
    np.testing.assert_array_equal(
        found.hidden_states.sel(layer=[2, 0], clip=slice(250, 260)).values, hidden[250:261, [2, 0]]
    )
    with pytest.raises(KeyError):
        found.head_outputs.sel(block=2)


def n_tasks(array: Any) -> int:
    return len(dask.optimize(array)[0].__dask_graph__())


def test_the_recommended_calls_make_one_task_per_shard(many_heads):
    xarray = pytest.importorskip("xarray", reason="xarray is not installed")
    found = xarray.open_zarr(many_heads.path, consolidated=False, chunks=None).chunk(clip=256)
    for name in FEATURES:
        node = zarr.open_array(many_heads.path / name, mode="r")
        for array in (found[name].data, dask.array.from_zarr(node, chunks=node.shards)):
            assert array.npartitions == many_heads.n_partitions
            assert n_tasks(array) <= many_heads.n_partitions + 2
    assert n_tasks(found.head_outputs.sel(block=5, head=9).data) <= 2 * many_heads.n_partitions + 2
    default = xarray.open_zarr(many_heads.path, consolidated=False)
    assert default.head_outputs.data.npartitions == 60 * many_heads.n_partitions


def test_the_recommended_calls_read_only_the_chunks_of_a_slice(tmp_path):
    xarray = pytest.importorskip("xarray", reason="xarray is not installed")
    writer = committed_store(tmp_path, 300)
    shard = shard_path(writer.path, feature_arrays(BACKBONE, 300)[1], 0)
    content = bytearray(shard.read_bytes())
    content[40] ^= 1  # in the first chunk, head 0 of block 0
    shard.write_bytes(content)
    node = zarr.open_array(writer.path / "head_outputs", mode="r")
    wanted = all_features(writer.spec, "head_outputs")[:, 1, 2]
    by_xarray = xarray.open_zarr(writer.path, consolidated=False, chunks=None).chunk(clip=256).head_outputs
    for array in (by_xarray.sel(block=1, head=2).data, dask.array.from_zarr(node, chunks=node.shards)[:, 1, 2]):
        np.testing.assert_array_equal(array.compute(scheduler="synchronous"), wanted)
    with pytest.raises(ValueError, match=r"(?i)checksum"):
        dask.array.from_zarr(node, chunks=node.shards)[:, 0, 0].compute(scheduler="synchronous")


# DuckDB


def query(text: str) -> list[tuple[Any, ...]]:
    duckdb = pytest.importorskip("duckdb", reason="DuckDB is not installed")
    return list(duckdb.sql(text).fetchall())


def test_duckdb_queries_clips_and_videos(stores, tmp_path):
    store: StoreWriter = stores["bfloat16"]
    folder, clips = store.path.parents[1], store.clips
    counted = query(f"SELECT video_id, count(*) FROM '{folder}/clips.parquet' GROUP BY ALL")
    assert dict(counted) == {f"video {number}": 100 for number in range(6)}
    frames = query(f"SELECT row, frame_indices, stop_frame - start_frame FROM '{folder}/clips.parquet' ORDER BY row")
    assert [row for row, _, _ in frames] == list(range(N_CLIPS))
    np.testing.assert_array_equal([shown for _, shown, _ in frames], clips.frame_indices)
    np.testing.assert_array_equal([length for _, _, length in frames], clips.stop_frames - clips.start_frames)
    longest = f"SELECT max(list_max(frame_indices) - list_min(frame_indices)) FROM '{folder}/clips.parquet'"
    assert query(longest) == [(int((clips.frame_indices[:, -1] - clips.frame_indices[:, 0]).max()),)]
    probes = [VideoFacts(name, "test", 2399, 25.0, "f") for name in clips.video_ids[1:]]
    videos = tmp_path / "videos.parquet"
    write_video_facts([VideoFacts("video 0", "train", None, None, "", "it is empty"), *probes], videos)
    assert query(f"SELECT video_id, reason FROM '{videos}' WHERE n_frames IS NULL") == [("video 0", "it is empty")]
    joined = f"""
        SELECT split, count(*) FROM '{folder}/clips.parquet' JOIN '{videos}' USING (video_id)
        JOIN '{folder}/clip_videos.parquet' USING (video_id) GROUP BY split ORDER BY split
    """
    assert query(joined) == [("test", 500), ("train", 100)]


@pytest.mark.skipif(zarr.__version__.startswith("3.1."), reason="zarr-python 3.2 brings the setting")
def test_a_plain_reader_can_ask_for_an_error_in_place_of_nan(tmp_path: Path) -> None:
    """FORMAT.md: a lost shard is NaN to plain readers of Zarr, unless they say that they want no missing chunk."""
    path = committed_store(tmp_path, 300).path / "hidden_states"
    (path / "c" / "1" / "0" / "0").unlink()
    with zarr.config.set({"array.read_missing_chunks": False}):
        array = zarr.open_array(path, mode="r")
        assert np.isfinite(np.asarray(array[:256])).all()
        with pytest.raises(Exception, match=r"(?i)chunk") as caught:
            _ = array[256:]
        assert type(caught.value).__name__ == "ChunkNotFoundError"
    assert np.isnan(np.asarray(zarr.open_array(path, mode="r")[256:])).all()
