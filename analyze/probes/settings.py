"""The settings of probes, and which of them contradict one another."""

import math
from dataclasses import dataclass
from typing import Literal

ProbeKind = Literal["logistic", "linear-svm", "mlp", "distance"]
ClassWeight = Literal["balanced"]
Convention = Literal["paper", "headhunt-code"]

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


def contradiction(
    kind: ProbeKind,
    *,
    C: float = 1.0,
    class_weight: ClassWeight | None = None,
    hidden: int = HIDDEN,
    convention: Convention = "paper",
) -> str | None:
    """Return the sentence that says which settings do not go together; None if all do.

    A setting that the kind would ignore is refused when it is not the default, so that no result is taken for the
    effect of a setting that had none. A seed contradicts nothing: kinds without randomness give the same for each.
    """
    if convention == "headhunt-code" and kind != "logistic":
        return (
            f"the convention 'headhunt-code' is that code's logistic regression, and the probe's kind is {kind!r}; "
            "take kind 'logistic', or the convention 'paper'"
        )
    if math.isinf(C) and convention == "headhunt-code":
        return "the convention 'headhunt-code' fits by liblinear, which always has a penalty; C must be finite"
    if math.isinf(C) and kind == "linear-svm":
        return "the linear SVM is defined by its penalty, so C must be finite"
    if hidden != HIDDEN and kind != "mlp":
        return f"hidden is {hidden}, and a probe of kind {kind!r} has no hidden units; take kind 'mlp', or leave it out"
    if kind == "distance" and (C != 1.0 or class_weight is not None):
        return (
            "a probe of kind 'distance' fits no boundary, so C and class_weight change nothing; leave them out, or "
            "take another kind"
        )
    return None
