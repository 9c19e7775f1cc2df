"""Waiting for what another process or thread does."""

import time
from collections.abc import Callable

PATIENCE = 300.0
"""Seconds that no busy machine needs: what takes longer will never happen."""


def wait_until(condition: Callable[[], bool], never: str = "the condition never held") -> None:
    """Wait until a condition holds.

    Raises:
        AssertionError: with the sentence `never`, if it does not.
    """
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, never
        time.sleep(0.005)
