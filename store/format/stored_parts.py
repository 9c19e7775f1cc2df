"""The layers, heads and partitions that a store has: all of them, or chosen ones."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from math import prod
from typing import Any

import numpy as np

from vadprobe.store.errors import StoreError, VadprobeError
from vadprobe.store.files.digests import digest_json
from vadprobe.store.files.text import ranges
from vadprobe.store.format.schema import PARTITION_ROWS, ArraySpec, feature_arrays, n_partitions, partition_rows
from vadprobe.store.format.specification import BackboneSpec, FeatureSpec, Head, check_heads


@dataclass(frozen=True)
class StoredParts:
    """Layers, heads and partitions that a store has. Its arrays have their full shape all the same.

    A layer or head that is not stored is an inner chunk that the shard lacks, which every Zarr reader gives as NaN. The
    choice does not change how values were computed, so it is no part of the specification's digest.

    Attributes:
        layers: layers of `hidden_states` in every partition, ascending; None for all.
        heads: heads of `head_outputs` in every partition, ascending; None for all.
        answers: whether `answer_logits` are there.
        full_partitions: partitions that have every layer and head all the same, ascending.
        partitions: partitions that the store is to have, ascending; None for all. A pulled part has chosen ones.
        partition_rows: clips in a partition; a compacted store has more of them.
    """

    layers: tuple[int, ...] | None = None
    heads: tuple[Head, ...] | None = None
    answers: bool = True
    full_partitions: tuple[int, ...] = ()
    partitions: tuple[int, ...] | None = None
    partition_rows: int = PARTITION_ROWS

    @classmethod
    def of(
        cls,
        backbone: BackboneSpec,
        n_clips: int,
        layers: Iterable[int] | None = None,
        heads: Iterable[Sequence[int]] | None = None,
        answers: bool = True,
        full_partitions: Iterable[int] = (),
        partitions: Iterable[int] | None = None,
        partition_rows: int = PARTITION_ROWS,
    ) -> "StoredParts":
        """Return parts in their one form: sorted, without repeats, None where a list names everything.

        Raises:
            VadprobeError: naming the first layer, head or partition that does not exist.
        """
        if isinstance(partition_rows, bool) or not isinstance(partition_rows, int) or partition_rows < 1:
            raise VadprobeError(f"partition_rows must be a positive integer, got {partition_rows!r}.")
        total = n_partitions(n_clips, partition_rows)
        found = cls(
            _numbers("layer", layers, backbone.n_layers + 1),
            _heads(heads, backbone),
            bool(answers),
            _numbers("partition", full_partitions, total, keep=True) or (),
            _numbers("partition", partitions, total),
            partition_rows,
        )
        if found.layers is None and found.heads is None:
            return replace(found, full_partitions=())
        stored = set(found.partition_numbers(n_clips))
        full = tuple(number for number in found.full_partitions if number in stored)
        if len(full) == len(stored):
            return replace(found, layers=None, heads=None, full_partitions=())
        return replace(found, full_partitions=full)

    @classmethod
    def from_json(cls, value: Any, spec: FeatureSpec) -> "StoredParts":
        """Read back `to_json`; None means everything.

        Raises:
            StoreError: if it is not as this version writes it.
        """
        if value is None:
            return EVERYTHING
        try:
            if not isinstance(value, Mapping):
                raise TypeError(f"it is {value!r}")
            contents = cls.of(spec.backbone, spec.n_clips, **value)
        except (TypeError, ValueError) as error:
            raise StoreError(
                f"the attribute 'contents' is not one ({error}); the attributes were edited, or written by a later "
                "version."
            ) from error
        if contents.to_json() != value:
            raise StoreError("the attribute 'contents' is not as it is written; the attributes were edited.")
        return contents

    def to_json(self) -> dict[str, Any]:
        """Return the parts that differ from those of a complete store, as plain JSON values."""
        complete = asdict(EVERYTHING)
        return {name: _lists(value) for name, value in asdict(self).items() if value != complete[name]}

    @property
    def is_complete(self) -> bool:
        """True if nothing is left out, and partitions have their usual size."""
        return self == EVERYTHING

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the canonical JSON form."""
        return digest_json(self.to_json())

    def partition_numbers(self, n_clips: int) -> Sequence[int]:
        """Return the partitions that the store is to have, ascending."""
        return range(n_partitions(n_clips, self.partition_rows)) if self.partitions is None else self.partitions

    def rows(self, partition: int, n_clips: int) -> slice:
        """Return the rows `[start, stop)` of a partition."""
        return partition_rows(partition, n_clips, self.partition_rows)

    def arrays(self, spec: FeatureSpec) -> tuple[ArraySpec, ...]:
        """Return the arrays that hold features, in their full shape."""
        return feature_arrays(spec.backbone, spec.n_clips, self.partition_rows, spec.prompt.position)

    def mask(self, array: ArraySpec, partition: int) -> np.ndarray:
        """Return which inner chunks of a shard are stored: bool, one for each in C order."""
        grid = [whole // part for whole, part in zip(array.shard[1:], array.chunk[1:], strict=True)]
        mask = np.ones(prod(grid), dtype=bool) if array.exists is None else np.array(array.exists)
        if array.name == "answer_logits":
            mask[:] = self.answers
        elif partition not in self.full_partitions:
            if array.name == "hidden_states" and self.layers is not None:
                mask[:] = np.isin(np.arange(len(mask)), self.layers)
            if array.name == "head_outputs" and self.heads is not None:
                mask &= np.isin(np.arange(len(mask)), [block * grid[1] + head for block, head in self.heads])
        return mask

    def depth(self, n_layers: int, partition: int) -> int:
        """Return how many blocks of the backbone a partition needs, one at least; the answers' logits need all."""
        if self.answers or partition in self.full_partitions or self.layers is None or self.heads is None:
            return n_layers
        return max([1, *self.layers, *(block + 1 for block, _ in self.heads)])

    def check(self, array: str, wanted: Iterable[Any], partitions: Iterable[int]) -> None:
        """Refuse layers and heads that are not stored.

        Args:
            array: name of an array.
            wanted: layers, or heads, that are asked for; ignored for `answer_logits`.
            partitions: in which they are asked for.

        Raises:
            StoreError: a sentence without the store's name, saying what is missing and what there is.
        """
        if array == "answer_logits":
            if not self.answers:
                raise StoreError(
                    "it holds no answer_logits: it was extracted for a detector alone or with answers = false, or it "
                    "was pulled or imported without them. For p(yes), extract with answers = true into another root."
                )
            return
        noun, stored = ("layer", self.layers) if array == "hidden_states" else ("head", self.heads)
        missing = [item for item in wanted if stored is not None and item not in stored]
        lacking = [number for number in partitions if number not in self.full_partitions] if missing else []
        if lacking:
            more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
            raise StoreError(
                f"{noun} {_shown(missing[0])}{more} is not stored in partition {lacking[0]}; {self.describe()}. "
                f"Extract with that {noun} into another root, or pull it from a store that has it."
            )

    def describe(self) -> str:
        """Say what is stored: `it holds layers 3, 20 and all heads`."""
        parts = [_named("layer", self.layers), _named("head", self.heads)]
        text = "it holds " + " and ".join(parts if self.layers != () else parts[::-1])  # "no" reads on to what follows
        if self.layers is None and self.heads is None:
            text = "it holds all layers and heads"
        if self.full_partitions:
            text += f" (everything in partitions {ranges(self.full_partitions)})"
        if not self.answers:
            text += ", no answer_logits"
        if self.partition_rows != PARTITION_ROWS:
            text += f", in partitions of {self.partition_rows} rows"
        if self.partitions is not None:
            text += f", in partitions {ranges(self.partitions)} alone" if self.partitions else ", in no partition"
        return text

    def differences(self, other: "StoredParts") -> list[str]:
        """Name each part that differs, as `contents.layers: [1], not all`; empty when the two are equal."""
        usual = {"full_partitions": "none", "partition_rows": PARTITION_ROWS}
        mine, theirs = self.to_json(), other.to_json()
        return [
            f"contents.{name}: {mine.get(name, usual.get(name, 'all'))}, not {theirs.get(name, usual.get(name, 'all'))}"
            for name in asdict(self)
            if mine.get(name) != theirs.get(name)
        ]


EVERYTHING = StoredParts()
"""All layers, heads and answer logits of all partitions."""


def _numbers(noun: str, found: Iterable[int] | None, count: int, keep: bool = False) -> tuple[int, ...] | None:
    """Return numbers from 0 to `count - 1` sorted; None for all of them, unless they are to be kept."""
    if found is None:
        return None
    numbers = sorted(set(found))
    outside = [number for number in numbers if isinstance(number, bool) or not 0 <= number < count]
    if outside:
        raise VadprobeError(f"{noun} {outside[0]} does not exist; there are {noun}s 0 to {count - 1}.")
    return None if len(numbers) == count and not keep else tuple(int(number) for number in numbers)


def _heads(found: Iterable[Sequence[int]] | None, backbone: BackboneSpec) -> tuple[Head, ...] | None:
    if found is None:
        return None
    heads = sorted({(int(block), int(head)) for block, head in found})
    check_heads(backbone, heads)
    return None if len(heads) == len(backbone.heads) else tuple(heads)


def _lists(value: Any) -> Any:
    """Return a value with lists in place of tuples, as JSON has it."""
    return [_lists(item) for item in value] if isinstance(value, tuple) else value


def _shown(item: int | Head) -> str:
    """Write a layer as its number, a head as `block:head`, as they are given on the command line."""
    return f"{item[0]}:{item[1]}" if isinstance(item, tuple) else str(item)


def _named(noun: str, items: Sequence[int | Head] | None) -> str:
    if not items:
        return f"all {noun}s" if items is None else f"no {noun}s"
    shown = ", ".join(map(_shown, items[:6])) + (f" and {len(items) - 6} more" if len(items) > 6 else "")
    return f"{noun}{'s' if len(items) > 1 else ''} {shown}"
