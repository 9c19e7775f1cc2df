"""Checks of a caller's request to a store: its rows, layers and heads must exist, be stored and be written."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from vadprobe.store.errors import StoreError
from vadprobe.store.files.location import StorePath
from vadprobe.store.files.object_store import ForbiddenError
from vadprobe.store.format.specification import BackboneSpec, FeatureSpec, Head
from vadprobe.store.format.stored_parts import StoredParts


def row_numbers(path: StorePath, rows: np.ndarray, n_rows: int) -> np.ndarray:
    """Return row numbers as int64.

    Raises:
        StoreError: if they are not integers, or the store has no such row.
    """
    rows = np.asarray(rows)
    if rows.size and not np.issubdtype(rows.dtype, np.integer):
        raise StoreError(f"rows must be integers, got {rows.dtype}; for a mask pass np.flatnonzero(mask).")
    rows = rows.astype(np.int64)
    outside = rows[(rows < 0) | (rows >= n_rows)]
    if len(outside):
        raise StoreError(f"{path} has rows 0 to {n_rows - 1}; row {outside[0]} was asked for.")
    return rows


def check_numbers(path: StorePath, noun: str, numbers: Sequence[int], count: int) -> None:
    """Refuse numbers outside [0, count).

    Raises:
        StoreError: naming the first as a `noun`, such as "layer".
    """
    outside = [number for number in numbers if not 0 <= number < count]
    if outside:
        raise StoreError(f"{path} has {noun}s 0 to {count - 1}; {noun} {outside[0]} does not exist.")


def heads_of(backbone: BackboneSpec, block: int) -> list[Head]:
    """Return the heads of a block as (block, head)."""
    return [(block, head) for head in range(backbone.head_shapes[block][0])]


def check_stored(
    path: StorePath,
    spec: FeatureSpec,
    contents: StoredParts,
    name: str,
    parts: Sequence[tuple[int, ...]],
    rows: np.ndarray,
) -> None:
    """Refuse layers and heads that the store was planned without, in the partitions of some rows.

    Args:
        path, spec, contents: of the store.
        name: the array.
        parts: leading indices of what is asked for: (layer,), (block, head), (block,) for all its heads, or ().
        rows: (n,) row numbers.

    Raises:
        StoreError: naming what is missing, and what there is.
    """
    if contents.is_complete:
        return
    wanted: list[Any] = list(parts)
    if name == "hidden_states":
        wanted = [layer for (layer,) in parts]
    elif name == "head_outputs":
        wanted = [head for part in parts for head in ([part] if len(part) == 2 else heads_of(spec.backbone, part[0]))]
    try:
        contents.check(name, wanted, np.unique(rows // contents.partition_rows).tolist())
    except StoreError as error:
        raise StoreError(f"{path}: {error}") from error


def check_recorded(
    path: StorePath,
    n_clips: int,
    contents: StoredParts,
    recorded: Collection[int],
    partitions: Sequence[int],
    refused: Mapping[int, ForbiddenError],
) -> None:
    """Refuse partitions that are not written, or that the store was planned without.

    Args:
        path, contents: of the store.
        n_clips: rows of its clip table.
        recorded: partitions that have a record.
        partitions: those that are asked for.
        refused: partitions whose record does not exist or may not be read, with the answer of the bucket.

    Raises:
        StoreError: naming the rows of the first.
    """
    for number in partitions:
        if number in recorded:
            continue
        rows = contents.rows(number, n_clips)
        sentence = f"{path}: rows {rows.start} to {rows.stop - 1} (partition {number}) are not "
        if contents.partitions is not None and number not in contents.partitions:
            raise StoreError(f"{sentence}in this part of the store; {contents.describe()}. Pull them as well.")
        if number in refused:
            raise StoreError(
                f"{sentence}written yet, or their record cannot be read with these credentials: {refused[number]}."
            )
        total = len(contents.partition_numbers(n_clips))
        raise StoreError(
            f"{sentence}written yet; {len(recorded)} of {total} partitions are. Run 'vadprobe extract' to the end "
            "first."
        )
