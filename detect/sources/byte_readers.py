"""Readers of bytes for FFmpeg: standard input, and a file that still grows. Neither can be rewound."""

import os
import select
import time
from collections.abc import Callable
from pathlib import Path

from vadprobe.detect.sources.frames import SourceError

POLL = 0.2
"""Seconds between two checks: has the file grown, has reading been ended."""


class PipeReader:
    """Reads a pipe, such as standard input, and gives up when nothing comes.

    Args:
        descriptor: descriptor of the pipe.
        timeout: seconds without a byte after which reading fails.
        is_closed: called regularly; reading ends when it returns True.
    """

    def __init__(self, descriptor: int, timeout: float, is_closed: Callable[[], bool]) -> None:
        self._descriptor, self._timeout, self._is_closed = descriptor, timeout, is_closed

    def read(self, count: int) -> bytes:
        """Return up to `count` bytes; none at the end.

        Raises:
            SourceError: if no byte comes for `timeout` seconds.
        """
        end = time.monotonic() + self._timeout
        while not self._is_closed():
            if select.select([self._descriptor], [], [], POLL)[0]:
                return os.read(self._descriptor, count)
            if time.monotonic() >= end:
                raise SourceError(f"no data for {self._timeout:g} s")
        return b""

    def close(self) -> None:
        """Do nothing: whoever opened the pipe closes it."""


class GrowingFile:
    """Reads a file to its end, waits for more, and ends when it has not grown for a while.

    Args:
        path: the file.
        idle: seconds without growth after which the file counts as complete.
        is_closed: called regularly; reading ends when it returns True.
    """

    def __init__(self, path: Path, idle: float, is_closed: Callable[[], bool]) -> None:
        self._file = path.open("rb", buffering=0)
        self._idle, self._is_closed = idle, is_closed
        self._place = 0

    def read(self, count: int) -> bytes:
        """Return up to `count` bytes; none when the file is complete.

        Raises:
            SourceError: if the file has become shorter than what was read.
        """
        end = time.monotonic() + self._idle
        while not self._is_closed():
            if content := self._file.read(count):
                self._place += len(content)
                return content
            if os.fstat(self._file.fileno()).st_size < self._place:
                raise SourceError("the file was cut or overwritten while it was read")
            if time.monotonic() >= end:
                break
            time.sleep(min(POLL, self._idle))
        return b""

    def close(self) -> None:
        """Close the file."""
        self._file.close()
