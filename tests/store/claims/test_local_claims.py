"""Claims by file locks: one worker a partition; a claim ends with its process and with nothing else."""

import errno
import os
import signal
import subprocess
import sys

import numpy as np
import pytest

from tests.support import profiles
from tests.support.builders import tree
from tests.support.paths import ROOT
from vadprobe.store.claims import local_claims
from vadprobe.store.claims.claim import ClaimLostError
from vadprobe.store.claims.local_claims import LocalClaims
from vadprobe.store.errors import StoreError
from vadprobe.store.files.locks import is_locked

GUARD = 300.0
"""Seconds; no event is waited for longer, and none takes a hundredth of it."""

OLD_CLAIM = b'{"beat": "000000000000", "host": "vm", "lease": 60.0, "machine": "vm", "process": 1, "started": 1}\n'
"""Part of what a worker of an earlier version wrote into its claim `<partition>.<generation>`."""


def leave(folder, partition=0):
    """Leave what a killed worker leaves, and what one of an earlier version left."""
    claims = folder / ".claims"
    for name in ("staging", "0123456789abcdef.staging"):
        (claims / f"{partition:06d}.{name}").mkdir(parents=True)
        (claims / f"{partition:06d}.{name}" / "question.json").write_bytes(b"half")
    (claims / f"{partition:06d}.lock").write_text("process 1 on gone\n")
    (claims / f"{partition:06d}.1").write_bytes(OLD_CLAIM)


# One winner

ROUNDS = """
import multiprocessing, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from tests.store.claims.test_local_claims import leave
from vadprobe.store.claims.local_claims import LocalClaims

folder, rounds, count, kind = Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]), sys.argv[5]
context = multiprocessing.get_context("fork")
barrier = context.Barrier(count)

def work(number):
    claims = LocalClaims(folder)
    for partition in range(rounds):
        if number == 0 and kind == "left":
            leave(folder, partition)
        barrier.wait(120)
        claim = claims.take(partition)
        barrier.wait(120)
        print(f"{partition} {int(claim is not None)}\\n", end="", flush=True)
        if claim:
            claim.release()
        barrier.wait(120)

children = [context.Process(target=work, args=(number,)) for number in range(count)]
for child in children:
    child.start()
for child in children:
    child.join()
sys.exit(max(abs(child.exitcode) for child in children))
"""


@pytest.mark.parametrize("kind", ["free", "left"])
def test_of_many_processes_one_gets_the_partition(tmp_path, kind):
    rounds, count = 50, 8
    command = [sys.executable, "-c", ROUNDS, str(ROOT), str(tmp_path), str(rounds), str(count), kind]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=GUARD, check=False)
    assert ended.returncode == 0, ended.stderr
    won = np.array([line.split() for line in ended.stdout.splitlines()], dtype=int)
    assert len(won) == rounds * count
    np.testing.assert_array_equal(np.bincount(won[:, 0], won[:, 1]), np.ones(rounds))
    assert tree(tmp_path) == {}


def test_a_claim_is_held_until_it_is_given_back(tmp_path):
    mine, other = LocalClaims(tmp_path), LocalClaims(tmp_path)
    with mine.hold(3) as claim:
        assert other.take(3) is None
        assert mine.take(3) is None
        claim.check()
        with other.hold(4):
            assert mine.take(4) is None
        with pytest.raises(StoreError, match=rf"partition 3 below .* another worker \(process {os.getpid()} on "):
            other.hold(3)
    with other.hold(3):
        pass
    assert tree(tmp_path) == {}
    assert other.holder(3) is None


def test_a_claim_is_given_back_after_an_error_and_twice(tmp_path):
    def fail():
        with LocalClaims(tmp_path).hold(0) as claim:
            claim.release()
            raise RuntimeError("the model ran out of memory")

    with pytest.raises(RuntimeError, match="out of memory"):
        fail()
    assert tree(tmp_path) == {}


def test_who_must_have_a_partition_waits_until_somebody_has_tidied_up(tmp_path, monkeypatch):
    claim = LocalClaims(tmp_path).take(0)
    monkeypatch.setattr(local_claims.time, "sleep", lambda seconds: claim.release())
    LocalClaims(tmp_path).hold(0).release()


# Workers that are killed or suspended

HOLDER = """
import sys
from pathlib import Path
from vadprobe.store.claims.local_claims import LocalClaims
claim = LocalClaims(Path(sys.argv[1])).take(0)
claim.staging.stage("question.json", [b"half"])
print("held", flush=True)
sys.stdin.readline()
claim.release()
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that holds partition 0 until a line is sent to it."""
    command = [sys.executable, "-c", HOLDER, str(tmp_path)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    with process:
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_the_partition_of_a_killed_worker_is_free_at_once(tmp_path, holder):
    claims = LocalClaims(tmp_path)
    assert claims.judge(0)[0] == "keep"
    holder.kill()
    holder.wait()
    assert claims.judge(0) == ("delete", "its worker has ended")
    assert claims.holder(0) is None
    with claims.take(0):
        assert list(tree(tmp_path)) == [".claims", ".claims/000000.lock"]
    assert tree(tmp_path) == {}


def test_a_suspended_worker_keeps_its_partition(tmp_path, holder):
    claims = LocalClaims(tmp_path)
    holder.send_signal(signal.SIGSTOP)
    os.waitid(os.P_PID, holder.pid, os.WSTOPPED | os.WNOWAIT)
    assert claims.take(0) is None
    assert claims.holder(0) == f"process {holder.pid} on {os.uname().nodename}"
    claims.tidy()
    (staged,) = (tmp_path / ".claims").glob("000000.*.staging/question.json")
    assert staged.read_bytes() == b"half"
    holder.send_signal(signal.SIGCONT)
    holder.communicate("\n", timeout=GUARD)
    claims.take(0).release()
    assert tree(tmp_path) == {}


STEPS = """
import itertools, os, shutil, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import numpy as np
from tests.support.builders import all_features, features, planned_store, tree
from vadprobe.store.claims.claiming import claims_in
from vadprobe.store.format.layout import records_of
from vadprobe.store.reading.feature_store import FeatureStore
from vadprobe.store.verification.verify import verify

root, is_repeated = Path(sys.argv[2]), sys.argv[3] == "repeated"
writer = planned_store(root, 3)
mine, theirs = features(writer.spec, 0, {0: "mine"}), features(writer.spec, 0)


def killed_at(moment):
    child = os.fork()
    if child == 0:
        calls = itertools.count()
        for name in ("fsync", "rename", "mkdir", "unlink", "rmdir"):
            def counted(*arguments, function=getattr(os, name), **options):
                if next(calls) == moment:
                    os.kill(os.getpid(), signal.SIGKILL)
                return function(*arguments, **options)
            setattr(os, name, counted)
        writer.write_partition(0, mine)
        os._exit(0)
    return os.waitpid(child, 0)[1] == signal.SIGKILL


for moment in itertools.count():
    if is_repeated:
        writer.write_partition(0, theirs)
    else:
        shutil.rmtree(writer.path)
        writer = planned_store(root, 3)
    if not killed_at(moment):
        break
    with claims_in(writer.path.parent).take(0) as claim:
        writer.write_partition(0, theirs, claim)
    assert writer.commit() == {}, moment
    assert verify(writer.path).problems == (), moment
    stored = FeatureStore.open(writer.path).hidden_states(np.arange(3), range(3))
    np.testing.assert_array_equal(stored, all_features(writer.spec, "hidden_states"), err_msg=str(moment))
    assert not [name for name in tree(root) if ".claims" in name], moment
print(moment)
"""


@pytest.mark.parametrize("kind", profiles.some(["new", "repeated"], 1, seed=2))
def test_a_worker_killed_at_any_step_changes_nothing_of_the_next(tmp_path, kind):
    """Every step of a write on files: of a partition that is new, and of one that counts already."""
    command = [sys.executable, "-c", STEPS, str(ROOT), str(tmp_path), kind]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=GUARD, check=False)
    assert ended.returncode == 0, ended.stderr
    assert int(ended.stdout) > 15


# What cannot be kept


def full(*arguments):
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_claim_for_which_there_is_no_room_is_named_and_given_back(tmp_path, monkeypatch):
    for module, name in ((local_claims, "lock"), (local_claims.socket, "gethostname")):
        with monkeypatch.context() as patch:
            patch.setattr(module, name, full)
            with pytest.raises(StoreError, match=r"a claim on partition 7 cannot be kept in .*\.claims: No space left"):
                LocalClaims(tmp_path).take(7)
    assert tree(tmp_path) == {}
    LocalClaims(tmp_path).hold(7).release()


# Leftovers


def test_tidying_leaves_what_is_claimed(tmp_path):
    folder = tmp_path / ".claims"
    for partition in (0, 1):
        leave(tmp_path, partition)
    (folder / "notes.txt").write_text("not ours")
    with LocalClaims(tmp_path).hold(4) as claim:
        claim.staging.stage("question.json", [b""])
        assert LocalClaims(tmp_path).tidy() == 0
        assert sorted(path.name for path in folder.iterdir()) == [claim.staging.path.name, "000004.lock", "notes.txt"]
    assert list(tree(tmp_path)) == [".claims", ".claims/notes.txt"]
    LocalClaims(tmp_path / "nothing").tidy()
    assert not (tmp_path / "nothing").exists()


def test_what_is_withdrawn_is_gone_and_may_be_missing(tmp_path):
    with LocalClaims(tmp_path).hold(0) as claim:
        claim.staging.stage("shard", [b"new"])
        claim.staging.publish("shard", tmp_path / "deep" / "shard")
        assert (tmp_path / "deep" / "shard").read_bytes() == b"new"
        for _ in range(2):
            claim.staging.withdraw(tmp_path / "deep" / "shard")
    assert tree(tmp_path) == {"deep": ""}


def test_a_worker_whose_lock_file_was_deleted_stops_and_takes_nothing_from_the_next(tmp_path):
    first = LocalClaims(tmp_path).take(0)
    first.staging.stage("question.json", [b"first"])
    (tmp_path / ".claims" / "000000.lock").unlink()  # somebody tidied up by hand
    second = LocalClaims(tmp_path).take(0)
    second.staging.stage("question.json", [b"second"])
    second.check()
    with pytest.raises(ClaimLostError, match="was deleted; another worker"):
        first.check()
    first.release()
    assert LocalClaims(tmp_path).take(0) is None
    second.staging.publish("question.json", tmp_path / "question.json")
    assert (tmp_path / "question.json").read_bytes() == b"second"
    second.release()


def test_a_lock_file_that_may_not_be_opened_counts_as_locked(tmp_path, monkeypatch):
    path = tmp_path / "000000.lock"
    path.touch()

    def refuse(self, *arguments, **options):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(type(path), "open", refuse)
    assert is_locked(path)
