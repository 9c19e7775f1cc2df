"""Probes of every kind by one name each: ``fit_probe`` fits one, ``probe_from_json`` restores one.

A caller needs only ``Probe``: ``score`` and ``to_json``. The kinds are in files of their own.
"""

from typing import Any

import numpy as np

from vadprobe.analyze.probes.distance import DistanceProbe, fit_distance
from vadprobe.analyze.probes.linear_svm import LinearSvmProbe, fit_linear_svm
from vadprobe.analyze.probes.logistic import LogisticProbe, fit_logistic
from vadprobe.analyze.probes.mlp import MlpProbe, fit_mlp
from vadprobe.analyze.probes.probe import Probe
from vadprobe.analyze.probes.settings import HIDDEN, ClassWeight, Convention, ProbeKind, contradiction
from vadprobe.store.errors import VadprobeError

__all__ = ["Probe", "ProbeKind", "fit_logistic", "fit_probe", "probe_from_json"]

_KINDS: dict[str, type[Probe]] = {kind.kind: kind for kind in (LogisticProbe, LinearSvmProbe, MlpProbe, DistanceProbe)}


def fit_probe(
    features: np.ndarray,
    labels: np.ndarray,
    *,
    kind: ProbeKind = "logistic",
    C: float = 1.0,
    max_iter: int = 1000,
    class_weight: ClassWeight | None = None,
    hidden: int = HIDDEN,
    seed: int = 0,
    convention: Convention = "paper",
    selection: dict[str, Any] | None = None,
) -> Probe:
    """Fit a probe of any kind; both papers fit logistic regression (HP8, HH10).

    Args:
        features: (n, k), finite; converted to float64.
        labels: (n,) 1 (anomalous) or 0 (normal), at least two samples of each.
        kind: "logistic", "linear-svm", "mlp" (one hidden layer) or "distance" (to the class means).
        C: inverse strength of the penalty, > 0; inf for none (not for the linear SVM).
        max_iter: iterations of the solver. "distance" has none.
        class_weight: "balanced" weights samples by n / (2 n_class).
        hidden: hidden units of "mlp".
        seed: of the first weights of "mlp"; the other kinds are not random.
        convention: of "logistic", see ``logistic_probe.fit_logistic``.
        selection: carried into the probe.

    Raises:
        VadprobeError: as the kind's own function, or if settings contradict one another.
    """
    if kind not in _KINDS:
        raise VadprobeError(f"the probe's kind is {kind!r}; one of {', '.join(_KINDS)} is wanted.")
    refused = contradiction(kind, C=C, class_weight=class_weight, hidden=hidden, convention=convention)
    if refused:
        raise VadprobeError(refused + ".")
    if kind == "distance":
        return fit_distance(features, labels, selection=selection)
    if kind == "mlp":
        return fit_mlp(
            features,
            labels,
            C=C,
            max_iter=max_iter,
            class_weight=class_weight,
            hidden=hidden,
            seed=seed,
            selection=selection,
        )
    if kind == "linear-svm":
        return fit_linear_svm(features, labels, C=C, max_iter=max_iter, class_weight=class_weight, selection=selection)
    return fit_logistic(
        features,
        labels,
        C=C,
        max_iter=max_iter,
        class_weight=class_weight,
        convention=convention,
        selection=selection,
    )


def probe_from_json(value: dict[str, Any]) -> Probe:
    """Restore what ``to_json`` of a probe of any kind gave, every bit; a value without "kind" is a logistic probe.

    Raises:
        VadprobeError: if the kind is not known, or the value's numbers do not make a probe of that kind.
    """
    kind = value.get("kind", "logistic")
    if kind not in _KINDS:
        raise VadprobeError(
            f"the probe's kind is {kind!r}; {', '.join(_KINDS)} are known here. Was it written by a newer version?"
        )
    return _KINDS[kind].from_json(value)
