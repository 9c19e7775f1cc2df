"""Verification: every kind of damage to a store is found, with its partition; a whole store has no problem."""

import os
import shutil
import signal
import subprocess
import sys
import threading

import google_crc32c
import numpy as np
import pytest
import zarr

from tests.store.verification.damage import N_CLIPS, flip, found, only, record_of, shards_of
from tests.support.builders import BACKBONE, FEATURES, committed_store, edit_json, tree
from vadprobe.store.files.digests import digest_file
from vadprobe.store.format.schema import feature_arrays
from vadprobe.store.verification import check_pool
from vadprobe.store.verification.resume_log import log_of
from vadprobe.store.verification.shard_check import CheckStoppedError, ShardCheck, check_shard
from vadprobe.store.verification.verify import verify, verify_stores


def rewrite(store, partition, name, row, value):
    """Change the last value of a row behind the writer's back, and make the record agree with the new bytes."""
    array = zarr.open_array(store / name, mode="r+")
    rows = slice(256 * partition, min(256 * partition + 256, N_CLIPS))
    values = np.asarray(array[rows])
    values.reshape(len(values), -1)[row, -1] = value
    array[rows] = values
    shard = shards_of(store, partition)[name]

    def agree(record):
        record["shards"][name] = {"sha256": digest_file(shard), "bytes": shard.stat().st_size}

    edit_json(record_of(store, partition), agree)


def test_a_whole_store_has_no_problem_and_is_not_changed(whole):
    before = tree(whole.parents[3])
    seen = []
    verification = verify(whole, lambda done, total: seen.append((done, total)))
    assert verification.problems == ()
    assert (verification.store, verification.n_rows, verification.n_failed) == (whole, N_CLIPS, 2)
    sizes = [shard.stat().st_size for partition in (0, 1) for shard in shards_of(whole, partition).values()]
    assert verification.n_bytes == sum(sizes)
    assert seen == [(1, 2), (2, 2)]
    assert tree(whole.parents[3]) == before


@pytest.mark.parametrize("name", FEATURES)
@pytest.mark.parametrize("partition", [0, 1])
def test_a_flipped_bit_is_found(own, name, partition):
    shard = shards_of(own, partition)[name]
    content = shard.read_bytes()
    for position in [*range(0, len(content), len(content) // 6), len(content) - 1]:
        changed = bytearray(content)
        changed[position] ^= 1 << position % 8
        shard.write_bytes(changed)
        only(found(own), partition, f"the shard of {name} was changed: its SHA-256 is not the recorded one")


@pytest.mark.parametrize("name", FEATURES)
def test_shards_that_are_cut_empty_or_missing_are_found(own, name):
    shard = shards_of(own, 1)[name]
    content = shard.read_bytes()
    for changed in (content[:-1], b"", content + b"\0"):
        shard.write_bytes(changed)
        only(found(own), 1, f"the shard of {name} has {len(changed)} bytes, its record says {len(content)}")
    shard.unlink()
    only(found(own), 1, f"the shard of {name} is missing")


def test_shards_of_two_partitions_that_were_swapped_are_found(own):
    one, other = (shards_of(own, partition)["answer_logits"] for partition in (0, 1))
    content = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(content)
    assert sorted(partition for partition, _ in found(own)) == [0, 1]


def test_a_missing_or_damaged_record_is_found(own):
    record_of(own, 1).write_text('{"rows": [')
    only(found(own), 1, "is not valid JSON")
    record_of(own, 1).write_text("[]")
    only(found(own), 1, "its record cannot be understood")
    record_of(own, 1).unlink()
    only(found(own), 1, "it has no record: it was never finished")


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda record: record.update(rows=[256, 299]), "must be for rows [256, 300], got [256, 299]"),
        (lambda record: record.update(rows_digest="0" * 64), "for other clips than the clip table names"),
        (lambda record: record.update(spec_digest="0" * 64), "its record was made under another specification"),
        (lambda record: record.update(partition=7), "its record was changed after it was written"),
        (lambda record: record.update(failures={"299": "nothing was wrong"}), "its record was changed after"),
        (lambda record: record["shards"]["head_outputs"].update(sha256=7), "head_outputs"),
        (lambda record: record["shards"]["head_outputs"].update(bytes=7), "head_outputs"),
        (lambda record: record["shards"].pop("head_outputs"), "head_outputs has"),
    ],
)
def test_an_edited_record_is_found(own, edit, message):
    edit_json(record_of(own, 1), edit)
    only(found(own), 1, message)


def test_records_of_another_partition_are_found(own):
    shutil.copy(record_of(own, 0), record_of(own, 1))
    problems = found(own)
    assert {partition for partition, _ in problems} == {1}
    assert "its record must be for rows [256, 300], got [0, 256]" in problems[0][1]


@pytest.mark.parametrize("name", FEATURES)
def test_a_failure_struck_from_the_record_is_found(own, name):
    edit_json(record_of(own, 1), lambda record: record["failures"].clear())
    problems = found(own)
    assert (1, f"{name} holds values that are not finite in rows that did not fail") in problems
    assert len(problems) == len(FEATURES)


def test_a_failure_added_to_the_record_is_found(own):
    edit_json(record_of(own, 0), lambda record: record["failures"].update({"7": "made up"}))
    assert found(own) == [(0, f"{name} holds values in rows that are recorded as failed") for name in FEATURES]


@pytest.mark.parametrize("name", FEATURES)
def test_values_in_failed_rows_are_found(own, name):
    rewrite(own, 1, name, 43, 1.0)  # row 299
    only(found(own), 1, f"{name} holds values in rows that are recorded as failed")


@pytest.mark.parametrize("name", FEATURES)
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_not_finite_in_good_rows_are_found(own, name, value):
    rewrite(own, 0, name, 255, value)
    only(found(own), 0, f"{name} holds values that are not finite in rows that did not fail")


def test_values_outside_the_declared_dtype_are_found(own):
    rewrite(own, 1, "answer_logits", 0, np.float32(1 / 3))
    only(found(own), 1, "not bfloat16")


def test_a_bit_that_flipped_before_the_record_was_made_is_found(own):
    shard = shards_of(own, 1)["hidden_states"]
    flip(shard, 100)
    edit_json(
        record_of(own, 1), lambda record: record["shards"]["hidden_states"].update({"sha256": digest_file(shard)})
    )
    only(found(own), 1, "the shard of hidden_states cannot be decoded")


def test_problems_of_several_partitions_are_all_told_with_the_store(own):
    shards_of(own, 0)["answer_logits"].unlink()
    shards_of(own, 1)["hidden_states"].unlink()
    assert [str(problem) for problem in verify(own).problems] == [
        f"{own}: partition 0: the shard of answer_logits is missing",
        f"{own}: partition 1: the shard of hidden_states is missing",
    ]


@pytest.mark.parametrize("failures", [None, [], {"last": "damaged"}, {"255": "damaged"}, {"4000": "damaged"}])
def test_a_record_of_another_form_is_a_problem_of_its_partition(own, failures):
    edit_json(record_of(own, 1), lambda record: record.update(failures=failures))
    assert {partition for partition, _ in found(own)} == {1}


# Several processes


def test_several_processes_find_the_same_in_the_same_order(own):
    shards_of(own, 0)["answer_logits"].unlink()
    for name, position in (("head_outputs", 70), ("hidden_states", 90)):
        flip(shards_of(own, 1)[name], position, 4)
    assert verify(own, workers=3) == verify(own)
    assert [problem.partition for problem in verify(own, workers=3).problems] == [0, 1, 1]


def test_stores_are_told_in_their_order(tmp_path, whole):
    small = committed_store(tmp_path, 3).path
    seen = []
    found = list(verify_stores([small, whole, small], seen.append, workers=2))
    assert [one.store for one in found] == [small, whole, small]
    said = [(one.store, one.done, one.total) for one in seen]
    assert said == [(small, 1, 1), (whole, 1, 2), (whole, 2, 2), (small, 1, 1)]
    assert sum(one.n_bytes for one in seen) == sum(one.n_bytes for one in found)
    assert not any(one.problems for one in found)


def a_check(store):
    """The check of a sound shard."""
    array = feature_arrays(BACKBONE, N_CLIPS)[2]
    shard = shards_of(store, 1)[array.name]
    size = shard.stat().st_size
    return ShardCheck(array.name, shard, digest_file(shard), size, array.shard, array.chunk, "<f4", True, 44, (43,))


def test_leaving_early_leaves_no_thread_behind(whole):
    with check_pool.CheckPool(3) as pool:
        waiting = [pool.submit(a_check(whole)) for _ in range(20)]
        assert threads_named("check")
    assert not threads_named("check")
    assert all(future.done() for future in waiting)


def test_a_shard_is_left_in_its_midst_when_asked(whole):
    """A shard of a compacted store takes many seconds on a slow disk."""
    asked = iter([False, False, True])
    with pytest.raises(CheckStoppedError):
        check_shard(a_check(whole), lambda: next(asked))


def threads_named(name):
    return [thread for thread in threading.enumerate() if thread.name.startswith(name)]


INTERRUPTED = """
import sys
from pathlib import Path
from vadprobe.store.verification.verify import verify_stores
try:
    for _ in verify_stores([Path(sys.argv[1])] * 100_000, lambda checked: print("read", flush=True), workers=3):
        pass
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""


def test_ctrl_c_ends_all_threads_at_once(whole):
    command = [sys.executable, "-c", INTERRUPTED, str(whole)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True)
    for _ in range(10):
        assert process.stdout.readline() == b"read\n"
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=300)
    assert out.endswith(b"interrupted\n")
    assert out.count(b"read\n") < 100_000  # it did not go on to the end
    assert err == b""


def test_a_record_replaced_while_its_shards_were_read_is_told_as_such(own, monkeypatch):
    shard = shards_of(own, 0)["answer_logits"]

    def meanwhile(check, is_stopped):
        if check.path == shard:
            shard.unlink()
            record_of(own, 0).unlink()
        return check_shard(check, is_stopped)

    monkeypatch.setattr(check_pool, "check_shard", meanwhile)
    only(found(own), 0, "it is being written again; verify it when that is done")


def test_an_index_that_points_nowhere_is_found_even_with_right_checksums(own):
    shard = shards_of(own, 1)["hidden_states"]
    content = bytearray(shard.read_bytes())
    n_chunks = 3
    start = len(content) - 16 * n_chunks - 4
    for damage, words in (
        (b"\xff" * 16, "it holds no chunk (0, 0, 0)"),
        ((2**40).to_bytes(8, "little") + (9).to_bytes(8, "little"), "its index puts chunk (0, 0, 0) at bytes"),
        (content[start + 16 :][:16], "its index names chunks that overlap"),
    ):
        index = bytes(damage) + bytes(content[start + 16 : -4])
        shard.write_bytes(content[:start] + index + google_crc32c.value(index).to_bytes(4, "little"))
        edit_json(record_of(own, 1), lambda record: record["shards"]["hidden_states"].update(sha256=digest_file(shard)))
        assert any(words in message for _, message in found(own))


def test_the_remedy_of_a_problem_is_said_with_it(own):
    record_of(own, 1).unlink()
    shards_of(own, 0)["answer_logits"].unlink()
    verification = verify(own)
    assert [(one.partition, one.remedy) for one in verification.problems] == [(0, "recompute"), (1, "extract")]
    assert verification.redo == (0, 1)
    assert verification.problems[0].files == (shards_of(own, 0)["answer_logits"],)


def test_chosen_partitions_alone_are_read_and_another_verifications_log_stays(own):
    with pytest.raises(KeyboardInterrupt):
        verify(own, lambda done, total: (_ for _ in ()).throw(KeyboardInterrupt))
    log = log_of(own).read_text()
    found = verify(own, partitions={1})
    assert (found.problems, found.n_partitions) == ((), 1)
    assert found.n_bytes == sum(shard.stat().st_size for shard in shards_of(own, 1).values())
    assert log_of(own).read_text() == log
    flip(shards_of(own, 0)["head_outputs"])
    assert not verify(own, partitions={1}).problems
    assert verify(own, partitions={0}).redo == (0,)
