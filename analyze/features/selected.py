"""Read what a selection needs from a store, and no more."""

import numpy as np

from vadprobe.analyze.saliency.selection import Selection
from vadprobe.store.reading.feature_store import FeatureStore
from vadprobe.store.reading.requests import check_stored


def read_stored(store: FeatureStore, selection: Selection, rows: np.ndarray) -> np.ndarray:
    """Read the selected layers or heads of some rows as they are stored, side by side in the selection's order.

    Args:
        store: one prompt's features.
        selection: layers as (layer,), layer 0 the embedding; or heads as (block, head), block 0 the first.
        rows: (n,) row numbers.

    Returns:
        (n, k * d) of the storage dtype, C-contiguous, d the width of each head where they differ; a failed row is NaN.
    """
    if selection.unit == "layer":
        values = store.hidden_states(rows, [index[0] for index in selection.indices])
        return values.reshape(len(rows), -1)
    values = store.head_outputs(rows, [(index[0], index[1]) for index in selection.indices])
    widths = _widths(store, selection)
    if len(set(widths)) > 1:  # narrower heads end in zeros, which are no features
        return np.concatenate([values[:, place, :width] for place, width in enumerate(widths)], axis=1)
    return values.reshape(len(rows), -1)


def read_selected(store: FeatureStore, selection: Selection, rows: np.ndarray) -> np.ndarray:
    """Read the same as `read_stored`, in float64."""
    return read_stored(store, selection, rows).astype(np.float64)


def check_selected(store: FeatureStore, selection: Selection, rows: np.ndarray) -> None:
    """Refuse a selection that the store was not made to have at some rows, before any work on them begins.

    Raises:
        StoreError: naming what is missing, and what there is.
    """
    name = "hidden_states" if selection.unit == "layer" else "head_outputs"
    check_stored(store.path, store.spec, store.contents, name, selection.indices, rows)


def n_selected(store: FeatureStore, selection: Selection) -> int:
    """Return the number of features of a row of `read_selected`."""
    if selection.unit == "layer":
        return len(selection.indices) * store.spec.backbone.hidden_size
    return sum(_widths(store, selection))


def _widths(store: FeatureStore, selection: Selection) -> list[int]:
    """Return the values of each selected head."""
    return [store.spec.backbone.head_shapes[index[0]][1] for index in selection.indices]
