"""Seconds of named functions while other code calls them."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch


@contextmanager
def timed(
    owner: Any,
    name: str,
    seconds: dict[str, float],
    label: str = "",
    began: Callable[[str], None] = lambda _: None,
    clock: Callable[[], float] = time.perf_counter,
) -> Iterator[None]:
    """Count the seconds of all calls of a function of a module or class inside, under a label.

    Args:
        owner: the module or class.
        name: name of the function in it.
        seconds: dictionary to which the seconds are added.
        label: key in `seconds`; by default the name.
        began: called with the label when a call begins.
        clock: function that returns seconds.
    """
    function: Callable[..., Any] = getattr(owner, name)
    label = label or name

    def counted(*arguments: Any, **options: Any) -> Any:
        began(label)
        begun = clock()
        try:
            return function(*arguments, **options)
        finally:
            seconds[label] = seconds.get(label, 0.0) + clock() - begun

    with patch.object(owner, name, counted):
        yield
