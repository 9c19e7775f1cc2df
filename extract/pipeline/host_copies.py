"""Features on their way from the device into the arrays of a partition."""

from collections import deque
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from vadprobe.extract.model.capture import Captured
from vadprobe.store.writing.partition_data import PartitionData

NAMES = ("hidden_states", "head_outputs", "answer_logits")


class HostCopies:
    """Copies of features on their way to the host. From a GPU they travel while the next batch runs."""

    def __init__(self) -> None:
        self._under_way: deque[tuple[torch.cuda.Event, Sequence[tuple[Tensor, np.ndarray]], list[int]]] = deque()

    def put(self, captured: Sequence[Captured], data: Sequence[PartitionData], positions: list[int]) -> None:
        """Send the features of a batch, per prompt, to these positions of the prompts' partitions."""
        pairs: list[tuple[Tensor, np.ndarray]] = []
        for features, target in zip(captured, data, strict=True):
            for name in NAMES:
                value: Tensor | None = getattr(features, name)
                if value is not None:
                    pairs.append((value, getattr(target, name)))
        if not pairs:
            return
        device = pairs[0][0].device
        if device.type != "cuda":
            _keep(pairs, positions)
            return
        # A stream of its own: the copies wait for this batch alone, and the next batch does not wait for the copies.
        copying = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        copying.wait_stream(torch.cuda.current_stream(device))
        hosts = []
        with torch.cuda.stream(copying):
            for value, array in pairs:
                host = torch.empty(value.shape, dtype=value.dtype, pin_memory=True)
                host.copy_(value, non_blocking=True)
                value.record_stream(copying)  # its memory is not given away before it is copied
                hosts.append((host, array))
        self._under_way.append((copying.record_event(), hosts, positions))
        self.finish(1)

    def finish(self, left: int = 0) -> None:
        """Wait until at most `left` batches are on their way."""
        while len(self._under_way) > left:
            arrived, hosts, positions = self._under_way.popleft()
            arrived.synchronize()
            _keep(hosts, positions)


def _keep(pairs: Sequence[tuple[Tensor, np.ndarray]], positions: list[int]) -> None:
    """Put values into rows; bfloat16 widens to float32 exactly. A pass that ended early has fewer layers."""
    for value, array in pairs:
        kept = value.to(torch.from_numpy(array).dtype).numpy()
        array[positions, : kept.shape[1]] = kept
