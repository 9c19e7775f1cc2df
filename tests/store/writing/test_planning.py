"""Planning a store: it is created once and whole, and never in the place of another one."""

import math
import shutil
from dataclasses import replace

import pytest
import zarr

from tests.support.builders import (
    BACKBONE,
    clip_table,
    committed_store,
    feature_spec,
    features,
    planned_store,
    run_together,
    store_path,
    tree,
)
from vadprobe.store.errors import StoreError
from vadprobe.store.format.layout import clips_of, records_of
from vadprobe.store.format.partition_records import shard_path
from vadprobe.store.format.schema import feature_arrays
from vadprobe.store.format.store_header import read_attributes
from vadprobe.store.reading.feature_store import FeatureStore
from vadprobe.store.writing.store_creation import create_group
from vadprobe.store.writing.writer import plan


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
    said = r"another clip table \(3 clips of 1 videos.* now 4 clips .* Nothing was changed"
    with pytest.raises(StoreError, match=said):
        planned_store(tmp_path, 4)
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
    second = planned_store(tmp_path, 3, prompt=replace(first.spec.prompt, key="v1.5_coarse"))
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


def test_what_another_program_wrote_is_refused(tmp_path):
    writer = planned_store(tmp_path, 3)
    zarr.open_group(writer.path, mode="r+").attrs.clear()
    with pytest.raises(StoreError, match="is a Zarr group, but not a feature store"):
        planned_store(tmp_path, 3)


def test_workers_may_plan_at_once_when_the_clip_table_is_there(tmp_path):
    table = tmp_path / "toys" / "segment-24-8" / "clips.parquet"
    clip_table(257).write(table)
    assert run_together(3, "builders.planned_store(argument, 257)", tmp_path) == []
    assert planned_store(tmp_path, 257).missing() == [0, 1]
    assert [path for path in tree(tmp_path) if "partial" in path] == []


@pytest.mark.parametrize("changes", [{"recipe": {"frame_size": [448, 448]}}, {}])
def test_a_store_that_was_removed_is_written_from_the_start(tmp_path, changes):
    shutil.rmtree(committed_store(tmp_path, 3).path)
    assert planned_store(tmp_path, 3, **changes).missing() == [0]


def test_a_lost_clip_table_is_not_replaced_by_another(tmp_path):
    writer = committed_store(tmp_path, 3)
    clips_of(writer.path).unlink()
    before = tree(tmp_path)
    with pytest.raises(StoreError):
        planned_store(tmp_path, 4)
    assert tree(tmp_path) == before


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
    committed_store(tmp_path, 3)
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


def test_coordinates_are_written_out_with_a_checksum(tmp_path):
    writer = planned_store(tmp_path, 3)
    for name in ("clip", "layer", "block", "video_code", "answer_code"):
        assert (writer.path / name / "c" / "0").stat().st_size > 0
        node = zarr.open_array(writer.path / name, mode="r")
        assert [codec.to_dict()["name"] for codec in node.compressors] == ["blosc", "crc32c"]
        assert node.fill_value == -1
