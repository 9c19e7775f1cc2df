"""'vadprobe gc': what ended processes left goes, what a living worker holds stays, and looking changes nothing."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.builders import clip_table, committed_store, feature_spec, tree
from vadprobe.store.catalog import garbage
from vadprobe.store.catalog.garbage import AGE, collect_garbage, find_garbage
from vadprobe.store.claims.claiming import claims_in
from vadprobe.store.errors import StoreError
from vadprobe.store.verification.resume_log import log_of
from vadprobe.store.verification.verify import verify

N_CLIPS = 300
HEX = "0123456789abcdef" * 2

LEAVE = """
import os, sys
from pathlib import Path
from vadprobe.store.claims.claiming import claims_in
claim = claims_in(Path(sys.argv[1])).take(int(sys.argv[2]))
claim.staging.stage("shard", [b"1" * 1000])
os._exit(1)
"""


@pytest.fixture
def root(tmp_path):
    """A root with one committed store."""
    committed_store(tmp_path / "root", N_CLIPS)
    return tmp_path / "root"


@pytest.fixture
def folder(root):
    """The folder of its backbone."""
    return next(root.rglob("question.zarr")).parent


def leave(folder, partition):
    """The claim of a process that has ended."""
    subprocess.run([sys.executable, "-c", LEAVE, str(folder), str(partition)], check=False)


def write_old(path, content=b"half"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    make_old(path)
    return path


def make_old(path, seconds=2 * AGE):
    for one in (*path.rglob("*"), path) if path.is_dir() else (path,):
        os.utime(one, (time.time() - seconds,) * 2)


def verdicts(root):
    return {one.path.relative_to(root).as_posix(): one.verdict for one in find_garbage(root)}


def clean(root, **options):
    """Remove what goes; returns the relative paths."""
    return [one.path.relative_to(root).as_posix() for one in collect_garbage(find_garbage(root), **options)]


def test_a_tidy_root_has_none(root):
    assert find_garbage(root) == []
    before = tree(root)
    assert clean(root, sleep=pytest.fail) == []
    assert tree(root) == before


def test_looking_changes_nothing(root, folder):
    leave(folder, 0)
    write_old(folder / ".claims" / "000001.1", b"the claim of an earlier version")
    (folder / ".claims" / "000001.abc.staging").mkdir()
    write_old(folder / f"README.md.12.{HEX}.partial")
    (folder / "gone.records").mkdir()
    before = tree(root)
    assert len(find_garbage(root)) == 6
    assert tree(root) == before


def test_what_an_ended_process_left_goes_at_once(root, folder):
    before = tree(root)
    leave(folder, 0)
    found = find_garbage(root)
    staging, claim = found
    assert [(one.kind, one.verdict) for one in (staging, claim)] == [("staging", "delete"), ("claim", "delete")]
    assert staging.n_bytes == 1000
    assert "has ended" in claim.why
    assert len(collect_garbage(found, sleep=pytest.fail)) == 2
    assert tree(root) == before


def test_what_a_running_process_claims_stays(root, folder):
    with claims_in(folder).take(0) as claim:
        claim.staging.stage("shard", [b"1"])
        assert set(verdicts(root).values()) == {"keep"}
        leave(folder, 1)
        assert all("000001" in path for path in clean(root, sleep=pytest.fail))
        claim.staging.publish("shard", folder / "shard")


def test_claims_and_staged_files_of_an_earlier_version_go(root, folder):
    before = tree(root)
    write_old(folder / ".claims" / "000003.1", b"{}")
    write_old(folder / ".claims" / "000003.abc.staging" / "shard", b"123")
    assert clean(root) == [f"{folder.relative_to(root)}/.claims/000003.{name}" for name in ("1", "abc.staging")]
    assert tree(root) == before


class Elsewhere:
    """Claims of which only the lease tells whether their workers live."""

    def __init__(self, folder, leases):
        self.folder, self.leases = folder, iter(leases)

    def entries(self):
        return {1: sorted((self.folder / ".claims").iterdir())} if (self.folder / ".claims").exists() else {}

    def judge(self, partition):
        return "wait", "claimed by process 1 on gpu-07"

    def tidy(self):
        lease = next(self.leases)
        if not lease:
            shutil.rmtree(self.folder / ".claims")
        return lease


def test_the_longest_lease_is_waited_once_for_all_folders(root, folder, monkeypatch):
    """Claims on an object store; test_remote_claims.py goes through their leases."""
    other, told, waited = folder.with_name("other"), [], []
    found = {path: Elsewhere(path, [lease, last]) for path, lease, last in ((folder, 7.0, 0), (other, 30.0, 30.0))}
    for path in found:
        write_old(path / ".claims" / "000001.1")
    monkeypatch.setattr(garbage, "claims_in", found.__getitem__)
    assert set(verdicts(root).values()) == {"wait"}
    assert clean(root, tell=told.append, sleep=waited.append) == [f"{folder.relative_to(root)}/.claims/000001.1"]
    assert waited == [pytest.approx(30.1)]
    assert "30 s for heartbeats of workers on other machines" in told[0]


@pytest.mark.parametrize(
    "name",
    [
        f"catalog.json.12.{HEX}.partial",
        f"toys/videos.parquet.12.{HEX}.partial",
        f"toys/segment-24-8/clips.parquet.12.{HEX}.partial",
        f"toys/segment-24-8/toy/README.md.12.{HEX}.partial",
        "toys/segment-24-8/toy/question.zarr.12.partial/zarr.json",
        f"toys/segment-24-8/toy/question.records/000000.json.12.{HEX}.partial",
        f"toys/segment-24-8/toy/question.zarr/zarr.{HEX}.partial",
        f"toys/segment-24-8/toy/question.zarr/head_outputs/c/0/0/0/0.{HEX}.partial",
    ],
)
def test_half_written_files_go_when_nobody_can_be_writing_them(root, name):
    before = tree(root)
    left = write_old(root / name)
    left = left if left.name.endswith(".partial") else left.parent
    make_old(left, AGE / 2)
    assert list(verdicts(root).values()) == ["keep"]
    assert clean(root) == []
    make_old(left)
    assert list(verdicts(root).values()) == ["delete"]
    assert clean(root) == [left.relative_to(root).as_posix()]
    assert tree(root) == before


def test_a_file_that_its_writer_touched_after_the_look_stays(root):
    left = write_old(root / f"catalog.json.12.{HEX}.partial")
    found = find_garbage(root)
    left.touch()
    assert collect_garbage(found) == []
    assert left.exists()


def test_files_of_the_users_own_are_not_looked_at(root, folder):
    for place in (root / "film.partial", root / "toys" / "film.mp4.partial", folder / "notes.partial"):
        write_old(place)
    write_old(root / "toys" / "notes.verified")
    assert find_garbage(root) == []


def test_records_of_a_lost_store_go_unless_it_comes_back(root, folder):
    shutil.copytree(folder / "question.zarr", root / "kept.zarr")
    shutil.rmtree(folder / "question.zarr")
    found = find_garbage(root)
    assert [(one.kind, one.why) for one in found] == [("records", "2 records of a store that is gone")]
    shutil.copytree(root / "kept.zarr", folder / "question.zarr")
    assert collect_garbage(found) == []
    assert not verify(folder / "question.zarr").problems
    shutil.rmtree(folder / "question.zarr")
    assert len(clean(root)) == 1


def log_lines(partitions, digest):
    head = {"version": 1, "spec": digest, "begun": "2026-01-01 10:00"}
    lines = [head, *({"partition": number, "record": "x", "shards": {}} for number in partitions)]
    return "".join(json.dumps(line) + "\n" for line in lines).encode()


@pytest.mark.parametrize(
    ("partitions", "digest", "verdict"),
    [((0,), None, "keep"), ((), None, "keep"), ((0, 1), None, "delete"), ((0,), "0" * 64, "delete")],
)
def test_a_log_goes_when_nobody_can_resume_it(root, folder, partitions, digest, verdict):
    log = log_of(folder / "question.zarr")
    write_old(log, log_lines(partitions, digest or feature_spec(clip_table(N_CLIPS)).digest))
    assert list(verdicts(root).values()) == [verdict]
    clean(root)
    assert log.exists() == (verdict == "keep")


def test_a_log_that_was_just_written_to_stays_and_that_of_a_lost_store_goes(root, folder):
    log = log_of(folder / "question.zarr")
    log.write_bytes(log_lines((0, 1), feature_spec(clip_table(N_CLIPS)).digest))
    write_old(folder / ".gone.verified", b"anything")
    assert {Path(name).name: verdict for name, verdict in verdicts(root).items()} == {
        ".gone.verified": "delete", log.name: "keep",
    }  # fmt: skip


def test_a_root_that_is_none(tmp_path):
    with pytest.raises(StoreError, match="must be a folder, got"):
        find_garbage(tmp_path / "nowhere")


def test_what_cannot_be_removed_is_named_and_else_nothing_is_left_behind(root, monkeypatch):
    write_old(root / f"catalog.json.12.{HEX}.partial")

    def refuse(path, missing_ok=False):
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", refuse)
        with pytest.raises(StoreError, match=r"partial cannot be removed: Permission denied"):
            clean(root)
    clean(root)
    assert not (root / ".planning").exists()
    assert find_garbage(root) == []
