"""Writing and committing partitions: any step may be killed and repeated, wrong input changes nothing."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import zarr

from tests.support.builders import FEATURES, committed_store, edit_json, features, planned_store, tree, write_missing
from tests.support.paths import ROOT
from tests.support.profiles import LONG
from vadprobe.store.claims.claiming import claims_in
from vadprobe.store.claims.local_claims import LocalStaging
from vadprobe.store.errors import StoreError
from vadprobe.store.files.atomic_files import read_json
from vadprobe.store.format.layout import records_of
from vadprobe.store.format.partition_records import shard_path
from vadprobe.store.format.schema import feature_arrays
from vadprobe.store.format.store_header import read_attributes
from vadprobe.store.reading.feature_store import FeatureStore
from vadprobe.store.verification.verify import verify
from vadprobe.store.writing import publishing
from vadprobe.store.writing.writer import plan


@pytest.mark.parametrize("step", ["record", "second shard"])
def test_a_partition_counts_only_with_its_record(tmp_path, monkeypatch, step):
    whole = committed_store(tmp_path / "whole", 257)
    writer = planned_store(tmp_path / "cut", 257)
    writer.write_partition(0, features(writer.spec, 0))

    stage = LocalStaging.stage

    def cut_at_step(staging, name, pieces):
        (cut if name.endswith("json" if step == "record" else "head_outputs") else stage)(staging, name, pieces)

    with monkeypatch.context() as patch:
        patch.setattr(LocalStaging, "stage", cut_at_step)
        with pytest.raises(KeyboardInterrupt):
            writer.write_partition(1, features(writer.spec, 1))
    assert writer.missing() == [1]
    assert FeatureStore.open(writer.path).written.tolist() == [True] * 256 + [False]
    with pytest.raises(StoreError, match="not written yet"):
        FeatureStore.open(writer.path).answer_logits(np.array([256]))
    with pytest.raises(StoreError, match=r"1 of 2 partitions are not written, first 1\. Run 'vadprobe extract' again"):
        writer.commit()
    assert read_attributes(writer.path)["state"] == "open"
    writer.write_partition(1, features(writer.spec, 1))
    writer.commit()
    assert tree(writer.path.parent) == tree(whole.path.parent)


def cut(*arguments):
    raise KeyboardInterrupt


def test_a_repeated_write_that_is_cut_off_while_it_is_staged_changes_nothing(tmp_path, monkeypatch):
    writer = committed_store(tmp_path, 3)
    before = tree(writer.path)
    stage = LocalStaging.stage
    monkeypatch.setattr(
        LocalStaging, "stage", lambda self, name, *rest: (cut if "json" in name else stage)(self, name, *rest)
    )
    with pytest.raises(KeyboardInterrupt):
        writer.write_partition(0, features(writer.spec, 0, {1: "another value"}))
    assert writer.missing() == []
    assert tree(writer.path) == before
    assert verify(writer.path).problems == ()


def test_a_repeated_write_that_is_cut_off_while_it_is_published_uncounts_the_partition(tmp_path, monkeypatch):
    writer = committed_store(tmp_path, 3)
    monkeypatch.setattr(LocalStaging, "publish", cut)
    with pytest.raises(KeyboardInterrupt):
        writer.write_partition(0, features(writer.spec, 0))
    assert writer.missing() == [0]


KILLED = """
import os, random, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from tests.support import builders
folder = Path(sys.argv[2])

def run(point):
    calls = iter(range(10_000))
    def counted(function):
        def call(*arguments, **options):
            if next(calls) == point:
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*arguments, **options)
        return call
    for name in ("fsync", "replace", "rename", "unlink"):
        setattr(os, name, counted(getattr(os, name)))
    builders.committed_store(folder / str(point), 3)
    return next(calls)

def run_apart(point):
    child = os.fork()
    if child == 0:
        (folder / "steps").write_text(str(run(point)))
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

builders.committed_store(folder / "first", 3)  # what is imported and made once is there for all children
print(-1, run_apart(-1), flush=True)  # it ends alive, and tells how many steps there are
steps = int((folder / "steps").read_text())
points = [0, 1, 2, 9, 22, *range(24, steps)]
if sys.argv[3] != "all":  # all of the last ones, in which the partition begins to count, and some of the others
    points = [*points[:5], *random.Random(0).sample(points[5:-12], 9), *points[-12:]]
for point in points:
    print(point, run_apart(point), flush=True)
print(steps, run_apart(steps), flush=True)
"""


def test_a_store_killed_anywhere_is_finished_to_the_same_bytes(tmp_path):
    """Kill a process before its n-th sync, rename or unlink: while it plans, then at steps to its very end."""
    whole = tree(committed_store(tmp_path / "whole", 3).path.parent)
    command = [sys.executable, "-c", KILLED, str(ROOT), str(tmp_path), "all" if LONG else "some"]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    codes = dict(tuple(map(int, line.split())) for line in lines)
    assert {point for point, code in codes.items() if code == 0} == {-1, max(codes)}
    assert set(codes.values()) == {0, -signal.SIGKILL}
    recorded = 0
    for point, code in codes.items():
        for record in (tmp_path / str(point)).rglob("*.records/000000.json"):
            messages = [problem.message for problem in verify(record.parent.with_suffix(".zarr")).problems]
            assert messages == [] or (len(messages) == 1 and "not committed" in messages[0] and code != 0), point
            recorded += 1
        writer = planned_store(tmp_path / str(point), 3)
        write_missing(writer)
        writer.commit()
        found = tree(writer.path.parent)  # verification above may have kept a log
        left = {path: digest for path, digest in found.items() if "partial" not in path and ".verified" not in path}
        assert left == whole, point
    assert 3 <= recorded < len(codes) - 10


def test_partitions_may_be_written_in_any_order_and_again(tmp_path):
    whole = tree(committed_store(tmp_path / "whole", 600).path.parent)
    writer = planned_store(tmp_path / "other", 600)
    for partition in (2, 0, 2, 1):
        writer.write_partition(partition, features(writer.spec, partition))
        assert writer.is_written(partition)
    writer.commit()
    assert tree(writer.path.parent) == whole


def test_shards_and_their_folders_are_synced_before_the_record(tmp_path, monkeypatch):
    writer = planned_store(tmp_path, 3)
    steps = []
    real, publish, fsync = publishing.sync, LocalStaging.publish, os.fsync

    def spied(path):
        steps.append(("sync", path))
        real(path)

    def published(self, staged, final):
        steps.append(("publish", final))
        publish(self, staged, final)

    def forced(descriptor):
        steps.append(("force", os.fstat(descriptor).st_ino))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", forced)
    monkeypatch.setattr(publishing, "sync", spied)
    monkeypatch.setattr(LocalStaging, "publish", published)
    writer.write_partition(0, features(writer.spec, 0))
    shards = [shard_path(writer.path, array, 0) for array in feature_arrays(writer.spec.backbone, 3)]
    record = steps.index(("publish", records_of(writer.path) / "000000.json"))
    for shard in shards:
        published = steps.index(("publish", shard))
        forced = steps.index(("force", shard.stat().st_ino))
        assert forced < published < steps.index(("sync", shard.parent)) < record
    assert [step for step in steps[record + 1 :] if step[0] == "sync"] == [("sync", records_of(writer.path))]
    for folder in ("c/0/0/0", "c/0/0", "c/0", "c", "."):
        assert ("sync", writer.path / "head_outputs" / folder) in steps


def test_a_commit_returns_every_failed_row_and_may_be_repeated(tmp_path):
    failures = {3: "empty file", 255: "no frames", 256: "killed"}
    writer = committed_store(tmp_path, 258, failures=failures)
    before = tree(tmp_path)
    assert writer.commit() == failures
    assert tree(tmp_path) == before
    attributes = read_attributes(writer.path)
    assert (attributes["state"], attributes["n_failed"]) == ("committed", 3)
    assert attributes["spec"] == writer.spec.to_json()
    writer.write_partition(0, features(writer.spec, 0, {1: "the file was removed"}))
    assert writer.commit() == {1: "the file was removed", 256: "killed"}
    assert read_attributes(writer.path)["n_failed"] == 2


def test_records_say_what_was_written(tmp_path):
    writer = committed_store(tmp_path, 258, failures={256: "killed"})
    record = read_json(records_of(writer.path) / "000001.json")
    assert record["partition"] == 1
    assert record["rows"] == [256, 258]
    assert record["failures"] == {"256": "killed"}
    assert set(record["shards"]) == set(FEATURES)
    assert record["spec_digest"] == writer.spec.digest
    sizes = {name: shard["bytes"] for name, shard in record["shards"].items()}
    arrays = feature_arrays(writer.spec.backbone, 258)
    assert sizes == {array.name: shard_path(writer.path, array, 1).stat().st_size for array in arrays}


def test_any_zarr_reader_finds_named_dimensions_of_one_length(tmp_path):
    """Needs of xarray: every dimension has one length, and a one-dimensional array of its own name fits it."""
    writer = committed_store(tmp_path, 257)
    group = zarr.open_group(writer.path, mode="r")
    sizes = {}
    for name, array in group.arrays():
        assert array.metadata.zarr_format == 3
        assert array.metadata.dimension_names is not None, name
        assert len(array.metadata.dimension_names) == array.ndim
        for dimension, size in zip(array.metadata.dimension_names, array.shape, strict=True):
            assert sizes.setdefault(dimension, size) == size, (name, dimension)
        if name in array.metadata.dimension_names:
            assert array.metadata.dimension_names == (name,)
    assert sizes == {"clip": 257, "layer": 3, "block": 2, "head": 3, "head_dim": 4, "hidden": 6, "answer": 2}
    for name, count in (("clip", 257), ("layer", 3), ("block", 2)):
        np.testing.assert_array_equal(group[name][...], np.arange(count))
    np.testing.assert_array_equal(group["video_code"][...], writer.clips.video_codes)
    codecs = {
        codec["name"]
        for name in FEATURES
        for codec in group[name].metadata.to_dict()["codecs"][0]["configuration"]["codecs"]
    }
    assert codecs == {"bytes", "blosc", "crc32c"}


def test_nothing_in_a_store_is_a_pickle_or_names_this_machine(tmp_path):
    committed_store(tmp_path, 258, failures={256: "killed"})
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {path.suffix for path in files} == {".json", ".parquet", ""}
    names = {str(tmp_path), str(Path.home()), str(Path.cwd()), os.uname().nodename}
    for path in files:
        content = path.read_bytes()
        assert not (content[:1] == b"\x80" and content[1:2] in b"\x02\x03\x04\x05"), path
        assert [name for name in names if len(name) > 3 and name.encode() in content] == [], path


def test_a_store_may_be_moved(tmp_path):
    writer = committed_store(tmp_path / "here", 257)
    shutil.move(tmp_path / "here", tmp_path / "there")
    moved = tmp_path / "there" / writer.path.relative_to(tmp_path / "here")
    assert verify(moved).problems == ()
    assert plan(moved, writer.spec, writer.clips).missing() == []


@pytest.mark.parametrize(("n_clips", "partition"), [(1, 0), (256, 0), (257, 1)])
def test_a_partition_whose_every_row_failed_can_be_written(tmp_path, n_clips, partition):
    writer = planned_store(tmp_path, n_clips)
    failures = dict.fromkeys(range(256 * partition, n_clips), "the file is damaged")
    write_missing(writer, failures)
    assert writer.commit() == failures
    assert verify(writer.path).problems == ()
    rows = np.array(list(failures))
    assert np.isnan(FeatureStore.open(writer.path).hidden_states(rows, [0, 1, 2])).all()


def test_other_bytes_from_the_disk_are_noticed_before_the_record(tmp_path, monkeypatch):
    writer = planned_store(tmp_path, 3)

    monkeypatch.setattr(os, "fsync", lambda descriptor: os.pwrite(descriptor, b"\xff", 100))
    with pytest.raises(StoreError, match="does not return what was"):
        writer.write_partition(0, features(writer.spec, 0))
    assert writer.missing() == [0]


@pytest.mark.parametrize("edit", [{"rows": [0, 2]}, {"partition": 1}, {"digest": None}, {"failures": {"1": "made up"}}])
def test_a_damaged_record_does_not_count_and_is_written_again(tmp_path, edit):
    writer = committed_store(tmp_path, 3)
    before = tree(tmp_path)
    edit_json(records_of(writer.path) / "000000.json", lambda record: record.update(edit))
    assert writer.missing() == [0]
    writer.write_partition(0, features(writer.spec, 0))
    writer.commit()
    assert tree(tmp_path) == before


def test_a_commit_clears_away_what_killed_workers_left_and_no_more(tmp_path):
    writer = committed_store(tmp_path, 3)
    before = tree(tmp_path)
    claims = writer.path.parent / ".claims"
    left = [
        claims / "000000.0123456789abcdef.staging" / "question" / "hidden_states" / "c" / "0" / "0.0123.partial",
        records_of(writer.path) / "000000.json.1.partial",
        writer.path / "hidden_states" / "c" / "0" / "0.0123.partial",
    ]
    for path in left:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"half")
    with claims_in(writer.path.parent).hold(5) as claim:
        claim.staging.stage("question", [b"staged"])
        writer.commit()
        claim.staging.publish("question", tmp_path / "question")
    (tmp_path / "question").unlink()
    writer.commit()
    assert tree(tmp_path) == before
