"""Spans are cut from the pace so far, never twice, and never across samplings."""

from types import SimpleNamespace
from typing import Any

from vadprobe.extract.pipeline.open_partition import PartitionKey
from vadprobe.flows.runs.spans import spans


def extractor(counts: list[int], clips: int, seconds: float) -> Any:
    """Stand in for an extraction of samplings with so many partitions of 256 clips."""
    left = [PartitionKey(position, number) for position, count in enumerate(counts) for number in range(count)]
    return SimpleNamespace(
        left=left,
        pending=lambda: list(left),
        n_rows=lambda *key: 256,
        timings=SimpleNamespace(clips=clips, seconds=seconds, spent={"loading": 10.0}),
        plan=SimpleNamespace(samplings=[SimpleNamespace(sampling=SimpleNamespace(key=f"s{n}")) for n in range(9)]),
    )


def test_the_first_span_is_one_partition_and_the_next_as_long_as_asked_for() -> None:
    work = extractor([9, 2], 0, 0.0)
    found = spans(work, seconds=180.0)
    assert next(found).name == "s0 partition 0"
    work.timings.clips, work.timings.seconds = 256, 10.0 + 60.0  # 60 s a partition
    assert [span.name for span in found] == [
        "s0 partitions 1-3",
        "s0 partitions 4-6",
        "s0 partitions 7-8",
        "s1 partitions 0-1",
    ]


def test_what_others_finished_is_left_out_and_what_they_hold_does_not_come_again() -> None:
    work = extractor([6], 256, 10.0 + 90.0)
    found = spans(work, seconds=180.0)
    assert list(next(found)) == [(0, 0), (0, 1)]
    del work.left[:4]  # our two, and two by another worker
    assert [list(span) for span in found] == [[(0, 4), (0, 5)]]
