"""Callback type by which long work reports its progress."""

from collections.abc import Callable

Progress = Callable[[int, int], None]
"""Callback with (done, total), both counted in the unit of the work: files, rows, videos."""
