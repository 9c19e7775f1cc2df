"""Growth: clips of new videos are appended, and nothing that was computed is computed again or lost on the way."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.store.format.test_older_stores import unpacked
from tests.support.builders import (
    BACKBONE,
    FEATURES,
    all_features,
    clip_table,
    committed_store,
    feature_spec,
    features,
    planned_store,
    run_together,
    tree,
    write_missing,
)
from vadprobe.store.claims.claiming import claims_in
from vadprobe.store.errors import StoreError
from vadprobe.store.files import atomic_files
from vadprobe.store.format.clip_table import ClipTable
from vadprobe.store.format.layout import clips_of
from vadprobe.store.format.partition_records import read_record
from vadprobe.store.format.store_header import read_attributes
from vadprobe.store.format.stored_parts import StoredParts
from vadprobe.store.reading.feature_store import FeatureStore
from vadprobe.store.verification.repair import apply, plan_repair
from vadprobe.store.verification.verify import verify
from vadprobe.store.writing.clip_order import continue_table
from vadprobe.store.writing.writer import plan

BEFORE, AFTER = 300, 600
"""Clips before and after: one partition of 256 rows stays, and a part of the second."""
FAILURES = {3: "broken"}
OTHER = replace(BACKBONE, key="other")


def grown(root: Path, **changes: Any) -> list[int]:
    """Let the store grow, compute what is missing, and commit; return the partitions that were computed."""
    writer = planned_store(root, AFTER, appends=True, **changes)
    computed = write_missing(writer, FAILURES)
    writer.commit()
    return computed


def files(root: Path) -> dict[str, str]:
    return {name: digest for name, digest in tree(root).items() if ".planning" not in name}


def assert_reads(store: FeatureStore, n_rows: int) -> None:
    rows = np.arange(n_rows)
    wanted = all_features(store.spec, "answer_logits", FAILURES)[:n_rows]
    good = np.setdiff1d(rows, list(FAILURES))
    assert store.answer_logits(good).tobytes() == wanted[good].tobytes()


def test_a_grown_store_is_the_store_of_all_videos_byte_by_byte(tmp_path: Path) -> None:
    committed_store(tmp_path / "grown", BEFORE, failures=FAILURES)
    assert grown(tmp_path / "grown") == [1, 2]
    committed_store(tmp_path / "fresh", AFTER, failures=FAILURES)
    assert files(tmp_path / "grown") == files(tmp_path / "fresh")


def test_a_kill_at_any_step_leaves_the_store_before_or_after(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = committed_store(tmp_path / "begun", BEFORE, failures=FAILURES).path.relative_to(tmp_path / "begun")
    committed_store(tmp_path / "begun", BEFORE, failures=FAILURES, backbone=OTHER)
    committed_store(tmp_path / "fresh", AFTER, failures=FAILURES)
    wanted, write = files(tmp_path / "fresh"), atomic_files.write_pieces
    seen, step, is_cut = set[int](), 0, True
    while is_cut:
        root, left = tmp_path / f"killed-{step}", step
        shutil.copytree(tmp_path / "begun", root)

        def write_some(*arguments: Any) -> None:
            nonlocal left
            if not left:
                raise KeyboardInterrupt
            left -= 1
            write(*arguments)

        with monkeypatch.context() as patch:
            patch.setattr(atomic_files, "write_pieces", write_some)
            try:
                grown(root)
                is_cut = False
            except KeyboardInterrupt:
                pass
        found = FeatureStore.open(root / store)
        seen.add(len(found.clips))
        assert_reads(found, BEFORE if len(found.clips) == BEFORE else 256)
        assert found.written[:256].sum() == 255
        assert {problem.remedy for problem in verify(found.path).problems} <= {"rebuild", "extract"}
        other = FeatureStore.open(root / store.parent.parent / "other" / store.name)
        assert_reads(other, BEFORE)
        if step == 5:  # more videos came in between
            planned_store(root, AFTER + 100, appends=True)
            assert planned_store(root, AFTER + 100).missing() == [1, 2]
        else:
            assert grown(root) in ([], [1, 2])
            assert {name: digest for name, digest in files(root).items() if "/other" not in name} == wanted
        step += 1
    assert seen == {BEFORE, AFTER}
    assert step > 10


def test_a_repair_takes_a_killed_growth_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = committed_store(tmp_path, BEFORE, failures=FAILURES).path
    before = files(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr("vadprobe.store.writing.store_changes.as_zarr_writes", _interrupt)
        with pytest.raises(KeyboardInterrupt):
            planned_store(tmp_path, AFTER, appends=True)
    changed = {name for name, digest in files(tmp_path).items() if before.get(name) != digest}
    assert any(name.endswith("clips.parquet") for name in changed)
    apply(plan_repair(verify(path)))
    assert verify(path).problems == ()
    assert_reads(FeatureStore.open(path), BEFORE)
    assert len(ClipTable.read(clips_of(path))) == AFTER  # others may have grown with it
    grown(tmp_path)


def _interrupt(*_: object) -> bytes:
    raise KeyboardInterrupt


def test_a_store_beside_stays_whole_and_grows_later(tmp_path: Path) -> None:
    committed_store(tmp_path, BEFORE, failures=FAILURES)
    other = committed_store(tmp_path, BEFORE, failures=FAILURES, backbone=OTHER)
    grown(tmp_path)
    assert verify(other.path).problems == ()
    assert_reads(FeatureStore.open(other.path), BEFORE)
    with pytest.raises(StoreError, match=r"n_clips: 300, not 600.*Nothing was changed"):
        planned_store(tmp_path, AFTER, backbone=OTHER)
    grown(tmp_path, backbone=OTHER)
    assert_reads(FeatureStore.open(other.path), AFTER)


def test_a_store_of_an_earlier_version_grows(tmp_path: Path) -> None:
    path = unpacked("finished", tmp_path)
    before = FeatureStore.open(path)
    kept = before.answer_logits(np.arange(256))
    shards = {name: digest for name, digest in tree(path).items() if "/c/0/" in name and digest}
    spec = replace(before.spec, n_clips=AFTER, clips_digest=clip_table(AFTER).digest)
    writer = plan(path, spec, clip_table(AFTER), appends=True)
    assert write_missing(writer) == [1, 2]
    writer.commit()
    assert verify(path).problems == ()
    after = FeatureStore.open(path)
    np.testing.assert_array_equal(after.answer_logits(np.arange(256)), kept)
    assert len(shards) == len(FEATURES)
    assert shards.items() <= tree(path).items()


def test_stored_parts_grow_where_kept_partitions_hold_the_same(tmp_path: Path) -> None:
    some = StoredParts(layers=(1,), heads=((0, 1),), full_partitions=(0,))
    committed_store(tmp_path, BEFORE, contents=some, failures=FAILURES)
    with pytest.raises(StoreError, match=r"full_partitions: \[0\], not none"):
        planned_store(tmp_path, AFTER, contents=replace(some, full_partitions=()), appends=True)
    more = replace(some, full_partitions=(0, 2))
    writer = planned_store(tmp_path, AFTER, contents=more, appends=True)
    assert write_missing(writer, FAILURES) == [1, 2]
    writer.commit()
    assert verify(writer.path).problems == ()


# What is refused


@pytest.mark.parametrize(
    ("clips", "changes", "said"),
    [
        (replace(clip_table(AFTER), fingerprints=("0" * 64, "1" * 64, *clip_table(AFTER).fingerprints[2:])), {},
         r"restore the videos\. \(added: video 3, video 4, video 5; changed: video 1\)"),
        (clip_table(AFTER).of_videos([0, 1, 3, 4, 5]), {}, r"gone: video 2"),
        (clip_table(AFTER), {"versions": {"torch": "3"}}, r"another specification: versions\.torch"),
    ],
    ids=["changed", "gone", "another recipe"],
)  # fmt: skip
def test_more_than_new_videos_is_refused(tmp_path: Path, clips: ClipTable, changes: dict[str, Any], said: str) -> None:
    path = committed_store(tmp_path, BEFORE).path
    before = tree(tmp_path)
    with pytest.raises(StoreError, match=said):
        plan(path, feature_spec(clips, **changes), clips, appends=True)
    assert tree(tmp_path) == before


def test_nothing_grows_behind_a_url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    committed_store(tmp_path, BEFORE)
    before = tree(tmp_path)
    monkeypatch.setattr("vadprobe.store.writing.growth.is_remote", lambda path: True)
    with pytest.raises(StoreError, match="which is at a URL"):
        planned_store(tmp_path, AFTER, appends=True)
    assert tree(tmp_path) == before


def test_a_worker_that_planned_before_writes_nothing(tmp_path: Path) -> None:
    early = planned_store(tmp_path, BEFORE)
    early.write_partition(0, features(early.spec, 0, FAILURES))
    with claims_in(early.path.parent).hold(1) as claim:
        with pytest.raises(StoreError, match=r"1 partition below .* is being written"):
            planned_store(tmp_path, AFTER, appends=True)
        assert len(FeatureStore.open(early.path).clips) == BEFORE
        claim.check()
    planned_store(tmp_path, AFTER, appends=True)
    with pytest.raises(StoreError, match=r"were appended .* run 'vadprobe extract' again"):
        early.write_partition(1, features(early.spec, 1))
    assert early.is_written(0)  # its record counts for both until a commit
    grown(tmp_path)
    with pytest.raises(StoreError):
        early.commit()
    assert read_attributes(early.path)["state"] == "committed"


def test_an_open_reader_reads_on_what_it_has(tmp_path: Path) -> None:
    store = FeatureStore.open(committed_store(tmp_path, BEFORE, failures=FAILURES).path)
    assert len(store.records) == 2
    grown(tmp_path)
    assert_reads(store, 256)
    with pytest.raises(StoreError):  # this partition was written anew, with more rows
        store.answer_logits(np.arange(256, BEFORE))


def test_planners_may_append_at_once(tmp_path: Path) -> None:
    path = committed_store(tmp_path, BEFORE, failures=FAILURES).path
    statement = "assert builders.planned_store(argument, 600, appends=True).missing() == [1, 2]"
    assert run_together(3, statement, tmp_path) == []
    record = read_record(path, 0)
    assert record is not None
    assert record["grown"]["spec_digest"] == read_attributes(path)["digest"] != record["spec_digest"]
    grown(tmp_path)


# The order of rows


@pytest.mark.parametrize(
    ("new_videos", "n_clips", "said"),
    [("append", 600, "3 new videos, 300 clips, appended behind clip 299."), ("later", 300, "left for a later run")],
)
def test_new_videos_come_behind(tmp_path: Path, new_videos: Any, n_clips: int, said: str) -> None:
    path = clips_of(committed_store(tmp_path, BEFORE).path)
    now = clip_table(AFTER).of_videos([5, 1, 3, 0, 2, 4])  # as a folder may list them
    table, note = continue_table(now, path, path.parent / "toy", new_videos)
    assert note is not None
    assert said in note
    assert table.begins_with(ClipTable.read(path))
    assert table.video_ids[3:] == tuple(f"video {number}" for number in (5, 3, 4)[: 3 if n_clips > BEFORE else 0])
    assert len(table) == n_clips


def test_while_others_compute_new_videos_wait(tmp_path: Path) -> None:
    writer = committed_store(tmp_path, BEFORE)
    with claims_in(writer.path.parent).hold(0):
        table, note = continue_table(clip_table(AFTER), clips_of(writer.path), writer.path.parent, "append")
    assert len(table) == BEFORE
    assert note is not None
    assert "another process extracts" in note
