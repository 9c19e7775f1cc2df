"""Comparison of two stores: specification, clips, contents, state, failures and, if wanted, values."""

from collections.abc import Iterator
from dataclasses import dataclass

from vadprobe.store.catalog.array_comparison import ArrayDifference, compare_array, incomparable
from vadprobe.store.catalog.inventory import Inventory, state_text
from vadprobe.store.errors import StoreError
from vadprobe.store.files.location import StorePath
from vadprobe.store.files.text import counted, first_few, short
from vadprobe.store.format.clip_table import ClipTable


@dataclass(frozen=True)
class Comparison:
    """Result of comparing two stores. Each part holds sentences about A and B, none where the stores agree.

    `values` is None unless values were compared; `unknown` says what could not be compared.
    """

    first: Inventory
    second: Inventory
    specification: tuple[str, ...]
    clips: tuple[str, ...]
    contents: tuple[str, ...]
    state: tuple[str, ...]
    failures: tuple[str, ...]
    values: tuple[ArrayDifference, ...] | None = None
    unknown: tuple[str, ...] = ()

    @property
    def differs(self) -> bool:
        """True if a difference was found."""
        parts = (self.specification, self.clips, self.contents, self.state, self.failures)
        return any(parts) or any(array.differing for array in self.values or ())

    @property
    def verdict(self) -> int:
        """0 if the stores agree, 1 if they differ, 2 if no difference was found but something could not be compared."""
        return 1 if self.differs else 2 if self.unknown else 0


def compare(first: StorePath, second: StorePath, values: bool = False) -> Comparison:
    """Compare two stores by their small files and, if `values` is true, by their values.

    Values count as equal where the records name the same SHA-256 for a shard; only 'vadprobe verify' checks that the
    shards have it. Other shards are read from both stores.

    Raises:
        StoreError: if one of them is no store, or its provenance cannot be read.
    """
    a, b = Inventory.read(first), Inventory.read(second)
    unknown = [f"{store.path}: {reason}" for store in (a, b) for reason in store.damaged.values()]
    arrays = None
    if values:
        reason = incomparable(a, b)
        if reason:
            unknown.append(reason)
        else:
            arrays = tuple(compare_array(a, b, array, unknown) for array in a.arrays)
    try:
        clips = tuple(_clip_differences(a, b))
    except StoreError as error:
        clips = ("the clip tables differ by their digests",)
        unknown.append(str(error))
    return Comparison(
        a,
        b,
        tuple(a.spec.differences(b.spec)),
        clips,
        tuple(_contents_differences(a, b)),
        tuple(_state_differences(a, b)),
        tuple(_failure_differences(a, b)),
        arrays,
        tuple(unknown),
    )


def _clip_differences(a: Inventory, b: Inventory) -> Iterator[str]:
    """Yield sentences about videos and clips that only one of the stores has.

    Raises:
        StoreError: if a clip table cannot be read, or is another than its store was written for.
    """
    if a.spec.clips_digest == b.spec.clips_digest:
        return
    mine, theirs = a.read_clips(), b.read_clips()
    if mine.sampling != theirs.sampling:
        yield f"A is cut as {mine.sampling.key}, B as {theirs.sampling.key}"
    prints = dict(zip(theirs.video_ids, theirs.fingerprints, strict=True))
    both = [video for video in mine.video_ids if video in prints]
    common = set(both)
    for name, videos in (("A", mine), ("B", theirs)):
        missing = [video for video in videos.video_ids if video not in common]
        if missing:
            yield f"{counted(len(missing), 'video')} only in {name}: {first_few(missing)}"
    changed = [v for v, mark in zip(mine.video_ids, mine.fingerprints, strict=True) if prints.get(v, mark) != mark]
    if changed:
        yield f"{counted(len(changed), 'video')} with another file behind the name: {first_few(changed)}"
    if mine.sampling == theirs.sampling:
        cuts = {"A": _cuts(mine, both), "B": _cuts(theirs, both)}
        for name, other in (("A", "B"), ("B", "A")):
            only = sorted(cuts[name] - cuts[other])
            if only:
                shown = [f"{video} frames {start}-{stop - 1}" for video, start, stop in only]
                yield f"{counted(len(only), 'clip')} of common videos only in {name}: {first_few(shown)}"
    if both != [video for video in theirs.video_ids if video in common]:
        yield "common videos stand in another order"


def _cuts(clips: ClipTable, videos: list[str]) -> set[tuple[str, int, int]]:
    rows = clips.rows_of(videos)
    names = [clips.video_ids[code] for code in clips.video_codes[rows].tolist()]
    return set(zip(names, clips.start_frames[rows].tolist(), clips.stop_frames[rows].tolist(), strict=True))


def _contents_differences(a: Inventory, b: Inventory) -> Iterator[str]:
    if a.contents != b.contents:
        mine, theirs = a.contents_text, b.contents_text
        yield f"A holds {mine}; B holds {theirs}" + ("" if mine != theirs else ", but not the same ones")


def _state_differences(a: Inventory, b: Inventory) -> Iterator[str]:
    if (a.is_committed, set(a.records)) != (b.is_committed, set(b.records)):
        yield f"A is {state_text(a)}, B is {state_text(b)}"


def _failure_differences(a: Inventory, b: Inventory) -> Iterator[str]:
    for name, mine, theirs in (("A", a.failures, b.failures), ("B", b.failures, a.failures)):
        only = [row for row in mine if row not in theirs]
        if only:
            yield f"{counted(len(only), 'row')} only in {name}, first row {only[0]}: {short(mine[only[0]])}"
    other = [row for row in a.failures if b.failures.get(row, a.failures[row]) != a.failures[row]]
    if other:
        reasons = f"{short(a.failures[other[0]])!r}, not {short(b.failures[other[0]])!r}"
        yield f"{counted(len(other), 'row')} with another reason, first row {other[0]}: {reasons}"
