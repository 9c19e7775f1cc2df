"""Comparisons of two stores, with the difference planted."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.support import builders
from tests.support.builders import BACKBONE, PROMPT, committed_store, edit_json, features, planned_store
from vadprobe.store.catalog.comparison import compare
from vadprobe.store.datasets.video import Video
from vadprobe.store.errors import StoreError
from vadprobe.store.exchange.transfer import Choice, transfer
from vadprobe.store.format.clip_table import ClipTable
from vadprobe.store.format.layout import clips_of, records_of
from vadprobe.store.format.prompts import Prompt
from vadprobe.store.format.sampling import Sampling
from vadprobe.store.reading.feature_store import FeatureStore
from vadprobe.store.writing.writer import plan

N_CLIPS = 300
FAILURES = {7: "the video ended early", 290: "cannot be decoded"}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A committed store with two failed rows. Nothing may change it."""
    return committed_store(tmp_path_factory.mktemp("whole"), N_CLIPS, failures=FAILURES).path


@pytest.fixture
def other(tmp_path, whole):
    """A copy of that store, with its clip table, that a test may change."""
    shutil.copytree(whole.parents[2], tmp_path / "toys")
    return tmp_path / whole.relative_to(whole.parents[3])


def rewritten(root, change, dtype="bfloat16", failures=None):
    """A committed store whose features `change(partition, data)` edits in place first."""
    writer = planned_store(root, N_CLIPS, dtype)
    for partition in range(writer.n_partitions):
        data = features(writer.spec, partition, FAILURES if failures is None else failures)
        change(partition, data)
        writer.write_partition(partition, data)
    writer.commit()
    return writer.path


def test_a_copy_is_the_same(whole, other):
    for values in (False, True):
        found = compare(whole, other, values)
        assert (found.verdict, found.differs, found.unknown) == (0, False, ())
    assert [(array.equal, array.differing) for array in found.values] == [(2, ())] * 3


def test_the_specification_is_compared_part_by_part(whole, tmp_path):
    other = planned_store(tmp_path, N_CLIPS, prompt=replace(PROMPT, text="Else?"), versions={"torch": "3.0"})
    found = compare(whole, other.path)
    assert found.verdict == 1
    assert found.specification == (f"prompt.text: {PROMPT.text!r}, not 'Else?'", "versions.torch: '2.13.0', not '3.0'")
    assert found.clips == ()
    assert found.state == ("A is committed with 300 of 300 rows, B is open with 0 of 300 rows",)


def stored(root, videos, sampling, marks=None):
    clips = ClipTable.build(videos, marks or [f"{v.video_id:>064}" for v in videos], sampling)
    spec = builders.feature_spec(clips)
    return plan(builders.store_path(root, spec), spec, clips).path


def test_clip_tables_are_compared_by_video_and_clip(tmp_path):
    sampling = Sampling("segment", 24, 8)
    video = {name: Video(name, f"{name}.mp4", 48, 25.0) for name in "abcdef"}
    first = stored(tmp_path / "1", [video[name] for name in "abcde"], sampling)
    longer = replace(video["b"], n_frames=60)
    marks = [f"{name:>064}" for name in "bcf"]
    marks[1] = "f" * 64
    second = stored(tmp_path / "2", [longer, video["c"], video["f"]], sampling, marks)
    assert compare(first, second).clips == (
        "3 videos only in A: a, d, e",
        "1 video only in B: f",
        "1 video with another file behind the name: c",
        "1 clip of common videos only in B: b frames 48-59",
    )
    third = stored(tmp_path / "3", [video[name] for name in "bacde"], sampling)
    assert compare(first, third).clips == ("common videos stand in another order",)
    fourth = stored(tmp_path / "4", [video[name] for name in "abcde"], Sampling("video", None, 8))
    assert compare(first, fourth).clips == ("A is cut as segment-24-8, B as video-8",)


def test_a_missing_clip_table_matters_only_where_the_digests_differ(whole, other, tmp_path):
    clips_of(other).unlink()
    assert compare(whole, other).verdict == 0
    found = compare(planned_store(tmp_path / "more", N_CLIPS + 1).path, other)
    assert found.verdict == 1
    assert found.clips == ("the clip tables differ by their digests",)
    assert "no clip table at" in found.unknown[0]


def test_failed_rows_are_compared_by_row_and_reason(whole, tmp_path):
    second = committed_store(tmp_path, N_CLIPS, failures={7: "another reason", 8: "new"}).path
    assert compare(whole, second).failures == (
        "1 row only in A, first row 290: cannot be decoded",
        "1 row only in B, first row 8: new",
        "1 row with another reason, first row 7: 'the video ended early', not 'another reason'",
    )


def test_one_planted_value_is_found_with_its_size_and_row(whole, tmp_path):
    def change(partition, data):
        if partition == 1:
            data.hidden_states[5, 2, 3] += 4096
            data.hidden_states[...] = builders.truncate_to_bfloat16(data.hidden_states)

    second = rewritten(tmp_path, change)
    hidden, heads, answers = compare(whole, second, values=True).values
    assert (hidden.equal, hidden.differing, hidden.n_values, hidden.row) == (1, (1,), 1, 256 + 5)
    assert hidden.largest == pytest.approx(4096, rel=0.01)
    assert (heads.differing, answers.differing) == ((), ())
    assert compare(whole, second).verdict == 0  # not asked for
    assert compare(whole, second, values=True).verdict == 1


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_one_bit_is_a_difference(tmp_path, dtype):
    def flip(partition, data):
        if partition == 0:
            bits = data.head_outputs.view(np.uint16 if dtype == "float16" else np.uint32)
            bits[17, 1, 2, 3] ^= 1

    first = rewritten(tmp_path / "1", lambda partition, data: None, dtype)
    found = compare(first, rewritten(tmp_path / "2", flip, dtype), values=True)
    assert [(array.name, array.n_values, array.row) for array in found.values if array.differing] == [
        ("head_outputs", 1, 17)
    ]


def test_minus_zero_differs_by_its_bits_and_not_in_size(tmp_path):
    def zero(sign):
        def change(partition, data):
            data.answer_logits[3, 0] = sign * 0.0

        return change

    found = compare(rewritten(tmp_path / "1", zero(1)), rewritten(tmp_path / "2", zero(-1)), values=True)
    answers = found.values[2]
    assert (answers.differing, answers.n_values, answers.row) == ((0, 1), 2, None)
    assert np.isnan(answers.largest)


def test_other_bytes_of_the_same_values_agree(whole, other):
    """As if another version of the codec had written them."""
    edit_record(other, 0, lambda record: record["shards"]["head_outputs"].update(sha256="0" * 64))
    found = compare(whole, other, values=True)
    assert found.verdict == 0
    assert found.values[1].equal == 2


def edit_record(store, partition, edit):
    from vadprobe.store.files.digests import digest_json

    def change(record):
        edit(record)
        record["digest"] = digest_json({key: value for key, value in record.items() if key != "digest"})

    edit_json(records_of(store) / f"{partition:06d}.json", change)


def test_failed_rows_are_counted_apart(whole, tmp_path):
    second = rewritten(tmp_path, lambda partition, data: None, failures={7: FAILURES[7]})
    hidden = compare(whole, second, values=True).values[0]
    assert (hidden.differing, hidden.one_sided, hidden.row) == ((1,), 3 * 6, None)


@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_bytes(path.read_bytes()[:-9])])
def test_a_lost_or_cut_shard_is_not_taken_for_unknown_values(whole, other, damage):
    edit_record(other, 0, lambda record: record["shards"]["head_outputs"].update(sha256="0" * 64))
    damage(other / "head_outputs" / "c" / "0" / "0" / "0" / "0")
    found = compare(whole, other, values=True)
    assert found.verdict == 2
    assert "run 'vadprobe verify" in found.unknown[0]
    assert found.values[1].equal == 1


def test_rows_of_other_clips_are_not_compared(whole, tmp_path):
    found = compare(whole, committed_store(tmp_path, N_CLIPS - 1).path, values=True)
    assert found.values is None
    assert "the same row means another clip" in found.unknown[0]
    assert found.verdict == 1


def test_backbones_of_other_sizes_are_not_compared(whole, tmp_path):
    writer = planned_store(tmp_path, N_CLIPS, backbone=replace(BACKBONE, n_heads=4))
    found = compare(whole, writer.path, values=True)
    assert found.values is None
    assert "other layers, heads or sizes" in found.unknown[0]


def test_two_stores_without_rows_cannot_be_told_apart_by_value(tmp_path):
    stores = [planned_store(tmp_path / name, N_CLIPS).path for name in "ab"]
    assert compare(*stores).verdict == 0
    assert compare(*stores, values=True).verdict == 2


def test_parts_are_compared_where_both_hold_something(tmp_path):
    """Parts that one store does not hold are NaN in it, which is no difference of values."""

    def change(partition, data):
        data.hidden_states[4, 0, 0] += 8  # of a layer that B does not hold
        data.hidden_states[...] = builders.truncate_to_bfloat16(data.hidden_states)

    first = rewritten(tmp_path / "1", lambda partition, data: None, failures={})
    second = rewritten(tmp_path / "2", change, failures={})
    assert compare(first, second, values=True).values[0].differing == (0, 1)
    done = transfer(FeatureStore.open(second), tmp_path / "3", Choice(layers=(1, 2), heads=((0, 1),)))
    found = compare(first, done.writer.path, values=True)
    assert [array.differing for array in found.values] == [(), (), ()]
    assert found.contents == ("A holds all; B holds 2 layers, 1 head",)
    assert found.verdict == 1


def test_a_damaged_record_cannot_be_told(whole, other):
    edit_json(records_of(other) / "000000.json", lambda record: record.update(failures={}))
    found = compare(whole, other)
    assert "was changed after it was written" in found.unknown[0]
    assert found.state == ("A is committed with 300 of 300 rows, B is committed with 44 of 300 rows",)


def test_what_is_no_store_is_refused(whole, tmp_path):
    with pytest.raises(StoreError, match="no feature store at"):
        compare(whole, tmp_path / "none.zarr")


def test_two_prompts_of_one_backbone(whole, other):
    writer = planned_store(other.parents[3], N_CLIPS, prompt=Prompt("coarse", PROMPT.text))
    assert compare(other, writer.path).specification == ("prompt.key: 'question', not 'coarse'",)
