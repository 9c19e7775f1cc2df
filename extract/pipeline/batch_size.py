"""Number of clips that go through the model at once: fixed, or as many as the device has memory for."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch

from vadprobe.store.errors import VadprobeError

DEFAULT_CLIPS = 8
"""Clips per pass where memory is not measured, as on the CPU."""

MOST_CLIPS = 16
"""Most clips per pass: this many clips of some thousand tokens keep a GPU busy; more would only take memory."""

RESERVE = 0.15
"""Fraction of the free memory that stays free: allocations are rounded up and leave gaps."""


@dataclass
class BatchSize:
    """Clips per pass.

    Args:
        setting: `extraction.batch_clips` of the job.
        device: where the model runs.
    """

    setting: int | Literal["auto"]
    device: torch.device
    _size: int | None = None

    @property
    def size(self) -> int | None:
        """Clips per pass; None as long as it has to be measured."""
        if self.setting != "auto":
            return self.setting
        if self._size is None and self.device.type != "cuda":
            self._size = DEFAULT_CLIPS
        return self._size

    def measure(self, run: Callable[[int], object]) -> int:
        """Choose the size from the memory that one and two clips take; `run(n)` runs n clips and drops the features."""
        run(1)  # what is allocated once, such as work space, is no part of a clip
        peaks = []
        for count in (1, 2):
            torch.cuda.reset_peak_memory_stats(self.device)
            before = torch.cuda.memory_allocated(self.device)
            try:
                run(count)
            except torch.OutOfMemoryError:
                break
            peaks.append(torch.cuda.max_memory_allocated(self.device) - before)
        torch.cuda.empty_cache()
        free, _ = torch.cuda.mem_get_info(self.device)
        self._size = n_fitting(peaks, free)
        return self._size

    def shrink(self, count: int, error: BaseException) -> int:
        """Halve the size after a batch of `count` clips did not fit in memory, and return it.

        Raises:
            VadprobeError: if the size was fixed by the user, or one clip alone does not fit.
        """
        if self.setting != "auto":
            raise VadprobeError(
                f"the device does not have enough memory for {count} clips at once; extraction.batch_clips "
                "fixes that number, which is part of the features' specification. Set it to 'auto' or to "
                "a smaller number, and use another root or backbone key."
            ) from error
        if count == 1:
            raise VadprobeError(
                "the device does not have enough memory for one clip; free memory on it, use a smaller "
                "backbone or dtype, or spread the model over several devices."
            ) from error
        self._size = count // 2
        return self._size


def n_fitting(peaks: list[int], free: int) -> int:
    """Return the number of clips that fit into memory, 1 to `MOST_CLIPS`.

    Args:
        peaks: bytes that one clip and two clips take; fewer than two values mean that two clips did not fit: 1.
        free: free bytes.
    """
    if len(peaks) < 2:
        return 1
    each = max(peaks[1] - peaks[0], 1)
    room = free * (1 - RESERVE) - peaks[0]
    return int(min(max(1 + room // each, 1), MOST_CLIPS))
