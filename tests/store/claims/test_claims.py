"""Claims: one worker per partition whatever the clocks say, and a worker that lost its claim can write nothing."""

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from tests.support.builders import all_features, features, planned_store, tree
from tests.support.profiles import some
from vadprobe.store.claims import claims, staging
from vadprobe.store.claims import owner as claim_owner
from vadprobe.store.claims.claims import Claims
from vadprobe.store.claims.owner import Owner
from vadprobe.store.claims.staging import ClaimLostError, Staging
from vadprobe.store.errors import StoreError
from vadprobe.store.format.layout import records_of
from vadprobe.store.reading.feature_store import FeatureStore
from vadprobe.store.verification.verify import verify

GUARD = 300.0
"""Seconds; no event is waited for longer, and none takes a hundredth of it."""


class Clock:
    """A clock that moves when it is told to."""

    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds


@pytest.fixture
def clock():
    return Clock()


def leave_claim(folder, generation=1, **changes):
    """The claim of a worker that runs elsewhere, unless the changes say otherwise."""
    owner = replace(Owner.here(60.0), machine="elsewhere", **changes)
    path = folder / ".claims" / f"000000.{generation}"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(owner.content(0))
    return path, owner


# One winner

ROUNDS = """
import multiprocessing, os, sys
from pathlib import Path
from vadprobe.store.claims.owner import Owner
from vadprobe.store.claims.claims import Claims
from dataclasses import replace

folder, rounds, count, kind = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
context = multiprocessing.get_context("fork")
barrier = context.Barrier(count)
dead = context.Process(target=int)
dead.start()
dead.join()

def leave(partition):
    here = Owner.here(0.2)
    gone = replace(here, process=dead.pid) if kind == "dead" else replace(here, machine="elsewhere")
    (folder / ".claims").mkdir(exist_ok=True)
    (folder / ".claims" / f"{partition:06d}.1").write_bytes(gone.content(0))
    (folder / ".claims" / f"{partition:06d}.{gone.identifier}.staging").mkdir()

def work(number):
    now = [0.0]
    claims = Claims(folder, clock=lambda: now[0])
    for partition in range(rounds):
        if number == 0 and kind != "free":
            leave(partition)
        barrier.wait(120)
        claim = claims.take(partition)
        if kind == "silent":
            assert claim is None
            barrier.wait(120)
            now[0] += 0.25
            claim = claims.take(partition)
        barrier.wait(120)
        print(f"{partition} {int(claim is not None)}\\n", end="", flush=True)
        if claim:
            claim.check()
            claim.release()
        barrier.wait(120)

children = [context.Process(target=work, args=(number,)) for number in range(count)]
for child in children:
    child.start()
for child in children:
    child.join()
sys.exit(max(abs(child.exitcode) for child in children))
"""


@pytest.mark.parametrize(("kind", "rounds"), [("free", 50), ("dead", 50), ("silent", 50)])
def test_of_many_processes_one_gets_the_partition(tmp_path, kind, rounds):
    """Free, or left by a process that is gone, or by one elsewhere that gives no sign of life."""
    command = [sys.executable, "-c", ROUNDS, str(tmp_path), str(rounds), "8", kind]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=GUARD, check=False)
    assert ended.returncode == 0, ended.stderr
    wins = np.zeros(rounds, dtype=int)
    lines = ended.stdout.split("\n")[:-1]
    assert len(lines) == 8 * rounds
    for line in lines:
        partition, won = map(int, line.split())
        wins[partition] += won
    assert (wins == 1).all()
    assert tree(tmp_path) == {}


def test_a_claim_is_held_until_it_is_given_back(tmp_path):
    mine, other = Claims(tmp_path), Claims(tmp_path)
    with mine.hold(3):
        assert other.take(3) is None
        assert mine.take(3) is None
        with other.hold(4):
            assert mine.take(4) is None
        with pytest.raises(StoreError, match=rf"partition 3 below .* another worker \(process {os.getpid()} on "):
            other.hold(3)
    with other.hold(3):
        pass
    assert tree(tmp_path) == {}
    assert other.holder(3) is None


def test_who_must_have_a_partition_waits_for_a_sign_of_life_from_elsewhere(tmp_path, clock, monkeypatch):
    path, owner = leave_claim(tmp_path, lease=30.0)
    begun = clock.now
    with monkeypatch.context() as patch:
        patch.setattr(claims, "time", SimpleNamespace(sleep=clock.sleep))
        Claims(tmp_path, clock=clock).hold(0).release()
    assert 30 <= clock.now - begun < 32
    assert tree(tmp_path) == {}
    path, owner = leave_claim(tmp_path, lease=60.0)

    def sleep(seconds):
        clock.sleep(seconds)
        if clock.now - begun > 40:  # it is in the middle of waiting
            path.write_bytes(owner.content(1))

    monkeypatch.setattr(claims, "time", SimpleNamespace(sleep=sleep))
    with pytest.raises(StoreError, match=r"partition 0 below .* is being written by another worker"):
        Claims(tmp_path, clock=clock).hold(0)
    assert 40 < clock.now - begun < 42


def test_a_claim_is_given_back_after_an_error_and_twice(tmp_path):
    def fail():
        with Claims(tmp_path).hold(0) as claim:
            claim.release()
            raise RuntimeError("the model ran out of memory")

    with pytest.raises(RuntimeError, match="out of memory"):
        fail()
    assert tree(tmp_path) == {}


# Expiry


@pytest.mark.parametrize("skew", [-1e6, 0.0, 1e6])
def test_a_silent_claim_expires_by_our_own_clock_whatever_its_time_says(tmp_path, clock, skew):
    path, owner = leave_claim(tmp_path)
    claims = Claims(tmp_path, clock=clock)
    for beat in range(1, 4):
        path.write_bytes(owner.content(beat))
        os.utime(path, (time.time() + skew,) * 2)
        assert claims.take(0) is None
        clock.now += 59.9
        assert claims.take(0) is None
    os.utime(path, (time.time() - skew,) * 2)  # a touched file says nothing
    clock.now += 0.2
    claim = claims.take(0)
    assert claim is not None
    assert not path.exists()
    claim.release()


def test_a_worker_that_was_asleep_itself_takes_nothing_from_a_living_one(tmp_path, clock):
    path, owner = leave_claim(tmp_path)
    claims = Claims(tmp_path, clock=clock)
    assert claims.take(0) is None
    clock.now += 1e6
    path.write_bytes(owner.content(1))
    assert claims.take(0) is None


def test_the_lease_of_the_owner_counts(tmp_path, clock):
    leave_claim(tmp_path, lease=300.0)
    claims = Claims(tmp_path, lease=1.0, clock=clock)
    assert claims.take(0) is None
    clock.now += 299
    assert claims.take(0) is None
    clock.now += 2
    claims.hold(0).release()


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"beat": "1"}', b'{"beat": "1", "lease": "never"}', b"\xff"])
def test_a_claim_that_says_nothing_expires_as_well(tmp_path, clock, content):
    path, _ = leave_claim(tmp_path)
    path.write_bytes(content)
    claims = Claims(tmp_path, clock=clock)
    assert claims.take(0) is None
    assert claims.holder(0) == "a worker that has not said its name"
    clock.now += 61
    claims.hold(0).release()


def test_an_owner_gives_signs_of_life(tmp_path):
    with Claims(tmp_path, lease=0.2).hold(0):
        (path,) = (path for path in (tmp_path / ".claims").iterdir() if path.is_file())
        seen = set()
        end = time.monotonic() + GUARD
        while len(seen) < 4 and time.monotonic() < end:
            seen.add(path.read_bytes())
            time.sleep(0.01)
        assert len(seen) == 4
        assert len({len(content) for content in seen}) == 1


def test_a_process_number_used_again_does_not_keep_a_claim(tmp_path):
    path, owner = leave_claim(tmp_path)
    here = Owner.here(60.0)
    assert not here.vanished()
    path.write_bytes(replace(here, started=here.started - 1).content(0))  # this process, but an earlier one
    Claims(tmp_path).hold(0).release()
    path.parent.mkdir()
    path.write_bytes(here.content(0))
    assert Claims(tmp_path).take(0) is None
    path.write_bytes(replace(here, machine=owner.machine, process=2**22 + 1).content(0))  # elsewhere it may well run
    assert Claims(tmp_path).take(0) is None


def test_a_killed_process_is_gone_before_its_parent_asks_for_it():
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    owner = replace(Owner.here(60.0), process=process.pid, started=claim_owner._started(process.pid))
    assert not owner.vanished()
    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert owner.vanished()
    process.communicate()
    assert owner.vanished()


def test_a_process_that_is_hidden_from_us_is_not_gone(monkeypatch):
    owner = Owner.here(60.0)
    monkeypatch.setattr(claim_owner, "_started", lambda process: None)
    assert not owner.vanished()


def test_where_the_machine_is_not_known_only_the_lease_tells(tmp_path, monkeypatch):
    owner = replace(Owner.here(60.0), machine="", started=None)
    monkeypatch.setattr(claim_owner, "_machine", lambda: "")
    assert not owner.vanished()


# Taking over


def test_who_sees_old_news_takes_nothing(tmp_path, clock):
    """Between seeing a claim expire and taking it over, another worker takes it over, finishes, and gives it back."""
    leave_claim(tmp_path)
    late, quick = Claims(tmp_path, clock=clock), Claims(tmp_path, clock=clock)
    assert late.take(0) is None
    assert quick.take(0) is None
    clock.now += 61
    create, claim = late._create, None

    def after_another(partition, before):
        quick.hold(0).release()
        return create(partition, before)

    late._create = after_another
    assert late.take(0) is None
    late._create = create
    claim = late.take(0)
    assert claim is not None
    claim.release()


def test_who_was_suspended_before_it_had_a_staging_folder_holds_nothing(tmp_path, clock, monkeypatch):
    """Another worker takes its claim over, finishes, and removes the folder of claims, which is empty by then."""
    late, quick, make = Claims(tmp_path), Claims(tmp_path, clock=clock), claims.Staging

    def after_another(*arguments):
        monkeypatch.setattr(claims, "Staging", make)
        assert quick.take(0) is None
        clock.now += 61
        quick.hold(0).release()
        return make(*arguments)

    monkeypatch.setattr(claims, "Staging", after_another)
    assert late.take(0) is None
    assert tree(tmp_path) == {}
    late.hold(0).release()


def test_who_finds_a_higher_claim_beside_its_own_steps_back(tmp_path):
    claims = Claims(tmp_path)
    path, _ = leave_claim(tmp_path, generation=4)
    assert claims._create(0, 0) is None  # it saw no claim before
    assert [entry.name for entry in path.parent.iterdir()] == ["000000.4"]


def test_a_lost_claim_is_noticed_and_giving_it_back_hurts_nobody(tmp_path, clock):
    lost = Claims(tmp_path, lease=1e6).hold(0)
    other = Claims(tmp_path, clock=clock)
    assert other.take(0) is None
    clock.now += 1e7
    with other.hold(0) as claim:
        with pytest.raises(ClaimLostError, match="taken over by another worker"):
            lost.check()
        lost.release()
        claim.check()
        assert claim.staging.path.is_dir()
        assert Claims(tmp_path).take(0) is None


def test_a_file_system_without_room_for_a_claim_is_named(tmp_path, monkeypatch):
    def full(path):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(claims.Claims, "_create_file", lambda self, path: full(path))
    with pytest.raises(StoreError, match=r"a claim on partition 7 cannot be kept in .*\.claims: No space left"):
        Claims(tmp_path).take(7)


# Two workers on one partition


class Paused:
    """Lets threads run to their n-th step on files, where something else is done first."""

    def __init__(self, monkeypatch):
        self.moments = {}
        self._count = {}
        for name in ("fsync", "replace", "rename", "mkdir", "unlink"):
            monkeypatch.setattr(os, name, self._counted(getattr(os, name)))

    def _counted(self, function):
        def call(*arguments, **options):
            thread = threading.get_ident()
            if thread in self.moments:
                self._count[thread] = self._count.get(thread, -1) + 1
                step, action = self.moments[thread]
                if self._count[thread] == step:
                    action()
            return function(*arguments, **options)

        return call


def taken_over(writer, mine, theirs, monkeypatch, pause, resume):
    """The owner of a claim stops before step ``pause`` and goes on when the taker is at step ``resume``.

    Returns:
        How the owner's write ended: an error or None; None as well where it ended before it was stopped.
    """
    folder, clock, outcome = writer.path.parent, Clock(), []
    owner = Claims(folder, lease=1e6).hold(0)
    stopped, awake, paused = threading.Event(), threading.Event(), Paused(monkeypatch)

    def stop():
        stopped.set()
        assert awake.wait(GUARD)

    def write():
        paused.moments[threading.get_ident()] = pause, stop
        try:
            writer.write_partition(0, mine, owner)
            outcome.append(None)
        except StoreError as error:
            outcome.append(error)
        owner.release()
        stopped.set()

    thread = threading.Thread(target=write)
    thread.start()
    assert stopped.wait(GUARD)

    def wake():
        awake.set()
        thread.join(GUARD)

    taker = Claims(folder, clock=clock)
    claim = taker.take(0)
    if claim is None:
        clock.now += 1e7
        claim = taker.hold(0)
    paused.moments[threading.get_ident()] = resume, wake
    with claim:
        writer.write_partition(0, theirs, claim)
    wake()
    assert not thread.is_alive()
    return outcome[0]


# A quarter of all moments: those in which the numbers of both steps add up to a multiple of four.
MOMENTS = [(pause, resume) for pause in range(60) for resume in (0, 7, 15, 22, 1000) if (pause + resume) % 4 == 0]


@pytest.mark.parametrize("failures", [{}, {1: "too slow"}, dict.fromkeys(range(3), "the disk was away")])
def test_a_worker_suspended_at_any_step_changes_nothing_of_its_taker(tmp_path, monkeypatch, failures):
    """Every step of the owner's write; it wakes before, while and after its taker writes other values."""
    moments = some(MOMENTS, 25, seed=len(failures))
    ended = {"lost": 0, "finished": 0}
    writer = planned_store(tmp_path, 3)
    mine = features(writer.spec, 0, {0: "mine"})
    theirs = features(writer.spec, 0, failures)
    wanted = all_features(writer.spec, "hidden_states", failures)
    for number, (pause, resume) in enumerate(moments):
        if number % 2:  # else it repeats a partition that counts
            shutil.rmtree(records_of(writer.path))
            shutil.rmtree(writer.path / "hidden_states" / "c", ignore_errors=True)
            records_of(writer.path).mkdir()
        with monkeypatch.context() as patch:
            error = taken_over(writer, mine, theirs, patch, pause, resume)
        assert error is None or isinstance(error, ClaimLostError), (pause, resume, error)
        ended["lost" if error else "finished"] += 1
        assert writer.commit() == failures, (pause, resume)
        assert verify(writer.path).problems == (), (pause, resume)
        stored = FeatureStore.open(writer.path).hidden_states(np.arange(3), range(3))
        np.testing.assert_array_equal(stored, wanted, err_msg=f"{pause}-{resume}")
    assert ended["lost"] > 0.4 * len(moments)
    assert ended["finished"] > 0


def test_a_removed_staging_folder_stays_removed_even_if_its_name_comes_back(tmp_path):
    folder = Staging(tmp_path, 0, "one")
    (folder.path / "shard").write_bytes(b"old")
    staging.revoke(folder.path)
    folder.path.mkdir()
    (folder.path / "shard").write_bytes(b"old")
    (tmp_path / "record").write_bytes(b"new")
    with pytest.raises(ClaimLostError, match="another worker took its partition over"):
        folder.publish("shard", tmp_path / "record")
    with pytest.raises(ClaimLostError):
        folder.withdraw(tmp_path / "record")
    assert (tmp_path / "record").read_bytes() == b"new"
    folder.withdraw(tmp_path / "none")


# Leftovers


def test_tidying_leaves_what_may_be_alive(tmp_path):
    dead = replace(Owner.here(60.0), process=2**22 + 1)
    folder = tmp_path / ".claims"
    elsewhere, _ = leave_claim(tmp_path)
    (folder / "000000.abc.staging").mkdir()
    (folder / "000001.1").write_bytes(dead.content(0))
    (folder / "000001.def.staging" / "deep").mkdir(parents=True)
    (folder / "000002.ghi.staging").mkdir()
    (folder / "notes.txt").write_text("not ours")
    with Claims(tmp_path).hold(4) as claim:
        Claims(tmp_path).tidy()
        mine = {claim.staging.path.name, "000004.1"}
        assert {path.name for path in folder.iterdir()} == {elsewhere.name, "000000.abc.staging", "notes.txt", *mine}
    Claims(tmp_path / "nothing").tidy()
    assert not (tmp_path / "nothing").exists()


def test_a_claim_names_host_process_and_a_random_identifier(tmp_path):
    with Claims(tmp_path).hold(12):
        content = json.loads((tmp_path / ".claims" / "000012.1").read_text())
    assert content["process"] == os.getpid()
    assert content["host"] == os.uname().nodename
    assert len(content["identifier"]) == 32
    assert Path(f"/proc/{content['process']}").exists()
