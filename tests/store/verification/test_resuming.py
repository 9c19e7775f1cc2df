"""Resuming an interrupted verification from its log."""

import json
import os

import pytest

from tests.store.verification.damage import flip, record_of, shards_of
from tests.support.builders import tree
from vadprobe.store.verification.resume_log import VerificationLog, log_of
from vadprobe.store.verification.verify import verify


def interrupted(store, after):
    """Verify, and be interrupted after some partitions."""

    def stop(done, total):
        if done == after:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        verify(store, stop)


def test_an_interrupted_verification_goes_on_where_it_stopped(own):
    before = tree(own)
    interrupted(own, 1)
    assert log_of(own).parent == own.parent
    assert log_of(own).name.startswith(".")
    found = verify(own, resume=True)
    assert (found.problems, found.n_resumed, found.n_failed) == ((), 1, 2)
    assert found.n_bytes == sum(shard.stat().st_size for shard in shards_of(own, 1).values())
    assert not log_of(own).exists()  # it was read to its end
    assert verify(own, resume=True).n_resumed == 0
    assert tree(own) == before


def test_problems_are_told_again_after_resuming(own):
    shards_of(own, 0)["answer_logits"].unlink()
    interrupted(own, 2)
    found = verify(own, resume=True)
    assert [problem.partition for problem in found.problems] == [0]
    assert found.n_resumed == 1
    assert verify(own, resume=True).n_resumed == 1  # with problems the log stays


@pytest.mark.parametrize("touched", ["shard", "record", "log", "time"])
def test_what_was_touched_is_read_again(own, touched):
    interrupted(own, 1)
    shard, record = shards_of(own, 0)["head_outputs"], record_of(own, 0)
    state = shard.stat()
    if touched == "shard":  # same size, same time of the content: only the file's own time tells
        flip(shard)
        os.utime(shard, ns=(state.st_atime_ns, state.st_mtime_ns))
    elif touched == "record":
        record.write_text(record.read_text() + " ")
    elif touched == "log":
        flip(log_of(own), -20)
    else:
        os.utime(shard)
    found = verify(own, resume=True)
    assert found.n_resumed == 0
    assert bool(found.problems) == (touched in ("shard", "record"))


def test_a_log_of_another_specification_or_that_is_not_asked_for_is_not_believed(own):
    interrupted(own, 1)
    assert verify(own).n_resumed == 0
    interrupted(own, 1)
    head, *lines = log_of(own).read_text().splitlines()
    log_of(own).write_text("\n".join([json.dumps({**json.loads(head), "spec": "0" * 64}), *lines, ""]))
    assert verify(own, resume=True).n_resumed == 0


@pytest.mark.parametrize("cut", [0, 1, 30, -1, -40])
def test_a_cut_log_costs_reading_again_and_no_more(own, cut):
    interrupted(own, 1)
    log_of(own).write_bytes(log_of(own).read_bytes()[:cut])
    assert verify(own, resume=True).problems == ()


def test_a_folder_that_cannot_be_written_is_verified_all_the_same(own, monkeypatch):
    def refuse(*arguments, **settings):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(VerificationLog, "_append", refuse)
    assert verify(own).problems == ()
