"""Stores that hold chosen layers, heads or partitions."""

import json
from pathlib import Path

import numpy as np
import pytest
import zarr
from hypothesis import given
from hypothesis import strategies as st

from tests.store.verification.damage import flip
from tests.support.builders import BACKBONE, all_features, clip_table, committed_store, edit_json, feature_spec, tree
from tests.support.profiles import laws
from vadprobe.store.errors import StoreError, VadprobeError
from vadprobe.store.files.atomic_files import write_json
from vadprobe.store.files.digests import digest_json
from vadprobe.store.format.layout import records_of
from vadprobe.store.format.partition_records import shard_path
from vadprobe.store.format.schema import feature_arrays
from vadprobe.store.format.stored_parts import EVERYTHING, StoredParts
from vadprobe.store.reading.feature_store import FeatureStore
from vadprobe.store.verification.repair import apply, plan_repair
from vadprobe.store.verification.verify import verify
from vadprobe.store.writing.disk_space import n_objects, n_values, stored_bytes

N_CLIPS = 600  # three partitions, the last one short


def contents(**parts) -> StoredParts:
    return StoredParts.of(BACKBONE, N_CLIPS, **parts)


def stored(root: Path, held: StoredParts, failures=None):
    return committed_store(root, N_CLIPS, failures=failures, contents=held)


# The value


def test_naming_everything_is_everything():
    assert contents(layers=range(3), heads=[(b, h) for b in range(2) for h in range(3)]) == EVERYTHING
    assert contents(layers=[0], full_partitions=[2, 1, 0]) == EVERYTHING
    assert contents(partitions=[0, 1, 2]) == EVERYTHING
    assert EVERYTHING.is_complete
    assert EVERYTHING.to_json() == {}


subsets = st.one_of(st.none(), st.sets(st.integers(0, 2)))


@laws(100)
@given(
    layers=subsets,
    heads=st.one_of(st.none(), st.sets(st.tuples(st.integers(0, 1), st.integers(0, 2)))),
    answers=st.booleans(),
    full=st.sets(st.integers(0, 2)),
    partitions=subsets,
)
def test_contents_survive_json_and_order_does_not_matter(layers, heads, answers, full, partitions):
    spec = feature_spec(clip_table(N_CLIPS))
    first = contents(layers=layers, heads=heads, answers=answers, full_partitions=full, partitions=partitions)
    again = StoredParts.of(
        BACKBONE,
        N_CLIPS,
        None if layers is None else sorted(layers, reverse=True) * 2,
        None if heads is None else [list(head) for head in sorted(heads, reverse=True)],
        answers,
        sorted(full, reverse=True),
        partitions,
    )
    assert first == again
    assert StoredParts.from_json(json.loads(json.dumps(first.to_json())), spec) == first
    assert first.differences(again) == []


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"layers": [3]}, "layer 3 does not exist; there are layers 0 to 2"),
        ({"layers": [-1]}, "layer -1 does not exist"),
        ({"heads": [(2, 0)]}, "head 2:0 does not exist; there are blocks 0 to 1."),
        ({"partitions": [3]}, "partition 3 does not exist; there are partitions 0 to 2"),
        ({"layers": [0], "full_partitions": [7]}, "partition 7 does not exist"),
    ],
)
def test_what_does_not_exist_cannot_be_held(parts, message):
    with pytest.raises(VadprobeError, match=message):
        contents(**parts)


@pytest.mark.parametrize(
    "value", [[], "all", {"layers": [2, 1]}, {"layers": [9]}, {"rows": [1]}, {"layers": ["0"]}, {"heads": [[1]]}]
)
def test_an_edited_attribute_is_refused(value):
    spec = feature_spec(clip_table(N_CLIPS))
    assert StoredParts.from_json({}, spec) == EVERYTHING
    with pytest.raises(StoreError, match="the attribute 'contents' is not"):
        StoredParts.from_json(value, spec)


# Stores


def test_chosen_layers_and_heads_are_read_and_no_others(tmp_path):
    held = contents(layers=[0, 2], heads=[(1, 2), (0, 1)], full_partitions=[1])
    store = FeatureStore.open(stored(tmp_path, held).path)
    rows = np.array([0, 300, 599, 3])
    hidden, heads = all_features(store.spec, "hidden_states"), all_features(store.spec, "head_outputs")
    np.testing.assert_array_equal(store.hidden_states(rows, [2, 0]), hidden[rows][:, [2, 0]])
    np.testing.assert_array_equal(store.head_outputs(rows, [(1, 2), (0, 1)]), heads[rows][:, [1, 0], [2, 1]])
    np.testing.assert_array_equal(store.answer_logits(rows), all_features(store.spec, "answer_logits")[rows])
    inner = np.arange(256, 512)
    np.testing.assert_array_equal(store.hidden_states(inner, range(3)), hidden[inner])
    np.testing.assert_array_equal(store.blocks(inner, [0, 1]), heads[inner])
    with pytest.raises(StoreError, match=r"layer 1 is not stored in partition 0; it holds layers 0, 2 and heads 0:1"):
        store.hidden_states(rows, [0, 1])
    with pytest.raises(StoreError, match=r"head 0:0 is not stored in partition 2.*everything in partitions 1"):
        store.head_outputs(np.array([599]), [(0, 0)])
    with pytest.raises(StoreError, match=r"head 0:0 and 1 more is not stored"):
        store.blocks(rows, [0])


def test_a_plain_reader_sees_nan_where_nothing_is_held(tmp_path):
    writer = stored(tmp_path, contents(layers=[1], heads=[(0, 1)]))
    group = zarr.open_group(writer.path, mode="r")
    hidden = np.asarray(group["hidden_states"][:])
    assert np.isnan(hidden[:, [0, 2]]).all()
    np.testing.assert_array_equal(hidden[:, 1], all_features(writer.spec, "hidden_states")[:, 1])
    heads = np.asarray(group["head_outputs"][:])
    assert int((~np.isnan(heads)).sum()) == N_CLIPS * 4


def test_an_array_of_which_nothing_is_held_has_no_shard(tmp_path):
    writer = stored(tmp_path, contents(layers=[], answers=False))
    assert not (writer.path / "hidden_states" / "c").exists()
    assert not (writer.path / "answer_logits" / "c").exists()
    store = FeatureStore.open(writer.path)
    with pytest.raises(StoreError, match=r"layer 0 is not stored in partition 0; it holds all heads and no layers, no"):
        store.hidden_states(np.array([0]), [0])
    with pytest.raises(StoreError, match="it holds no answer_logits"):
        store.answer_logits(np.array([0]))
    assert verify(writer.path).problems == ()


def test_partitions_of_a_part(tmp_path):
    writer = stored(tmp_path, contents(partitions=[1]))
    store = FeatureStore.open(writer.path)
    store.check_finished()
    assert store.written.tolist() == store.stored.tolist() == [256 <= row < 512 for row in range(N_CLIPS)]
    with pytest.raises(StoreError, match=r"rows 0 to 255 \(partition 0\) are not in this part of the store; .* in"):
        store.answer_logits(np.array([0]))
    found = verify(writer.path)
    assert found.problems == ()
    assert found.n_partitions == 1
    stray = shard_path(writer.path, feature_arrays(BACKBONE, N_CLIPS)[0], 2)
    stray.parent.mkdir(parents=True)
    stray.write_bytes(b"left over")
    assert [problem.remedy for problem in verify(writer.path).problems] == ["remove"]


def test_failed_rows_of_a_part_are_nan(tmp_path):
    failures = {3: "damaged", **dict.fromkeys(range(512, 600), "no such file")}
    writer = stored(tmp_path, contents(layers=[1], heads=[]), failures)
    store = FeatureStore.open(writer.path)
    assert np.isnan(store.hidden_states(np.array([3, 599]), [1])).all()
    assert store.failures == failures
    assert verify(writer.path).problems == ()


def test_another_choice_at_the_same_place_is_refused(tmp_path):
    stored(tmp_path, contents(layers=[1]))
    before = tree(tmp_path)
    with pytest.raises(StoreError, match=r"another specification: contents.layers: \[1\], not \[1, 2\].*Nothing was"):
        stored(tmp_path, contents(layers=[1, 2]))
    with pytest.raises(StoreError, match=r"contents.layers: \[1\], not all"):
        stored(tmp_path, EVERYTHING)
    assert tree(tmp_path) == before
    assert stored(tmp_path, contents(layers=[1])).missing() == []


@pytest.mark.parametrize("edit", [{"layers": [0]}, {"layers": [1], "partitions": [0]}, None])
def test_edited_contents_are_found_and_nothing_is_recomputed_for_them(tmp_path, edit):
    writer = stored(tmp_path, contents(layers=[1]))
    attributes = writer.path / "zarr.json"

    def change(value):
        value["attributes"]["vadprobe"]["contents"] = edit
        if edit is None:
            del value["attributes"]["vadprobe"]["contents"]

    edit_json(attributes, change)
    found = verify(writer.path)
    assert found.problems
    assert {problem.remedy for problem in found.problems} <= {"restore", "remove"}
    assert writer.missing() == []
    with pytest.raises(StoreError, match="are not written yet"):
        FeatureStore.open(writer.path).hidden_states(np.array([0]), (edit or {"layers": [1]})["layers"])


def test_a_chunk_that_should_not_be_there_is_found(tmp_path):
    whole, part = stored(tmp_path / "whole", EVERYTHING), stored(tmp_path / "part", contents(layers=[1]))
    array = feature_arrays(BACKBONE, N_CLIPS)[0]
    shard = shard_path(part.path, array, 0)
    shard.write_bytes(shard_path(whole.path, array, 0).read_bytes())
    record = json.loads((records_of(part.path) / "000000.json").read_text())
    other = json.loads((records_of(whole.path) / "000000.json").read_text())
    record["shards"]["hidden_states"] = other["shards"]["hidden_states"]
    content = {key: value for key, value in record.items() if key != "digest"}
    write_json(records_of(part.path) / "000000.json", {**content, "digest": digest_json(content)})
    messages = [problem.message for problem in verify(part.path).problems]
    assert messages == [
        "the shard of hidden_states cannot be decoded: its index names chunks that the store does not hold"
    ]


def test_a_damaged_part_is_repaired_as_a_part(tmp_path):
    held = contents(layers=[1], heads=[(1, 1)])
    writer = stored(tmp_path, held)
    before = tree(tmp_path)
    flip(shard_path(writer.path, feature_arrays(BACKBONE, N_CLIPS)[1], 2), 20)
    found = verify(writer.path, workers=2)
    assert found.redo == (2,)
    apply(plan_repair(found))
    assert stored(tmp_path, held).missing() == []
    assert verify(writer.path).problems == ()  # which forgets what the first verification has read
    assert tree(tmp_path) == before


def test_the_budget_counts_what_is_held(tmp_path):
    spec = feature_spec(clip_table(N_CLIPS))
    everything = 3 * 6 + 2 * 3 * 4 + 2
    part = contents(layers=[1], heads=[(0, 0), (1, 2)], full_partitions=[2])
    assert n_values(spec, EVERYTHING, 0) == 256 * everything
    assert n_values(spec, EVERYTHING, 2) == n_values(spec, part, 2) == 88 * everything
    assert n_values(spec, part, 0) == 256 * (6 + 2 * 4 + 2)
    assert stored_bytes(spec, part, [0, 1]) == pytest.approx(512 * 16 * 1.7, abs=1)
    assert n_objects(spec, part, [0, 1, 2]) == 12
    assert n_objects(spec, contents(layers=[], heads=[]), [0]) == 2
