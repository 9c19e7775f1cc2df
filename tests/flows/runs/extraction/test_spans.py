"""Spans are cut from the pace so far, never twice, never across samplings, and away from what others hold."""

from types import SimpleNamespace
from typing import Any

from vadprobe.extract.pipeline.open_partition import PartitionKey
from vadprobe.flows.runs.extraction.spans import spans


def extractor(counts: list[int], clips: int, seconds: float) -> Any:
    """Stand in for an extraction of samplings with so many partitions of 256 clips; `held` belongs to others."""
    left = [PartitionKey(position, number) for position, count in enumerate(counts) for number in range(count)]
    held: dict[int, str] = {}
    writers = [SimpleNamespace(spec=SimpleNamespace(prompt=SimpleNamespace(key=key))) for key in ("coarse", "fine")]
    return SimpleNamespace(
        left=left,
        held=held,
        pending=lambda: list(left),
        claims=lambda position: SimpleNamespace(entries=lambda: {**held}, holder=held.get),
        n_rows=lambda *key: 256,
        timings=SimpleNamespace(clips=clips, seconds=seconds, spent={"loading": 10.0}),
        plan=SimpleNamespace(
            samplings=[SimpleNamespace(sampling=SimpleNamespace(key=f"s{n}"), writers=writers) for n in range(9)]
        ),
    )


def test_the_first_span_is_one_partition_and_the_next_as_long_as_asked_for() -> None:
    work = extractor([9, 2], 0, 0.0)
    found = spans(work, minutes=3.0)
    assert next(found).name == "s0/coarse, fine partition 0"
    work.timings.clips, work.timings.seconds = 256, 10.0 + 60.0  # 60 s a partition
    assert [span.name for span in found] == [
        "s0/coarse, fine partitions 1-3",
        "s0/coarse, fine partitions 4-6",
        "s0/coarse, fine partitions 7-8",
        "s1/coarse, fine partitions 0-1",
    ]


def test_what_others_finished_is_left_out_and_what_was_yielded_does_not_come_again() -> None:
    work = extractor([6], 256, 10.0 + 90.0)
    found = spans(work, minutes=3.0)
    assert list(next(found)) == [(0, 0), (0, 1)]
    del work.left[:4]  # our two, and two by another worker
    assert [list(span) for span in found] == [[(0, 4), (0, 5)]]


def test_beside_another_worker_a_span_begins_in_the_middle_of_what_nobody_holds() -> None:
    work = extractor([9], 256, 10.0 + 60.0)
    work.held.update({0: "process 7", 1: "process 7"})
    found = spans(work, minutes=2.0)
    assert list(next(found)) == [(0, 5), (0, 6)]
    assert list(next(found)) == [(0, 7), (0, 8)]
    work.held[3] = "process 8"
    assert [list(span) for span in found] == [[(0, 2)], [(0, 4)]]


def test_two_thousand_partitions_are_cut_into_few_spans_none_of_them_before_it_is_asked_for() -> None:
    work = extractor([2000], 256, 10.0 + 20.0)  # 20 s a partition, as on a GPU
    found = spans(work, minutes=3.0)
    assert len(next(found)) == 9
    assert len(list(found)) == 222
