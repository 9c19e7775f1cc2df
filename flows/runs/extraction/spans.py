"""Spans of partitions: parts of stage 1 of some minutes, each of which is one task run."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from vadprobe.store.files.text import first_few

if TYPE_CHECKING:
    from vadprobe.extract.pipeline.extraction import Extractor
    from vadprobe.extract.pipeline.open_partition import PartitionKey

SPAN_MINUTES = 3.0
"""Minutes that a span should take: long compared with a task's own cost, short enough to see progress."""


class Span(list["PartitionKey"]):
    """Adjacent pending partitions of one sampling, with the words for them in the task run's name."""

    def __init__(self, stores: str, keys: "list[PartitionKey]") -> None:
        super().__init__(keys)
        count = len(keys)
        numbers = f"{keys[0].partition}" if count == 1 else f"{keys[0].partition}-{keys[-1].partition}"
        self.name = f"{stores} partition{'s' if count > 1 else ''} {numbers}"


def spans(extractor: "Extractor", minutes: float = SPAN_MINUTES) -> Iterator[Span]:
    """Yield the pending partitions in spans; the length of each follows from the pace when it is asked for.

    The first span is one partition. Partitions that other workers hold or have finished are left out, and none is
    yielded twice. Beside other workers a span begins far from their partitions, so that each has videos of its own.
    """
    from vadprobe.extract.pipeline.claim_loop import next_partition

    tried: set[PartitionKey] = set()
    last = None
    while left := [key for key in extractor.pending() if key not in tried]:
        free = _free(extractor, left)
        first = next_partition(free, last, others_met=len(free) < len(left))
        if first is None:
            return
        row = free[free.index(first) :]
        count = max(1, int(60 * minutes * clips_per_second(extractor) / extractor.n_rows(*first)))
        chosen = [key for place, key in enumerate(row[:count]) if key == (first.position, first.partition + place)]
        tried.update(chosen)
        last = chosen[-1]
        yield Span(_stores(extractor, first.position), chosen)


def _free(extractor: "Extractor", left: "list[PartitionKey]") -> "list[PartitionKey]":
    """Return those of some partitions that no worker holds now."""
    held: dict[int, set[int]] = {}
    for position in {key.position for key in left}:
        claims = extractor.claims(position)
        held[position] = {partition for partition in claims.entries() if claims.holder(partition) is not None}
    return [key for key in left if key.partition not in held[key.position]]


def _stores(extractor: "Extractor", position: int) -> str:
    """Return the words for a sampling and the prompts that are computed together, for a task's name."""
    sampling = extractor.plan.samplings[position]
    return f"{sampling.sampling.key}/{first_few([writer.spec.prompt.key for writer in sampling.writers], 3)}"


def clips_per_second(extractor: "Extractor") -> float:
    """Return the clips per second of this process, without the time of loading the weights; 0 before the first clip."""
    return extractor.timings.clips / working_seconds(extractor)


def working_seconds(extractor: "Extractor") -> float:
    """Return the seconds since the first span began, without those of loading the weights."""
    timings = extractor.timings
    return max(timings.seconds - timings.spent["loading"], 1e-3)
