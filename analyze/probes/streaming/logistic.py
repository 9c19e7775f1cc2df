"""Logistic regression on rows that do not fit into memory: the same minimum as in memory, in about ten passes."""

import math

import numpy as np
from threadpoolctl import threadpool_limits

from vadprobe.analyze.probes.kinds.linear import LogisticProbe
from vadprobe.analyze.probes.logistic_fitting import has_converged
from vadprobe.analyze.probes.streaming.block_sums import Draw, Point
from vadprobe.analyze.probes.streaming.exact_sums import quantum
from vadprobe.analyze.probes.streaming.passes import Passes
from vadprobe.analyze.probes.streaming.preconditioner import Preconditioner, of_sample
from vadprobe.analyze.probes.streaming.row_blocks import RowBlocks
from vadprobe.analyze.probes.terms import DEFAULT_PENALTY, Penalty
from vadprobe.store.errors import VadprobeError

_TOLERANCE = 1e-7
"""Largest gradient component of the mean loss at a converged fit.

It is smaller than for the fit in memory, because with many rows the penalty 1 / (2 C n) leaves the loss flat.
"""

_HISTORY = 20  # steps that L-BFGS remembers
_SAMPLE_ROWS = 32  # sample rows per feature; measured: 32 need half the passes of 4, and more rows hardly save any
_LEAST_SAMPLE = 4096
_SAMPLE_VALUES = 1 << 27  # largest number of values in the sample, 512 MiB of float32


def fit_streamed_logistic(blocks: RowBlocks, penalty: Penalty = DEFAULT_PENALTY, *, seed: int = 0) -> LogisticProbe:
    """Fit the probe of `logistic_fitting.fit_logistic` with one block of rows in memory at a time.

    Two passes compute means and deviations and draw a sample of rows. L-BFGS starts at the minimum on the sample, and
    the Cholesky factor of the Hessian there scales its steps. Each further pass computes loss and gradient of all rows.
    The sample changes the number of passes, not the minimum. It has 32 rows per feature, at least 4096 rows and at most
    512 MiB of float32 (ten rows per feature for a layer of 3584). Memory holds the sample and two matrices of (k + 1)^2
    float64.

    Args:
        blocks: the rows; a row with a value that is not finite is left out and counted. How rows are cut into blocks,
            and where and in which order blocks are computed, changes no bit of the probe.
        penalty: on standardised features; the intercept is not penalised. An iteration needs one pass, rarely more.
        seed: of the sample, >= 0.

    Returns:
        The probe; `n_left_out` counts the rows left out. A constant feature has scale 1 and coefficient 0.

    Raises:
        VadprobeError: if a class has fewer than two rows, or a penalised fit does not converge.
    """
    passes = Passes(blocks)
    # With more threads BLAS would sum in another order.
    with threadpool_limits(limits=1):
        known = passes.survey()
        draw = Draw(seed, _fractions(known.counts, blocks.n_features))
        mean, scale, drawn, labels = passes.moments_and_sample(known, draw)
        weights = np.ones(2) if penalty.class_weight is None else known.counts.sum() / (2 * known.counts)
        conditioned = Preconditioner(np.zeros(blocks.n_features + 1))
        if len(np.unique(labels)) == 2:
            # Each drawn row has the weight of the rows of its class divided by the drawn rows of its class.
            each = (weights * known.counts / np.bincount(labels))[labels]
            rows = _standardised(drawn, mean, scale)
            conditioned = of_sample(rows, labels, each, penalty.C, int(known.counts.sum()))
        objective = _Objective(passes, mean, scale, weights, known.counts, penalty.C)
        parameters, n_iterations = _minimised(objective, conditioned, penalty.max_iter)
    slope = objective.slope(parameters)
    converged = has_converged(slope, _TOLERANCE, exhausted=n_iterations >= penalty.max_iter)
    if not converged and math.isfinite(penalty.C):
        raise VadprobeError(
            f"the streamed probe did not converge in {n_iterations} iterations ({passes.done} passes): the gradient "
            f"must fall to {_TOLERANCE:.2g}, it is {slope:.2g}. Raise max_iter (now {penalty.max_iter}), or lower C "
            f"(now {penalty.C:g})."
        )
    return LogisticProbe(
        mean=mean,
        scale=scale,
        coef=parameters[:-1],
        intercept=float(parameters[-1]),
        C=float(penalty.C),
        class_weight=penalty.class_weight,
        n_iterations=n_iterations,
        converged=converged,
        n_left_out=known.n_failed,
    )


def _fractions(counts: np.ndarray, n_features: int) -> np.ndarray:
    """Return the fraction of each class to draw, (2,): half of the sample from each, if the class has so many rows."""
    sample_rows = max(_LEAST_SAMPLE, min(_SAMPLE_ROWS * (n_features + 1), _SAMPLE_VALUES // n_features))
    rarer = min(sample_rows / 2, counts.min())
    wanted = np.where(counts == counts.min(), rarer, sample_rows - rarer)
    return np.asarray(np.minimum(1.0, wanted / counts))


def _standardised(drawn: list[np.ndarray], mean: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Return the joined sample, standardised, as float32; parts are removed from the list, to be in memory once."""
    last = sum(len(part) for part in drawn)
    rows = np.empty((last, len(mean)), dtype=np.float32)
    while drawn:
        part = drawn.pop()
        rows[last - len(part) : last] = (part - mean) / scale
        last -= len(part)
    return rows


class _Objective:
    """Mean weighted log loss plus |coef|^2 / (2 C n), and its gradient; each new point takes one pass over the rows."""

    def __init__(
        self, passes: Passes, mean: np.ndarray, scale: np.ndarray, weights: np.ndarray, counts: np.ndarray, C: float
    ) -> None:
        self._passes, self._mean, self._scale, self._weights = passes, mean, scale, weights
        self._n = int(counts.sum())
        self._penalty = 1 / (C * self._n)
        # The squares of a standardised feature sum to n, so the Cauchy-Schwarz inequality bounds its gradient.
        bound = 2 * float((weights * np.sqrt(counts * self._n)).sum())
        self._quanta = quantum(np.full(len(mean) + 1, bound))
        self._last: tuple[np.ndarray, float, np.ndarray] | None = None

    def __call__(self, parameters: np.ndarray) -> tuple[float, np.ndarray]:
        if self._last is None or not np.array_equal(self._last[0], parameters):
            coef, intercept = parameters[:-1], float(parameters[-1])
            point = Point(self._mean, self._scale, coef, intercept, self._weights, self._quanta)
            loss, gradient = self._passes.loss_and_gradient(point)
            loss = loss / self._n + self._penalty / 2 * float(coef @ coef)
            gradient /= self._n
            gradient[:-1] += self._penalty * coef
            self._last = parameters.copy(), loss, gradient
        return self._last[1], self._last[2]

    def slope(self, parameters: np.ndarray) -> float:
        """Return the largest absolute component of the gradient."""
        return float(np.abs(self(parameters)[1]).max())


def _minimised(objective: _Objective, conditioned: Preconditioner, max_iter: int) -> tuple[np.ndarray, int]:
    """Run L-BFGS in preconditioned coordinates until the gradient is small; returns (parameters, iterations).

    scipy's first step always has length 1. So coordinates are measured in units of the first gradient's length: then
    the first step is the Newton step, if the preconditioner is exact.
    """
    from scipy.optimize import OptimizeResult, minimize

    start = conditioned.parameters(np.zeros(len(conditioned.start)))
    unit = float(np.linalg.norm(conditioned.gradient(objective(start)[1])))
    if objective.slope(start) <= _TOLERANCE:
        return start, 0

    def scaled(coordinates: np.ndarray) -> tuple[float, np.ndarray]:
        loss, gradient = objective(conditioned.parameters(unit * coordinates))
        return loss, unit * conditioned.gradient(gradient)

    def stop(intermediate_result: OptimizeResult) -> None:
        if objective.slope(conditioned.parameters(unit * intermediate_result.x)) <= _TOLERANCE:
            raise StopIteration

    found = minimize(
        scaled,
        np.zeros(len(start)),
        jac=True,
        method="L-BFGS-B",
        callback=stop,
        options={"maxcor": _HISTORY, "ftol": 0.0, "gtol": 0.0, "maxiter": max_iter, "maxfun": 20 * max_iter},
    )
    return conditioned.parameters(unit * found.x), int(found.nit)
