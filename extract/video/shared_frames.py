"""Memory that the main process and a decoder process share, through which frames go without a socket."""

import mmap
import os

import numpy as np


class SharedFrames:
    """One block of shared memory that holds one clip at a time and grows with the largest.

    Args:
        descriptor: of memory that another process has opened; None to open it here.
    """

    def __init__(self, descriptor: int | None = None) -> None:
        self.descriptor = os.memfd_create("frames") if descriptor is None else descriptor
        self._map: mmap.mmap | None = None
        self._bytes: np.ndarray = np.empty(0, dtype=np.uint8)

    @staticmethod
    def is_possible() -> bool:
        """Return True where the system has memory that can be passed to another process as a file."""
        return hasattr(os, "memfd_create")

    def allocate(self, shape: tuple[int, ...]) -> np.ndarray:
        """Return an array of uint8 in the shared memory; it takes the place of the one before."""
        size = int(np.prod(shape))
        if size > os.fstat(self.descriptor).st_size:
            os.ftruncate(self.descriptor, size)
        return self.view(size).reshape(shape)

    def view(self, size: int) -> np.ndarray:
        """Return the first bytes of the shared memory, (size,) uint8."""
        if size > len(self._bytes):
            self._map = mmap.mmap(self.descriptor, os.fstat(self.descriptor).st_size)
            self._bytes = np.frombuffer(self._map, dtype=np.uint8)
        return self._bytes[:size]

    def holds(self, frames: np.ndarray) -> bool:
        """Return True if these frames are what `allocate` returned last."""
        start = self._bytes.ctypes.data
        return bool(frames.flags.c_contiguous and len(self._bytes) and frames.ctypes.data == start)

    def close(self) -> None:
        """Give the memory up; arrays that still look at it keep it."""
        os.close(self.descriptor)
