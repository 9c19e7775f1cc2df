"""The passes of a streamed fit over all blocks of rows, each summed to one result."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from vadprobe.analyze.calibration.labels import check_classes
from vadprobe.analyze.probes.streaming import block_sums
from vadprobe.analyze.probes.streaming.block_sums import Draw, Point, Survey
from vadprobe.analyze.probes.streaming.exact_sums import from_multiples, quantum
from vadprobe.analyze.probes.streaming.row_blocks import CHUNK_ROWS, Result, RowBlocks


class Passes:
    """Passes over all blocks; `done` counts them."""

    def __init__(self, blocks: RowBlocks) -> None:
        self._blocks, self.done = blocks, 0

    def _map(self, function: Callable[..., Result], *arguments: Any) -> list[Result]:
        self.done += 1
        return self._blocks.map(function, *arguments)

    def survey(self) -> Survey:
        """Return the joined counts and bounds of all blocks.

        Raises:
            VadprobeError: if a class has fewer than two rows.
        """
        parts = self._map(block_sums.survey)
        # Other cuts would change the order of summation within a chunk.
        assert all(part.n_rows % CHUNK_ROWS == 0 for part in parts[:-1]), "blocks end where chunks end"
        counts = np.sum([part.counts for part in parts], axis=0)
        check_classes(counts)
        return Survey(
            n_rows=sum(part.n_rows for part in parts),
            n_failed=sum(part.n_failed for part in parts),
            counts=counts,
            lowest=np.min([part.lowest for part in parts], axis=0),
            highest=np.max([part.highest for part in parts], axis=0),
            centre=next(part.centre for part in parts if part.centre is not None),
        )

    def moments_and_sample(
        self, known: Survey, draw: Draw
    ) -> tuple[np.ndarray, np.ndarray, list[np.ndarray], np.ndarray]:
        """Return mean and scale of every feature, the drawn rows of each block, and the labels of all drawn rows."""
        n = int(known.counts.sum())
        assert known.centre is not None  # both classes have rows
        centre = np.clip(known.centre, known.lowest, known.highest)
        width = known.highest - known.lowest
        constant = width == 0
        bound = n * np.where(constant, 1.0, width)
        quanta = quantum(np.stack([bound, bound * np.where(constant, 1.0, width)]))
        parts = self._map(block_sums.moments_and_sample, centre, quanta, draw)
        first, second = from_multiples(np.sum([total for total, _, _ in parts], axis=0), quanta) / n
        mean = np.where(constant, known.lowest, centre + first)
        scale = np.where(constant, 1.0, np.sqrt(np.maximum(second - first**2, 0.0)))
        labels = np.concatenate([mine for _, _, mine in parts]).astype(np.int64)
        return mean, scale, [drawn for _, drawn, _ in parts], labels

    def loss_and_gradient(self, point: Point) -> tuple[float, np.ndarray]:
        """Return the sums of the weighted log losses and of the gradients of all rows."""
        parts = self._map(block_sums.loss_and_gradient, point)
        loss = math.fsum(value for losses, _ in parts for value in losses)
        return loss, from_multiples(np.sum([gradient for _, gradient in parts], axis=0), point.quanta)
