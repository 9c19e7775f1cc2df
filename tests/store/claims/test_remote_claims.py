"""Claims by conditional writes: they expire by the taker's own clock, and of several takers one wins.

The objects are in memory here; test_remote_store.py goes through an S3 server.
"""

import os
import subprocess
import sys
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from types import SimpleNamespace

import pytest

pytest.importorskip("obstore", reason="the package for URLs is not installed")

from obstore.store import MemoryStore

from vadprobe.store.claims import owner as claim_owner
from vadprobe.store.claims import remote_claims
from vadprobe.store.claims.claim import ClaimLostError
from vadprobe.store.claims.owner import Owner
from vadprobe.store.claims.remote_claims import RemoteClaims
from vadprobe.store.errors import StoreError
from vadprobe.store.files import remote_path
from vadprobe.store.files.location import location

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


@pytest.fixture
def folder(monkeypatch):
    """The folder of a backbone in an empty bucket."""
    bucket = MemoryStore()
    monkeypatch.setattr(remote_path, "connection", lambda url: bucket)
    return location(f"s3://bucket/{uuid.uuid4().hex}")


def names(folder):
    return sorted(path.name for path in (folder / ".claims").iterdir())


def leave_claim(folder, generation=1, **changes):
    """Leave the claim of a worker that runs elsewhere, unless the changes say otherwise."""
    owner = replace(Owner.here(60.0), **{"machine": "elsewhere", **changes})
    path = folder / ".claims" / f"000000.{generation}"
    path.write_bytes(owner.content(0))
    return path, owner


# One winner


@pytest.mark.parametrize("kind", ["free", "dead", "silent"])
def test_of_many_takers_one_gets_the_partition(folder, clock, kind):
    """Free, or left by a process that is gone, or by one elsewhere that gives no heartbeat."""
    if kind != "free":
        leave_claim(folder, **({"machine": claim_owner._machine(), "process": 2**22 + 1} if kind == "dead" else {}))
    takers = [RemoteClaims(folder, clock=clock) for _ in range(8)]
    if kind == "silent":
        assert [taker.take(0) for taker in takers] == [None] * 8
        clock.now += 61
    start = threading.Barrier(8)

    def take(taker):
        start.wait(GUARD)
        return taker.take(0)

    with ThreadPoolExecutor(8) as pool:
        (won,) = [claim for claim in pool.map(take, takers) if claim is not None]
    won.check()
    won.release()
    assert names(folder) == []


def test_a_claim_is_held_until_it_is_given_back(folder):
    mine, other = RemoteClaims(folder), RemoteClaims(folder)
    with mine.hold(3):
        assert other.take(3) is None
        assert mine.take(3) is None
        with other.hold(4):
            assert mine.take(4) is None
        with pytest.raises(StoreError, match=rf"partition 3 below s3://.* worker \(process {os.getpid()} on "):
            other.hold(3)
    with other.hold(3):
        pass
    assert names(folder) == []
    assert other.holder(3) is None


def test_who_must_have_a_partition_waits_for_a_heartbeat_from_elsewhere(folder, clock, monkeypatch):
    path, owner = leave_claim(folder, lease=30.0)
    begun = clock.now
    with monkeypatch.context() as patch:
        patch.setattr(remote_claims, "time", SimpleNamespace(sleep=clock.sleep))
        RemoteClaims(folder, clock=clock).hold(0).release()
    assert 30 <= clock.now - begun < 32
    path, owner = leave_claim(folder, lease=60.0)

    def sleep(seconds):
        clock.sleep(seconds)
        if clock.now - begun > 40:  # it is in the middle of waiting
            path.write_bytes(owner.content(1))

    monkeypatch.setattr(remote_claims, "time", SimpleNamespace(sleep=sleep))
    with pytest.raises(StoreError, match=r"partition 0 below .* is being written by another worker"):
        RemoteClaims(folder, clock=clock).hold(0)
    assert 40 < clock.now - begun < 42


# Expiry


def test_a_silent_claim_expires_by_our_own_clock(folder, clock):
    path, owner = leave_claim(folder)
    claims = RemoteClaims(folder, clock=clock)
    for beat in range(1, 4):
        path.write_bytes(owner.content(beat))
        assert claims.take(0) is None
        clock.now += 59.9
        assert claims.take(0) is None
    clock.now += 0.2
    claim = claims.take(0)
    assert claim is not None
    assert names(folder) == ["000000.2"]
    claim.release()


def test_a_worker_that_was_asleep_itself_takes_nothing_from_a_living_one(folder, clock):
    path, owner = leave_claim(folder)
    claims = RemoteClaims(folder, clock=clock)
    assert claims.take(0) is None
    clock.now += 1e6
    path.write_bytes(owner.content(1))
    assert claims.take(0) is None


def test_the_lease_of_the_owner_counts(folder, clock):
    leave_claim(folder, lease=300.0)
    claims = RemoteClaims(folder, lease=1.0, clock=clock)
    assert claims.take(0) is None
    clock.now += 299
    assert claims.take(0) is None
    clock.now += 2
    claims.hold(0).release()


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"beat": "1"}', b'{"beat": "1", "lease": "never"}', b"\xff"])
def test_a_claim_that_says_nothing_expires_as_well(folder, clock, content):
    path, _ = leave_claim(folder)
    path.write_bytes(content)
    claims = RemoteClaims(folder, clock=clock)
    assert claims.judge(0) == ("wait", "claimed by a worker that has not said its name")
    assert claims.take(0) is None
    assert claims.holder(0) == "a worker that has not said its name"
    clock.now += 61
    claims.hold(0).release()


def test_heartbeats_keep_a_claim(folder, clock):
    taker, seen, end = RemoteClaims(folder, clock=clock), set(), time.monotonic() + GUARD
    with RemoteClaims(folder, lease=0.2).hold(0) as owner:
        while len(seen) < 4 and time.monotonic() < end:
            content = taker._latest(0)
            if content not in seen:
                seen.add(content)
                assert taker.take(0) is None
                clock.now += 0.15  # all in all three leases
            time.sleep(0.01)
        assert len(seen) == 4
        assert len({len(content) for content in seen}) == 1
        owner.check()


# Owners


def test_a_process_number_used_again_does_not_keep_a_claim(folder):
    path, owner = leave_claim(folder)
    here = Owner.here(60.0)
    assert not here.vanished()
    path.write_bytes(replace(here, started=here.started - 1).content(0))  # this process, but an earlier one
    RemoteClaims(folder).hold(0).release()
    path.write_bytes(here.content(0))
    assert RemoteClaims(folder).take(0) is None
    path.write_bytes(replace(here, machine=owner.machine, process=2**22 + 1).content(0))  # elsewhere it may well run
    assert RemoteClaims(folder).take(0) is None


def test_a_killed_process_is_gone_before_its_parent_asks_for_it():
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    owner = replace(Owner.here(60.0), process=process.pid, started=claim_owner._started(process.pid))
    assert not owner.vanished()
    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert owner.vanished()
    process.communicate()
    assert owner.vanished()


def test_a_process_that_is_hidden_or_on_a_machine_that_is_not_known_is_not_gone(monkeypatch):
    owner = Owner.here(60.0)
    monkeypatch.setattr(claim_owner, "_started", lambda process: None)
    assert not owner.vanished()
    monkeypatch.setattr(claim_owner, "_machine", lambda: "")
    assert not replace(owner, machine="", started=None).vanished()


# Taking over


def test_who_sees_old_news_takes_nothing(folder, clock):
    """Between seeing a claim expire and taking it over, another worker takes it over, finishes, and gives it back."""
    leave_claim(folder)
    late, quick = RemoteClaims(folder, clock=clock), RemoteClaims(folder, clock=clock)
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


def test_who_finds_a_higher_claim_beside_its_own_steps_back(folder):
    leave_claim(folder, generation=4)
    assert RemoteClaims(folder)._create(0, 0) is None  # it saw no claim before
    assert names(folder) == ["000000.4"]


def test_a_lost_claim_is_noticed_and_giving_it_back_hurts_nobody(folder, clock):
    lost = RemoteClaims(folder, lease=1e6).hold(0)
    other = RemoteClaims(folder, clock=clock)
    assert other.take(0) is None
    clock.now += 1e7
    with other.hold(0) as claim:
        with pytest.raises(ClaimLostError, match=r"partition 0 below s3://.* was taken over by another worker"):
            lost.check()
        lost.release()
        claim.check()
        assert RemoteClaims(folder).take(0) is None


# Leftovers


def test_tidying_deletes_what_is_known_to_be_gone_and_watches_the_rest(folder, clock):
    leave_claim(folder, lease=30.0)
    (folder / ".claims" / "000001.1").write_bytes(replace(Owner.here(60.0), process=2**22 + 1).content(0))
    with RemoteClaims(folder).hold(2):
        claims = RemoteClaims(folder, clock=clock)
        assert [claims.judge(partition)[0] for partition in range(3)] == ["wait", "delete", "keep"]
        assert claims.tidy() == 30
        assert names(folder) == ["000000.1", "000002.1"]
        clock.now += 30.1
        assert claims.tidy() == 0
        assert names(folder) == ["000002.1"]
