"""Labelled rows of a store for fits that stream over them: blocks that are read when they are needed."""

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from vadprobe.analyze.compute.scheduling import Scheduler, Task
from vadprobe.analyze.features.kernel_mapping import TASK_BYTES
from vadprobe.analyze.features.opened_stores import StoreState, opened, state_of
from vadprobe.analyze.features.selected import n_selected, read_stored
from vadprobe.analyze.probes.streaming.row_blocks import CHUNK_ROWS
from vadprobe.analyze.saliency.selection import Selection
from vadprobe.store.reading.feature_store import FeatureStore

Result = TypeVar("Result")


class StoreRowBlocks:
    """Rows of a store with labels, as blocks of the selected features: each is read by the task that works on it.

    A worker holds one block at a time, whatever the number of rows. The blocks depend on sizes alone, not on workers.
    A failed row is NaN and has its label all the same.
    """

    def __init__(
        self,
        store: FeatureStore,
        selection: Selection,
        rows: np.ndarray,
        labels: np.ndarray,
        scheduler: Scheduler,
        what: str = "blocks of rows",
    ) -> None:
        """Cut the rows into blocks; nothing is read yet.

        Args:
            store: one prompt's features.
            selection: layers or heads whose features stand side by side.
            rows: (n,) row numbers; ascending ones are read fastest. Their order is the order of the blocks.
            labels: (n,) integers, one per row.
            scheduler: where to compute.
            what: for the progress.
        """
        self._state = state_of(store)
        self._selection, self._rows, self._labels = selection, rows, labels
        self._scheduler, self._what = scheduler, what
        self.n_features = n_selected(store, selection)
        wanted = max(TASK_BYTES // (8 * self.n_features), store.contents.partition_rows)
        self._block_rows = max(1, wanted // CHUNK_ROWS) * CHUNK_ROWS

    def map(self, function: Callable[..., Result], *arguments: Any) -> list[Result]:
        """Apply `function(features, labels, *arguments)` to every block; results in order.

        `features` is (n, n_features) of the storage dtype, n a multiple of 256 in all blocks but the last; `labels`
        (n,). Function and arguments can be pickled. The rows are read anew each time.
        """
        tasks = []
        for start in range(0, len(self._rows), self._block_rows):
            rows, labels = (values[start : start + self._block_rows] for values in (self._rows, self._labels))
            place = self._state, self._selection, rows, labels
            tasks.append(Task(f"rows {rows.min()} to {rows.max()}", _apply, (place, function, arguments)))
        return self._scheduler.run(tasks, self._what)


def _apply(
    place: tuple[StoreState, Selection, np.ndarray, np.ndarray],
    function: Callable[..., Result],
    arguments: tuple[Any, ...],
) -> Result:
    state, selection, rows, labels = place
    return function(read_stored(opened(state), selection, rows), labels, *arguments)
