"""Repair: damaged partitions are taken back one by one, what can be rebuilt is rebuilt, the rest is said."""

import json
import shutil

import numpy as np
import pyarrow.parquet as pq
import pytest
import zarr

from tests.store.verification.damage import flip, record_of, shards_of
from tests.support.builders import FEATURES, committed_store, edit_json, planned_store, store_path, tree, write_missing
from vadprobe.store.claims.claiming import claims_in
from vadprobe.store.errors import StoreError
from vadprobe.store.files.digests import digest_file, digest_json
from vadprobe.store.format.layout import clips_of
from vadprobe.store.reading.feature_store import FeatureStore
from vadprobe.store.verification import repair as repairing
from vadprobe.store.verification.repair import apply, plan_repair, rebuild, reset
from vadprobe.store.verification.verify import verify

N_CLIPS = 600
FAILURES = {3: "the decoder was killed", 599: "the file is damaged"}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The path of a committed store of three partitions. Nothing may change it."""
    return committed_store(tmp_path_factory.mktemp("whole"), N_CLIPS, failures=FAILURES).path


def content(store):
    """Bytes of a root without locks and logs."""
    return {path: digest for path, digest in tree(store.parents[3]).items() if "/." not in path}


def write_again(store):
    """Do what extraction does: write every partition that does not count, and commit. Return those partitions."""
    root = store.parents[3]
    writer = planned_store(root, N_CLIPS)
    assert writer.path == store == store_path(root, writer.spec)
    missing = write_missing(writer, FAILURES)
    writer.commit()
    return missing


def test_only_the_damaged_partition_is_taken_back_and_written_again(own, whole):
    flip(shards_of(own, 1, N_CLIPS)["head_outputs"])
    found = verify(own)
    assert found.redo == (1,)
    plan = plan_repair(found)
    before = content(own)
    assert plan.partitions == (1,)
    assert plan.removes[0] == record_of(own, 1)
    assert {path.relative_to(own).parts[0] for path in plan.removes[1:]} == set(FEATURES)
    assert plan.n_bytes == sum(path.stat().st_size for path in plan.removes)
    assert content(own) == before  # a plan changes nothing
    (line,) = plan.lines()
    assert "1 partition is reset and computed again by 'vadprobe extract' (1); 4 files" in line
    apply(plan)
    assert not any(path.exists() for path in plan.removes)
    assert [path.exists() for path in (record_of(own, 0), record_of(own, 2))] == [True, True]
    assert [(one.partition, one.remedy) for one in verify(own).problems] == [(None, "extract"), (1, "extract")]
    assert write_again(own) == [1]
    assert content(own) == content(whole)


def test_rows_taken_back_are_not_readable_and_others_are(own):
    reset(own, [1])
    store = FeatureStore.open(own)
    assert np.flatnonzero(~store.written).tolist() == [3, *range(256, 512), 599]
    with pytest.raises(StoreError, match="partition 1"):
        store.answer_logits(np.array([300]))


def test_a_repair_killed_after_any_step_is_finished_by_the_next(own, whole, monkeypatch):
    for steps in range(8):
        taken = []

        def unlucky(path, steps=steps, taken=taken):
            taken.append(path)
            if len(taken) > steps:
                raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(repairing, "sync", unlucky)
            try:
                reset(own, [0, 2])
            except KeyboardInterrupt:
                assert len(taken) == steps + 1
        # No record without its shards, however far it came.
        for problem in verify(own).problems:
            assert problem.remedy == "extract", (steps, problem)
        assert set(write_again(own)) <= {0, 2}
        assert content(own) == content(whole)


def test_a_repair_refuses_while_another_worker_holds_a_partition_and_changes_nothing(own):
    before = content(own)
    with claims_in(own.parent).hold(2), pytest.raises(StoreError, match=r"partition 2 .* written by another worker"):
        reset(own, [0, 2])
    assert content(own) == before
    reset(own, [0, 2])
    assert not record_of(own, 0).exists()


def test_no_partition_and_one_that_does_not_exist_change_nothing(own, whole):
    reset(own, [])
    for partition in (-1, 3):
        with pytest.raises(StoreError, match=f"has partitions 0-2; partition {partition} does not exist"):
            reset(own, [0, partition])
    assert content(own) == content(whole)


@pytest.mark.parametrize("name", ["clip", "layer", "block", "video_code", "answer_code"])
def test_coordinates_are_rebuilt_from_the_clip_table(own, whole, name):
    array = zarr.open_array(own / name, mode="r+")
    array[...] = np.asarray(array[...])[::-1] + 1
    plan = plan_repair(verify(own))
    assert (plan.partitions, plan.by_hand) == ((), ())
    apply(plan)
    assert content(own) == content(whole)
    shutil.rmtree(own / name)
    apply(plan_repair(verify(own)))
    assert content(own) == content(whole)


def test_metadata_of_arrays_are_rebuilt(own, whole):
    edit_json(own / "hidden_states" / "zarr.json", lambda found: found.update(shape=[600, 3, 7]))
    (own / "head_outputs" / "zarr.json").unlink()
    plan = plan_repair(verify(own))
    assert plan.partitions == ()
    apply(plan)
    assert content(own) == content(whole)


def test_metadata_of_another_version_of_zarr_are_sound_and_survive_a_repair(own):
    edit_json(own / "head_outputs" / "zarr.json", lambda found: None)  # the same in other white space

    def agree(document):
        checksums = document["attributes"]["vadprobe"]["checksums"]
        checksums["files"]["head_outputs/zarr.json"] = digest_file(own / "head_outputs" / "zarr.json")
        checksums["digest"] = digest_json(checksums["files"])

    edit_json(own / "zarr.json", agree)
    assert verify(own).problems == ()
    (own / "layer" / "c" / "0").unlink()
    apply(plan_repair(verify(own)))
    assert verify(own).problems == ()


def test_a_clip_table_of_the_same_content_in_other_bytes_is_written_again(own, whole):
    table = pq.ParquetFile(clips_of(own)).read()
    pq.write_table(table, clips_of(own), compression="gzip")
    plan = plan_repair(verify(own))
    assert (plan.partitions, plan.rebuilds, plan.by_hand) == ((), (clips_of(own),), ())
    apply(plan)
    assert content(own) == content(whole)


def test_attributes_are_rebuilt_when_the_records_vouch_for_the_specification(own, whole):
    for change in ({"digest": "0" * 64}, {"clips_digest": "0" * 64}, {"n_failed": 7}, {"state": "done"}):
        edit_json(own / "zarr.json", lambda found, change=change: found["attributes"]["vadprobe"].update(change))
        plan = plan_repair(verify(own))
        assert (plan.partitions, plan.rebuilds, plan.by_hand) == ((), (own / "zarr.json",), ()), change
        apply(plan)
        assert content(own) == content(whole), change


def test_a_damaged_specification_takes_no_partition_back(own):
    edit_json(own / "zarr.json", lambda found: found["attributes"]["vadprobe"]["spec"]["backbone"].update(n_layers=5))
    before = content(own)
    plan = plan_repair(verify(own))
    assert plan.is_empty
    assert any("'vadprobe plan' of the same job into an empty root" in line for line in plan.lines())
    apply(plan)
    assert content(own) == before


def test_lost_metadata_of_the_group_are_said(own):
    (own / "zarr.json").unlink()
    found = verify(own)
    assert [problem.remedy for problem in found.problems] == ["restore"]
    assert plan_repair(found).is_empty


def test_a_lost_clip_table_is_said_and_nothing_is_changed(own):
    clips_of(own).unlink()
    plan = plan_repair(verify(own))
    assert plan.is_empty
    (line,) = plan.lines()
    assert "The clip table is restored from a copy" in line
    with pytest.raises(StoreError, match="no clip table"):
        rebuild(own, [own / "layer" / "zarr.json"])


def test_strays_are_named_and_left_alone(own):
    stray = own / "hidden_states" / "c" / "notes.txt"
    stray.write_text("mine")
    plan = plan_repair(verify(own))
    apply(plan)
    assert stray.exists()
    assert any("delete them if nobody needs them" in line and str(stray) in line for line in plan.lines())


def test_white_space_of_a_record_costs_no_computation(own, whole):
    path = record_of(own, 1)
    path.write_text(json.dumps(json.loads(path.read_text())))
    plan = plan_repair(verify(own))
    assert (plan.partitions, plan.rebuilds) == ((), (path,))
    apply(plan)
    assert content(own) == content(whole)


def test_notes_of_users_among_the_attributes_of_the_group_stay(own):
    edit_json(own / "zarr.json", lambda found: found["attributes"].update(note="by the lab"))
    assert verify(own).problems == ()
    edit_json(own / "zarr.json", lambda found: found["attributes"]["vadprobe"].update(n_failed=9))
    apply(plan_repair(verify(own)))
    assert verify(own).problems == ()
    assert json.loads((own / "zarr.json").read_text())["attributes"]["note"] == "by the lab"


def test_features_cannot_be_rebuilt(own):
    shard = shards_of(own, 0, N_CLIPS)["answer_logits"]
    with pytest.raises(StoreError, match="its partition must be computed again"):
        rebuild(own, [shard])
    with pytest.raises(StoreError, match="no file of"):
        rebuild(own, [own.parents[3] / "elsewhere"])
