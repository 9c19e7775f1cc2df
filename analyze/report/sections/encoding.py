"""Numbers as short strings: two letters each, which the script of the page reads back."""

import numpy as np

ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
UNKNOWN = 4095
"""Code of a number that is not known; those that are have 0 to 4094."""

_LETTERS = np.array(list(ALPHABET))


def encoded(values: np.ndarray, low: float, high: float) -> str:
    """Return numbers in [low, high] as two letters each, to 1/4094 of the range."""
    span = (high - low) or 1.0
    shares = np.clip((np.asarray(values, dtype=np.float64) - low) / span, 0, 1)
    codes = np.where(np.isnan(shares), UNKNOWN, np.round(np.nan_to_num(shares) * (UNKNOWN - 1))).astype(np.int64)
    return "".join(_LETTERS[np.stack([codes >> 6, codes & 63], axis=-1)].ravel().tolist())
