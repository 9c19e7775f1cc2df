"""Numbers of two letters are near those that were put in, and unknown ones stay unknown."""

import numpy as np

from vadprobe.analyze.report.sections.encoding import ALPHABET, UNKNOWN, encoded


def test_numbers_come_back_within_a_step() -> None:
    values = np.array([-1.0, 0.0, 0.123456, 0.5, 1.0, 2.0, np.nan])
    text = encoded(values, 0.0, 1.0)
    codes = [ALPHABET.index(a) * 64 + ALPHABET.index(b) for a, b in zip(text[::2], text[1::2], strict=True)]
    assert codes[-1] == UNKNOWN
    found = np.array(codes[:-1]) / (UNKNOWN - 1)
    assert np.abs(found - values[:-1].clip(0, 1)).max() <= 0.5 / (UNKNOWN - 1)
    assert encoded(np.array([3.0]), 3.0, 3.0) == "AA"
