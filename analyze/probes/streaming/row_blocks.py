"""Labelled rows that need not fit into memory: blocks of features, and functions mapped over them."""

from collections.abc import Callable, Iterator
from typing import Any, Protocol, TypeVar

import numpy as np

Result = TypeVar("Result")

CHUNK_ROWS = 256
"""Rows of a chunk. Chunks begin at multiples of it, counted from the first row of all blocks.

Within a chunk the order of operations is fixed, and sums over chunks do not depend on order. So cutting the rows into
other blocks changes no bit.
"""


class RowBlocks(Protocol):
    """Protocol of labelled rows in blocks.

    Every block but the last has a multiple of `CHUNK_ROWS` rows. A failed row has NaN among its features, and a label
    like any other row.
    """

    @property
    def n_features(self) -> int:
        """Number of features of a row."""

    def map(self, function: Callable[..., Result], *arguments: Any) -> list[Result]:
        """Apply `function(features, labels, *arguments)` to every block, one BLAS thread each; results in order.

        `features` is (n, n_features) of any real dtype, `labels` (n,) integers. Function and arguments must be
        picklable.
        """


def chunks(features: np.ndarray, labels: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Yield a block's chunks without failed rows: features (n, k) as stored, labels (n,), places in the chunk (n,)."""
    for start in range(0, len(features), CHUNK_ROWS):
        chunk = np.asarray(features[start : start + CHUNK_ROWS])
        places = np.flatnonzero(np.isfinite(chunk).all(axis=1))
        yield chunk[places], np.asarray(labels[start : start + CHUNK_ROWS])[places].astype(np.int64), places
