"""Sums that do not depend on order: numbers are rounded to integer multiples of a quantum and added as integers.

Floating-point addition is not associative, so sums of blocks would depend on how rows are cut into blocks; integer
addition is associative. The quantum is 2^-60 of a bound on the sum of magnitudes, so its rounding error is smaller than
that of float64.
"""

import numpy as np

_BITS = 60


def quantum(bound: np.ndarray) -> np.ndarray:
    """Return quanta, powers of two as float64, for numbers whose magnitudes sum to at most `bound`."""
    return np.asarray(np.ldexp(1.0, np.frexp(np.asarray(bound, dtype=np.float64))[1] - _BITS))


def to_multiples(values: np.ndarray, quanta: np.ndarray) -> np.ndarray:
    """Return each value rounded to a multiple of its quantum, as that integer multiple, int64."""
    return np.asarray(np.rint(values / quanta).astype(np.int64))


def from_multiples(total: np.ndarray, quanta: np.ndarray) -> np.ndarray:
    """Return a sum of multiples as float64."""
    return np.asarray(total.astype(np.float64) * quanta)
