"""Memory that the main process and a decoder process share, through which frames go without being copied.

The main process says where there is room. The decoder process writes a clip there, or at the end if the room is too
small. A clip's memory is free again when its frames are no longer referenced.
"""

import mmap
import os
import weakref

import numpy as np


class SharedFrames:
    """Shared memory, which grows with the clips that are in it at the same time.

    Args:
        descriptor: descriptor of memory that another process has opened; None to open it here.
    """

    def __init__(self, descriptor: int | None = None) -> None:
        self.descriptor = os.memfd_create("frames") if descriptor is None else descriptor
        self._map: mmap.mmap | None = None
        self._taken: dict[int, int] = {}  # sizes by offset of what somebody looks at; another thread may let go of it
        self._last_size = 0
        self._room = 0, 0  # where the next clip may be written, and how many bytes
        self._written: np.ndarray = np.empty(0, dtype=np.uint8)

    @staticmethod
    def is_possible() -> bool:
        """Return True where the system has memory that can be passed to another process as a file."""
        return hasattr(os, "memfd_create")

    def room(self) -> tuple[int, int]:
        """Return an offset and the free bytes behind it, enough for a clip like the last one; (0, 0) if there are none.

        The process that reads frames calls this.
        """
        start = 0
        for offset, size in sorted(self._taken.copy().items()):
            if offset - start >= self._last_size:
                return start, offset - start
            start = offset + size
        free = os.fstat(self.descriptor).st_size - start
        return (start, free) if free >= self._last_size > 0 else (0, 0)

    def take(self, offset: int, size: int) -> np.ndarray:
        """Return what the other process wrote, (size,) uint8; its memory stays until the last view of it is gone."""
        frames = self._at(offset, size)
        self._taken[offset], self._last_size = size, size
        weakref.finalize(frames, self._taken.pop, offset, None).atexit = False
        return frames

    def use(self, offset: int, size: int) -> None:
        """Write the next clip where the other process says that there is room."""
        self._room = offset, size

    def allocate(self, shape: tuple[int, ...]) -> np.ndarray:
        """Return an array of uint8 in the shared memory, to be written."""
        size, (offset, room) = int(np.prod(shape)), self._room
        if size > room:
            offset = os.fstat(self.descriptor).st_size
            os.ftruncate(self.descriptor, offset + size)
            self._room = offset, size
        self._written = self._at(offset, size)
        return self._written.reshape(shape)

    def put(self, frames: np.ndarray) -> int:
        """Write frames, if they are not what `allocate` returned last, and return their offset."""
        is_there = frames.flags.c_contiguous and frames.nbytes == self._written.nbytes
        if not (is_there and frames.ctypes.data == self._written.ctypes.data):
            self.allocate(frames.shape)[:] = frames
        return self._room[0]

    def _at(self, offset: int, size: int) -> np.ndarray:
        if self._map is None or offset + size > len(self._map):
            self._map = mmap.mmap(self.descriptor, os.fstat(self.descriptor).st_size)
        return np.frombuffer(self._map, dtype=np.uint8, count=size, offset=offset)

    def close(self) -> None:
        """Close the descriptor; frames that somebody looks at keep their memory."""
        os.close(self.descriptor)
