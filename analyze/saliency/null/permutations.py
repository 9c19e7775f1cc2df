"""Permutation test: the scores of heads and layers compared with those under labels permuted among videos.

With few samples every head looks separable, so a score is meaningful only beside the scores under permuted labels. All
samples of a video get the same label, because they resemble each other: labels permuted sample by sample would give a
null distribution that is too narrow.
"""

from dataclasses import dataclass

import numpy as np

from vadprobe.store.errors import VadprobeError

LEVEL = 0.95
"""Quantile of the null distribution that is reported."""

_ROUNDING = 1e-9
"""Relative difference below which a null value counts as equal to the observed one."""

_MOST_DRAWS = 1000
"""Largest number of draws per labelling, after which the labels cannot be permuted."""


@dataclass(frozen=True, eq=False)
class Chance:
    """Comparison of an observed metric of every unit with its values under permuted labels, each (...,) float64.

    `p_value` is (1 + number of null values at least as large as the observed one) / (1 + number of null values), from
    the null values of the unit itself. `familywise` is the same with the largest null value of all units in each
    permutation: the probability under chance that any unit reaches the observed value. `quantile` is the 95 % quantile
    of the unit's null values. Unknown values (NaN) are not counted; where nothing is known the result is NaN.
    """

    p_value: np.ndarray
    familywise: np.ndarray
    quantile: np.ndarray


def permuted_labels(labels: np.ndarray, groups: np.ndarray, n_permutations: int, seed: int) -> np.ndarray:
    """Permute labels among whole groups (videos).

    Groups may have different numbers of samples, so the number of samples per class may vary; a permutation that leaves
    a class with fewer than two samples is drawn again. Draws may repeat each other and the given labels. n videos with
    k anomalous ones have only `n choose k` labellings, and no p-value can be below one over this number.

    Args:
        labels: (n,) bool or int, 1 = anomalous, at least two of each class.
        groups: (n,) of any sortable dtype, the group of each sample. All samples of a group must have one label. With
            one group per sample, every sample's label moves alone.
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
