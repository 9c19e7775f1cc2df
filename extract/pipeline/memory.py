"""Memory of a process that runs for days."""

import ctypes
import sys
from contextlib import suppress

_ARENAS = -8  # M_ARENA_MAX of glibc's mallopt


def limit_malloc_arenas(count: int = 2) -> None:
    """Let all threads take memory from a few pools.

    By default glibc gives each thread a pool of its own, and what one thread takes and another gives back is not used
    again: an extraction then grows by some megabytes per thousand clips. Does nothing where there is no glibc.
    """
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):
            ctypes.CDLL("libc.so.6").mallopt(_ARENAS, count)
