"""Rules of selection by name: what each chooses, and the protocol of one that another package adds."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from vadprobe.analyze.compute.registry import Registry
from vadprobe.analyze.saliency.kernels.fisher import fisher_ratio
from vadprobe.analyze.saliency.selection import Unit


class SelectionRule(Protocol):
    """Protocol of a rule: it chooses layers or heads."""

    @property
    def unit(self) -> Unit:
        """The parts that are chosen: "layer" or "head"."""
        ...


@runtime_checkable
class RankingRule(SelectionRule, Protocol):
    """Protocol of a rule that is one function: the layer, or the `top_heads` heads, of the greatest score is chosen.

    The features are those of the score prompt. A rule must be a value that can be pickled, for workers.
    """

    def scores(self, features: np.ndarray, labels: np.ndarray, /) -> np.ndarray:
        """Return a score for every layer or head.

        Args:
            features: (..., n, d) of the calibration rows, finite, in the storage dtype.
            labels: (n,) int64, 1 (anomalous) or 0 (normal).

        Returns:
            (...,) float64, each of that layer's or head's features alone; NaN is unknown and never chosen.
        """
        ...


@dataclass(frozen=True)
class BuiltIn:
    """A rule that `detector.selection_rules` carries out."""

    unit: Unit


@dataclass(frozen=True)
class Ranked:
    """A rule that ranks by a function; `scores` as of `RankingRule`, a function of a module."""

    unit: Unit
    scores: Callable[[np.ndarray, np.ndarray], np.ndarray]


RULES: Registry[SelectionRule] = Registry(
    "selection rule",
    {
        **dict.fromkeys(("dlsp", "layer", "middle-layer", "last-layer"), BuiltIn("layer")),
        **dict.fromkeys(("rhi", "heads", "random-heads", "last-block", "full-layer", "all-heads"), BuiltIn("head")),
        "fisher-layer": Ranked("layer", fisher_ratio),
        "fisher": Ranked("head", fisher_ratio),
    },
)
"""Rules by the name that a job gives them."""
