"""Shards made directly are those that Zarr reads."""

import itertools
import json

import numpy as np
import pytest
import zarr
from hypothesis import given
from hypothesis import strategies as st
from numcodecs import blosc

from tests.support.profiles import laws
from vadprobe.store.errors import StoreError
from vadprobe.store.format.schema import ArraySpec, codecs, compression, feature_arrays, storage_dtype
from vadprobe.store.format.specification import BackboneSpec
from vadprobe.store.writing import shard_writer
from vadprobe.store.writing.shard_writer import encode_shard

KINDS = ("bfloat16", "float16", "float32")


def array_of(rows: int, n_rows: int, heads: int = 3, width: int = 4) -> ArraySpec:
    return ArraySpec(
        "head_outputs", ("clip", "block", "head", "head_dim"), (n_rows, 2, heads, width), (rows, 2, heads, width),
        (rows, 1, 1, width), "",
    )  # fmt: skip


def written(folder, array, values, held, kind, threads=2):
    """An array of one shard, read by Zarr."""
    node = zarr.create_array(
        folder, shape=array.shape, dtype=storage_dtype(kind), chunks=array.chunk, shards=array.shard,
        compressors=codecs(kind), fill_value=float("nan"), overwrite=True,
    )  # fmt: skip
    shard = folder.joinpath("c", *["0"] * len(array.shape))
    shard.parent.mkdir(parents=True, exist_ok=True)
    shard.write_bytes(b"".join(encode_shard(array, values, held, compression(kind), threads)))
    return np.asarray(node[:])


def bits(values: np.ndarray) -> np.ndarray:
    return values.view(np.uint16 if values.dtype == np.float16 else np.uint32)


HELD = st.lists(st.booleans(), min_size=6, max_size=6).map(np.array)


@laws(40, short=20)
@given(st.integers(1, 9), st.sampled_from(KINDS), HELD, st.integers(0, 2**32))
def test_zarr_reads_what_was_written_and_nan_elsewhere(tmp_path_factory, n_rows, kind, mask, seed):
    array, dtype = array_of(9, n_rows), storage_dtype(kind)
    raw = np.random.default_rng(seed).bytes(n_rows * 24 * dtype.itemsize)
    values = np.frombuffer(raw, dtype).reshape(array.shape)
    found = written(tmp_path_factory.mktemp("shard"), array, values, mask, kind)
    for number, (block, head) in enumerate(itertools.product(range(2), range(3))):
        if mask[number]:
            np.testing.assert_array_equal(bits(found[:, block, head]), bits(values[:, block, head]))
        else:
            assert np.isnan(found[:, block, head]).all()


@pytest.mark.parametrize("kind", ["bfloat16", "float16"])
def test_every_bit_pattern_comes_back(tmp_path, kind):
    patterns = np.arange(2**16, dtype=np.uint32).reshape(256, 2, 1, 128)
    values = (patterns << 16).view("f4") if kind == "bfloat16" else patterns.astype("u2").view("f2")
    found = written(tmp_path, array_of(256, 256, 1, 128), values, np.ones(2, bool), kind)
    np.testing.assert_array_equal(bits(found), bits(values))


def test_the_bytes_do_not_depend_on_the_threads():
    array = array_of(256, 200, 3, 2048)
    values = np.random.default_rng(0).standard_normal(array.shape).astype(np.float32)
    one, four = (b"".join(encode_shard(array, values, np.ones(6, bool), compression("float32"), n)) for n in (1, 4))
    assert one == four


def test_a_chunk_that_decodes_otherwise_stops_the_write(monkeypatch):
    array = array_of(4, 4)
    values = np.zeros(array.shape, np.float32)
    other = blosc.compress(np.ones((4, 1, 1, 4), np.float32), b"lz4", 5)
    monkeypatch.setattr(shard_writer.blosc, "compress", lambda *arguments, **options: other)
    with pytest.raises(StoreError, match="does not decompress to what was compressed"):
        encode_shard(array, values, np.ones(6, bool), compression("bfloat16"))


@pytest.mark.parametrize("shape", [(0, 2, 3, 4), (5, 2, 3, 4), (4, 2, 4, 4)])
def test_values_of_another_shape_are_a_mistake_of_the_caller(shape):
    with pytest.raises(ValueError, match="are no shard"):
        encode_shard(array_of(4, 4), np.zeros(shape, np.float32), np.ones(6, bool), compression("bfloat16"))


@pytest.mark.parametrize("kind", KINDS)
def test_the_settings_are_those_of_the_metadata(kind, tmp_path):
    """Compression here is that of the array's metadata."""
    backbone = BackboneSpec("toy", "toy", "x", "0", kind, "eager", 2, 3, 4, 6)
    array = feature_arrays(backbone, 5)[1]
    group = zarr.create_group(tmp_path)
    group.create_array(
        "a", shape=array.shape, dtype=storage_dtype(kind), chunks=array.chunk, shards=array.shard,
        compressors=codecs(kind), fill_value=float("nan"),
    )  # fmt: skip
    metadata = json.loads((tmp_path / "a" / "zarr.json").read_text())
    blosc_settings = metadata["codecs"][0]["configuration"]["codecs"][1]["configuration"]
    body = encode_shard(array, np.zeros(array.shape, storage_dtype(kind)), np.ones(6, bool), compression(kind))[0]
    assert blosc_settings["typesize"] == body[3]
    assert compression(kind).cname == blosc_settings["cname"]
    assert compression(kind).shuffle == blosc_settings["shuffle"]
    assert blosc.cbuffer_complib(body[:-4]).lower() == {"lz4": "lz4", "zstd": "zstd"}[compression(kind).cname]
