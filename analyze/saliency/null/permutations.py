"""The saliency of chance: scores of heads and layers when labels are dealt to other videos.

With few samples every head looks separable, so a score means something only beside the scores of permuted labels. A
video keeps its samples together: samples of one video resemble each other, and labels that move sample by sample make
every difference between videos look like chance.
"""

from dataclasses import dataclass

import numpy as np

from vadprobe.store.errors import VadprobeError

LEVEL = 0.95
"""Quantile of the null that is reported."""

_ROUNDING = 1e-9
"""A null value that is below the observed one by less than this fraction is equal to it."""

_MOST_DRAWS = 1000
"""Draws per labelling after which labels count as impossible to permute."""


@dataclass(frozen=True, eq=False)
class Chance:
    """Comparison of an observed metric of every unit with its values under permuted labels, each (...,) float64.

    `p_value` is (1 + number of null values at least as large) / (1 + number of null values), of the unit alone;
    `familywise` the same against the largest null value of all units in each permutation, so that it is the chance
    of any unit reaching the observed value. `quantile` (95 %) is the null's. Unknown values (NaN) are no part of any
    count; where nothing is known the result is NaN.
    """

    p_value: np.ndarray
    familywise: np.ndarray
    quantile: np.ndarray


def permuted_labels(labels: np.ndarray, groups: np.ndarray, n_permutations: int, seed: int) -> np.ndarray:
    """Deal labels anew to whole groups (videos): the groups' labels are permuted among the groups.

    Groups may have different numbers of samples, so the number of samples per class may vary; a draw that leaves a
    class with fewer than two is drawn again. Draws may repeat each other and the given labels: with few videos there
    are few labellings, `n choose k` of n videos with k anomalous ones, and no p-value can be below one over that.

    Args:
        labels: (n,) bool or int, 1 = anomalous, at least two of each class.
        groups: (n,) of any dtype with an order, the group of each sample, all samples of a group of one label. One
            group per sample moves every sample.
        n_permutations: >= 1.
        seed: >= 0.

    Returns:
        (n_permutations, n) int64 of 0 and 1.

    Raises:
        VadprobeError: if hardly any draw leaves two samples in each class.
    """
    _, first, members = np.unique(groups, return_index=True, return_inverse=True)
    of_group = labels[first].astype(np.int64)
    generator = np.random.default_rng(seed)
    found: list[np.ndarray] = []
    for _ in range(_MOST_DRAWS * n_permutations):
        drawn = generator.permutation(of_group)[members]
        if 2 <= drawn.sum() <= len(drawn) - 2:
            found.append(drawn)
            if len(found) == n_permutations:
                return np.stack(found)
    raise VadprobeError(
        f"{_MOST_DRAWS * n_permutations} draws gave {len(found)} of {n_permutations} labellings with two samples in "
        "each class. Calibrate on more videos of the rarer class."
    )


def chance(observed: np.ndarray, null: np.ndarray) -> Chance:
    """Compare the observed values of one metric with those under permuted labels.

    Args:
        observed: (...,) one value per unit (layer or head); larger is more salient.
        null: (n_permutations, ...), from `head_null` or `layer_null`, at least one row.
    """
    known = ~np.isnan(null)
    some = known.any(axis=0)
    filled = np.where(some, null, 0.0)
    quantile = np.where(some, np.nanquantile(filled, LEVEL, axis=0), np.nan)
    lowest = np.where(known, null, -np.inf)
    largest = lowest.reshape(len(null), -1).max(axis=1, initial=-np.inf).reshape(-1, *[1] * observed.ndim)
    return Chance(_p_value(observed, lowest, known), _p_value(observed, largest, largest > -np.inf), quantile)


def _p_value(observed: np.ndarray, null: np.ndarray, known: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore"):
        reached = known & (null >= observed - _ROUNDING * np.abs(observed))
    counted = known.sum(axis=0)
    values = (1 + reached.sum(axis=0)) / (1 + counted)
    return np.where(np.isnan(observed) | (counted == 0), np.nan, values)
