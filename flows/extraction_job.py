"""Stage 1 of a job in steps: prepare, compute what is pending, finish. The command line and the flow share it."""

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from tqdm import tqdm

from vadprobe.extract.backbone import describe
from vadprobe.extract.extraction import Extractor, Outcome, Unit
from vadprobe.extract.memory import limit_arenas
from vadprobe.extract.planning import plan_extraction
from vadprobe.flows.job import Job
from vadprobe.store.card import write_card
from vadprobe.store.claims import Claim
from vadprobe.store.errors import StoreError
from vadprobe.store.joining import naming

POLL = 2.0
"""Seconds between two looks at partitions that other workers hold."""

REMIND = 30.0
"""Seconds between two messages about waiting for them."""


@dataclass(frozen=True)
class ExtractionSummary:
    """What an extraction did, and what could not be read."""

    n_clips: int
    n_computed: int
    n_partitions: int
    unreadable_videos: dict[str, str]
    failed_clips: dict[str, str]
    missing: tuple[str, ...] = ()

    @property
    def is_whole(self) -> bool:
        """Whether every video with a file, and every clip, could be read."""
        return not self.unreadable_videos and not self.failed_clips

    def lines(self) -> Iterator[str]:
        """The summary as sentences."""
        if self.n_computed == 0:
            yield f"Nothing to compute: all {self.n_clips} clips ({self.n_partitions} partitions) are in the store."
        else:
            yield f"Worked on {self.n_computed} of {self.n_clips} clips; {self.n_partitions} partitions are committed."
        if self.failed_clips:
            yield f"{len(self.failed_clips)} clips could not be read; their features are NaN."
        yield from missing_lines(self.missing)
        for video, reason in sorted(self.unreadable_videos.items()):
            yield f"Video not readable: {video}: {reason}"
        for clip, reason in sorted(self.failed_clips.items()):
            yield f"Clip not readable: {clip}: {reason}"


def missing_lines(missing: Sequence[str]) -> Iterator[str]:
    """One sentence about videos of the dataset that have no file; none if all have one."""
    if missing:
        yield (
            f"{len(missing)} videos of the dataset have no file and are left out: {naming(missing)}; "
            "'vadprobe dataset audit' names them all."
        )


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
    begun: Callable[[Unit], None] = _ignore
    finished: Callable[[Outcome], None] = _ignore
    elsewhere: Callable[[Unit], None] | None = None


def prepare(job: Job, progress: Callable[[int, int], None] | None = None) -> Extractor:
    """Probe the videos and create or open the stores; no weights are loaded."""
    description = describe(job.config.backbone, job.backbone_folder)
    dataset = job.open_dataset()
    plan = plan_extraction(
        dataset, job.root, job.config.sampling, job.prompts, description, job.config.extraction, progress
    )
    return Extractor(dataset, plan, description, job.config.extraction)


def extract(job: Job, clip_done: Callable[[bool], None] | None = None) -> ExtractionSummary:
    """All steps of stage 1."""
    return extract_prepared(prepare(job), clip_done)


def extract_prepared(extractor: Extractor, clip_done: Callable[[bool], None] | None = None) -> ExtractionSummary:
    """Compute what is pending, beside any number of other workers, and commit."""
    return finish(extractor, compute_pending(extractor, Listener(clip_done=clip_done or _ignore)))


def compute_pending(extractor: Extractor, listener: Listener) -> list[Unit]:
    """Claim and compute partitions until none is left; those that other workers hold come last.

    While nothing but those is left, wait until each is finished, or its claim has expired.

    Returns:
        What was computed here.
    """
    limit_arenas()
    left, computed, told = extractor.pending(), list[Unit](), -REMIND
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


def _claimable(extractor: Extractor, left: list[Unit], listener: Listener) -> Iterator[tuple[Unit, Claim]]:
    """Claims on what is left, as far as other workers do not hold it; what they have finished leaves the list."""
    tried: set[Unit] = set()
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


def next_unit(left: Sequence[Unit], last: Unit | None, others: bool) -> Unit | None:
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
    rows: list[list[Unit]] = []
    for unit in left:
        if rows and rows[-1][-1] == (unit[0], unit[1] - 1):
            rows[-1].append(unit)
        else:
            rows.append([unit])
    longest = max(rows, key=len)
    return longest[len(longest) // 2]


def _waiting(extractor: Extractor, left: Sequence[Unit]) -> str:
    """What is waited for, in a sentence."""
    names = []
    for position, partition in left:
        key, claims = extractor.plan.samplings[position].sampling.key, extractor.claims(position)
        names.append(f"partition {partition} of {key} ({claims.holder(partition) or 'free now'})")
    count = f"{len(left)} partition{'s' if len(left) > 1 else ''}"
    return (
        f"Waiting for {count} in the hands of other workers: {naming(names)}. A worker that is gone is replaced once "
        "its claim expires."
    )


def n_clips(extractor: Extractor, units: Sequence[Unit]) -> int:
    """Clips in some units of work."""
    return sum(extractor.n_rows(position, partition) for position, partition in units)


def _write_cards(extractor: Extractor) -> None:
    """Write the card beside every backbone's stores; without it they are whole all the same."""
    for folder in {writer.path.parent for sampling in extractor.plan.samplings for writer in sampling.writers}:
        try:
            write_card(folder)
        except StoreError as error:
            _tell(f"{error} (the stores are whole without it; 'vadprobe card {folder}' writes it later)")


def finish(extractor: Extractor, computed: Sequence[Unit]) -> ExtractionSummary:
    """Commit every store, write the cards, and say what was done."""
    failures = extractor.commit()
    _write_cards(extractor)
    named = {}
    for position, sampling in enumerate(extractor.plan.samplings):
        for row, reason in failures[position].items():
            clip = sampling.clips.clip(row)
            name = f"{clip.video_id} frames {clip.start_frame}-{clip.stop_frame - 1} ({sampling.sampling.key})"
            named[name] = reason
    return ExtractionSummary(
        n_clips=sum(len(sampling.clips) for sampling in extractor.plan.samplings),
        n_computed=n_clips(extractor, computed),
        n_partitions=sum(sampling.writers[0].n_partitions for sampling in extractor.plan.samplings),
        unreadable_videos=extractor.plan.unreadable,
        failed_clips=named,
        missing=extractor.dataset.missing,
    )
