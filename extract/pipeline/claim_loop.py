"""Claim pending partitions, compute them, and wait for those that other workers hold."""

import ctypes
import logging
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

from vadprobe.extract.pipeline.extraction import Extractor
from vadprobe.extract.pipeline.open_partition import ClipDone, PartitionKey
from vadprobe.extract.pipeline.stream import PartitionOutcome
from vadprobe.store.claims.claim import Claim
from vadprobe.store.datasets.joining import naming

POLL = 2.0
"""Seconds between two looks at partitions that other workers hold."""
REMIND = 30.0
"""Seconds between two messages about waiting for them."""
_ARENAS = -8  # M_ARENA_MAX of glibc's mallopt


def _ignore(*_: object) -> None:
    pass


@dataclass(frozen=True)
class Listener:
    """Functions that are called as an extraction gets on.

    Attributes:
        tell: takes sentences, about waiting and about lost partitions; by default they are logged.
        clip_done: called after each clip that was tried here.
        begun: called with each partition that was claimed here.
        finished: called with each partition that was written here.
        elsewhere: called with each partition that another worker was found to have finished.
    """

    tell: Callable[[str], None] = logging.getLogger(__name__).warning
    clip_done: ClipDone = _ignore
    begun: Callable[[PartitionKey], None] = _ignore
    finished: Callable[[PartitionOutcome], None] = _ignore
    elsewhere: Callable[[PartitionKey], None] = _ignore


def compute_pending(extractor: Extractor, listener: Listener) -> list[PartitionKey]:
    """Claim and compute partitions until none is left; those that other workers hold come last.

    While nothing but those is left, wait until each is finished or given back.

    Returns:
        The partitions that were computed here.
    """
    _limit_malloc_arenas()
    left, computed, told = extractor.pending(), list[PartitionKey](), -REMIND
    for note in extractor.plan.notes if left else ():
        listener.tell(note)
    while left:
        n_before = len(left)
        computed += compute_free(extractor, left, listener)
        if left and len(left) == n_before:
            if time.monotonic() - told >= REMIND:
                listener.tell(_waiting(extractor, left))
                told = time.monotonic()
            time.sleep(POLL)
    return computed


def compute_free(extractor: Extractor, left: list[PartitionKey], listener: Listener) -> list[PartitionKey]:
    """Claim and compute those of some partitions that no other worker holds, without waiting for the others.

    Args:
        extractor: what computes.
        left: pending partitions, ascending; those that are finished, here or elsewhere, are removed.
        listener: told as the work gets on.

    Returns:
        The partitions that were computed here.
    """
    computed = []
    for outcome in extractor.stream(_claimable(extractor, left, listener), listener.clip_done):
        if outcome.lost is not None:
            listener.tell(str(outcome.lost))
            continue
        left.remove(outcome.key)
        computed.append(outcome.key)
        listener.finished(outcome)
    return computed


def _claimable(
    extractor: Extractor, left: list[PartitionKey], listener: Listener
) -> Iterator[tuple[PartitionKey, Claim]]:
    """Yield a claim on each partition that is free; drop those that others have finished from `left`."""
    tried: set[PartitionKey] = set()
    others_met, last = False, None
    while (key := next_partition([key for key in left if key not in tried], last, others_met)) is not None:
        tried.add(key)
        claim = extractor.claims(key.position).take(key.partition) if extractor.is_pending(*key) else None
        # Asked again under the claim: whoever held it before may have finished since.
        if not extractor.is_pending(*key):
            if claim is not None:
                claim.release()
            left.remove(key)
            listener.elsewhere(key)
        elif claim is None:
            others_met = True
        else:
            last = key
            listener.begun(key)
            yield key, claim


def next_partition(left: Sequence[PartitionKey], last: PartitionKey | None, others_met: bool) -> PartitionKey | None:
    """Choose the partition to claim next; None if none is left.

    It is the partition behind our last one if that is left, as its video may be open already. Otherwise it is the
    first that is left; or, where there are other workers, the middle of the longest run of adjacent partitions, so that
    each worker goes on in videos of its own.

    Args:
        left: pending partitions, ascending.
        last: the partition claimed before; None at the start.
        others_met: True if another worker was found to hold a partition.
    """
    if not left:
        return None
    if last is not None and (following := PartitionKey(last.position, last.partition + 1)) in left:
        return following
    if not others_met:
        return left[0]
    rows: list[list[PartitionKey]] = []
    for key in left:
        if rows and rows[-1][-1] == (key.position, key.partition - 1):
            rows[-1].append(key)
        else:
            rows.append([key])
    longest = max(rows, key=len)
    return longest[len(longest) // 2]


def _waiting(extractor: Extractor, left: Sequence[PartitionKey]) -> str:
    names = []
    for position, partition in left:
        key, claims = extractor.plan.samplings[position].sampling.key, extractor.claims(position)
        names.append(f"partition {partition} of {key} ({claims.holder(partition) or 'free now'})")
    count = f"{len(left)} partition{'s' if len(left) > 1 else ''}"
    return (
        f"Waiting for {count} that other workers are computing: {naming(names)}. If a worker ends, its "
        "partitions are taken over."
    )


def _limit_malloc_arenas() -> None:
    """Let all threads take memory from two pools, where the C library is glibc.

    By default glibc gives each thread a pool of its own, and memory that one thread takes and another frees is not
    used again: an extraction then grows by some megabytes per thousand clips.
    """
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):
            ctypes.CDLL("libc.so.6").mallopt(_ARENAS, 2)
