"""Comparison of the values of an array in two stores, partition by partition."""

from dataclasses import dataclass

import numpy as np

from vadprobe.store.catalog.inventory import Inventory
from vadprobe.store.errors import StoreError
from vadprobe.store.files.object_store import ForbiddenError
from vadprobe.store.files.zarr_arrays import UNREADABLE, open_array
from vadprobe.store.format.partition_records import shard_path
from vadprobe.store.format.schema import ArraySpec


@dataclass(frozen=True)
class ArrayDifference:
    """Differences of one array between two stores, over their common partitions.

    Attributes:
        name: of the array.
        equal: number of partitions whose values are equal bit by bit, as far as both stores hold them.
        differing: numbers of the other partitions.
        largest: largest absolute difference of two numbers; NaN if no two numbers differ.
        row: the row with the largest difference.
        n_values: number of values that differ.
        one_sided: number of values that are a number in one store and NaN in the other.
    """

    name: str
    equal: int
    differing: tuple[int, ...] = ()
    largest: float = float("nan")
    row: int | None = None
    n_values: int = 0
    one_sided: int = 0


def incomparable(a: Inventory, b: Inventory) -> str | None:
    """Return the reason why the values of two stores cannot be compared row by row; None if they can."""
    if a.spec.clips_digest != b.spec.clips_digest:
        return "values were not compared: the clip tables differ, so the same row means another clip"
    if [array.shape for array in a.arrays] != [array.shape for array in b.arrays]:
        return "values were not compared: the backbones have other layers, heads or sizes"
    if a.contents.partition_rows != b.contents.partition_rows:
        return "values were not compared: one of the stores was compacted into larger partitions"
    if not set(a.records) & set(b.records):
        return "values were not compared: the stores have no partition in common"
    return None


def compare_array(a: Inventory, b: Inventory, array: ArraySpec, unknown: list[str]) -> ArrayDifference:
    """Compare the common partitions of an array; append a sentence to `unknown` for each that cannot be read."""
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
        held = a.contents.mask(array, partition) & b.contents.mask(array, partition)
        held = held.reshape(array.shape[1:-1])  # in the shape of the dimensions between the row and the last
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
    """Read the rows of a partition; refuse a missing or cut shard, for which Zarr would give NaN.

    Raises:
        StoreError: if the shard is not what the record says, or cannot be read.
    """
    _, recorded = store.shard(partition, array.name)
    path = shard_path(store.path, array, partition)
    try:
        found = path.stat().st_size
    except FileNotFoundError:
        found = 0
    except ForbiddenError:
        if recorded:
            raise
        found = 0  # without permission to list, a bucket refuses missing objects too
    if found != recorded:
        raise StoreError(f"{path} has {found} bytes, its record says {recorded}; run 'vadprobe verify {store.path}'.")
    try:
        return np.asarray(open_array(store.path, array.name)[store.contents.rows(partition, store.spec.n_clips)])
    except UNREADABLE as error:
        raise StoreError(f"{path} cannot be read ({error}); run 'vadprobe verify {store.path}'.") from error


def _bits(values: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(values).view(np.uint16 if values.dtype.itemsize == 2 else np.uint32)


def _sizes(mine: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    """Return absolute differences as float64; 0 where a value is NaN or both are the same infinity."""
    with np.errstate(invalid="ignore"):
        size = np.abs(mine.astype(np.float64) - theirs.astype(np.float64))
    return np.where(np.isnan(size), 0.0, size)
