"""Clips: every frame belongs to exactly one, values spread back to frames, tables survive Parquet or are refused."""

import os
from collections import Counter
from dataclasses import replace
from fractions import Fraction
from math import ceil, floor

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.builders import SAMPLING, clip_table, run_together, tree
from tests.support.profiles import laws
from tests.support.strategies import DIGESTS, MODERATE, clip_tables, samplings, video_lists, videos
from vadprobe.store.datasets.video import Video
from vadprobe.store.errors import StoreError, VadprobeError
from vadprobe.store.format.clip_table import ClipTable
from vadprobe.store.format.sampling import Sampling, sample_frames, segment, to_frames

ARRAYS = ("fps", "video_codes", "indices", "start_frames", "stop_frames", "frame_indices")


@pytest.fixture
def written(tmp_path):
    """A table of 250 clips and its file."""
    table = clip_table(250)
    table.write(tmp_path / "clips.parquet")
    return table, tmp_path / "clips.parquet"


@MODERATE
@given(videos(), samplings())
def test_every_frame_belongs_to_exactly_one_clip(video, sampling):
    clips = segment(video, sampling)
    counts = Counter(frame for clip in clips for frame in range(clip.start_frame, clip.stop_frame))
    assert counts == Counter(range(video.n_frames))
    assert [clip.index for clip in clips] == list(range(len(clips)))
    assert {clip.video_id for clip in clips} <= {video.video_id}
    lengths = [clip.stop_frame - clip.start_frame for clip in clips]
    if sampling.unit == "segment":
        assert len(clips) == ceil(video.n_frames / sampling.clip_length)
        assert set(lengths[:-1]) <= {sampling.clip_length}
        assert all(0 < length <= sampling.clip_length for length in lengths)
    else:
        assert lengths == [video.n_frames] * (video.n_frames > 0)


@MODERATE
@given(st.integers(0, 10**12), st.integers(1, 100), st.integers(1, 40))
def test_sampled_frames_are_the_middles_of_equal_parts(start, length, count):
    part = Fraction(length, count)
    middles = [floor(start + part * (position + Fraction(1, 2))) for position in range(count)]
    frames = sample_frames(start, start + length, count)
    assert list(frames) == middles
    assert all(start <= frame < start + length for frame in frames)
    assert len(set(frames)) == min(count, length)


@pytest.mark.parametrize(
    ("n_frames", "sampling", "expected"),
    [
        (0, SAMPLING, []),
        (0, Sampling("video", None, 4), []),
        (1, SAMPLING, [(0, 1, (0,) * 8)]),
        (1, Sampling("video", None, 2), [(0, 1, (0, 0))]),
        (24, SAMPLING, [(0, 24, (1, 4, 7, 10, 13, 16, 19, 22))]),
        (25, SAMPLING, [(0, 24, (1, 4, 7, 10, 13, 16, 19, 22)), (24, 25, (24,) * 8)]),
        (27, Sampling("segment", 24, 2), [(0, 24, (6, 18)), (24, 27, (24, 26))]),
        (3, Sampling("segment", 1, 1), [(0, 1, (0,)), (1, 2, (1,)), (2, 3, (2,))]),
    ],
)
def test_clips_of_short_videos(n_frames, sampling, expected):
    clips = segment(Video("a", "a.mp4", n_frames, 25.0), sampling)
    assert [(clip.start_frame, clip.stop_frame, clip.frame_indices) for clip in clips] == expected


def test_a_video_that_was_not_probed_cannot_be_cut():
    with pytest.raises(VadprobeError, match=r"'night 3' has no frame count; probe the file"):
        segment(Video("night 3", "a.mp4"), SAMPLING)


@MODERATE
@given(videos(), samplings(), st.randoms(use_true_random=False))
def test_values_of_clips_spread_over_their_frames_in_any_order(video, sampling, random):
    clips = segment(video, sampling)
    random.shuffle(clips)
    values = np.array([clip.index for clip in clips], dtype=np.float32)
    edges = np.array([(clip.start_frame, clip.stop_frame) for clip in clips], dtype=np.int64).reshape(-1, 2)
    frames = to_frames(values, edges[:, 0], edges[:, 1], video.n_frames)
    assert frames.dtype == np.float32
    assert frames.shape == (video.n_frames,)
    for clip in clips:
        assert (frames[clip.start_frame : clip.stop_frame] == clip.index).all()


@MODERATE
@given(videos().filter(lambda video: video.n_frames > 0), samplings(), st.data())
def test_a_clip_too_few_or_too_many_is_refused(video, sampling, data):
    clips = segment(video, sampling)
    chosen = data.draw(st.integers(0, len(clips) - 1))
    for wrong in (clips[:chosen] + clips[chosen + 1 :], [*clips, clips[chosen]]):
        edges = np.array([(clip.start_frame, clip.stop_frame) for clip in wrong], dtype=np.int64).reshape(-1, 2)
        with pytest.raises(VadprobeError, match=rf"do not cover the {video.n_frames} frames .*Pass all clips"):
            to_frames(np.zeros(len(wrong)), edges[:, 0], edges[:, 1], video.n_frames)


@pytest.mark.parametrize(
    ("starts", "stops", "n_values"),
    [
        *[([0, 5], [6, 9], 2), ([0, 4], [3, 9], 2), ([1, 5], [5, 9], 2), ([0, 5], [5, 8], 2), ([0, 5], [5, 9], 1)],
        *[([0, 5], [5], 2), ([0, 5], [5, 9, 12], 2)],
    ],
)
def test_overlaps_gaps_and_missing_values_are_refused(starts, stops, n_values):
    with pytest.raises(VadprobeError, match="cover the 9 frames"):
        to_frames(np.zeros(n_values), np.array(starts), np.array(stops), 9)


@MODERATE
@given(video_lists(), samplings())
def test_a_table_holds_the_clips_of_its_videos_in_order(found, sampling):
    table = ClipTable.build(found, ["f"] * len(found), sampling)
    expected = [clip for video in found for clip in segment(video, sampling)]
    assert len(table) == len(expected)
    assert [table.clip(row) for row in range(len(table))] == expected
    assert table.frame_indices.shape == (len(expected), sampling.frames_per_clip)
    for video in found:
        rows = [row for row, clip in enumerate(expected) if clip.video_id == video.video_id]
        assert table.rows_of([video.video_id]).tolist() == rows
    everything = table.rows_of([*table.video_ids, "a name that no video has"])
    assert everything.tolist() == list(range(len(expected)))


@laws(25)
@given(clip_tables())
def test_a_table_survives_parquet(tmp_path_factory, table):
    path = tmp_path_factory.getbasetemp() / "round trip" / "clips.parquet"
    table.write(path)
    again = ClipTable.read(path)
    assert again.digest == table.digest
    for name in ("sampling", "video_ids", "fingerprints"):
        assert getattr(again, name) == getattr(table, name)
    for name in ARRAYS:
        np.testing.assert_array_equal(getattr(again, name), getattr(table, name), strict=True)
    assert sorted(tree(path.parent)) == ["clip_videos.parquet", "clips.parquet"]


@MODERATE
@given(clip_tables().filter(len), DIGESTS, st.data())
def test_every_part_of_a_table_is_in_its_digest(table, fingerprint, data):
    row = data.draw(st.integers(0, len(table) - 1))
    for name in ARRAYS:
        values = getattr(table, name).copy()
        values.reshape(len(values), -1)[row if len(values) == len(table) else 0, 0] += 1
        assert replace(table, **{name: values}).digest != table.digest, name
    sampling, field = table.sampling, "frames_per_clip" if table.sampling.unit == "video" else "clip_length"
    changes = {
        "video_ids": (*table.video_ids[:-1], table.video_ids[-1] + "x"),
        "fingerprints": (*table.fingerprints[:-1], "x" + fingerprint[1:]),
        "sampling": replace(sampling, **{field: getattr(sampling, field) + 1}),
    }
    for name, value in changes.items():
        assert replace(table, **{name: value}).digest != table.digest, name


def test_rows_are_known_by_video_and_frames():
    table = clip_table(250)
    digests = {table.row_digest(rows) for rows in (slice(0, 100), slice(100, 200), slice(0, 99), slice(150, 250))}
    assert len(digests) == 4
    assert clip_table(300).row_digest(slice(0, 200)) == table.row_digest(slice(0, 200))
    names = tuple(reversed(table.video_ids))
    assert replace(table, video_ids=names).row_digest(slice(0, 100)) != table.row_digest(slice(0, 100))


@pytest.mark.parametrize("name", ["clips.parquet", "clip_videos.parquet"])
def test_a_missing_file_is_named(written, name):
    _, path = written
    path.with_name(name).unlink()
    with pytest.raises(StoreError, match=rf"no clip table at {path} \({name} is missing\); run 'vadprobe plan'"):
        ClipTable.read(path)


@pytest.mark.parametrize("name", ["clips.parquet", "clip_videos.parquet"])
@pytest.mark.parametrize("kept", [0.0, 0.5, 0.999])
def test_a_cut_file_is_refused(written, name, kept):
    _, path = written
    content = path.with_name(name).read_bytes()
    path.with_name(name).write_bytes(content[: int(len(content) * kept)])
    with pytest.raises(StoreError, match=r"cannot be read .*restore it from a copy"):
        ClipTable.read(path)


def edit_column(path, column, edit):
    """Change the values of a column of a Parquet file, given as a list."""
    table = pq.read_table(path)
    field = table.schema.field(column)
    values = pa.array(edit(table[column].to_pylist()), field.type)
    pq.write_table(table.set_column(table.column_names.index(column), field, values), path)


def _swapped(values):
    values[0], values[120] = values[120], values[0] if values[0] != values[120] else 7
    return values


@pytest.mark.parametrize("column", ["video_code", "index", "start_frame", "stop_frame", "frame_indices"])
def test_an_edited_table_is_refused(written, column):
    edit_column(written[1], column, _swapped)
    with pytest.raises(StoreError, match=r"was changed after it was written: .* digest .*Restore it"):
        ClipTable.read(written[1])


def test_edited_videos_are_refused(written):
    edit_column(written[1].with_name("clip_videos.parquet"), "fps", lambda values: [value + 1 for value in values])
    with pytest.raises(StoreError, match="was changed after it was written"):
        ClipTable.read(written[1])


def test_a_damaged_byte_never_changes_the_table_unnoticed(written):
    table, path = written
    seen = Counter()
    for name in ("clips.parquet", "clip_videos.parquet"):
        damaged = path.with_name(name)
        content = damaged.read_bytes()
        for position in range(0, len(content), len(content) // 30):
            changed = bytearray(content)
            changed[position] ^= 1 << position % 8
            damaged.write_bytes(changed)
            seen[_reading(path, table)] += 1
        damaged.write_bytes(content)
    assert seen["another table"] == 0
    assert seen["refused"] > 20


def _reading(path, table):
    try:
        return "the same table" if ClipTable.read(path).digest == table.digest else "another table"
    except (ValueError, TypeError, LookupError, OSError, pa.ArrowException):  # which of them: see the test below
        return "refused"


def _with_sampling(table, text):
    return table.replace_schema_metadata({**table.schema.metadata, b"vadprobe.sampling": text})


@pytest.mark.parametrize(
    "edit",
    [
        lambda table: table.replace_schema_metadata(None),
        lambda table: table.drop_columns(["stop_frame"]),
        lambda table: _with_sampling(table, b"every,now,then"),
        lambda table: _with_sampling(table, b"clips,24,8"),
    ],
)
def test_a_file_that_is_no_clip_table_is_refused_by_name(written, edit):
    _, path = written
    pq.write_table(edit(pq.read_table(path)), path)
    with pytest.raises(StoreError, match=str(path)):
        ClipTable.read(path)


@pytest.mark.parametrize("column", ["row", "video_id"])
def test_edited_columns_that_repeat_the_codes_are_refused(written, column):
    edit_column(written[1], column, lambda values: values[::-1])
    with pytest.raises(StoreError):
        ClipTable.read(written[1])


def test_a_video_without_fingerprint_is_refused():
    with pytest.raises(VadprobeError, match="fingerprint"):
        ClipTable.build([Video("a", "a.mp4", 30, 25.0)], [], SAMPLING)


def test_a_write_that_fails_leaves_the_old_table(written, monkeypatch):
    _, path = written
    before = tree(path.parent)

    def full_disk(descriptor):
        raise OSError("no space left")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(OSError, match="no space left"):
        clip_table(3).write(path)
    assert {name: digest for name, digest in tree(path.parent).items() if not name.endswith(".partial")} == before


def test_processes_may_write_the_same_table_at_once(tmp_path):
    errors = run_together(3, "builders.clip_table(50).write(argument / 'clips.parquet')", tmp_path, repeats=20)
    assert errors == []
    assert len(ClipTable.read(tmp_path / "clips.parquet")) == 50
