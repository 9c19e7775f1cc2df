"""Read what a selection needs from a store, and no more."""

import numpy as np

from vadprobe.analyze.saliency.selection import Selection
from vadprobe.store.reading.feature_store import FeatureStore


def read_stored(store: FeatureStore, selection: Selection, rows: np.ndarray) -> np.ndarray:
    """Read the selected layers or heads of some rows as they are stored, side by side in the selection's order.

    Args:
        store: one prompt's features.
        selection: layers as (layer,), layer 0 the embedding; or heads as (block, head), block 0 the first.
        rows: (n,) row numbers.

    Returns:
        (n, k * d) of the storage dtype, C-contiguous; a failed row is NaN.
    """
    if selection.unit == "layer":
        values = store.hidden_states(rows, [index[0] for index in selection.indices])
    else:
        values = store.head_outputs(rows, [(index[0], index[1]) for index in selection.indices])
    return values.reshape(len(rows), -1)


def read_selected(store: FeatureStore, selection: Selection, rows: np.ndarray) -> np.ndarray:
    """Read the same as `read_stored`, in float64."""
    return read_stored(store, selection, rows).astype(np.float64)


def n_selected(store: FeatureStore, selection: Selection) -> int:
    """Return the number of features of a row of `read_selected`."""
    backbone = store.spec.backbone
    return len(selection.indices) * (backbone.hidden_size if selection.unit == "layer" else backbone.head_dim)
