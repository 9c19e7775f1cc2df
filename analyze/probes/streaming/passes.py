"""The passes of a streamed fit over all blocks of rows, each added up to one result."""

import math
from collections.abc import Callable

import numpy as np

from vadprobe.analyze.calibration.labels import check_binary, check_classes
from vadprobe.analyze.probes.streaming.block_sums import (
    Draw,
    Point,
    Survey,
    loss_and_gradient,
    moments_and_sample,
    survey,
)
from vadprobe.analyze.probes.streaming.exact_sums import from_multiples, quantum
from vadprobe.analyze.probes.streaming.row_blocks import CHUNK_ROWS, RowBlocks
from vadprobe.store.errors import VadprobeError

Progress = Callable[[int, float], None]


class Passes:
    """The passes over all blocks, counted and reported."""

    def __init__(self, blocks: RowBlocks, progress: Progress | None) -> None:
        self._blocks, self._progress, self.done = blocks, progress, 0

    def survey(self) -> Survey:
        """Join the surveys of all blocks."""
        parts = self._blocks.map(survey)
        self.report(math.nan)
        if any(part.n_rows % CHUNK_ROWS for part in parts[:-1]):
            raise VadprobeError(
                f"blocks must have a multiple of {CHUNK_ROWS} rows, all but the last, so that sums are the same "
                f"however rows are cut, got {[part.n_rows for part in parts][:8]}. Cut the rows at such places."
            )
        labels = np.unique(np.concatenate([part.labels for part in parts])) if parts else np.empty(0)
        check_binary(labels)
        counts = np.sum([part.counts for part in parts] or [np.zeros(2, dtype=np.int64)], axis=0)
        check_classes(counts)
        return Survey(
            n_rows=sum(part.n_rows for part in parts),
            n_failed=sum(part.n_failed for part in parts),
            counts=counts,
            labels=labels,
            lowest=np.min([part.lowest for part in parts], axis=0),
            highest=np.max([part.highest for part in parts], axis=0),
            centre=next(part.centre for part in parts if part.centre is not None),
        )

    def moments_and_sample(
        self, known: Survey, draw: Draw
    ) -> tuple[np.ndarray, np.ndarray, list[np.ndarray], np.ndarray]:
        """Return mean and scale of every feature, the rows drawn from each block, and the labels of all drawn rows."""
        n = int(known.counts.sum())
        assert known.centre is not None  # both classes have rows
        centre = np.clip(known.centre, known.lowest, known.highest)
        width = known.highest - known.lowest
        constant = width == 0
        bound = n * np.where(constant, 1.0, width)
        quanta = quantum(np.stack([bound, bound * np.where(constant, 1.0, width)]))
        parts = self._blocks.map(moments_and_sample, centre, quanta, draw)
        self.report(math.nan)
        first, second = from_multiples(np.sum([total for total, _, _ in parts], axis=0), quanta) / n
        mean = np.where(constant, known.lowest, centre + first)
        scale = np.where(constant, 1.0, np.sqrt(np.maximum(second - first**2, 0.0)))
        labels = np.concatenate([mine for _, _, mine in parts]).astype(np.int64)
        return mean, scale, [drawn for _, drawn, _ in parts], labels

    def loss_and_gradient(self, point: Point) -> tuple[float, np.ndarray]:
        """Add up log losses and gradients of all rows."""
        parts = self._blocks.map(loss_and_gradient, point)
        loss = math.fsum(value for losses, _ in parts for value in losses)
        return loss, from_multiples(np.sum([gradient for _, gradient in parts], axis=0), point.quanta)

    def report(self, slope: float) -> None:
        """Count a pass, and tell how large the gradient is."""
        self.done += 1
        if self._progress is not None:
            self._progress(self.done, slope)
