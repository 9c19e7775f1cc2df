"""The start of a streamed fit, and coordinates in which its steps are well scaled, from a sample of the rows."""

import warnings
from dataclasses import dataclass

import numpy as np

_SLAB_ROWS = 1024  # rows in float64 at a time
_SAMPLE_ITERATIONS = 300  # iterations of the fit to the sample, which need not be exact
_JITTER = 1e-10  # fraction of the largest diagonal entry that is added to a Hessian which no penalty makes regular


@dataclass(frozen=True, eq=False)
class Preconditioner:
    """Start (k + 1,), coefficients and intercept, and coordinates u around it: parameters = start + L'^-1 u.

    `factor` is L, (k + 1, k + 1), lower triangular with L L' near the Hessian, so that the curvature of the loss in u
    is about equal in all directions. If it is None, u is parameters - start.
    """

    start: np.ndarray
    factor: np.ndarray | None = None

    def parameters(self, coordinates: np.ndarray) -> np.ndarray:
        """Return coefficients and intercept at u."""
        from scipy.linalg import solve_triangular

        if self.factor is None:
            return np.asarray(self.start + coordinates)
        return np.asarray(self.start + solve_triangular(self.factor, coordinates, lower=True, trans="T"))

    def gradient(self, gradient: np.ndarray) -> np.ndarray:
        """Return the gradient in u of a gradient in the parameters."""
        from scipy.linalg import solve_triangular

        if self.factor is None:
            return gradient
        return np.asarray(solve_triangular(self.factor, gradient, lower=True))


def of_sample(rows: np.ndarray, labels: np.ndarray, weights: np.ndarray, C: float, n: int) -> Preconditioner:
    """Return the preconditioner with the minimum of the loss on a sample as start, and the Hessian there.

    Args:
        rows: (m, k) standardised features, float32 or float64.
        labels: (m,) 0 or 1, both present.
        weights: (m,) number of rows that each sampled row stands for; they sum to about n.
        C: inverse strength of the penalty.
        n: number of all rows, by which the loss is divided.
    """
    from scipy.linalg import cholesky
    from scipy.special import expit
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=C, max_iter=_SAMPLE_ITERATIONS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(rows, labels, sample_weight=weights)
    start = np.append(model.coef_[0], model.intercept_[0]).astype(np.float64)
    hessian = np.zeros((len(start), len(start)))
    for first in range(0, len(rows), _SLAB_ROWS):
        slab = np.ones((len(rows[first : first + _SLAB_ROWS]), len(start)))
        slab[:, :-1] = rows[first : first + _SLAB_ROWS]
        probabilities = expit(slab @ start)
        slab *= np.sqrt(weights[first : first + _SLAB_ROWS] * probabilities * (1 - probabilities) / n)[:, None]
        hessian += slab.T @ slab
    diagonal = np.arange(len(start))
    hessian[diagonal[:-1], diagonal[:-1]] += 1 / (C * n)
    hessian[diagonal, diagonal] += _JITTER * hessian.diagonal().max()
    return Preconditioner(start, cholesky(hessian, lower=True, overwrite_a=True, check_finite=False))
