"""Stability of selections over draws: how often each layer or head is chosen, and how far selections agree."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from math import comb

import numpy as np

from vadprobe.analyze.saliency.selection import Selection


@dataclass(frozen=True, eq=False)
class Stability:
    """Agreement of several selections of one unit.

    Attributes:
        frequency: (layers + 1,) or (blocks, heads) float64 in [0, 1], the fraction of selections with each index.
        overlap: mean fraction of indices that two selections share; NaN for a single selection.
        chance_overlap: expected `overlap` of random choices of the same sizes; NaN for a single selection.
        n_selections: number of selections.
    """

    frequency: np.ndarray
    overlap: float
    chance_overlap: float
    n_selections: int

    def most_frequent(self, count: int) -> list[tuple[tuple[int, ...], float]]:
        """Return the indices chosen most often, with their frequencies; of equal ones the lower index first."""
        order = np.argsort(-self.frequency, axis=None, kind="stable")[:count]
        places = [tuple(int(part) for part in np.unravel_index(number, self.frequency.shape)) for number in order]
        return [(place, float(self.frequency[place])) for place in places if self.frequency[place] > 0]


def stability(selections: Sequence[Selection], shape: tuple[int, ...]) -> Stability:
    """Count how often every index is chosen.

    Args:
        selections: at least one, all of one unit; each may choose another number of indices.
        shape: (layers + 1,) for layers, the embedding among them, or (blocks, heads).
    """
    frequency = np.zeros(shape)
    for selection in selections:
        for index in selection.indices:
            frequency[index] += 1
    chosen = [frozenset(selection.indices) for selection in selections]
    pairs = [len(a & b) / min(len(a), len(b)) for a, b in combinations(chosen, 2)]
    total = int(np.prod(shape)) - (len(shape) == 1)  # layer 0, the embedding, is never ranked
    by_chance = [max(len(a), len(b)) / total for a, b in combinations(chosen, 2)]
    return Stability(
        frequency=frequency / len(selections),
        overlap=float(np.mean(pairs)) if pairs else float("nan"),
        chance_overlap=float(np.mean(by_chance)) if by_chance else float("nan"),
        n_selections=len(selections),
    )


@dataclass(frozen=True)
class Overlap:
    """Overlap of two selections, and its expectation for two random ones of the same sizes.

    `shared` is the number of indices in both; `jaccard` is this number divided by that of indices in either. All are
    NaN if the selections differ in unit or backbone.
    """

    shared: float = float("nan")
    jaccard: float = float("nan")
    chance_shared: float = float("nan")
    chance_jaccard: float = float("nan")


def overlap(first: Selection, second: Selection, total: int) -> Overlap:
    """Return the overlap of two selections of one unit.

    Args:
        first, second: layers, or heads, of one backbone.
        total: number of layers, or of heads, that can be chosen.
    """
    mine, theirs = frozenset(first.indices), frozenset(second.indices)
    a, b, shared = len(mine), len(theirs), len(mine & theirs)
    # Random sets share a hypergeometric number of indices; the Jaccard index is no linear function of that number.
    chances = {both: comb(a, both) * comb(total - a, b - both) / comb(total, b) for both in range(min(a, b) + 1)}
    return Overlap(
        shared=shared,
        jaccard=shared / (a + b - shared),
        chance_shared=a * b / total,
        chance_jaccard=sum(chance * both / (a + b - both) for both, chance in chances.items()),
    )
