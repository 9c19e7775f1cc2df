"""The benchmark of a long video: it runs, its truth is where things happen, and its delays are those of the clock."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from benchmarks.detect import long_detection
from benchmarks.detect.long_video import FPS, NAME, SCENE_SECONDS
from vadprobe.flows.command_line import main
from vadprobe.store.datasets.dataset import read_manifest


def test_delays_count_from_the_first_true_frame_to_the_score_that_is_final() -> None:
    states = ["normal", "normal", "anomalous", "anomalous", "normal", "anomalous"]
    segments = [
        {"start_frame": 10 * n, "stop_frame": 10 * n + 10, "stop_second": float(n + 1), "state": state}
        for n, state in enumerate(states)
    ]
    truth = np.array([15, 41, 55]), np.array([25, 49, 60])
    assert long_detection.delays_of(segments, truth, 0) == [1.5, None, 0.5]
    assert long_detection.delays_of(segments, truth, 2) == [3.5, None, 0.5], "the end of a video makes all scores final"


def in_this_process(command: Sequence[str], out: Path) -> tuple[list[dict[str, float]], str]:
    """Run the command without a process of its own; its memory is not looked at here."""
    assert main(command[3:]) == 0
    count = len((out / "scores.jsonl").read_text().splitlines())
    parts = dict.fromkeys((long_detection.MAIN, long_detection.DECODER), 1.0)
    return [{"seconds": float(number), "clips": float(number), **parts} for number in range(count + 1)], ""


@pytest.mark.slow
def test_both_forms_are_measured(fitted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = [
        "--detector",
        fitted,
        "--folder",
        tmp_path / "long",
        "--minutes",
        0.1,
        "--times",
        2,
        "--json",
        tmp_path / "a.json",
    ]
    monkeypatch.setattr(long_detection, "sampled", in_this_process)
    monkeypatch.setattr(sys, "argv", ["long_detection", *map(str, words)])
    long_detection.main()
    found = json.loads((tmp_path / "a.json").read_text())
    dataset = read_manifest(NAME, tmp_path / "long" / "videos", tmp_path / "long" / "manifest")
    (video,), length = dataset.videos, SCENE_SECONDS * FPS
    assert video.n_frames == 2 * length, "two scenes, the least"
    starts = [interval.start_frame for interval in dataset.intervals]
    assert starts
    assert min(starts) >= length, "the first scene is normal"
    for form, delay in (("offline", 0), ("causal", 0)):  # this detector smooths nothing
        assert found["found"][form]["delay_segments"] == delay
        assert found["found"][form]["n_segments"] == 2 * length // 8
        assert found["found"][form]["n_true"] >= 1
    assert max(row["clips"] for row in found["samples"]["longer"]) == 4 * length // 8
    assert (tmp_path / "a.png").stat().st_size > 1000
