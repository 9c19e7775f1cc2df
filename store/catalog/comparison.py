"""What differs between two stores: how they were computed, which rows they have, and, if asked for, their values."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from vadprobe.store.catalog.inventory import Inventory, contents_text
from vadprobe.store.errors import StoreError
from vadprobe.store.files.location import StorePath
from vadprobe.store.files.text import counted, short
from vadprobe.store.format.clip_table import ClipTable
from vadprobe.store.format.layout import clips_of
from vadprobe.store.format.partition_records import shard_path
from vadprobe.store.format.provenance import UNREADABLE, open_array
from vadprobe.store.format.schema import ArraySpec, n_partitions

_NAMED = 3


@dataclass(frozen=True)
class ArrayDifference:
    """One array of both stores. ``equal`` partitions agree bit for bit in all that both hold, ``differing`` do not.

    ``largest`` is the largest absolute difference of two numbers, NaN where no two numbers differ; ``row`` is where.
    ``one_sided`` counts values that are a number in one store and NaN in the other.
    """

    name: str
    equal: int
    differing: tuple[int, ...] = ()
    largest: float = float("nan")
    row: int | None = None
    n_values: int = 0
    one_sided: int = 0


@dataclass(frozen=True)
class Comparison:
    """Two stores. Each part is a list of sentences about A and B, empty where they are the same.

    ``values`` is None unless values were asked for and can be compared; ``unknown`` says what could not be told.
    """

    first: Inventory
    second: Inventory
    specification: tuple[str, ...]
    clips: tuple[str, ...]
    contents: tuple[str, ...]
    state: tuple[str, ...]
    failures: tuple[str, ...]
    values: tuple[ArrayDifference, ...] | None = None
    unknown: tuple[str, ...] = field(default=())

    @property
    def differs(self) -> bool:
        """Whether a difference was found."""
        parts = (self.specification, self.clips, self.contents, self.state, self.failures)
        return any(parts) or any(array.differing for array in self.values or ())

    @property
    def verdict(self) -> int:
        """0 the same, 1 different, 2 no difference was found, but something could not be told."""
        return 1 if self.differs else 2 if self.unknown else 0


def compare(first: StorePath, second: StorePath, values: bool = False) -> Comparison:
    """Compare two stores by their small files and, if asked for, their values.

    Values count as equal where the records name the same SHA-256; that these are those of the shards is for
    'vadprobe verify' to say. Elsewhere both are read.

    Raises:
        StoreError: if one of them is no store, or its provenance cannot be read.
    """
    a, b = Inventory.read(first), Inventory.read(second)
    unknown = [f"{store.path}: {reason}" for store in (a, b) for reason in store.damaged.values()]
    arrays = None
    if values:
        reason = _incomparable(a, b)
        if reason:
            unknown.append(reason)
        else:
            arrays = tuple(_compare_array(a, b, array, unknown) for array in a.arrays)
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
    """Which videos and clips are only in one of them.

    Raises:
        StoreError: if a clip table cannot be read, or is another than its store was written for.
    """
    if a.spec.clips_digest == b.spec.clips_digest:
        return
    mine, theirs = _clips(a), _clips(b)
    if mine.sampling != theirs.sampling:
        yield f"A is cut as {mine.sampling.key}, B as {theirs.sampling.key}"
    for name, videos, others in (("A", mine, theirs), ("B", theirs, mine)):
        missing = [video for video in videos.video_ids if video not in set(others.video_ids)]
        if missing:
            yield f"{counted(len(missing), 'video')} only in {name}: {_named(missing)}"
    prints = dict(zip(theirs.video_ids, theirs.fingerprints, strict=True))
    both = [video for video in mine.video_ids if video in prints]
    changed = [v for v, mark in zip(mine.video_ids, mine.fingerprints, strict=True) if prints.get(v, mark) != mark]
    if changed:
        yield f"{counted(len(changed), 'video')} with another file behind the name: {_named(changed)}"
    if mine.sampling == theirs.sampling:
        for name, cut, other in (("A", _cuts(mine, both), _cuts(theirs, both)),
                                 ("B", _cuts(theirs, both), _cuts(mine, both))):  # fmt: skip
            only = sorted(cut - other)
            if only:
                shown = [f"{video} frames {start}-{stop - 1}" for video, start, stop in only]
                yield f"{counted(len(only), 'clip')} of common videos only in {name}: {_named(shown)}"
    if both != [video for video in theirs.video_ids if video in set(both)]:
        yield "common videos stand in another order"


def _clips(store: Inventory) -> ClipTable:
    clips = ClipTable.read(clips_of(store.path))
    if clips.digest != store.spec.clips_digest:
        raise StoreError(f"{clips_of(store.path)} is another clip table than {store.path} was written for.")
    return clips


def _cuts(clips: ClipTable, videos: list[str]) -> set[tuple[str, int, int]]:
    rows = clips.rows_of(videos)
    names = [clips.video_ids[code] for code in clips.video_codes[rows].tolist()]
    return set(zip(names, clips.start_frames[rows].tolist(), clips.stop_frames[rows].tolist(), strict=True))


def _contents_differences(a: Inventory, b: Inventory) -> Iterator[str]:
    if a.contents == b.contents:
        return
    said = [
        contents_text(store.contents, n_partitions(store.spec.n_clips, store.contents.partition_rows))
        for store in (a, b)
    ]
    yield f"A holds {said[0]}; B holds {said[1]}" + ("" if said[0] != said[1] else ", but not the same ones")


def _state_differences(a: Inventory, b: Inventory) -> Iterator[str]:
    if (a.is_committed, set(a.records)) != (b.is_committed, set(b.records)):
        yield f"A is {state_text(a)}, B is {state_text(b)}"


def state_text(store: Inventory) -> str:
    """State and rows in a few words."""
    state = "committed" if store.is_committed else "open"
    return f"{state} with {store.n_done:,} of {counted(store.n_planned, 'row')}"


def _failure_differences(a: Inventory, b: Inventory) -> Iterator[str]:
    for name, mine, theirs in (("A", a.failures, b.failures), ("B", b.failures, a.failures)):
        only = [row for row in mine if row not in theirs]
        if only:
            yield f"{counted(len(only), 'row')} only in {name}, first row {only[0]}: {short(mine[only[0]])}"
    other = [row for row in a.failures if b.failures.get(row, a.failures[row]) != a.failures[row]]
    if other:
        reasons = f"{short(a.failures[other[0]])!r}, not {short(b.failures[other[0]])!r}"
        yield f"{counted(len(other), 'row')} with another reason, first row {other[0]}: {reasons}"


def _incomparable(a: Inventory, b: Inventory) -> str | None:
    """Why values cannot be compared row by row; None if they can."""
    if a.spec.clips_digest != b.spec.clips_digest:
        return "values were not compared: the clip tables differ, so the same row means another clip"
    if [array.shape for array in a.arrays] != [array.shape for array in b.arrays]:
        return "values were not compared: the backbones have other layers, heads or sizes"
    if a.contents.partition_rows != b.contents.partition_rows:
        return "values were not compared: one of the stores was compacted into larger partitions"
    if not set(a.records) & set(b.records):
        return "values were not compared: there is no partition that both have"
    return None


def _compare_array(a: Inventory, b: Inventory, array: ArraySpec, unknown: list[str]) -> ArrayDifference:
    """All common partitions of an array; what cannot be read is added to ``unknown``."""
    equal, differing = 0, list[int]()
    largest, row, n_values, one_sided = float("nan"), None, 0, 0
    for partition in sorted(set(a.records) & set(b.records)):
        if a.shard(partition, array.name)[0] == b.shard(partition, array.name)[0]:
            equal += 1
            continue
        try:
            mine, theirs = (_read(store, array, partition) for store in (a, b))
        except UNREADABLE as error:
            unknown.append(str(error))
            continue
        held = _held(a, array, partition) & _held(b, array, partition)
        mine, theirs = mine[:, held], theirs[:, held]
        unequal = _bits(mine) != _bits(theirs)
        if not unequal.any():
            equal += 1
            continue
        differing.append(partition)
        n_values += int(unequal.sum())
        one_sided += int((np.isnan(mine) != np.isnan(theirs)).sum())
        size = _sizes(mine, theirs)
        top = float(size.max())
        if top > 0 and not top <= largest:
            largest = top
            place = int(np.unravel_index(int(size.argmax()), size.shape)[0])
            row = a.contents.rows(partition, a.spec.n_clips).start + place
    return ArrayDifference(array.name, equal, tuple(differing), largest, row, n_values, one_sided)


def _read(store: Inventory, array: ArraySpec, partition: int) -> np.ndarray:
    """The rows of a partition; a lost or cut shard, which Zarr would fill with NaN, is refused.

    Raises:
        StoreError: if the shard is not what the record says, or cannot be read.
    """
    _, wanted = store.shard(partition, array.name)
    path = shard_path(store.path, array, partition)
    found = path.stat().st_size if path.exists() else 0
    if found != wanted:
        raise StoreError(f"{path} has {found} bytes, its record says {wanted}; run 'vadprobe verify {store.path}'.")
    try:
        return np.asarray(open_array(store.path, array.name)[store.contents.rows(partition, store.spec.n_clips)])
    except UNREADABLE as error:
        raise StoreError(f"{path} cannot be read ({error}); run 'vadprobe verify {store.path}'.") from error


def _held(store: Inventory, array: ArraySpec, partition: int) -> np.ndarray:
    """Which inner chunks a partition holds, bool over the dimensions between the row and the last."""
    return store.contents.mask(array, partition).reshape(array.shape[1:-1])


def _bits(values: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(values).view(np.uint16 if values.dtype.itemsize == 2 else np.uint32)


def _sizes(mine: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    """Absolute differences of numbers as float64; 0 where a value is NaN or both are the same infinity."""
    with np.errstate(invalid="ignore"):
        size = np.abs(mine.astype(np.float64) - theirs.astype(np.float64))
    return np.where(np.isnan(size), 0.0, size)


def _named(names: list[str]) -> str:
    shown = ", ".join(names[:_NAMED])
    return shown if len(names) <= _NAMED else f"{shown} and {len(names) - _NAMED:,} more"
