"""Terms of fits: kinds of probes, and how their features and classes are weighed."""

from dataclasses import dataclass
from typing import Literal

ProbeKind = str
"""Name of a kind of probe in a job: one of `kinds.registry.SCORERS`."""
ClassWeight = Literal["balanced"]
Convention = Literal["paper", "headhunt-code"]
Scaling = Literal["standard", "none"]
Resampling = Literal["none", "balanced"]

HIDDEN = 64
"""Hidden units of the perceptron where nothing else is said."""


@dataclass(frozen=True)
class Penalty:
    """The regularisation of a fit, the weights of its classes, and the limit of its solver.

    `C` > 0 is the inverse strength of the L2 penalty, inf for none. `class_weight` "balanced" weights samples by
    n / (2 n_class). `max_iter` >= 1 bounds the solver's iterations.
    """

    C: float = 1.0
    class_weight: ClassWeight | None = None
    max_iter: int = 1000


DEFAULT_PENALTY = Penalty()
"""The penalty of a fit where nothing else is said."""
