"""Choose how much the tests run: the short profile of `make test`, or the long one of `make test-all`.

`VADPROBE_TESTS=all` selects the long profile. It runs whole products of parameters and many random examples, which
differ from run to run. The short profile runs the same laws on fewer examples, the same at every run, so that it fails
because of a change of the code and not by chance. Tests marked `slow` run only in the long profile.
"""

import itertools
import os
from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np
from hypothesis import HealthCheck, settings

LONG = os.environ.get("VADPROBE_TESTS") == "all"

T = TypeVar("T")


def laws(examples: int, short: int | None = None, **options: Any) -> settings:
    """Return settings of a property test with `examples` random examples; in the short profile with fewer.

    The short profile has `short` examples, by default a fifth and at least ten. No example has a deadline, because the
    machine may be busy.
    """
    fewer = min(examples, max(10, examples // 5)) if short is None else short
    options.setdefault("suppress_health_check", [HealthCheck.too_slow])
    return settings(max_examples=examples if LONG else fewer, deadline=None, derandomize=not LONG, **options)


def thinned(*axes: Sequence[Any], strength: int = 2, seed: int = 0) -> list[tuple[Any, ...]]:
    """Choose rows of the product of some parameters; in the long profile, return all of them.

    In the short profile, every combination of the values of any `strength` parameters is in at least one row: 2 covers
    all pairs, 1 every value. Rows are taken greedily, in an order that `seed` decides.
    """
    product = list(itertools.product(*(range(len(axis)) for axis in axes)))
    if LONG or not product:
        return [tuple(axis[at] for axis, at in zip(axes, row, strict=True)) for row in product]

    def covered_by(row: tuple[int, ...]) -> set[tuple[tuple[int, int], ...]]:
        return set(itertools.combinations(enumerate(row), min(strength, len(axes))))

    order = [product[at] for at in np.random.default_rng(seed).permutation(len(product))]
    missing = set().union(*map(covered_by, order))
    chosen = []
    while missing:
        best = max(order, key=lambda row: len(covered_by(row) & missing))
        missing -= covered_by(best)
        chosen.append(best)
    return [tuple(axis[at] for axis, at in zip(axes, row, strict=True)) for row in sorted(chosen)]


def some(values: Sequence[T], short: int, seed: int = 0) -> list[T]:
    """Choose `short` of the values by a seed, in their order; in the long profile, return all of them."""
    if LONG or short >= len(values):
        return list(values)
    return [values[at] for at in sorted(np.random.default_rng(seed).choice(len(values), short, replace=False))]
