"""Stores that earlier versions of the code wrote (tests/data/stores) are read, verified, repaired and finished.

They hold the features of `builders.features`, in partitions of 256 rows. `damaged` has one wrong bit in a shard;
`unfinished` has one of three partitions, and the claim of a worker that was killed. None has checksums: what they
are verified by is the content of their metadata, coordinates and clip table, not each byte of these files.
"""

import hashlib
import tarfile
import time
from pathlib import Path

import numpy as np
import pytest
import zarr

from tests.store.verification.damage import flip
from tests.support.builders import FEATURES, all_features, edit_json, planned_store, write_missing
from tests.support.paths import GOLDEN
from vadprobe.store.catalog.garbage import collect_garbage, find_garbage
from vadprobe.store.format.layout import records_of
from vadprobe.store.format.store_header import read_attributes
from vadprobe.store.reading.feature_store import FeatureStore
from vadprobe.store.verification.repair import apply, plan_repair
from vadprobe.store.verification.verify import verify

FAILURES = {3: "broken", 280: "too dark"}
CASES = {"finished": (300, "bfloat16", FAILURES), "finished-float32": (40, "float32", {})}


VALUES = {
    "finished": "f1367ae4e191e9f230f6aba642c3c788986b9ed6ad0df6716cfc2ee02e87529c",
    "finished-float32": "019345488922a6cb10a98a584ee0d2fb520d65dffa55ea94eb7055fc61640262",
}
"""SHA-256 of the values, as the code of their time wrote them: reading is exact on every processor."""


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
    # The features are drawn anew here. Their generator takes logarithms in the tails, whose last bits depend on the
    # machine: some eps of float32, which may move a value that is cut to bfloat16 by one of its steps.
    tolerance = 2.0**-7 if store.spec.backbone.dtype == "bfloat16" else 8 * np.finfo(np.float32).eps
    for name in FEATURES:
        np.testing.assert_allclose(
            values_of(store, name), all_features(store.spec, name, failures), rtol=tolerance, atol=0
        )


@pytest.mark.parametrize("name", CASES)
def test_a_finished_store_is_read_and_sound(tmp_path, name):
    path = unpacked(name, tmp_path)
    assert_holds_features(path, CASES[name][2])
    store = FeatureStore.open(path)
    assert hashlib.sha256(b"".join(values_of(store, array).tobytes() for array in FEATURES)).hexdigest() == VALUES[name]
    assert verify(path).problems == ()


@pytest.mark.parametrize("name", CASES)
def test_a_finished_store_is_what_planning_it_again_finds(tmp_path, name):
    path, (n_clips, dtype, _) = unpacked(name, tmp_path), CASES[name]
    writer = planned_store(tmp_path / name, n_clips, dtype)
    assert writer.path == path
    assert writer.missing() == []
    writer.commit()
    assert verify(path).problems == ()


def edited(edit):
    """A damage by an edit of a JSON file's value."""
    return lambda path: edit_json(path, edit)


def _other_compressor(found):
    found["codecs"][0]["configuration"]["codecs"][1]["configuration"]["clevel"] = 9


def _unknown_codec(path):
    path.write_text(path.read_text().replace("crc32c", "crc99"))


def _other_values(path):
    array = zarr.open_array(path.parents[1], mode="r+")
    array[...] = np.asarray(array[...])[::-1] + 1


NOT_OURS = "the metadata of head_outputs are not those of the format: "
DAMAGES = [
    ("head_outputs/zarr.json", edited(_other_compressor), f"{NOT_OURS}codecs"),
    ("head_outputs/zarr.json", edited(lambda found: found["shape"].reverse()), f"{NOT_OURS}shape must be [300,"),
    ("head_outputs/zarr.json", edited(lambda found: found.update(fill_value=0.0)), f"{NOT_OURS}fill_value"),
    ("head_outputs/zarr.json", edited(lambda found: found["dimension_names"].reverse()), f"{NOT_OURS}dimension_names"),
    ("head_outputs/zarr.json", _unknown_codec, "the metadata of head_outputs cannot be understood"),
    ("head_outputs/zarr.json", Path.unlink, "head_outputs/zarr.json is missing"),
    ("layer/zarr.json", Path.unlink, "layer/zarr.json is missing"),
    ("video_code/c/0", _other_values, "the coordinate video_code does not agree with the clip table"),
    ("video_code/c/0", Path.unlink, "the coordinate video_code does not agree with the clip table"),
    ("video_code/c/0", lambda path: flip(path, 20), "the coordinate video_code cannot be read"),
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
    assert write_missing(writer) == [0]
    writer.commit()
    assert verify(path).problems == ()
    assert_holds_features(path, {})


def test_an_unfinished_store_is_finished_without_waiting_for_the_killed_worker(tmp_path, monkeypatch):
    path = unpacked("unfinished", tmp_path)
    monkeypatch.setattr(time, "sleep", pytest.fail)
    writer = planned_store(tmp_path / "unfinished", 600)
    assert writer.missing() == [0, 2]
    before = (records_of(path) / "000001.json").read_bytes()
    write_missing(writer)
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
