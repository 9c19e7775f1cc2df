"""Reading shards directly: bit for bit what zarr-python reads, and every kind of damage is an error with a name."""

import json
import re

import google_crc32c
import numpy as np
import pytest
import zarr
from hypothesis import given
from hypothesis import strategies as st
from zarr.codecs import BloscCodec, Crc32cCodec, GzipCodec

from tests.support.builders import BACKBONE, FEATURES, committed_store
from tests.support.profiles import laws
from vadprobe.store.errors import StoreError
from vadprobe.store.files.zarr_arrays import open_array
from vadprobe.store.format.partition_records import read_record, shard_path
from vadprobe.store.format.schema import feature_arrays
from vadprobe.store.format.shard_format import index_bytes
from vadprobe.store.reading import feature_store as reader_module
from vadprobe.store.reading.byte_sources import LocalFiles
from vadprobe.store.reading.feature_store import FeatureStore
from vadprobe.store.reading.shard_layout import ShardLayout
from vadprobe.store.reading.shard_reader import ShardReader
from vadprobe.store.reading.shard_rows import ShardRows

N_CLIPS = 300
FAILURES = {3: "the decoder was killed", 260: "the file is damaged"}
ROWS = st.lists(st.integers(0, N_CLIPS - 1), max_size=12) | st.builds(
    lambda a, b: list(range(min(a, b), max(a, b))), st.integers(0, N_CLIPS), st.integers(0, N_CLIPS)
)
PARTS = {
    "hidden_states": st.lists(st.tuples(st.integers(0, BACKBONE.n_layers)), min_size=1, max_size=4),
    "head_outputs": st.lists(
        st.tuples(st.integers(0, BACKBONE.n_layers - 1), st.integers(0, BACKBONE.n_heads - 1)), min_size=1, max_size=7
    )
    | st.lists(st.tuples(st.integers(0, BACKBONE.n_layers - 1)), min_size=1, max_size=4)
    | st.just([()]),
    "answer_logits": st.just([()]),
}


@pytest.fixture(scope="module", params=["bfloat16", "float16", "float32"])
def store(request, tmp_path_factory):
    writer = committed_store(tmp_path_factory.mktemp(request.param), N_CLIPS, request.param, FAILURES)
    return FeatureStore.open(writer.path)


def _bits(values):
    return np.ascontiguousarray(values).view(f"u{values.dtype.itemsize}")


def array_of(store, name, rows):
    """An array as Zarr opens it, its layout, and the shards that hold some rows."""
    array = open_array(store.path, name)
    declared = next(a for a in feature_arrays(store.spec.backbone, N_CLIPS) if a.name == name)
    return array, ShardLayout.of(array.metadata.to_dict()), store._shards(declared, rows)


@laws(60, short=30)
@given(data=st.data(), name=st.sampled_from(FEATURES), rows=ROWS, threads=st.integers(1, 3))
def test_any_rows_and_parts_have_the_bits_that_zarr_reads(store, data, name, rows, threads):
    parts = data.draw(PARTS[name])
    rows = np.array(rows, dtype=np.int64)
    array, layout, shards = array_of(store, name, rows)
    found = np.zeros((len(rows), len(parts), *array.shape[1 + len(parts[0]) :]), array.dtype)
    source = LocalFiles()
    source.threads = threads
    ShardReader(source, layout).read(shards, parts, found)
    everything = np.asarray(array[:])
    wanted = np.stack([everything[(rows, *part)] for part in parts], axis=1)
    np.testing.assert_array_equal(_bits(found), _bits(wanted), strict=True)


def test_the_store_takes_this_way(store, monkeypatch):
    def refuse(*_):
        raise AssertionError("the store was read by Zarr")

    monkeypatch.setattr(FeatureStore, "_read_by_zarr", refuse)
    assert store.hidden_states(np.arange(N_CLIPS), [0]).shape == (N_CLIPS, 1, BACKBONE.hidden_size)


def test_another_layout_is_read_by_zarr_with_the_same_values(store, monkeypatch):
    rows = np.array([299, 3, 3, 17, 256])
    direct = store.head_outputs(rows, [(1, 2), (0, 0)])
    monkeypatch.setattr(reader_module.ShardLayout, "of", classmethod(lambda *_: None))
    np.testing.assert_array_equal(_bits(store.head_outputs(rows, [(1, 2), (0, 0)])), _bits(direct), strict=True)


def _array(path, compressors, chunk=(4, 1, 5)):
    values = np.random.default_rng(0).standard_normal((13, 3, 5)).astype(np.float32)
    array = zarr.create_array(
        path, shape=values.shape, dtype="float32", chunks=chunk, shards=(8, 3, 5), compressors=compressors,
        fill_value=float("nan"), config={"write_empty_chunks": True},
    )  # fmt: skip
    array[:] = values
    return array, values


def _shards(path, rows, count=8):
    found = []
    for number in np.unique(rows // count).tolist():
        file = path / "c" / str(number) / "0" / "0"
        targets = np.flatnonzero(rows // count == number)
        size = file.stat().st_size if file.exists() else 1
        found.append(ShardRows(str(file), number, size, rows[targets] - number * count, targets))
    return found


@pytest.mark.parametrize(
    "compressors", [None, [Crc32cCodec()], [BloscCodec()], [BloscCodec(cname="zstd"), Crc32cCodec()]]
)
@pytest.mark.parametrize("chunk", [(4, 1, 5), (8, 1, 1), (2, 3, 5), (8, 1, 5), (1, 1, 5)])
def test_other_chunks_and_codecs_of_the_same_kind(tmp_path, compressors, chunk):
    """Chunks of fewer rows than the shard has, of several parts or of a piece of one, with and without each codec."""
    array, values = _array(tmp_path, compressors, chunk)
    layout = ShardLayout.of(array.metadata.to_dict())
    for rows in (np.arange(13), np.array([12, 0, 3, 4, 4, 11, 5])):
        for parts in ([(2,), (0,), (2,)], [(1,)], [()], [(0, 3), (2, 0)]):
            found = np.empty((len(rows), len(parts), *values.shape[1 + len(parts[0]) :]), np.float32)
            ShardReader(LocalFiles(), layout).read(_shards(tmp_path, rows), parts, found)
            np.testing.assert_array_equal(found, np.stack([values[(rows, *part)] for part in parts], 1), strict=True)


def test_what_is_not_known_is_left_to_zarr(tmp_path):
    assert ShardLayout.of({}) is None
    for number, codecs in enumerate([[GzipCodec()], [Crc32cCodec(), BloscCodec()]]):
        array, _ = _array(tmp_path / str(number), codecs)
        assert ShardLayout.of(array.metadata.to_dict()) is None
    plain = zarr.create_array(tmp_path / "plain", shape=(8,), dtype="float32", chunks=(4,), compressors=None)
    assert ShardLayout.of(plain.metadata.to_dict()) is None
    assert ShardLayout.of(_array(tmp_path / "split", None, chunk=(4, 3, 1))[0].metadata.to_dict()) is None
    good = json.loads((tmp_path / "split" / "zarr.json").read_text())
    good["codecs"][0]["configuration"]["chunk_shape"] = [4, 1, 5]
    assert ShardLayout.of(good) is not None
    to_bytes = good["codecs"][0]["configuration"]["codecs"][0]
    for key, value in (("index_location", "start"), ("index_codecs", [to_bytes])):
        metadata = json.loads(json.dumps(good))
        metadata["codecs"][0]["configuration"][key] = value
        assert ShardLayout.of(metadata) is None
    for key, value in [("data_type", "int32"), ("storage_transformers", [{"name": "x"}]), ("zarr_format", 2)]:
        assert ShardLayout.of(good | {key: value}) is None


# Damage


@pytest.fixture
def damaged(tmp_path):
    """Read a store's partition 1 after its head shard was replaced, with the record that fits the new size."""
    writer = committed_store(tmp_path, N_CLIPS)
    declared = next(a for a in feature_arrays(BACKBONE, N_CLIPS) if a.name == "head_outputs")
    shard = shard_path(writer.path, declared, 1)
    layout = ShardLayout.of(open_array(writer.path, "head_outputs").metadata.to_dict())

    def read(change, words, size=None):
        content = change(bytearray(shard.read_bytes()))
        shard.write_bytes(content)
        rows = np.array([0, 5])
        wanted = ShardRows(str(shard), 1, len(content) if size is None else size, rows, rows)
        place = rf"{re.escape(str(shard))} \(partition 1\): .*" if size is None else rf"{re.escape(str(shard))} is "
        with pytest.raises(StoreError, match=place + words):
            ShardReader(LocalFiles(), layout).read([wanted], [(1, 2)], np.empty((2, 1, BACKBONE.head_dim), np.float32))

    read.record = read_record(writer.path, 1)["shards"]["head_outputs"]["bytes"]
    read.index_bytes, read.entry = index_bytes(layout.grid), (1 * BACKBONE.n_heads + 2) * 16
    return read


def _index(damaged, content):
    """The index of a shard, and in it the entry (offset, length) of the wanted chunk."""
    index = np.frombuffer(bytes(content[-damaged.index_bytes : -4]), "<u8").copy()
    return index, index[damaged.entry // 8 : damaged.entry // 8 + 2]


def _checksum(content):
    return google_crc32c.value(bytes(content)).to_bytes(4, "little")


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (
            lambda offset, length: (2**63, length),
            r"its index puts chunk \(0, 1, 2, 0\) at bytes 9223372036854775808",
        ),
        (lambda offset, length: (2**64 - 1, 2**64 - 1), r"it holds no chunk \(0, 1, 2, 0\)"),
        (lambda offset, length: (offset - 1, length), r"chunk \(0, 1, 2, 0\): its checksum does not agree"),
    ],
)
def test_an_index_that_points_elsewhere_with_a_checksum_that_fits(damaged, edit, words):
    def change(content):
        index, entry = _index(damaged, content)
        entry[:] = edit(*map(int, entry))
        return bytes(content[: -damaged.index_bytes]) + index.tobytes() + _checksum(index.tobytes())

    damaged(change, words)


def test_a_damaged_index(damaged):
    def flip(content):
        content[-20] ^= 1
        return content

    damaged(flip, "the checksum of its index does not agree")


@pytest.mark.parametrize("count", [0, 3, 50])
def test_a_shard_shorter_than_recorded(damaged, count):
    damaged(
        lambda content: content[:count], rf"damaged: {count} bytes, its record says {damaged.record}", damaged.record
    )


def test_a_shard_shorter_than_its_index(damaged):
    damaged(lambda content: content[:50], "it has 50 bytes, fewer than its index alone")


def test_a_chunk_of_another_decoded_size(damaged):
    """Both checksums fit, but what is compressed is not a chunk."""

    def other(content):
        start, length = map(int, _index(damaged, content)[1])
        stop = start + length
        content[start + 4] ^= 4
        content[stop - 4 : stop] = _checksum(content[start : stop - 4])
        return content

    damaged(other, r"chunk \(0, 1, 2, 0\): its header must name \d+ bytes that decode to 4096, got")


def test_a_source_that_fails_or_ends_early(store):
    class Failing(LocalFiles):
        def read(self, path, ranges):
            raise OSError("input/output error")

    class Short(LocalFiles):
        def read(self, path, ranges):
            return [found[:-1] for found in super().read(path, ranges)]

    array, layout, shards = array_of(store, "answer_logits", np.arange(N_CLIPS))
    for source, words in ((Failing(), r"\(partition 0\): .*input/output error"), (Short(), "bytes came back")):
        with pytest.raises(StoreError, match=words):
            ShardReader(source, layout).read(shards, [()], np.empty((N_CLIPS, 1, 2), array.dtype))


def test_a_file_that_ends_while_it_is_read(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"0123456789")
    assert LocalFiles().read(str(path), [(2, 4), (0, 10)]) == [b"23", b"0123456789"]
    with pytest.raises(OSError, match="the file ends at byte 10, before byte 12"):
        LocalFiles().read(str(path), [(8, 12)])
    assert LocalFiles().tail(str(path), 3) == (10, b"789")
    assert LocalFiles().tail(str(path), 30) == (10, b"0123456789")
    assert LocalFiles().tail(str(tmp_path / "none"), 3) is None


def test_a_result_with_gaps_is_refused(store):
    layout = ShardLayout.of(open_array(store.path, "answer_logits").metadata.to_dict())
    with pytest.raises(ValueError, match="not C-contiguous"):
        ShardReader(LocalFiles(), layout).read([], [()], np.empty((4, 1, 4), np.float32)[..., ::2])


def test_a_partition_of_failures_has_no_shard_and_reads_as_nan(tmp_path):
    failures = dict.fromkeys(range(256, N_CLIPS), "the disk was away")
    store = FeatureStore.open(committed_store(tmp_path, N_CLIPS, failures=failures).path)
    values = store.blocks(np.array([299, 0, 256]), [0])
    assert np.isnan(values).all(axis=(1, 2, 3)).tolist() == [True, False, True]


def test_neighbours_are_read_together_and_others_apart(store):
    class Counting(LocalFiles):
        gap_bytes = 0

        def __init__(self):
            self.ranges = []

        def read(self, path, ranges):
            self.ranges += ranges
            return super().read(path, ranges)

    _, layout, shards = array_of(store, "head_outputs", np.arange(10))
    shape = (10, 1, BACKBONE.n_layers, BACKBONE.n_heads, BACKBONE.head_dim)
    whole = Counting()
    ShardReader(whole, layout).read(shards, [()], np.empty(shape, layout.dtype))
    assert len(whole.ranges) == 1  # all chunks at once; the index is the tail
    one = Counting()
    ShardReader(one, layout).read(shards, [(1, 1)], np.empty((10, 1, BACKBONE.head_dim), layout.dtype))
    assert len(one.ranges) == 1
    assert sum(stop - start for start, stop in one.ranges) < sum(stop - start for start, stop in whole.ranges)
