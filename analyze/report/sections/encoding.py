"""Encoding of numbers as two letters each, which the script of the page decodes."""

import numpy as np

ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
UNKNOWN = 4095
"""Code of an unknown number; known numbers have the codes 0 to 4094."""

_LETTERS = np.array(list(ALPHABET))


def encoded(values: np.ndarray, low: float, high: float) -> str:
    """Return numbers in [low, high] as two letters each, with a resolution of 1/4094 of the range."""
    span = (high - low) or 1.0
    shares = np.clip((np.asarray(values, dtype=np.float64) - low) / span, 0, 1)
    codes = np.where(np.isnan(shares), UNKNOWN, np.round(np.nan_to_num(shares) * (UNKNOWN - 1))).astype(np.int64)
    return "".join(_LETTERS[np.stack([codes >> 6, codes & 63], axis=-1)].ravel().tolist())
