"""Files of detected events: what they say of each segment, and their version."""

import json
import math
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from tests.support.paths import ROOT
from vadprobe.analyze.locator import event_files
from vadprobe.analyze.locator.event_files import (
    COLUMNS,
    EVENTS_JSON,
    EVENTS_PARQUET,
    ScoredVideos,
    events_table,
    read_events,
    write_events,
)
from vadprobe.analyze.locator.segments import LocatedTruth
from vadprobe.store.errors import VadprobeError
from vadprobe.store.files.parquet import notes_in, write_parquet

VIDEOS = ScoredVideos(
    names=["one", "two"],
    splits=["test", None],
    fps=np.array([10.0, math.nan]),
    codes=np.array([0, 0, 0, 1]),
    start_frames=np.array([0, 20, 40, 0]),
    stop_frames=np.array([20, 40, 55, 30]),
    scores=np.array([0.2, 0.9, math.nan, 0.9]),
)
TRUTH = LocatedTruth(np.array([True, False]), (np.array([0]), np.array([25]), np.array([45])))
ROWS = [
    {"kind": "normal", "start_second": 0.0, "stop_second": 2.0, "peak_frame": 10, "true_fraction": 0.0, "iou": None},
    {"kind": "anomalous", "peak_score": 0.9, "mean_score": 0.9, "peak_frame": 30, "true_fraction": 0.75, "iou": 0.6},
    {"kind": "unknown", "peak_score": None, "peak_frame": None, "mean_score": None, "true_fraction": 1 / 3},
    {"kind": "anomalous", "split": None, "start_second": None, "true_fraction": None, "iou": None},
]


def test_a_row_says_what_was_detected(tmp_path: Path) -> None:
    table = events_table(VIDEOS, 0.5, TRUTH)
    write_events(table, tmp_path, {"dataset": "set", "threshold": 0.5}, ["a note"])
    assert table.column_names == list(COLUMNS)
    for row, wanted in zip(table.to_pylist(), ROWS, strict=True):
        assert {name: row[name] for name in wanted} == pytest.approx(wanted)
    assert read_events(tmp_path / EVENTS_PARQUET).equals(table)
    assert notes_in(tmp_path / EVENTS_PARQUET) == ("a note",)
    found = json.loads((tmp_path / EVENTS_JSON).read_text())
    assert found["segments"] == table.to_pylist()
    assert found["counts"] == {"anomalous": 2, "normal": 1, "unknown": 1}
    assert (found["version"], found["dataset"], found["threshold"], found["notes"]) == (1, "set", 0.5, ["a note"])
    assert list(found["columns"]) == sorted(COLUMNS)


def test_very_many_segments_are_in_the_table_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_files, "MOST_IN_JSON", 3)
    write_events(events_table(VIDEOS, 0.5, TRUTH), tmp_path, {})
    found = json.loads((tmp_path / EVENTS_JSON).read_text())
    assert found["segments"] is None
    assert found["notes"] == ["The 4 segments are in events.parquet alone: too many for JSON."]
    assert read_events(tmp_path / EVENTS_PARQUET).num_rows == sum(found["counts"].values()) == 4


def test_events_of_another_version_are_refused(tmp_path: Path) -> None:
    path = tmp_path / EVENTS_PARQUET
    write_parquet(pa.table({"video_id": ["one"]}), path)
    with pytest.raises(VadprobeError, match="must be of version 1, got None; analyze again"):
        read_events(path)
    path.write_bytes(b"no table")
    with pytest.raises(VadprobeError, match="cannot be read"):
        read_events(path)
    with pytest.raises(FileNotFoundError):
        read_events(tmp_path / "missing.parquet")


def test_the_page_of_results_has_every_column() -> None:
    page = (ROOT / "docs" / "reference" / "results.md").read_text(encoding="utf-8")
    for name, (kind, meaning) in COLUMNS.items():
        assert f"| `{name}` | {kind} | {meaning} |" in page
