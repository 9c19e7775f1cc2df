"""Sums over one block of rows; the sums of all blocks are equal bit by bit however the rows are cut into blocks."""

from dataclasses import dataclass

import numpy as np

from vadprobe.analyze.probes.streaming.exact_sums import to_multiples
from vadprobe.analyze.probes.streaming.row_blocks import chunks


@dataclass(frozen=True, eq=False)
class Survey:
    """Counts and bounds of a block, which must be known before sums can be computed.

    `n_rows` and `n_failed` count rows; `counts` (2,) are the rows of label 0 and 1 that did not fail. `lowest` and
    `highest` (k,) float64 bound every feature. `centre` (k,) is the mean of the first chunk with a row that did not
    fail; None if there is none.
    """

    n_rows: int
    n_failed: int
    counts: np.ndarray
    lowest: np.ndarray
    highest: np.ndarray
    centre: np.ndarray | None


def survey(features: np.ndarray, labels: np.ndarray) -> Survey:
    """Return the counts and bounds of a block, features (n, k) and labels (n,)."""
    width = features.shape[1]
    lowest, highest, centre = np.full(width, np.inf), np.full(width, -np.inf), None
    counts = np.zeros(2, dtype=np.int64)
    for values, mine, _ in chunks(features, labels):
        if len(values) == 0:
            continue
        counts += np.bincount(mine, minlength=2)
        np.minimum(lowest, values.min(axis=0), out=lowest)
        np.maximum(highest, values.max(axis=0), out=highest)
        if centre is None:
            centre = values.astype(np.float64).mean(axis=0)
    return Survey(len(features), len(features) - int(counts.sum()), counts, lowest, highest, centre)


@dataclass(frozen=True, eq=False)
class Draw:
    """Random draw of rows by a seeded hash of their features and places; `fractions` (2,) are those of each class."""

    seed: int
    fractions: np.ndarray

    def chosen(self, values: np.ndarray, labels: np.ndarray, places: np.ndarray) -> np.ndarray:
        """Return (n,) bool, True for drawn rows of a chunk; it does not depend on the block that has the chunk."""
        columns = np.unique(np.linspace(0, values.shape[1] - 1, 64).astype(np.int64))
        multipliers = np.random.default_rng(self.seed).integers(0, 2**64 - 1, len(columns) + 1, dtype=np.uint64) | 1
        bits = values[:, columns].astype(np.float64).view(np.uint64)
        keys = (bits * multipliers[:-1]).sum(axis=1) + places.astype(np.uint64) * multipliers[-1]
        # The finaliser of splitmix64 (Steele, Lea and Flood, 2014) spreads every bit of the key over all bits.
        keys = (keys ^ (keys >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        keys = (keys ^ (keys >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        keys ^= keys >> np.uint64(31)
        return np.asarray((keys >> np.uint64(11)) * 2.0**-53 < self.fractions[labels])


def moments_and_sample(
    features: np.ndarray, labels: np.ndarray, centre: np.ndarray, quanta: np.ndarray, draw: Draw
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sum the offsets of features from `centre` and their squares, and draw rows.

    Returns:
        The sums as (2, k) int64 multiples of `quanta` (2, k); the drawn features (m, k) as stored; their labels (m,).
    """
    total = np.zeros_like(quanta, dtype=np.int64)
    drawn, of_drawn = [features[:0]], [labels[:0]]
    for values, mine, places in chunks(features, labels):
        offsets = values - centre
        total += to_multiples(np.stack([offsets.sum(axis=0), (offsets**2).sum(axis=0)]), quanta)
        chosen = draw.chosen(values, mine, places)
        drawn.append(values[chosen])
        of_drawn.append(mine[chosen])
    return total, np.concatenate(drawn), np.concatenate(of_drawn)


@dataclass(frozen=True, eq=False)
class Point:
    """Point of the loss: coefficients (k,) float64 of features `(x - mean) / scale`, and an intercept.

    `weights` (2,) are those of rows of label 0 and 1; `quanta` (k + 1,) are the quanta of the gradient's sums.
    """

    mean: np.ndarray
    scale: np.ndarray
    coef: np.ndarray
    intercept: float
    weights: np.ndarray
    quanta: np.ndarray


def loss_and_gradient(features: np.ndarray, labels: np.ndarray, point: Point) -> tuple[list[float], np.ndarray]:
    """Sum the weighted log losses of each chunk of a block, and their gradients.

    Returns:
        The losses by chunk, to be summed by `math.fsum`, whose result does not depend on order; and (k + 1,) int64
        multiples of the quanta: the gradient for the coefficients, then for the intercept.
    """
    from scipy.special import expit

    losses, gradient = [], np.zeros(len(point.quanta), dtype=np.int64)
    for values, mine, _ in chunks(features, labels):
        rows = values - point.mean
        rows /= point.scale
        logits = rows @ point.coef + point.intercept
        weights = point.weights[mine]
        residuals = weights * (expit(logits) - mine)
        losses.append(float((weights * np.logaddexp(0.0, np.where(mine == 1, -logits, logits))).sum()))
        gradient += to_multiples(np.append(residuals @ rows, residuals.sum()), point.quanta)
    return losses, gradient
