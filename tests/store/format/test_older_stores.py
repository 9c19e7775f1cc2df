"""Stores that earlier versions of the code wrote (tests/data/stores) are read, verified, repaired and finished.

They hold the features of ``builders.features``, in partitions of 256 rows. ``damaged`` has one wrong bit in a shard;
``unfinished`` has one of three partitions, and the claim of a worker that was killed. None has checksums: what they
are verified by is the content of their metadata, coordinates and clip table, not each byte of these files.
"""

import tarfile
import time
from pathlib import Path

import numpy as np
import pytest
import zarr

from tests.support.builders import FEATURES, all_features, edit_json, features, planned_store
from tests.support.paths import GOLDEN
from vadprobe.store.catalog.garbage import collect_garbage, find_garbage
from vadprobe.store.format.layout import records_of
from vadprobe.store.format.store_header import read_attributes
from vadprobe.store.reading.feature_store import FeatureStore
from vadprobe.store.verification.repair import apply, plan_repair
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


def _other_compressor(path):
    edit_json(path, lambda found: found["codecs"][0]["configuration"]["codecs"][1]["configuration"].update(clevel=9))


def _shorter(path):
    edit_json(path, lambda found: found["shape"].__setitem__(0, 260))


def _zero_fill(path):
    edit_json(path, lambda found: found.update(fill_value=0.0))


def _swapped_dimensions(path):
    edit_json(path, lambda found: found["dimension_names"].reverse())


def _unknown_codec(path):
    path.write_text(path.read_text().replace("crc32c", "crc99"))


def _other_values(path):
    array = zarr.open_array(path.parents[1], mode="r+")
    array[...] = np.asarray(array[...])[::-1] + 1


def _flipped_bit(path):
    content = bytearray(path.read_bytes())
    content[20] ^= 1
    path.write_bytes(content)


DAMAGES = [
    ("head_outputs/zarr.json", _other_compressor, "the metadata of head_outputs are not those of the format: codecs"),
    ("head_outputs/zarr.json", _shorter, "are not those of the format: shape must be [300,"),
    ("head_outputs/zarr.json", _zero_fill, "are not those of the format: fill_value"),
    ("head_outputs/zarr.json", _swapped_dimensions, "are not those of the format: dimension_names"),
    ("head_outputs/zarr.json", _unknown_codec, "the metadata of head_outputs cannot be understood"),
    ("head_outputs/zarr.json", Path.unlink, "head_outputs/zarr.json is missing"),
    ("layer/zarr.json", Path.unlink, "layer/zarr.json is missing"),
    ("video_code/c/0", _other_values, "the coordinate video_code does not agree with the clip table"),
    ("video_code/c/0", Path.unlink, "the coordinate video_code does not agree with the clip table"),
    ("video_code/c/0", _flipped_bit, "the coordinate video_code cannot be read"),
]


@pytest.mark.parametrize(("name", "damage", "message"), DAMAGES)
def test_damage_without_checksums_is_found_and_repaired_and_checksums_are_written(tmp_path, name, damage, message):
    path = unpacked("finished", tmp_path)
    damage(path / name)
    found = verify(path)
    (problem,) = found.problems
    assert message in problem.message
    assert (problem.remedy, problem.files) == ("rebuild", (path / name,))
    apply(plan_repair(found))
    assert verify(path).problems == ()
    assert_holds_features(path, FAILURES)
    assert "checksums" in read_attributes(path)


def test_a_damaged_store_is_repaired_and_written_again(tmp_path):
    path = unpacked("damaged", tmp_path)
    found = verify(path)
    assert found.redo == (0,)
    apply(plan_repair(found))
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
