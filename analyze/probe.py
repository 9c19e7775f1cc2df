"""The probe: logistic regression on the features of the selected layer or heads (HP8, HH10-11)."""

import warnings
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from scipy.special import expit
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from vadprobe.analyze.calibration import check_classes
from vadprobe.store.errors import VadprobeError

ClassWeight = Literal["balanced"]
_BLOCK_ROWS = 2048  # rows standardised at a time; bounds memory, never changes a score
_FLAT = 1e-5  # gradient at which L-BFGS may stop early: the loss no longer changes in double precision
_ARRAYS = ("mean", "scale", "coef")


@dataclass(frozen=True, eq=False)
class Probe:
    """A fitted probe: probability = sigmoid(coef · (features - mean) / scale + intercept).

    ``mean``, ``scale`` and ``coef`` are (k,) float64, ``intercept`` a float. ``selection`` is the JSON form of what the
    k features are, which this module only carries. ``C`` (inf: no penalty), ``class_weight``, ``n_iterations`` and
    ``converged`` say how it was fitted; ``converged`` can be False with C = inf only.
    """

    mean: np.ndarray
    scale: np.ndarray
    coef: np.ndarray
    intercept: float
    C: float = 1.0
    class_weight: ClassWeight | None = None
    n_iterations: int = 0
    converged: bool = True
    selection: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.coef.ndim != 1 or not self.mean.shape == self.scale.shape == self.coef.shape:
            raise VadprobeError(
                f"the probe's mean, scale and coef have shapes {self.mean.shape}, {self.scale.shape}, "
                f"{self.coef.shape}; one number of each per feature is wanted. Was the file edited?"
            )
        values = np.concatenate([self.mean, self.scale, self.coef, [self.intercept]])
        if not np.isfinite(values).all() or np.any(self.scale <= 0):
            raise VadprobeError(
                "the probe's numbers are not all finite, or a scale is not above 0. Was the file edited?"
            )

    def score(self, features: np.ndarray) -> np.ndarray:
        """Probability that each sample is anomalous (HP8, HH11), in float64.

        Args:
            features: (n, k) raw features, as they were fitted. Each row's score depends on that row alone, to the last
                bit: passing rows in other blocks changes nothing.

        Returns:
            (n,) float64 in [0, 1]; NaN for a row with a value that is not finite (a failed clip is unknown, not 0).

        Raises:
            VadprobeError: if the number of features is not the probe's.
        """
        features = np.asarray(features)
        if features.ndim != 2 or features.shape[1] != len(self.coef):
            raise VadprobeError(
                f"features have shape {features.shape}, the probe was fitted on {len(self.coef)} features per sample; "
                "pass (n, k) features of the probe's own selection."
            )
        logits = np.empty(len(features))
        for start in range(0, len(features), _BLOCK_ROWS):
            block = np.array(features[start : start + _BLOCK_ROWS], dtype=np.float64, order="C")
            block[~np.isfinite(block).all(axis=1)] = np.nan
            block -= self.mean
            block /= self.scale
            block *= self.coef
            logits[start : start + _BLOCK_ROWS] = block.sum(axis=1)
        return np.asarray(expit(logits + self.intercept))

    def to_json(self) -> dict[str, Any]:
        """The probe as plain JSON values; :meth:`from_json` restores every bit. An infinite ``C`` is written "inf"."""
        return {
            **{name: getattr(self, name).tolist() for name in _ARRAYS},
            "intercept": self.intercept,
            "C": self.C if np.isfinite(self.C) else "inf",
            "class_weight": self.class_weight,
            "n_iterations": self.n_iterations,
            "converged": self.converged,
            "selection": self.selection,
        }

    @staticmethod
    def from_json(value: dict[str, Any]) -> "Probe":
        """The inverse of :meth:`to_json`."""
        arrays = {name: np.array(value[name], dtype=np.float64) for name in _ARRAYS}
        return Probe(**(value | arrays | {"C": float(value["C"])}))


def fit_logistic(
    features: np.ndarray,
    labels: np.ndarray,
    *,
    C: float = 1.0,
    max_iter: int = 1000,
    class_weight: ClassWeight | None = None,
    tolerance: float = 1e-4,
    selection: dict[str, Any] | None = None,
) -> Probe:
    """Fit the probe (HP8, HH10): standardise, then logistic regression with an L2 penalty, by L-BFGS.

    The papers print no penalty and "1000 epochs of LBFGS", which defines nothing on separable data: the loss then has
    no minimiser, and the answer is wherever the solver stops. So C = 1 is the default. ``C = inf`` is "as printed": its
    result is scikit-learn's stopping point, and ``converged`` says whether that was the tolerance or ``max_iter``.

    Args:
        features: (n, k), finite; converted to float64.
        labels: (n,) 1 (anomalous) or 0 (normal), at least two samples of each.
        C: inverse strength of the penalty on standardised features, > 0; the intercept is not penalised.
        max_iter: L-BFGS iterations.
        class_weight: "balanced" weights samples by n / (2 n_class).
        tolerance: largest gradient component of the mean loss at which the fit counts as converged (scikit-learn's).
        selection: carried into the probe.

    Returns:
        A probe equal to scikit-learn's ``StandardScaler`` and ``LogisticRegression``. A constant feature has scale 1
        and coefficient 0.

    Raises:
        VadprobeError: if a shape, label or setting is not as above, a feature is not finite, a class has fewer than two
            samples, or a penalised fit does not converge.
    """
    features = np.array(features, dtype=np.float64, order="C")
    labels = np.asarray(labels)
    _check_samples(features, labels)
    if not C > 0 or max_iter < 1:
        raise VadprobeError(
            f"C is {C} and max_iter {max_iter}; C > 0 (inf for no penalty) and max_iter >= 1 are wanted."
        )
    scaler = StandardScaler().fit(features)
    standardised = scaler.transform(features)
    model = LogisticRegression(C=C, max_iter=max_iter, tol=tolerance, class_weight=class_weight, solver="lbfgs")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # decided from the gradient below
        model.fit(standardised, labels.astype(np.int64))
    coef, intercept = model.coef_[0], float(model.intercept_[0])
    slope = _largest_gradient(standardised, labels, coef, intercept, C, class_weight)
    n_iterations = int(model.n_iter_[0])
    converged = slope <= 1.01 * tolerance or (n_iterations < max_iter and slope <= _FLAT)
    if not converged and np.isfinite(C):
        raise VadprobeError(
            f"the probe did not converge in {n_iterations} iterations: the gradient is {slope:.2g}, "
            f"{tolerance:.2g} is wanted. Raise max_iter (now {max_iter}) or lower C (now {C:g})."
        )
    return Probe(
        mean=np.asarray(scaler.mean_),
        scale=np.asarray(scaler.scale_),
        coef=np.asarray(coef),
        intercept=intercept,
        C=float(C),
        class_weight=class_weight,
        n_iterations=n_iterations,
        converged=converged,
        selection=dict(selection or {}),
    )


def _check_samples(features: np.ndarray, labels: np.ndarray) -> None:
    if features.ndim != 2 or features.shape[1] == 0 or labels.shape != features.shape[:1]:
        raise VadprobeError(
            f"features have shape {features.shape}, labels {labels.shape}; (n, k) with k >= 1 and (n,) are wanted."
        )
    if not np.isin(labels, (0, 1)).all():
        raise VadprobeError(
            f"labels are {np.unique(labels).tolist()[:8]}; only 1 (anomalous) and 0 (normal) are wanted."
        )
    check_classes(labels)
    bad = ~np.isfinite(features)
    if bad.any():
        row, column = np.argwhere(bad)[0]
        raise VadprobeError(
            f"{int(bad.any(axis=1).sum())} of {len(features)} samples have features that are not finite, first sample "
            f"{row}, feature {column} ({features[row, column]}). Leave failed clips out; if the model "
            "overflowed, extract in bfloat16."
        )


def _largest_gradient(
    standardised: np.ndarray,
    labels: np.ndarray,
    coef: np.ndarray,
    intercept: float,
    C: float,
    class_weight: ClassWeight | None,
) -> float:
    """Largest absolute gradient component of the weighted mean loss plus |coef|^2 / (2 C n), what L-BFGS minimises.

    Recomputed rather than read from scikit-learn's warning: recording warnings is not safe in Dask's threads.
    """
    n = len(labels)
    weights = (
        np.ones(n) if class_weight is None else n / (2 * np.bincount(labels.astype(np.int64)))[labels.astype(np.int64)]
    )
    residuals = weights * (expit(standardised @ coef + intercept) - labels) / n
    gradient = np.append(standardised.T @ residuals + coef / (C * n), residuals.sum())
    return float(np.abs(gradient).max())
