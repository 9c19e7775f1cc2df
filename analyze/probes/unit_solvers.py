"""Ridge and logistic regression of many layers or heads at once, on standardised features, with penalty C = 1.

Every unit is solved from its own values alone, in an order of operations that does not depend on the other units.
"""

import numpy as np

from vadprobe.store.errors import VadprobeError

_TOLERANCE = 1e-10
"""Largest residual of the dual's stationarity condition at the minimum; each Newton step squares the residual."""

_MAX_ITERATIONS = 100
_MAX_HALVINGS = 40
_SMALLEST_WEIGHT = 1e-12
"""Floor of p (1 - p) in a Newton step: it changes the step for samples with p near 0 or 1, not the minimum."""

_DUAL_SAMPLES = 200
"""Largest number of samples for which the batched dual is faster than scikit-learn's loop in any dimension."""


def ridge(rows: np.ndarray, anomalous: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Fit ridge regression to y = +1 (anomalous) and -1 (normal): minimise `|w|^2 / 2 + sum (y - w·z - b)^2 / 2`.

    The closed form uses the n by n Gram matrix of samples for n <= d, else the d by d matrix of dimensions. The minimum
    is that of scikit-learn's `Ridge(alpha=1)`; the intercept is not penalised.

    Args:
        rows: (units, n, d) float64, each feature of mean 0.
        anomalous: (n,) bool.

    Returns:
        Weights (units, d) and intercepts (units,), float64.
    """
    n, dimension = rows.shape[1:]
    targets = np.where(anomalous, 1.0, -1.0)
    centred = np.broadcast_to(targets - targets.mean(), rows.shape[:2])[:, :, None]
    intercepts = np.full(len(rows), targets.mean())
    across = rows.swapaxes(1, 2)
    if n <= dimension:
        weights = across @ np.linalg.solve(_raised(rows @ across), centred)
    else:
        products = _summed(rows, rows), _summed(rows, centred)
        weights = np.linalg.solve(_raised(products[0]), products[1])
    return weights[:, :, 0], intercepts


def logistic(rows: np.ndarray, anomalous: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Fit logistic regression: minimise `|w|^2 / 2 + sum of log losses`, without a penalty on the intercept.

    Up to 200 samples, or up to d, all units are solved at once by Newton's method in the dual; for more samples a loop
    over scikit-learn is as fast. Both give the minimum, not a solver's stopping point.

    Args:
        rows: (units, n, d) float64, each feature of mean 0.
        anomalous: (n,) bool.

    Returns:
        Weights (units, d) and intercepts (units,), float64.

    Raises:
        VadprobeError: if a fit does not converge.
    """
    from sklearn.linear_model import LogisticRegression

    n, dimension = rows.shape[1:]
    if n <= max(_DUAL_SAMPLES, dimension):
        return _newton_in_the_dual(rows, anomalous.astype(np.float64))
    weights, intercepts = np.empty((len(rows), dimension)), np.empty(len(rows))
    for number, unit in enumerate(rows):
        model = LogisticRegression(solver="newton-cholesky", tol=_TOLERANCE, max_iter=_MAX_ITERATIONS)
        model.fit(unit, anomalous)
        weights[number], intercepts[number] = model.coef_[0], model.intercept_[0]
    return weights, intercepts


def _newton_in_the_dual(rows: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Solve for w = Z'a, with a = t - p and sum(a) = 0 at the minimum, by damped Newton steps in a and b.

    Z are the rows, t the targets (0 or 1), p the probabilities, b the intercept, K = ZZ' the Gram matrix.
    """
    from scipy.special import expit

    gram = rows @ rows.swapaxes(1, 2)
    dual, intercepts, logits = np.zeros(rows.shape[:2]), np.zeros(len(rows)), np.zeros(rows.shape[:2])
    moving = np.arange(len(rows))
    for _ in range(_MAX_ITERATIONS):
        residuals = np.abs(dual[moving] + expit(logits[moving]) - targets).max(axis=1)
        # Only whole units are removed, so that every product keeps its shape and its bits.
        moving = moving[residuals > _TOLERANCE]
        if len(moving) == 0:
            return _summed(rows, dual[:, :, None])[:, :, 0], intercepts
        mine = gram[moving], dual[moving], intercepts[moving], logits[moving]
        dual[moving], intercepts[moving], logits[moving] = _damped_step(*mine, targets)
    raise VadprobeError(
        f"{len(moving)} of {len(rows)} logistic fits did not converge in {_MAX_ITERATIONS} Newton steps; "
        "probe by ridge."
    )


def _damped_step(
    gram: np.ndarray, dual: np.ndarray, intercepts: np.ndarray, logits: np.ndarray, targets: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the next a (units, n), b (units,) and logits Ka + b (units, n).

    A Newton step is a weighted ridge regression of working responses r: (K + V) a + b = r with sum(a) = 0 and
    V = 1 / (p (1 - p)), solved in the scaled form V^-1/2 K V^-1/2 + I, which has no eigenvalue below 1.
    """
    from scipy.special import expit

    probabilities = expit(logits)
    variances = np.maximum(probabilities * (1 - probabilities), _SMALLEST_WEIGHT)
    root = np.sqrt(variances)[:, :, None]
    responses = logits + (targets - probabilities) / variances
    sides = root * np.stack([responses, np.ones_like(responses)], axis=-1)
    solved = root * np.linalg.solve(_raised(root * gram * root.swapaxes(1, 2)), sides)
    # Solved for the right-hand sides r and 1; the combination whose a sums to 0 gives both a and b.
    sums = solved.sum(axis=1)
    next_intercepts = sums[:, 0] / sums[:, 1]
    next_dual = solved[:, :, 0] - next_intercepts[:, None] * solved[:, :, 1]
    next_logits = (gram @ next_dual[:, :, None])[:, :, 0] + next_intercepts[:, None]
    fraction = np.ones(len(gram))
    least = _objective(dual, intercepts, logits, targets)
    for _ in range(_MAX_HALVINGS):
        part = fraction[:, None]
        moved = (
            dual + part * (next_dual - dual),
            intercepts + fraction * (next_intercepts - intercepts),
            logits + part * (next_logits - logits),
        )
        ascends = _objective(*moved, targets) > least * (1 + 1e-12)
        if not ascends.any():
            break
        fraction[ascends] /= 2
    return moved


def _objective(dual: np.ndarray, intercepts: np.ndarray, logits: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Return the sum of log losses plus |w|^2 / 2, (units,); with w = Z'a, |w|^2 = a'Ka = a'(logits - b)."""
    losses = np.logaddexp(0.0, np.where(targets > 0, -logits, logits)).sum(axis=1)
    return np.asarray(losses + (dual * (logits - intercepts[:, None])).sum(axis=1) / 2)


def _summed(rows: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return the products rows' others of (units, n, d) and (units, n, m), summed over the samples.

    One dimension is summed without BLAS, whose dot products may depend on the alignment of memory.
    """
    if rows.shape[2] == 1:
        return np.asarray((rows * others).sum(axis=1, keepdims=True))
    return np.asarray(rows.swapaxes(1, 2) @ others)


def _raised(matrices: np.ndarray) -> np.ndarray:
    """Add 1 to the diagonals, in place."""
    diagonal = np.arange(matrices.shape[-1])
    matrices[:, diagonal, diagonal] += 1
    return matrices
