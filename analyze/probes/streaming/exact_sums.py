"""Sums that do not depend on their order: numbers rounded to whole multiples of a common quantum, added as integers.

Floating-point addition is not associative, so partial sums of blocks would depend on how the rows were cut. Integer
addition is. With the quantum 2^-60 of a bound on the sum of magnitudes, rounding costs less than float64 itself does.
"""

import numpy as np

_BITS = 60


def quantum(bound: np.ndarray) -> np.ndarray:
    """The quantum for numbers whose magnitudes add up to ``bound`` at most: a power of two, float64, of its shape."""
    return np.asarray(np.ldexp(1.0, np.frexp(np.asarray(bound, dtype=np.float64))[1] - _BITS))


def to_fixed(values: np.ndarray, quanta: np.ndarray) -> np.ndarray:
    """Whole multiples of the quanta, int64, each rounded to the nearest."""
    return np.asarray(np.rint(values / quanta).astype(np.int64))


def from_fixed(total: np.ndarray, quanta: np.ndarray) -> np.ndarray:
    """A sum of multiples as float64."""
    return np.asarray(total.astype(np.float64) * quanta)
