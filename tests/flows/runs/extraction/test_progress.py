"""The log of stage 1 says which store, how fast without the loading of weights, and how long it will take."""

import logging
from types import SimpleNamespace
from typing import Any

import pytest

from vadprobe.extract.pipeline.open_partition import PartitionKey
from vadprobe.extract.pipeline.stream import PartitionOutcome
from vadprobe.flows.runs.extraction import progress
from vadprobe.flows.runs.extraction.progress import SpanProgress

ROWS = 256


def extractor(partitions: int) -> Any:
    """Stand in for an extraction of one sampling that has taken 90 s to load."""
    left = [PartitionKey(0, number) for number in range(partitions)]
    clip = SimpleNamespace(video_id="street", start_frame=40, stop_frame=48)
    clips = SimpleNamespace(clip=lambda row: clip)
    return SimpleNamespace(
        left=left,
        pending=lambda: list(left),
        n_rows=lambda *key: ROWS,
        timings=SimpleNamespace(clips=0, video_seconds=0.0, seconds=90.0, spent={"loading": 90.0}),
        plan=SimpleNamespace(samplings=[SimpleNamespace(sampling=SimpleNamespace(key="segment-8-2"), clips=clips)]),
    )


def test_a_partition_is_told_with_its_sampling_the_pace_and_the_time_left(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    work = extractor(8)
    found = SpanProgress.begin(work)
    monkeypatch.setattr(SpanProgress, "publish", lambda self: None)
    monkeypatch.setattr(progress, "COUNT_SECONDS", 0.0)
    listener = found.listener()

    def finish(number: int, failures: dict[int, str]) -> None:
        for row in range(ROWS):
            listener.clip_done(row not in failures)
        work.left.remove((0, number))
        work.timings.clips += ROWS
        work.timings.seconds += 64.0
        work.timings.video_seconds += ROWS * 0.5
        listener.finished(PartitionOutcome(PartitionKey(0, number), failures))

    with caplog.at_level(logging.INFO, progress.__name__):
        finish(0, {5: "cut file"})
        work.left.remove((0, 6))
        work.left.remove((0, 7))  # by others
        finish(1, {})
        for number in (2, 3, 4, 5):
            finish(number, {})
    lines = [record.getMessage() for record in caplog.records]
    assert lines[0] == (
        "segment-8-2, partition 0 written; 256 of 2048 clips, 4.0 clips/s, 2.0x real time, "
        "about 7 min left if no other worker helps, 1 not readable"
    )
    assert lines[1] == "Clip not readable: street frames 40-47: cut file"
    assert lines[2] == (
        "segment-8-2, partition 1 written; 1024 of 2048 clips, 512 of them by other workers, 4.0 clips/s, "
        "2.0x real time, about 2 min left, 1 not readable"
    )
    assert lines[-1].startswith("segment-8-2, partition 5 written; 2048 of 2048 clips")
    assert "left" not in lines[-1]
