"""Backbones whose blocks differ in their heads, or have none: written, read, verified, copied and exported."""

import json
from dataclasses import replace

import numpy as np
import pytest

from tests.support import format_page as page
from tests.support.builders import BACKBONE, RAGGED, all_features, committed_store, planned_store
from vadprobe.store.errors import StoreError, VadprobeError
from vadprobe.store.exchange.compaction import compact
from vadprobe.store.exchange.export import export
from vadprobe.store.exchange.export_choice import ExportChoice
from vadprobe.store.exchange.transfer import Choice
from vadprobe.store.format.specification import BackboneSpec, FeatureSpec
from vadprobe.store.format.stored_parts import StoredParts
from vadprobe.store.reading.feature_store import FeatureStore
from vadprobe.store.verification.verify import verify

FAILURES = {3: "broken", 280: "too dark"}
ROWS = np.array([5, 299, 3, 0])
HEADLESS = replace(BACKBONE, n_heads=0, head_dim=0)


@pytest.fixture(scope="module")
def ragged(tmp_path_factory):
    return committed_store(tmp_path_factory.mktemp("ragged"), 300, failures=FAILURES, backbone=RAGGED).path


def test_a_store_is_sound_and_its_values_are_those_that_were_written(ragged):
    store, wanted = FeatureStore.open(ragged), None
    wanted = all_features(store.spec, "head_outputs", FAILURES)
    assert verify(ragged).problems == ()
    for block, head in RAGGED.heads:
        width = RAGGED.block_heads[block][1]
        values = store.head_outputs(ROWS, [(block, head)])
        np.testing.assert_array_equal(values, wanted[ROWS, block, head, None, :width])
    read, _ = page.read_array(ragged, "head_outputs")
    np.testing.assert_array_equal(read, wanted)


def test_heads_of_two_widths_read_together_end_in_zeros(ragged):
    values = FeatureStore.open(ragged).head_outputs(ROWS, [(2, 1), (0, 0)])
    assert values.shape == (4, 2, 4)
    assert (values[[0, 1, 3], 1, 2:] == 0).all()
    assert np.isnan(values[2]).all()  # a failed row is NaN throughout


def test_blocks_are_read_with_their_own_heads(ragged):
    store = FeatureStore.open(ragged)
    wanted = all_features(store.spec, "head_outputs", FAILURES)
    np.testing.assert_array_equal(store.blocks(ROWS, [0, 3]), wanted[ROWS][:, [0, 3], :, :2])
    np.testing.assert_array_equal(store.blocks(ROWS, [2]), wanted[ROWS][:, [2], :2])
    with pytest.raises(StoreError, match="heads of one number and width"):
        store.blocks(ROWS, [0, 2])


@pytest.mark.parametrize(
    ("head", "said"),
    [((1, 0), "block 1 has no heads"), ((2, 2), "block 2 has heads 0 to 1"), ((4, 0), "blocks 0 to 3")],
)
def test_a_head_that_a_block_does_not_have_is_refused(ragged, tmp_path, head, said):
    with pytest.raises(StoreError, match=said):
        FeatureStore.open(ragged).head_outputs(ROWS, [head])
    with pytest.raises(VadprobeError, match=said):
        StoredParts.of(RAGGED, 300, heads=[head])


def test_chosen_heads_are_stored_alone(tmp_path):
    held = StoredParts.of(RAGGED, 300, [1], [(2, 1), (0, 2)])
    writer = committed_store(tmp_path, 300, backbone=RAGGED, contents=held)
    assert verify(writer.path).problems == ()
    store = FeatureStore.open(writer.path)
    assert store.head_outputs(ROWS, [(2, 1)]).shape == (4, 1, 4)
    with pytest.raises(StoreError, match="head 0:0 is not stored"):
        store.head_outputs(ROWS, [(0, 0)])
    assert StoredParts.of(RAGGED, 300, heads=RAGGED.heads).heads is None


def test_a_compacted_copy_and_an_export_hold_the_same_values(ragged, tmp_path):
    store = FeatureStore.open(ragged)
    copy = compact(store, tmp_path / "compacted", Choice(), 280).writer.path
    assert verify(copy).problems == ()
    found, wanted = (one.head_outputs(ROWS, RAGGED.heads) for one in (FeatureStore.open(copy), store))
    np.testing.assert_array_equal(found, wanted)
    export(store, tmp_path / "files", ExportChoice("npy", arrays=("head_outputs",)))
    index = json.loads((tmp_path / "files" / "index.json").read_text())["arrays"]["head_outputs"]
    assert [tuple(head) for head in index["heads"]] == list(RAGGED.heads)
    assert index["widths"] == [RAGGED.block_heads[block][1] for block, _ in RAGGED.heads]


def test_a_backbone_without_heads_has_hidden_states_and_answers(tmp_path):
    writer = committed_store(tmp_path, 300, failures=FAILURES, backbone=HEADLESS)
    assert verify(writer.path).problems == ()
    assert not (writer.path / "head_outputs").exists()
    store = FeatureStore.open(writer.path)
    assert store.spec.format_version == 2
    wanted = all_features(store.spec, "hidden_states", FAILURES)
    np.testing.assert_array_equal(store.hidden_states(ROWS, [0, 2]), wanted[ROWS][:, [0, 2]])
    with pytest.raises(StoreError, match="has no attention heads"):
        store.head_outputs(ROWS, [(0, 0)])


def test_a_specification_is_read_back_and_even_blocks_are_said_as_ever(tmp_path):
    spec = planned_store(tmp_path / "ragged", 3, backbone=RAGGED).spec
    assert FeatureSpec.from_json(json.loads(json.dumps(spec.to_json()))) == spec
    assert spec.format_version == 2
    even = planned_store(tmp_path / "even", 3).spec
    assert even.format_version == 1
    assert "block_heads" not in even.to_json()["backbone"]
    assert BackboneSpec.numbers([(3, 4)] * 2) == {"n_layers": 2, "n_heads": 3, "head_dim": 4}


@pytest.mark.parametrize("shapes", [((3, 4), (3, 4)), ((3, 4),), ((3, 0), (3, 4)), ((2, 4), (2, 3)), ((3, 4), (-1, 4))])
def test_shapes_that_contradict_the_other_numbers_are_refused(shapes):
    with pytest.raises(VadprobeError, match="block_heads must be"):
        replace(BACKBONE, block_heads=shapes)


def test_heads_are_described_in_words():
    assert BACKBONE.describe_heads() == "2 blocks of 3 heads with 4 values"
    said = "2 blocks of 3 heads with 2 values, 1 block without heads, 1 block of 2 heads with 4 values"
    assert RAGGED.describe_heads() == said
