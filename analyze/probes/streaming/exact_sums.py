"""Sums that do not depend on their order: numbers rounded to whole multiples of a common quantum, added as integers.

Floating-point addition is not associative, so partial sums of blocks would depend on how the rows were cut. Integer
addition is. With the quantum 2^-60 of a bound on the sum of magnitudes, rounding costs less than float64 itself does.
"""

import numpy as np

_BITS = 60


def quantum(bound: np.ndarray) -> np.ndarray:
    """Return the quantum of numbers whose magnitudes add up to `bound` at most: powers of two, float64."""
    return np.asarray(np.ldexp(1.0, np.frexp(np.asarray(bound, dtype=np.float64))[1] - _BITS))


def to_multiples(values: np.ndarray, quanta: np.ndarray) -> np.ndarray:
    """Round each value to a whole multiple of its quantum, int64."""
    return np.asarray(np.rint(values / quanta).astype(np.int64))


def from_multiples(total: np.ndarray, quanta: np.ndarray) -> np.ndarray:
    """Return a sum of multiples as float64."""
    return np.asarray(total.astype(np.float64) * quanta)
