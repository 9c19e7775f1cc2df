"""Labelled rows that need not fit memory: blocks of features, and a function applied to each."""

from collections.abc import Callable, Iterator
from typing import Any, Protocol, TypeVar

import numpy as np

from vadprobe.store.errors import VadprobeError

Result = TypeVar("Result")

CHUNK_ROWS = 256
"""Rows of a chunk. Chunks begin at multiples of it, counted from the first row of all; within a chunk the order of
operations is fixed, and across chunks sums do not depend on order. So no cut into blocks changes a bit."""


class RowBlocks(Protocol):
    """Rows with labels, in blocks.

    Every block but the last holds a multiple of ``CHUNK_ROWS`` rows. A failed row has NaN among its features, and a
    label like any other.
    """

    @property
    def n_features(self) -> int:
        """Features of a row."""

    @property
    def n_blocks(self) -> int:
        """Number of blocks."""

    def map(self, function: Callable[..., Result], *arguments: Any) -> list[Result]:
        """Apply ``function(features, labels, *arguments)`` to every block, one BLAS thread each; results in order.

        ``features`` is (n, n_features) of any real dtype, ``labels`` (n,) integers. Function and arguments can be
        pickled.
        """


class ArrayBlocks:
    """Blocks of arrays in memory."""

    def __init__(self, features: np.ndarray, labels: np.ndarray, block_rows: int = 8 * CHUNK_ROWS) -> None:
        if features.ndim != 2 or labels.shape != features.shape[:1]:
            raise VadprobeError(
                f"features have shape {features.shape}, labels {labels.shape}; (n, k) and (n,) are wanted."
            )
        if block_rows < 1 or block_rows % CHUNK_ROWS:
            raise VadprobeError(f"block_rows is {block_rows}; a multiple of {CHUNK_ROWS} is wanted.")
        self._features, self._labels, self._block_rows = features, labels, block_rows

    @property
    def n_features(self) -> int:
        """Features of a row."""
        return int(self._features.shape[1])

    @property
    def n_blocks(self) -> int:
        """Number of blocks."""
        return -(-len(self._features) // self._block_rows)

    def map(self, function: Callable[..., Result], *arguments: Any) -> list[Result]:
        """Apply the function to every block, one after the other."""
        starts = range(0, len(self._features), self._block_rows)
        return [
            function(
                self._features[start : start + self._block_rows],
                self._labels[start : start + self._block_rows],
                *arguments,
            )
            for start in starts
        ]


def chunks(features: np.ndarray, labels: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """A block's chunks without their failed rows: features (n, k) as stored, labels and places in the chunk (n,)."""
    for start in range(0, len(features), CHUNK_ROWS):
        chunk = np.asarray(features[start : start + CHUNK_ROWS])
        places = np.flatnonzero(np.isfinite(chunk).all(axis=1))
        yield chunk[places], np.asarray(labels[start : start + CHUNK_ROWS])[places].astype(np.int64), places
