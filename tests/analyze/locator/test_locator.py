"""The locator as a value, and the adaptive threshold."""

import json
import math

import numpy as np
import pytest

from vadprobe.analyze.locator.locator import Locator, adaptive_threshold
from vadprobe.store.errors import VadprobeError


def test_the_adaptive_threshold_uses_the_population_deviation_over_all_samples():
    probabilities = np.array([0.0, 0.0, 1.0, 1.0])
    assert adaptive_threshold(probabilities, 0.2) == 0.5 + 0.2 * 0.5
    assert adaptive_threshold(probabilities, 2.0) == 1.5, "may exceed one"
    assert adaptive_threshold(np.full(5, 0.5), 3.0) == 0.5
    assert adaptive_threshold(np.array([0.3]), 1.0) == 0.3


def test_a_locator_survives_json_and_refuses_nan():
    locator = Locator(0.1 + 0.2, 0.65)
    for one in (locator, Locator(1.5, 0.5, "zero", 3.0)):
        assert Locator.from_json(json.loads(json.dumps(one.to_json()))) == one
    with pytest.raises(VadprobeError, match="threshold must be a finite number, got nan"):
        Locator(1.5, adaptive_threshold(np.array([0.5, math.nan]), 0.2))


def test_a_file_without_edge_and_reach_is_of_the_default_smoothing():
    assert Locator.from_json({"sigma": 1.5, "threshold": 0.65}) == Locator(1.5, 0.65, "reflect", 4.0)
    with pytest.raises(VadprobeError, match="edge of smoothing must be one of"):
        Locator.from_json({"sigma": 1.5, "threshold": 0.65, "edge": "wrap"})
