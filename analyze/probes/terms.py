"""Settings of fits: kind of probe, scaling, penalty and class weights."""

from dataclasses import dataclass
from typing import Literal

ProbeKind = str
"""Name of a kind of probe in a job: one of `kinds.registry.SCORERS`."""
ClassWeight = Literal["balanced"]
Convention = Literal["paper", "headhunt-code"]
Scaling = Literal["standard", "none"]
Resampling = Literal["none", "balanced"]

HIDDEN = 64
"""Default number of hidden units of the perceptron."""


@dataclass(frozen=True)
class Penalty:
    """Regularisation of a fit, weights of its classes, and limit of its solver.

    `C` > 0 is the inverse strength of the L2 penalty, inf for no penalty. `class_weight` "balanced" weights samples by
    n / (2 n_class), None by 1. `max_iter` >= 1 is the largest number of iterations of the solver.
    """

    C: float = 1.0
    class_weight: ClassWeight | None = None
    max_iter: int = 1000


DEFAULT_PENALTY = Penalty()
"""Default penalty of a fit."""
