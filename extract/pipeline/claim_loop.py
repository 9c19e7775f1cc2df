"""Claim pending partitions, compute them, and wait for those that other workers hold."""

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from tqdm import tqdm

from vadprobe.extract.pipeline.extraction import Extractor, PartitionKey, PartitionOutcome
from vadprobe.extract.pipeline.memory import limit_malloc_arenas
from vadprobe.store.claims.claim import Claim
from vadprobe.store.datasets.joining import naming

POLL = 2.0
"""Seconds between two looks at partitions that other workers hold."""
REMIND = 30.0
"""Seconds between two messages about waiting for them."""


def _ignore(*_: object) -> None:
    pass


def _tell(message: str) -> None:
    tqdm.write(message, file=sys.stderr)


@dataclass(frozen=True)
class Listener:
    """Who is told how an extraction gets on.

    ``tell`` takes sentences, about waiting and about lost partitions. ``clip_done`` is called after each clip with
    whether its features were computed; ``begun``, ``finished`` and ``elsewhere`` with the partitions that were claimed
    here, written here, and finished by other workers.
    """

    tell: Callable[[str], None] = _tell
    clip_done: Callable[[bool], None] = _ignore
    begun: Callable[[PartitionKey], None] = _ignore
    finished: Callable[[PartitionOutcome], None] = _ignore
    elsewhere: Callable[[PartitionKey], None] | None = None


def compute_pending(extractor: Extractor, listener: Listener) -> list[PartitionKey]:
    """Claim and compute partitions until none is left; those that other workers hold come last.

    While nothing but those is left, wait until each is finished or given back.

    Returns:
        What was computed here.
    """
    limit_malloc_arenas()
    left, computed, told = extractor.pending(), list[PartitionKey](), -REMIND
    for note in extractor.plan.notes if left else ():
        listener.tell(note)
    while left:
        n_before = len(left)
        for outcome in extractor.stream(_claimable(extractor, left, listener), listener.clip_done):
            if outcome.lost is not None:
                listener.tell(str(outcome.lost))
                continue
            left.remove(outcome.unit)
            computed.append(outcome.unit)
            listener.finished(outcome)
        if left and len(left) == n_before:
            if time.monotonic() - told >= REMIND:
                listener.tell(_waiting(extractor, left))
                told = time.monotonic()
            time.sleep(POLL)
    return computed


def _claimable(
    extractor: Extractor, left: list[PartitionKey], listener: Listener
) -> Iterator[tuple[PartitionKey, Claim]]:
    """Claims on what is left, as far as other workers do not hold it; what they have finished leaves the list."""
    tried: set[PartitionKey] = set()
    held, last = False, None
    while (unit := next_unit([unit for unit in left if unit not in tried], last, held)) is not None:
        tried.add(unit)
        claim = extractor.claims(unit[0]).take(unit[1]) if extractor.is_pending(*unit) else None
        if extractor.is_pending(*unit):
            if claim is None:
                held = True
                continue
            last = unit
            listener.begun(unit)
            yield unit, claim
            continue
        if claim is not None:
            claim.release()
        left.remove(unit)
        if listener.elsewhere:
            listener.elsewhere(unit)
        else:
            for _ in range(extractor.n_rows(*unit)):
                listener.clip_done(True)


def next_unit(left: Sequence[PartitionKey], last: PartitionKey | None, others: bool) -> PartitionKey | None:
    """What to claim next: the partition behind our last one, as its video may be open already.

    Otherwise the first that is left; or, where there are other workers, the middle of the longest row of partitions
    that are left, so that each worker has videos of its own to read on in.

    Args:
        left: ascending.
        last: the partition claimed before.
        others: whether other workers have been met.
    """
    if not left:
        return None
    if last is not None and (last[0], last[1] + 1) in left:
        return last[0], last[1] + 1
    if not others:
        return left[0]
    rows: list[list[PartitionKey]] = []
    for unit in left:
        if rows and rows[-1][-1] == (unit[0], unit[1] - 1):
            rows[-1].append(unit)
        else:
            rows.append([unit])
    longest = max(rows, key=len)
    return longest[len(longest) // 2]


def _waiting(extractor: Extractor, left: Sequence[PartitionKey]) -> str:
    """What is waited for, in a sentence."""
    names = []
    for position, partition in left:
        key, claims = extractor.plan.samplings[position].sampling.key, extractor.claims(position)
        names.append(f"partition {partition} of {key} ({claims.holder(partition) or 'free now'})")
    count = f"{len(left)} partition{'s' if len(left) > 1 else ''}"
    return (
        f"Waiting for {count} in the hands of other workers: {naming(names)}. A worker that ends is replaced; one that "
        "is suspended is waited for."
    )
