"""A store as a dataset of PyTorch: one clip an item, read when it is asked for."""

from collections.abc import Sequence

import numpy as np
import torch
from torch.utils.data import Dataset

from vadprobe.store.errors import VadprobeError
from vadprobe.store.files.location import StorePath
from vadprobe.store.reading.feature_store import FeatureStore


class ClipFeatures(Dataset[dict[str, torch.Tensor]]):
    """Features of the clips of a store that could be read, for a `DataLoader` of any number of workers.

    An item has "features", (k, width) float32: k layers of hidden states, or k heads; and "row", () int64, by which
    `clips` says which clip it is. Labels are never in a store; join them by the row. `__getitems__` reads a batch at
    once, which a `DataLoader` calls by itself. The store is opened anew in each worker.
    """

    def __init__(
        self, path: StorePath, *, layers: Sequence[int] = (), heads: Sequence[tuple[int, int]] = (), rows: object = None
    ) -> None:
        """Open a store.

        Args:
            path: path of the store.
            layers: layers whose hidden states are the features, 0 the embedding; either these or `heads`.
            heads: heads as (block, head), both from 0.
            rows: (n,) row numbers of the items, in their order; by default all rows that could be read.

        Raises:
            StoreError: if the store is unfinished or damaged.
            VadprobeError: if not exactly one of layers and heads is given, or a row could not be read.
        """
        if bool(layers) == bool(heads):
            raise VadprobeError("features must be either layers or heads, got " + ("both." if layers else "none."))
        self._path, self._layers, self._heads = path, list(layers), list(heads)
        self._store: FeatureStore | None = FeatureStore.open(path)
        self._store.check_finished()
        self.clips = self._store.clips
        written = np.flatnonzero(self._store.written)
        self.rows = written if rows is None else np.asarray(rows, dtype=np.int64)
        failed = np.setdiff1d(self.rows, written)
        if len(failed):
            raise VadprobeError(f"rows must be of clips that could be read, got {failed[:5].tolist()}; leave them out.")

    def __getstate__(self) -> dict[str, object]:
        """Return the state for a worker, without the open store."""
        return {**self.__dict__, "_store": None}

    def __len__(self) -> int:
        """Return the number of clips."""
        return len(self.rows)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        """Return one clip."""
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: Sequence[int]) -> list[dict[str, torch.Tensor]]:
        """Return several clips from one read of the store."""
        if self._store is None:
            self._store = FeatureStore.open(self._path)
        rows = self.rows[list(indices)]
        if self._layers:
            values = self._store.hidden_states(rows, self._layers)
        else:
            values = self._store.head_outputs(rows, self._heads)
        features = torch.from_numpy(values.astype(np.float32))
        return [{"features": one, "row": torch.tensor(row)} for one, row in zip(features, rows.tolist(), strict=True)]
