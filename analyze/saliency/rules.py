"""Selection rules by name, and the protocols for rules that other packages add."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from vadprobe.analyze.compute.registry import Registry
from vadprobe.analyze.saliency.kernels.fisher import fisher_ratio
from vadprobe.analyze.saliency.selection import Unit


class SelectionRule(Protocol):
    """Protocol of a selection rule, which chooses layers or heads."""

    @property
    def unit(self) -> Unit:
        """Kind of parts that are chosen: "layer" or "head"."""
        ...


@runtime_checkable
class RankingRule(SelectionRule, Protocol):
    """Protocol of a rule with a score function: it chooses the layer, or the `top_heads` heads, of the greatest score.

    The features are those of the score prompt. A rule must be picklable, since workers compute it.
    """

    def scores(self, features: np.ndarray, labels: np.ndarray, /) -> np.ndarray:
        """Return a score for every layer or head.

        Args:
            features: (..., n, d) of the calibration rows, finite, in the storage dtype.
            labels: (n,) int64, 1 (anomalous) or 0 (normal).

        Returns:
            (...,) float64, each computed from the features of that layer or head alone; NaN is unknown and never
            chosen.
        """
        ...


@dataclass(frozen=True)
class BuiltIn:
    """Selection rule that is implemented in `detector.selection_rules`."""

    unit: Unit


@dataclass(frozen=True)
class Ranked:
    """Selection rule that ranks by a function of a module, `scores`, as in `RankingRule`."""

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
"""Selection rules by the name that a job gives them."""
