"""The one callback by which long work tells how far it is."""

from collections.abc import Callable

Progress = Callable[[int, int], None]
"""Called with what is done and how much there is, in the unit of the work (files, rows, videos)."""
