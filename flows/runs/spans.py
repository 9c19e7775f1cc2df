"""Spans of partitions: the part of stage 1 that is one task run, of some minutes each."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vadprobe.extract.pipeline.extraction import Extractor
    from vadprobe.extract.pipeline.open_partition import PartitionKey

SPAN_SECONDS = 180.0
"""Seconds that a span is to take: long beside a task's own cost, short beside a person's patience."""


class Span(list["PartitionKey"]):
    """Pending partitions of one sampling, ascending, which become shorter as they are done."""

    def __init__(self, sampling: str, keys: "list[PartitionKey]") -> None:
        super().__init__(keys)
        count = len(keys)
        numbers = f"{keys[0].partition}" if count == 1 else f"{keys[0].partition}-{keys[-1].partition}"
        self.name = f"{sampling} partition{'s' if count > 1 else ''} {numbers}"
        """Words for the task run."""


def spans(extractor: "Extractor", seconds: float = SPAN_SECONDS) -> Iterator[Span]:
    """Yield what is pending in spans; each is cut when it is asked for, from the pace so far.

    The first is one partition. What other workers have finished meanwhile is left out, and what was yielded before
    does not come again.
    """
    tried: set[PartitionKey] = set()
    while left := [key for key in extractor.pending() if key not in tried]:
        count = max(1, int(seconds * clips_per_second(extractor) / extractor.n_rows(*left[0])))
        chosen = [key for key in left[:count] if key.position == left[0].position]
        tried.update(chosen)
        yield Span(extractor.plan.samplings[left[0].position].sampling.key, chosen)


def clips_per_second(extractor: "Extractor") -> float:
    """Return the pace of this process, without the time that the weights took to load; 0 before the first clip."""
    return extractor.timings.clips / working_seconds(extractor)


def working_seconds(extractor: "Extractor") -> float:
    """Return the seconds since the first span began, without those for loading the weights."""
    timings = extractor.timings
    return max(timings.seconds - timings.spent["loading"], 1e-3)
