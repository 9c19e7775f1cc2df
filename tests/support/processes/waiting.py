"""Waiting for an action of another process or thread."""

import time
from collections.abc import Callable

PATIENCE = 300.0
"""Seconds that no condition needs, even on a busy machine; one that takes longer will never hold."""


def wait_until(condition: Callable[[], bool], never: str = "the condition never held") -> None:
    """Wait until a condition holds.

    Raises:
        AssertionError: with the sentence `never`, if it does not hold in time.
    """
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, never
        time.sleep(0.005)
