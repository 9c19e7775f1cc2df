"""Writing a store: plan, write partitions, commit; any step may be killed and repeated, wrong input changes nothing."""

import math
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import zarr
from hypothesis import given
from hypothesis import strategies as st

from tests.support.builders import (
    BACKBONE,
    FEATURES,
    all_features,
    clip_table,
    committed_store,
    edit_json,
    feature_spec,
    features,
    planned_store,
    run_together,
    store_path,
    tree,
)
from tests.support.paths import ROOT
from tests.support.profiles import LONG, laws
from vadprobe.store.claims.claiming import claims_in
from vadprobe.store.claims.local_claims import LocalStaging
from vadprobe.store.errors import StoreError
from vadprobe.store.files.atomic_files import read_json
from vadprobe.store.format.layout import clips_of, records_of
from vadprobe.store.format.partition_records import shard_path
from vadprobe.store.format.provenance import ATTRIBUTE, read_attributes
from vadprobe.store.format.schema import feature_arrays
from vadprobe.store.reading.feature_store import FeatureStore
from vadprobe.store.verification.verify import verify
from vadprobe.store.writing import writer as writer_module
from vadprobe.store.writing.store_creation import create_group
from vadprobe.store.writing.writer import PartitionData, plan


def stored_bits(path, name):
    """Every value of an array as zarr alone reads it, as bits."""
    values = np.asarray(zarr.open_array(path / name, mode="r")[...])
    return values.view(f"u{values.itemsize}")


def bits(values):
    return np.ascontiguousarray(values).view(f"u{values.itemsize}")


# Plan


def test_a_plan_creates_every_array_and_nothing_counts_yet(tmp_path):
    writer = planned_store(tmp_path, 257)
    group = zarr.open_group(writer.path, mode="r")
    for array in feature_arrays(writer.spec.backbone, 257):
        node = group[array.name]
        assert (node.shape, node.shards, node.chunks) == (array.shape, array.shard, array.chunk)
        assert math.isnan(node.fill_value)
        assert node.attrs["description"] == array.prose
    assert writer.missing() == [0, 1]
    assert writer.n_partitions == 2
    attributes = read_attributes(writer.path)
    assert attributes["state"] == "open"
    assert attributes["digest"] == writer.spec.digest
    assert not FeatureStore.open(writer.path).written.any()


@pytest.mark.parametrize("n_written", [0, 1, 2])
def test_planning_again_changes_nothing(tmp_path, n_written):
    writer = planned_store(tmp_path, 257)
    for partition in range(n_written):
        writer.write_partition(partition, features(writer.spec, partition))
    if n_written == 2:
        writer.commit()
    before = tree(tmp_path)
    again = plan(writer.path, writer.spec, clip_table(257))
    assert tree(tmp_path) == before
    assert again.missing() == [0, 1][n_written:]


@pytest.mark.parametrize(
    ("change", "difference"),
    [
        ({"recipe": {"frame_size": [448, 448]}}, r"recipe\.frame_size: \[56, 84\], not \[448, 448\]"),
        ({"versions": {"torch": "3"}}, r"versions\.torch: '2\.13\.0', not '3'"),
        ({"backbone": replace(BACKBONE, n_layers=5)}, r"backbone\.n_layers: 2, not 5"),
        ({"backbone": replace(BACKBONE, revision="abc")}, r"backbone\.revision: '0123456789abcdef', not 'abc'"),
    ],
)
def test_another_specification_is_refused_and_changes_nothing(tmp_path, change, difference):
    writer = committed_store(tmp_path, 3)
    before = tree(tmp_path)
    with pytest.raises(StoreError, match=rf"another specification: .*{difference}.* Nothing was changed"):
        plan(writer.path, replace(writer.spec, **change), writer.clips)
    assert tree(tmp_path) == before


def test_another_clip_table_is_refused_and_changes_nothing(tmp_path):
    committed_store(tmp_path, 3)
    before = tree(tmp_path)
    clips = clip_table(4)
    spec = feature_spec(clips)
    with pytest.raises(
        StoreError, match=r"another clip table \(3 clips of 1 videos.* now 4 clips .* Nothing was changed"
    ):
        plan(store_path(tmp_path, spec), spec, clips)
    assert tree(tmp_path) == before


def test_a_plan_without_clips_or_for_other_clips_writes_nothing(tmp_path):
    empty, clips = clip_table(0), clip_table(3)
    with pytest.raises(StoreError, match="the clip table is empty"):
        plan(store_path(tmp_path, feature_spec(empty)), feature_spec(empty), empty)
    with pytest.raises(StoreError, match=r"made for another clip table .* 4 clips; the table has .* 3 clips"):
        plan(store_path(tmp_path, feature_spec(clips)), feature_spec(clip_table(4)), clips)
    with pytest.raises(StoreError, match="made for another clip table"):
        plan(store_path(tmp_path, feature_spec(clips)), feature_spec(clips, n_clips=2), clips)
    assert tree(tmp_path) == {}


def test_stores_of_two_prompts_share_one_clip_table(tmp_path):
    first = committed_store(tmp_path, 3)
    table = clips_of(first.path).read_bytes()
    spec = replace(first.spec, prompt=replace(first.spec.prompt, key="v1.5_coarse"))
    second = plan(store_path(tmp_path, spec), spec, first.clips)
    assert second.missing() == [0]
    assert first.missing() == []
    assert clips_of(second.path).read_bytes() == table
    assert records_of(second.path).name == "v1.5_coarse.records"


def test_a_plan_that_is_cut_off_leaves_no_store(tmp_path, monkeypatch):
    def cut(*arguments, **options):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(zarr.Group, "create_array", cut)
        with pytest.raises(KeyboardInterrupt):
            planned_store(tmp_path, 3)
    assert list(tmp_path.rglob("*.zarr")) == []
    assert planned_store(tmp_path, 3).missing() == [0]


def test_what_a_later_version_or_another_program_wrote_is_refused(tmp_path):
    writer = planned_store(tmp_path, 3)
    group = zarr.open_group(writer.path, mode="r+")
    group.attrs[ATTRIBUTE] = {**group.attrs[ATTRIBUTE], "format_version": 2}
    with pytest.raises(StoreError, match="has format version 2, this vadprobe reads up to 1; update vadprobe"):
        planned_store(tmp_path, 3)
    group.attrs.clear()
    with pytest.raises(StoreError, match="is a Zarr group, but not a feature store"):
        planned_store(tmp_path, 3)
    (writer.path / "zarr.json").write_text("{")
    with pytest.raises(StoreError, match=r"zarr\.json is not valid JSON"):
        planned_store(tmp_path, 3)


def test_workers_may_plan_at_once_when_the_clip_table_is_there(tmp_path):
    table = tmp_path / "toys" / "segment-24-8" / "clips.parquet"
    clip_table(257).write(table)
    assert run_together(3, "builders.planned_store(argument, 257)", tmp_path) == []
    assert planned_store(tmp_path, 257).missing() == [0, 1]
    assert [path for path in tree(tmp_path) if "partial" in path] == []


# Values


def test_every_finite_bfloat16_comes_back_bit_by_bit(tmp_path):
    patterns = np.arange(1 << 16, dtype=np.uint32)
    patterns = patterns[patterns & 0x7F80 != 0x7F80] << 16  # 65,280 values: subnormals, both zeros, no inf, no NaN
    writer = planned_store(tmp_path, 256, backbone=replace(BACKBONE, n_layers=2, hidden_size=85))
    data = features(writer.spec, 0)
    assert data.hidden_states.size == patterns.size
    data.hidden_states.reshape(-1)[:] = patterns.view(np.float32)
    writer.write_partition(0, data)
    np.testing.assert_array_equal(stored_bits(writer.path, "hidden_states").reshape(-1), patterns)


def test_every_finite_float16_comes_back_bit_by_bit(tmp_path):
    patterns = np.arange(1 << 16, dtype=np.uint16)
    patterns = patterns[patterns & 0x7C00 != 0x7C00]
    writer = planned_store(tmp_path, 256, backbone=replace(BACKBONE, dtype="float16", n_layers=1, hidden_size=124))
    data = features(writer.spec, 0)
    assert data.hidden_states.size == patterns.size
    data.hidden_states.reshape(-1)[:] = patterns.view(np.float16)
    writer.write_partition(0, data)
    np.testing.assert_array_equal(stored_bits(writer.path, "hidden_states").reshape(-1), patterns)


@pytest.fixture(scope="module")
def float32_store(tmp_path_factory):
    return planned_store(tmp_path_factory.mktemp("float32"), 3, "float32")


@laws(15)
@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1, max_size=18))
def test_float32_comes_back_bit_by_bit(float32_store, values):
    data = features(float32_store.spec, 0)
    data.hidden_states.reshape(-1)[: len(values)] = values
    float32_store.write_partition(0, data)
    for name in FEATURES:
        np.testing.assert_array_equal(stored_bits(float32_store.path, name), bits(getattr(data, name)))


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32"])
@pytest.mark.parametrize("n_clips", [1, 256, 258])
def test_stores_of_every_dtype_hold_what_was_written(tmp_path, dtype, n_clips):
    failures = {0: "the decoder was killed", n_clips - 1: "the file is empty"} if n_clips > 1 else {}
    writer = committed_store(tmp_path, n_clips, dtype, failures)
    for name in FEATURES:
        expected = all_features(writer.spec, name, failures)
        np.testing.assert_array_equal(stored_bits(writer.path, name), bits(expected))
    assert verify(writer.path).problems == ()


def test_a_failed_row_keeps_the_bits_of_its_nan(tmp_path):
    writer = planned_store(tmp_path, 2)
    data = features(writer.spec, 0, {1: "failed"})
    data.hidden_states.view(np.uint32)[1] = 0xFFA10000  # a NaN that bfloat16 has, with sign and payload
    writer.write_partition(0, data)
    assert (stored_bits(writer.path, "hidden_states")[1] == 0xFFA10000).all()
    data.hidden_states.view(np.uint32)[1] = 0x7FC00001
    with pytest.raises(StoreError, match="not bfloat16"):
        writer.write_partition(0, data)


# What a partition refuses


@pytest.fixture(scope="module")
def half_written(tmp_path_factory):
    """A store of 257 rows whose first partition is written. Nothing below may change it."""
    writer = planned_store(tmp_path_factory.mktemp("half"), 257)
    writer.write_partition(0, features(writer.spec, 0))
    return writer


def _refused(writer, partition, data, message):
    before = tree(writer.path.parent)
    with pytest.raises(StoreError, match=message):
        writer.write_partition(partition, data)
    assert tree(writer.path.parent) == before


@pytest.mark.parametrize("name", FEATURES)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_value_that_is_not_finite_is_refused(half_written, name, value):
    data = features(half_written.spec, 0)
    getattr(data, name).reshape(256, -1)[200, -1] = value
    _refused(half_written, 0, data, rf"{name} of row 200 \('video 2'\) is not finite.* not named as failed.*bfloat16")


@pytest.mark.parametrize("name", FEATURES)
@pytest.mark.parametrize("value", [0.0, 1.0, np.inf])
def test_a_failed_row_with_one_value_is_refused(half_written, name, value):
    data = features(half_written.spec, 0, {200: "failed"})
    getattr(data, name).reshape(256, -1)[200, -1] = value
    _refused(half_written, 0, data, f"{name}: a row named as failed holds values; it must be NaN")


@pytest.mark.parametrize(("partition", "row"), [(0, 256), (0, -1), (1, 255), (1, 257)])
def test_failures_of_other_partitions_are_refused(half_written, partition, row):
    data = replace(features(half_written.spec, partition), failures={row: "failed"})
    _refused(half_written, partition, data, rf"failures name rows \[{row}\], outside this partition's \[")


@pytest.mark.parametrize("name", FEATURES)
def test_other_shapes_and_dtypes_are_refused(half_written, name):
    data = features(half_written.spec, 1)
    values = getattr(data, name)
    for wrong in (values[..., :-1], np.concatenate([values, values]), values[:0], values[0]):
        _refused(
            half_written, 1, replace(data, **{name: wrong}), rf"{name} has shape .*; the specification wants \(1, "
        )
    _refused(half_written, 1, replace(data, **{name: values.astype(np.float16)}), f"{name} holds float16")
    _refused(half_written, 1, replace(data, **{name: values * np.float32(1.001)}), f"{name} .*not bfloat16")


@pytest.mark.parametrize("partition", [-1, 2])
def test_a_partition_outside_the_store_is_refused(half_written, partition):
    _refused(
        half_written, partition, features(half_written.spec, 0), rf"partition {partition} does not exist; .* has 2"
    )


def test_an_empty_partition_is_all_nan_and_of_the_right_shape(half_written):
    data = PartitionData.empty(half_written.spec, 7)
    for array in feature_arrays(half_written.spec.backbone, 257):
        values = getattr(data, array.name)
        assert values.shape == array.rows(7)
        assert values.dtype == np.float32
        assert np.isnan(values).all()
    _refused(half_written, 1, PartitionData.empty(half_written.spec, 1), "not finite, and the row is not")


# Crashes


@pytest.mark.parametrize("step", ["record", "second shard"])
def test_a_partition_counts_only_with_its_record(tmp_path, monkeypatch, step):
    whole = committed_store(tmp_path / "whole", 257)
    writer = planned_store(tmp_path / "cut", 257)
    writer.write_partition(0, features(writer.spec, 0))

    stage = LocalStaging.stage

    def cut(staging, name, pieces):
        if name.endswith("json" if step == "record" else "head_outputs"):
            raise KeyboardInterrupt
        stage(staging, name, pieces)

    with monkeypatch.context() as patch:
        patch.setattr(LocalStaging, "stage", cut)
        with pytest.raises(KeyboardInterrupt):
            writer.write_partition(1, features(writer.spec, 1))
    assert writer.missing() == [1]
    assert FeatureStore.open(writer.path).written.tolist() == [True] * 256 + [False]
    with pytest.raises(StoreError, match="not written yet"):
        FeatureStore.open(writer.path).answer_logits(np.array([256]))
    with pytest.raises(StoreError, match="cannot be committed: 1 of 2 partitions are not written, first 1"):
        writer.commit()
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
        for partition in writer.missing():
            writer.write_partition(partition, features(writer.spec, partition))
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


@pytest.mark.parametrize("damage", [lambda content: b"", lambda content: content[:-3], lambda content: b"x" * 500])
def test_a_damaged_shard_can_be_written_again(tmp_path, damage):
    writer = committed_store(tmp_path, 3)
    before = tree(tmp_path)
    for array in feature_arrays(writer.spec.backbone, 3):
        shard = shard_path(writer.path, array, 0)
        shard.write_bytes(damage(shard.read_bytes()))
    writer.write_partition(0, features(writer.spec, 0))
    assert tree(tmp_path) == before


def test_shards_and_their_folders_are_synced_before_the_record(tmp_path, monkeypatch):
    writer = planned_store(tmp_path, 3)
    steps = []
    real, publish, fsync = writer_module.sync, LocalStaging.publish, os.fsync

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
    monkeypatch.setattr(writer_module, "sync", spied)
    monkeypatch.setattr(LocalStaging, "publish", published)
    writer.write_partition(0, features(writer.spec, 0))
    shards = [shard_path(writer.path, array, 0) for array in feature_arrays(writer.spec.backbone, 3)]
    record = steps.index(("publish", records_of(writer.path) / "000000.json"))
    for shard in shards:
        published = steps.index(("publish", shard))
        forced = steps.index(("force", shard.stat().st_ino))
        assert forced < published < steps.index(("sync", shard.parent)) < record
    assert [step for step in steps[record + 1 :] if step[0] == "sync"] == [("sync", records_of(writer.path))]


# Commit


def test_a_commit_names_what_is_missing(tmp_path):
    writer = planned_store(tmp_path, 600)
    writer.write_partition(1, features(writer.spec, 1))
    with pytest.raises(StoreError, match=r"2 of 3 partitions are not written, first 0\. Run 'vadprobe extract' again"):
        writer.commit()
    assert read_attributes(writer.path)["state"] == "open"


def test_a_commit_returns_every_failed_row_and_may_be_repeated(tmp_path):
    failures = {3: "empty file", 255: "no frames", 256: "killed"}
    writer = committed_store(tmp_path, 258, failures=failures)
    before = tree(tmp_path)
    assert writer.commit() == failures
    assert tree(tmp_path) == before
    attributes = read_attributes(writer.path)
    assert (attributes["state"], attributes["n_failed"]) == ("committed", 3)
    assert attributes["spec"] == writer.spec.to_json()


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


# What others see


def test_any_zarr_reader_finds_named_dimensions_of_one_length(tmp_path):
    """What xarray needs: every dimension has one length, and a one-dimensional array of its own name fits it."""
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


# Failures, damage and leftovers


@pytest.mark.parametrize(("n_clips", "partition"), [(1, 0), (256, 0), (257, 1)])
def test_a_partition_whose_every_row_failed_can_be_written(tmp_path, n_clips, partition):
    writer = planned_store(tmp_path, n_clips)
    failures = dict.fromkeys(range(256 * partition, n_clips), "the file is damaged")
    for number in range(writer.n_partitions):
        writer.write_partition(number, features(writer.spec, number, failures))
    assert writer.commit() == failures
    assert verify(writer.path).problems == ()
    rows = np.array(list(failures))
    assert np.isnan(FeatureStore.open(writer.path).hidden_states(rows, [0, 1, 2])).all()


@pytest.mark.parametrize("recipe", [{"frame_size": [448, 448]}, None])
def test_a_store_that_was_removed_is_written_from_the_start(tmp_path, recipe):
    writer = committed_store(tmp_path, 3)
    shutil.rmtree(writer.path)
    spec = writer.spec if recipe is None else replace(writer.spec, recipe=recipe)
    assert plan(writer.path, spec, writer.clips).missing() == [0]


def test_a_lost_clip_table_is_not_replaced_by_another(tmp_path):
    writer = committed_store(tmp_path, 3)
    clips_of(writer.path).unlink()
    before = tree(tmp_path)
    clips = clip_table(4)
    with pytest.raises(StoreError):
        plan(writer.path, feature_spec(clips), clips)
    assert tree(tmp_path) == before


def test_a_commit_after_a_repair_counts_failures_again(tmp_path):
    writer = committed_store(tmp_path, 3)
    writer.write_partition(0, features(writer.spec, 0, {1: "the file was removed"}))
    assert writer.commit() == {1: "the file was removed"}
    assert read_attributes(writer.path)["n_failed"] == 1


def test_other_bytes_from_the_disk_are_noticed_before_the_record(tmp_path, monkeypatch):
    writer = planned_store(tmp_path, 3)

    monkeypatch.setattr(os, "fsync", lambda descriptor: os.pwrite(descriptor, b"\xff", 100))
    with pytest.raises(StoreError, match="does not return what was"):
        writer.write_partition(0, features(writer.spec, 0))
    assert writer.missing() == [0]


def test_what_killed_processes_left_is_cleared_away(tmp_path):
    writer = planned_store(tmp_path, 3)
    shard = shard_path(writer.path, feature_arrays(BACKBONE, 3)[0], 0)
    shard.parent.mkdir(parents=True)
    left = [
        shard.with_suffix(".0123456789abcdef.partial"),
        records_of(writer.path) / "000000.json.999999.partial",
        writer.path.with_name(f"{writer.path.name}.999999.partial") / "zarr.json",
    ]
    for path in left:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"half")
    writer = planned_store(tmp_path, 3)
    writer.write_partition(0, features(writer.spec, 0))
    writer.commit()
    assert [path for path in left if path.exists()] == []


def test_a_removed_store_leaves_no_record_that_counts(tmp_path):
    """A partition whose rows all failed has no shard that could be missed, so only its record tells of it."""
    failures = dict.fromkeys(range(3), "the file is damaged")
    writer = committed_store(tmp_path, 3, failures=failures)
    shutil.rmtree(writer.path)
    assert planned_store(tmp_path, 3).missing() == [0]
    assert list(records_of(writer.path).iterdir()) == []


def test_workers_may_plan_a_removed_store_at_once(tmp_path):
    writer = committed_store(tmp_path, 3)
    shutil.rmtree(writer.path)
    assert run_together(3, "assert builders.planned_store(argument, 3).missing() == [0]", tmp_path) == []
    assert [path for path in tree(tmp_path) if "partial" in path] == []


def test_a_worker_that_waited_to_plan_deletes_no_record_of_the_first(tmp_path):
    writer = planned_store(tmp_path, 3)
    writer.write_partition(0, features(writer.spec, 0))
    create_group(writer.path, writer.spec, writer.clips)  # it saw no store before it waited
    assert writer.missing() == []


@pytest.mark.parametrize("edit", [{"rows": [0, 2]}, {"partition": 1}, {"digest": None}, {"failures": {"1": "made up"}}])
def test_a_damaged_record_does_not_count_and_is_written_again(tmp_path, edit):
    writer = committed_store(tmp_path, 3)
    before = tree(tmp_path)
    edit_json(records_of(writer.path) / "000000.json", lambda record: record.update(edit))
    assert writer.missing() == [0]
    writer.write_partition(0, features(writer.spec, 0))
    writer.commit()
    assert tree(tmp_path) == before


def test_the_folders_of_a_shard_are_synced(tmp_path, monkeypatch):
    writer = planned_store(tmp_path, 3)
    synced = []
    monkeypatch.setattr(writer_module, "sync", synced.append)
    writer.write_partition(0, features(writer.spec, 0))
    folders = ["c/0/0/0", "c/0/0", "c/0", "c", "."]
    assert {writer.path / "head_outputs" / folder for folder in folders} <= set(synced)


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


def test_coordinates_are_written_out_with_a_checksum(tmp_path):
    writer = planned_store(tmp_path, 3)
    for name in ("clip", "layer", "block", "video_code", "answer_code"):
        assert (writer.path / name / "c" / "0").stat().st_size > 0
        node = zarr.open_array(writer.path / name, mode="r")
        assert [codec.to_dict()["name"] for codec in node.compressors] == ["blosc", "crc32c"]
        assert node.fill_value == -1
