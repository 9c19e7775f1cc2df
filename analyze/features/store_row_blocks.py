"""Labelled rows of a store as blocks that are read on demand, for fits that stream over them."""

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
    """Labelled rows of a store, as blocks of the selected features that are read by the task that works on them.

    A worker holds one block at a time, for any number of rows. How rows are cut into blocks depends on sizes alone, not
    on the workers. A failed row is NaN and keeps its label.
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
            selection: layers or heads, whose features are joined to one vector.
            rows: (n,) row numbers; ascending ones are read fastest. Their order is kept.
            labels: (n,) integers, one per row.
            scheduler: where to compute.
            what: plural noun for the progress.
        """
        self._state = state_of(store)
        self._selection, self._rows, self._labels = selection, rows, labels
        self._scheduler, self._what = scheduler, what
        self.n_features = n_selected(store, selection)
        wanted = max(TASK_BYTES // (8 * self.n_features), store.contents.partition_rows)
        self._block_rows = max(1, wanted // CHUNK_ROWS) * CHUNK_ROWS

    def map(self, function: Callable[..., Result], *arguments: Any) -> list[Result]:
        """Apply `function(features, labels, *arguments)` to every block; results in order.

        `features` is (n, n_features) of the storage dtype, with n a multiple of 256 in all blocks but the last, and
        `labels` is (n,). Function and arguments must be picklable. Every call reads the rows anew.
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
