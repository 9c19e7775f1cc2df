"""HIVAU-70k, mask folders, tables of one's own and frame counts: what each row becomes."""

import json
import pickle
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from vadprobe.store.datasets.annotations.folders.masks import read_masks
from vadprobe.store.datasets.annotations.frame_counts import FrameCount, read_frame_counts
from vadprobe.store.datasets.annotations.hivau import read_hivau
from vadprobe.store.datasets.annotations.rows.rows import Annotation
from vadprobe.store.datasets.annotations.tables import read_table
from vadprobe.store.datasets.video import Interval
from vadprobe.store.errors import VadprobeError

HIVAU = {
    "Abuse028_x264": {"n_frames": 1412, "fps": 30.0, "label": ["Abuse"], "events": [[5.5, 8.0], [9.99, 10.0]]},
    "Normal_Videos_003_x264.mp4": {"n_frames": 2820, "fps": 30, "label": [], "events": [[1.0, 2.0]]},
}


def frames(annotation: Annotation) -> list[tuple[int, int]]:
    return [(interval.start_frame, interval.stop_frame) for interval in annotation.intervals]


def test_hivau_events_are_seconds_and_those_of_normal_videos_are_no_anomalies(tmp_path: Path) -> None:
    path = tmp_path / "ucf_database_test.json"
    path.write_text(json.dumps(HIVAU))
    abuse, normal = read_hivau(path).checked()
    assert frames(abuse) == [(165, 240), (300, 301)], "an event has at least one frame"
    assert (abuse.label, abuse.category, abuse.n_frames, abuse.fps, abuse.split) == (1, "Abuse", 1412, 30.0, "test")
    assert (normal.video_id, normal.label, normal.intervals) == ("Normal_Videos_003_x264", 0, ())


@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        ({"n_frames": None}, "'n_frames'"),
        ({"n_frames": True}, "'n_frames'"),
        ({"fps": 0}, "'fps'"),
        ({"fps": float("inf")}, "'fps'"),
        ({"label": [3]}, "'label'"),
        ({"events": []}, "'events'"),
        ({"events": [[2, 1]]}, "start < end"),
        ({"events": [[1]]}, "start, end"),
        ({"events": [[float("nan"), 2]]}, "start < end"),
    ],
)
def test_impossible_hivau_entries_are_rejected_and_the_others_read(
    tmp_path: Path, change: dict[str, object], wanted: str
) -> None:
    path = tmp_path / "x.json"
    path.write_text(json.dumps({**HIVAU, "bad": {**HIVAU["Abuse028_x264"], **change}}))
    reading = read_hivau(path)
    assert [entry.video_id for entry in reading.entries] == ["Abuse028_x264", "Normal_Videos_003_x264"]
    assert wanted in reading.rejected[0].expected
    assert "entry 3: got 'bad: " in reading.rejected[0].sentence


def test_a_repeated_key_of_json_is_seen(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    entry = json.dumps(HIVAU["Abuse028_x264"])
    path.write_text(f'{{"a": {entry}, "a": {entry}}}')
    reading = read_hivau(path)
    assert (reading.n_rows, len(reading.entries), len(reading.rejected)) == (2, 1, 1)


def test_masks_become_runs_of_frames(tmp_path: Path) -> None:
    np.save(tmp_path / "01_0014.npy", np.array([0, 1, 1, 0, 1], dtype=np.uint8))
    pixels = np.zeros((4, 3, 3), dtype=np.uint8)
    pixels[2, 1, 1] = 255
    np.save(tmp_path / "01_0015.npy", pixels)
    (tmp_path / "01_0016.txt").write_text("0\n0\n")
    (tmp_path / "01_0017.csv").write_text("1,1,0\n")
    (tmp_path / "notes.md").write_text("no mask")
    found = {entry.video_id: entry for entry in read_masks(tmp_path).checked()}
    assert {name: frames(entry) for name, entry in found.items()} == {
        "01_0014": [(1, 3), (4, 5)],
        "01_0015": [(2, 3)],
        "01_0016": [],
        "01_0017": [(0, 2)],
    }
    assert [found[name].n_frames for name in sorted(found)] == [5, 4, 2, 3]
    assert [found[name].label for name in sorted(found)] == [1, 1, 0, 1]


def test_masks_that_are_none_are_rejected_and_nothing_is_unpickled(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.array([0, 2]))
    np.save(tmp_path / "b.npy", np.zeros((2, 2)))
    np.save(tmp_path / "c.npy", np.array([{"x": 1}], dtype=object), allow_pickle=True)
    (tmp_path / "d.npy").write_bytes(pickle.dumps([0, 1]))
    (tmp_path / "e.npy").write_bytes(b"\x93NUMPY\x01\x00v\x00{'descr': '|u1', 'fortran_order': False, 'shape': (10")
    (tmp_path / "f.txt").write_text("0 1 3")
    (tmp_path / "g.txt").write_text("")
    reading = read_masks(tmp_path)
    assert (reading.n_rows, len(reading.entries), len(reading.rejected)) == (7, 0, 7)
    (tmp_path / "empty").mkdir()
    with pytest.raises(VadprobeError, match=r"holds no mask"):
        read_masks(tmp_path / "empty")


TIMES = {"n_frames": 90, "fps": 30.0, "intervals": [[4, 9], [12, 20]]}
ROWS: list[dict[str, object]] = [
    {"path": "deep/a.mp4", "split": "train", "label": 0, "n_frames": 100, "fps": 25.0},
    {"path": "b.mp4", "split": "test", "category": "fire", **TIMES},
]


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_one_table_in_three_formats(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"own.{suffix}"
    if suffix == "parquet":
        columns = dict.fromkeys(name for row in ROWS for name in row)
        pq.write_table(pa.Table.from_pylist([{name: row.get(name) for name in columns} for row in ROWS]), path)
    elif suffix == "jsonl":
        path.write_text("\n".join(json.dumps(row) for row in ROWS))
    else:
        path.write_text(
            "path,split,label,category,n_frames,fps,intervals\r\n"
            "deep/a.mp4,train,normal,,100,25.0,\r\nb.mp4,test,,fire,90,30,4-9; 12 - 20\r\n"
        )
    intervals = Interval("b", 4, 9, "fire"), Interval("b", 12, 20, "fire")
    assert read_table(path).checked() == (
        Annotation("a", 0, None, (), 100, 25.0, "train", "deep/a.mp4"),
        Annotation("b", 1, "fire", intervals, 90, 30.0, "test", "b.mp4"),
    )


def test_rows_of_one_video_are_joined(tmp_path: Path) -> None:
    path = tmp_path / "own.csv"
    path.write_text(
        "video_id,split,fps,start_frame,stop_frame,start_second,stop_second\n"
        "a,test,10,3,5,,\na,,,7,9,,\na,,10,,,1.0,2.0\nb,train,,,,,\n"
    )
    first, second = read_table(path).checked()
    assert frames(first) == [(3, 5), (7, 9), (10, 20)]
    assert (first.split, first.fps, first.label) == ("test", 10.0, 1)
    assert (second.split, second.label) == ("train", None)


@pytest.mark.parametrize(
    ("row", "wanted"),
    [
        ("a,train,,9,12", "the split of line 2, 'test'"),
        ("a,test,0,,", "the label of line 2, 1"),
        ("a,test,,3,5", "says nothing new after line 2"),
        ("b,test,0,3,5", "no interval for a normal video"),
        ("b,testing,,,", "a split of train, validation, test"),
        ("b,test,maybe,,", "a label of"),
        ("b,test,,5,3", "0 <= start < stop"),
        ("b,test,,5,", "both 'start_frame' and 'stop_frame'"),
        ("b,test,,1.5,3", "whole number"),
        (",test,,,", "a video name"),
        ("b,test,,3,5,9,9", "5 values, one for every column"),
    ],
)
def test_rows_that_contradict_are_rejected_by_line(tmp_path: Path, row: str, wanted: str) -> None:
    path = tmp_path / "own.csv"
    path.write_text(f"video_id,split,label,start_frame,stop_frame\na,test,,3,5\n{row}\n")
    reading = read_table(path)
    assert reading.n_rows == 2
    assert [frames(entry) for entry in reading.entries] == [[(3, 5)]]
    assert f"{path}, line 3: got {row!r}" in reading.rejected[0].sentence
    assert wanted in reading.rejected[0].sentence


@pytest.mark.parametrize("path", ["/etc/passwd", "../secret.mp4", "a/../../b.mp4", "~/x.mp4", "..\\x.mp4"])
def test_paths_that_leave_the_folder_are_rejected(tmp_path: Path, path: str) -> None:
    table = tmp_path / "own.jsonl"
    table.write_text(json.dumps({"video_id": "a", "path": path}))
    assert "below the dataset's video folder" in read_table(table).rejected[0].remedy


def test_columns_that_are_not_used_are_noted_and_tables_without_names_refused(tmp_path: Path) -> None:
    path = tmp_path / "own.csv"
    path.write_text("video_id,camera\na,3\n")
    assert read_table(path).notes == ("columns not used: camera",)
    path.write_text("camera,place\n3,hall\n")
    with pytest.raises(VadprobeError, match=r"must have a column 'video_id' or 'path', got camera, place"):
        read_table(path)
    with pytest.raises(VadprobeError, match=r"none of \.csv, \.jsonl, \.parquet"):
        read_table(tmp_path / "own.xlsx")


def test_frame_counts(tmp_path: Path) -> None:
    path = tmp_path / "counts.csv"
    path.write_bytes(b"\xef\xbb\xbfvideo,frames\r\nAbuse/Abuse028_x264.mp4,1412\r\n\r\nb,7")
    assert read_frame_counts(path).checked() == (FrameCount("Abuse028_x264", 1412), FrameCount("b", 7))
    path.write_text("a,5\nb,0\nc,-1\nd,x\ne\na,6\nf,1,2\n")
    reading = read_frame_counts(path)
    assert reading.entries == (FrameCount("a", 5),)
    assert [rejection.row for rejection in reading.rejected] == [2, 3, 4, 5, 6, 7]
