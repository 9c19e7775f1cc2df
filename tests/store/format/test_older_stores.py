"""Stores that earlier versions of the code wrote (tests/data/stores) are read, verified, repaired and finished.

They hold the features of ``builders.features``, in partitions of 256 rows. ``damaged`` has one wrong bit in a shard;
``unfinished`` has one of three partitions, and the claim of a worker that was killed.
"""

import tarfile
import time

import numpy as np
import pytest

from tests.support.builders import FEATURES, all_features, features, planned_store
from tests.support.paths import GOLDEN
from vadprobe.store.catalog.garbage import collect_garbage, find_garbage
from vadprobe.store.format.layout import records_of
from vadprobe.store.reading.feature_store import FeatureStore
from vadprobe.store.verification.repair import carry_out, plan_repair
from vadprobe.store.verification.verify import verify

FAILURES = {3: "broken", 280: "too dark"}
CASES = {"finished": (300, "bfloat16", FAILURES), "finished-float32": (40, "float32", {})}


def unpacked(name, folder):
    """Unpack a root and return the path of the store in it."""
    with tarfile.open(GOLDEN / "stores" / f"{name}.tar.xz") as archive:
        archive.extractall(folder, filter="data")
    (store,) = (folder / name).glob("*/*/*/*.zarr")
    return store


def values_of(store, name):
    rows, backbone = np.arange(store.spec.n_clips), store.spec.backbone
    if name == "hidden_states":
        return store.hidden_states(rows, range(backbone.n_layers + 1))
    return store.answer_logits(rows) if name == "answer_logits" else store.blocks(rows, range(backbone.n_layers))


def assert_holds_features(path, failures):
    store = FeatureStore.open(path)
    assert store.failures == failures
    for name in FEATURES:
        np.testing.assert_array_equal(values_of(store, name), all_features(store.spec, name, failures))


@pytest.mark.parametrize("name", CASES)
def test_a_finished_store_is_read_and_sound(tmp_path, name):
    path = unpacked(name, tmp_path)
    assert_holds_features(path, CASES[name][2])
    assert verify(path).problems == ()


@pytest.mark.parametrize("name", CASES)
def test_a_finished_store_is_what_planning_it_again_finds(tmp_path, name):
    path, (n_clips, dtype, _) = unpacked(name, tmp_path), CASES[name]
    writer = planned_store(tmp_path / name, n_clips, dtype)
    assert writer.path == path
    assert writer.missing() == []
    writer.commit()
    assert verify(path).problems == ()


def test_a_damaged_store_is_repaired_and_written_again(tmp_path):
    path = unpacked("damaged", tmp_path)
    found = verify(path)
    assert found.redo == (0,)
    carry_out(plan_repair(found))
    writer = planned_store(tmp_path / "damaged", 300)
    assert writer.missing() == [0]
    writer.write_partition(0, features(writer.spec, 0))
    writer.commit()
    assert verify(path).problems == ()
    assert_holds_features(path, {})


def test_an_unfinished_store_is_finished_without_waiting_for_the_killed_worker(tmp_path, monkeypatch):
    path = unpacked("unfinished", tmp_path)
    monkeypatch.setattr(time, "sleep", pytest.fail)
    writer = planned_store(tmp_path / "unfinished", 600)
    assert writer.missing() == [0, 2]
    before = (records_of(path) / "000001.json").read_bytes()
    for partition in writer.missing():
        writer.write_partition(partition, features(writer.spec, partition))
    writer.commit()
    assert (records_of(path) / "000001.json").read_bytes() == before
    assert verify(path).problems == ()
    assert_holds_features(path, {300: "broken"})
    assert not (path.parent / ".claims").exists()


def test_what_a_killed_worker_left_is_found_and_deleted(tmp_path):
    path = unpacked("unfinished", tmp_path)
    found = find_garbage(path.parents[3])
    assert {one.kind for one in found if ".claims" in one.path.parts} == {"claim", "staging"}
    assert collect_garbage(found, sleep=pytest.fail) == found
    assert not (path.parent / ".claims").exists()
