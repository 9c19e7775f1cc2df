"""Reading a store: any rows, layers and heads equal the arrays that were written; what is not there raises."""

import shutil

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support import builders
from tests.support.builders import BACKBONE, FEATURES, all_features, committed_store, edit_json, planned_store
from tests.support.profiles import laws
from vadprobe.store.errors import StoreError
from vadprobe.store.format.layout import clips_of, records_of
from vadprobe.store.format.partition_records import shard_path
from vadprobe.store.format.schema import feature_arrays
from vadprobe.store.reading.feature_store import FeatureStore

N_CLIPS = 300
FAILURES = {3: "the decoder was killed", 260: "the file is damaged"}
ROWS = st.lists(st.integers(0, N_CLIPS - 1), max_size=8).map(lambda rows: np.array(rows, dtype=np.int64))
LAYERS = st.lists(st.integers(0, BACKBONE.n_layers), min_size=1, max_size=3)
HEADS = st.lists(
    st.tuples(st.integers(0, BACKBONE.n_layers - 1), st.integers(0, BACKBONE.n_heads - 1)), min_size=1, max_size=3
)
READS = {
    "hidden_states": lambda store, rows: store.hidden_states(rows, range(BACKBONE.n_layers + 1)),
    "head_outputs": lambda store, rows: store.blocks(rows, range(BACKBONE.n_layers)),
    "answer_logits": lambda store, rows: store.answer_logits(rows),
}
moderate = laws(25, short=15)


@pytest.fixture(scope="module")
def writer(tmp_path_factory):
    return committed_store(tmp_path_factory.mktemp("committed"), N_CLIPS, failures=FAILURES)


@pytest.fixture(scope="module")
def store(writer):
    return FeatureStore.open(writer.path)


@pytest.fixture(scope="module")
def written(writer):
    """Return what was written, by array."""
    return {name: all_features(writer.spec, name, FAILURES) for name in FEATURES}


@pytest.fixture
def own(tmp_path, writer):
    """The path of a copy of the store that a test may damage."""
    shutil.copytree(writer.path.parents[3], tmp_path / "copy")
    return tmp_path / "copy" / writer.path.relative_to(writer.path.parents[3])


@moderate
@given(rows=ROWS, layers=LAYERS)
def test_hidden_states_of_any_rows_and_layers(store, written, rows, layers):
    found = store.hidden_states(rows, layers)
    np.testing.assert_array_equal(found, written["hidden_states"][rows][:, layers], strict=True)


@moderate
@given(rows=ROWS, heads=HEADS)
def test_outputs_of_any_rows_and_heads(store, written, rows, heads):
    found = store.head_outputs(rows, heads)
    expected = np.stack([written["head_outputs"][rows, block, head] for block, head in heads], axis=1)
    np.testing.assert_array_equal(found, expected, strict=True)
    np.testing.assert_array_equal(store.answer_logits(rows), written["answer_logits"][rows], strict=True)


def test_a_single_head_is_a_slice_of_its_block(store):
    rows = np.arange(N_CLIPS)
    blocks = store.blocks(rows, [1, 0, 1])
    assert blocks.shape == (N_CLIPS, 3, BACKBONE.n_heads, BACKBONE.head_dim)
    for position, block in enumerate([1, 0, 1]):
        for head in range(BACKBONE.n_heads):
            np.testing.assert_array_equal(store.head_outputs(rows, [(block, head)])[:, 0], blocks[:, position, head])


def test_rows_may_repeat_and_cross_partitions_in_any_order(store, written):
    rows = np.array([299, 0, 255, 256, 0, 299, 256])
    np.testing.assert_array_equal(store.hidden_states(rows, [2, 2])[:, 1], written["hidden_states"][rows, 2])
    assert store.hidden_states(np.array([], dtype=np.int64), [1]).shape == (0, 1, BACKBONE.hidden_size)
    assert store.hidden_states(np.arange(4), []).shape == (4, 0, BACKBONE.hidden_size)


def test_failed_rows_are_nan_and_named(store):
    assert store.failures == FAILURES
    assert np.flatnonzero(~store.written).tolist() == sorted(FAILURES)
    values = store.hidden_states(np.arange(N_CLIPS), [0])
    assert np.flatnonzero(np.isnan(values).all(axis=(1, 2))).tolist() == sorted(FAILURES)
    assert np.flatnonzero(np.isnan(values).any(axis=(1, 2))).tolist() == sorted(FAILURES)


@pytest.mark.parametrize(
    ("read", "message"),
    [
        (lambda store: store.hidden_states([0], [3]), "has layers 0 to 2; layer 3 does not exist"),
        (lambda store: store.hidden_states([0], [0, -1]), "has layers 0 to 2; layer -1 does not exist"),
        (lambda store: store.head_outputs([0], [(2, 0)]), "head 2:0 does not exist; there are blocks 0 to 1"),
        (lambda store: store.head_outputs([0], [(0, 0), (0, 3)]), "head 0:3 does not exist; block 0 has heads 0 to 2"),
        (lambda store: store.head_outputs([0], [(0, -1)]), "head 0:-1 does not exist; block 0 has heads 0 to 2"),
        (lambda store: store.blocks([0], [2]), "has blocks 0 to 1; block 2 does not exist"),
        (lambda store: store.answer_logits([0, 300]), "has rows 0 to 299; row 300 was asked for"),
        (lambda store: store.hidden_states([-1], [0]), "has rows 0 to 299; row -1 was asked for"),
    ],
)
def test_what_does_not_exist_is_refused(store, read, message):
    with pytest.raises(StoreError, match=message):
        read(store)


def test_rows_that_are_not_written_yet_raise(tmp_path):
    writer = planned_store(tmp_path, 600)
    writer.write_partition(1, builders.features(writer.spec, 1))
    store = FeatureStore.open(writer.path)
    assert store.written.tolist() == [False] * 256 + [True] * 256 + [False] * 88
    assert np.isfinite(store.answer_logits(np.array([256, 511]))).all()
    for read in READS.values():
        with pytest.raises(StoreError, match=r"rows 512 to 599 \(partition 2\) are not written yet; 1 of 3 partitions"):
            read(store, np.array([300, 512]))


def second_shard(store, name):
    """The path of an array's shard of partition 1."""
    (array,) = (array for array in feature_arrays(BACKBONE, N_CLIPS) if array.name == name)
    return shard_path(store, array, 1)


@pytest.mark.parametrize("name", FEATURES)
@pytest.mark.parametrize("damage", ["missing", "empty", "cut", "longer"])
def test_a_shard_of_another_size_raises(own, name, damage):
    shard = second_shard(own, name)
    content = shard.read_bytes()
    changed = {"missing": b"", "empty": b"", "cut": content[:-1], "longer": content + b"\0"}[damage]
    shard.write_bytes(changed)
    if damage == "missing":
        shard.unlink()
    store, word = FeatureStore.open(own), "missing" if damage == "missing" else "damaged"
    with pytest.raises(StoreError, match=rf"{name}/c/1/.* is {word}: {len(changed)} bytes, .* {len(content)}"):
        READS[name](store, np.array([0, 299]))
    assert READS[name](store, np.array([0])).size > 0


@pytest.mark.parametrize("name", FEATURES)
def test_a_flipped_bit_never_reads_as_another_value(own, name):
    """The checksums of inner chunks and of the shard's index hold every byte."""
    shard, store = second_shard(own, name), FeatureStore.open(own)
    content = shard.read_bytes()
    for position in [*range(0, len(content), len(content) // 12), len(content) - 1]:
        changed = bytearray(content)
        changed[position] ^= 1 << position % 8
        shard.write_bytes(changed)
        with pytest.raises((ValueError, RuntimeError)):
            READS[name](store, np.arange(256, 300))


def edit_attributes(store, edit):
    edit_json(store / "zarr.json", lambda content: edit(content["attributes"]["vadprobe"]))


def test_an_edited_specification_is_refused(own):
    edit_attributes(own, lambda found: found["spec"]["prompt"].update(text="Is this a cat?"))
    with pytest.raises(StoreError, match=r"specification has digest .* attributes were edited\. Restore zarr\.json"):
        FeatureStore.open(own)


def test_another_clip_table_is_refused(own):
    builders.clip_table(299).write(clips_of(own))
    with pytest.raises(StoreError, match=r"was written for the clip table .* rows would not mean the same clips"):
        FeatureStore.open(own)
    clips_of(own).unlink()
    with pytest.raises(StoreError, match="no clip table"):
        FeatureStore.open(own)


def test_a_place_without_store_is_refused(tmp_path):
    with pytest.raises(StoreError, match=rf"no feature store at {tmp_path}; run 'vadprobe extract' first"):
        FeatureStore.open(tmp_path)


def test_a_damaged_record_raises(own):
    (records_of(own) / "000001.json").write_text('{"rows": [256')
    with pytest.raises(StoreError, match=r"000001\.json is not valid JSON"):
        FeatureStore.open(own).answer_logits(np.array([0]))


# Rows, records and attributes of another form


@pytest.mark.parametrize("rows", [np.ones(N_CLIPS, dtype=bool), np.array([0.7])])
def test_masks_and_fractions_are_no_rows(store, rows):
    with pytest.raises((StoreError, TypeError)):
        store.answer_logits(rows)


@pytest.mark.parametrize(
    "edit",
    [
        lambda found: found["spec"].update(note="added by hand"),
        lambda found: found["spec"].pop("sampling"),
        lambda found: found.pop("digest"),
    ],
)
def test_attributes_of_another_form_are_refused_by_name(own, edit):
    edit_attributes(own, edit)
    with pytest.raises(StoreError, match=str(own)):
        FeatureStore.open(own)


@pytest.mark.parametrize(
    "edit", [lambda content: content.pop("codecs"), lambda content: content["codecs"][0].update(name="sharding 99")]
)
@pytest.mark.parametrize("name", FEATURES)
def test_damaged_metadata_of_an_array_raises(own, name, edit):
    edit_json(own / name / "zarr.json", edit)
    with pytest.raises(StoreError, match=f"the metadata of {name} .* cannot be understood"):
        READS[name](FeatureStore.open(own), np.array([0]))


@pytest.mark.parametrize("change", [{"failures": {"4000": "made up"}}, {"shards": {}}, {"partition": 0}])
def test_an_edited_record_raises(own, change):
    edit_json(records_of(own) / "000001.json", lambda record: record.update(change))
    with pytest.raises(StoreError, match=r"000001\.json was changed after it was written"):
        FeatureStore.open(own).check_finished()


@pytest.mark.parametrize("attributes", [[], None, {"vadprobe": 7}, {"vadprobe": []}])
def test_attributes_that_are_no_provenance_are_refused(own, attributes):
    edit_json(own / "zarr.json", lambda content: content.update(attributes=attributes))
    with pytest.raises(StoreError, match="not a feature store"):
        FeatureStore.open(own)


@pytest.mark.parametrize("name", FEATURES)
def test_an_array_of_another_shape_raises(own, name):
    edit_json(own / name / "zarr.json", lambda content: content["shape"].__setitem__(0, N_CLIPS - 1))
    with pytest.raises(StoreError, match=rf"{name} must have shape \(300, .* got \(299, "):
        READS[name](FeatureStore.open(own), np.array([0]))
