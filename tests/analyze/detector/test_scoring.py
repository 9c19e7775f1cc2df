"""Scores of many clips: written in row groups, read back as they are, laid on the videos of a truth."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from tests.support.builders import clip_table
from vadprobe.analyze.detector import scoring
from vadprobe.analyze.detector.scoring import Scores
from vadprobe.analyze.evaluation.ground_truth import ground_truth
from vadprobe.store.datasets.dataset import Dataset
from vadprobe.store.datasets.video import Video


def scores_of(rows: np.ndarray) -> tuple[Scores, Dataset]:
    table = clip_table(450)
    raw = np.random.default_rng(0).random(len(rows))
    raw[3] = np.nan
    videos = tuple(
        Video(name, f"{name}.mp4", split="test" if number % 2 else "validation", label=0)
        for number, name in enumerate(table.video_ids)
    )
    return Scores(table, rows, raw, raw / 2), Dataset("toys", Path(), videos, ())


def test_scores_are_written_in_row_groups_and_read_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scoring, "_ROW_GROUP", 100)
    rows = np.arange(120, 430)
    scores, truth = scores_of(rows)
    scores.write(tmp_path / "scores.parquet", truth)
    file = pq.ParquetFile(tmp_path / "scores.parquet")
    assert [file.metadata.row_group(number).num_rows for number in range(file.num_row_groups)] == [100, 100, 100, 10]
    for position, found in enumerate(file.read().to_pylist()):
        clip = scores.table.clip(int(rows[position]))
        wanted = (clip.video_id, truth.by_id[clip.video_id].split, clip.index, clip.start_frame, clip.stop_frame)
        assert tuple(found.values())[:5] == wanted
        assert np.array_equal([found["raw_score"], found["score"]], [scores.raw[position], scores.smoothed[position]],
                              equal_nan=True)  # fmt: skip


def test_a_video_without_a_truth_has_no_split(tmp_path: Path) -> None:
    scores, truth = scores_of(np.arange(450))
    scores.write(tmp_path / "scores.parquet", Dataset("toys", Path(), truth.videos[1:], ()))
    splits = pq.read_table(tmp_path / "scores.parquet")["split"].to_pylist()
    assert splits[:100] == [None] * 100
    assert None not in splits[100:]


def test_values_are_laid_on_the_videos_of_a_truth_in_order() -> None:
    scores, truth = scores_of(np.arange(449, -1, -1))
    table = scores.table
    names = ("video 1", "video 4")
    some = [replace(truth.by_id[name], n_frames=int(table.stop_frames[table.rows_of([name])].max())) for name in names]
    laid = scores.laid(ground_truth(truth, some), scores.raw)
    rows = np.concatenate([table.rows_of([name]) for name in names])
    assert np.array_equal(laid.start_frames, table.start_frames[rows])
    assert np.array_equal(laid.scores, scores.raw[449 - rows], equal_nan=True)
