"""Selection of a layer or of heads from open stores in one call, for use in programs."""

from collections.abc import Mapping
from functools import partial
from typing import Literal

import numpy as np

from vadprobe.analyze.compute.cluster import open_scheduler
from vadprobe.analyze.features.kernel_mapping import map_heads, map_layers
from vadprobe.analyze.saliency.heads import head_metrics
from vadprobe.analyze.saliency.layers import FLOORED_DIMENSIONS, layer_metrics
from vadprobe.analyze.saliency.selection import Selection, select_heads, select_layer
from vadprobe.store.errors import VadprobeError
from vadprobe.store.reading.feature_store import FeatureStore


def select(
    stores: FeatureStore | Mapping[str, FeatureStore],
    rows: np.ndarray,
    labels: np.ndarray,
    *,
    method: Literal["hiprobe", "headhunt"] = "headhunt",
    top: int = 5,
    weight: float = 0.5,
    seed: int = 0,
) -> Selection:
    """Select the most salient layer (DLSP, HiProbe-VAD) or robust heads (RHI, HeadHunt-VAD) on labelled rows of stores.

    Args:
        stores: one prompt's store, or those of several prompts by key, all with the same rows; heads are ranked over
            the prompts, a layer is chosen under one.
        rows: (n,) row numbers of the calibration samples. Choose them from training videos alone.
        labels: (n,) 1 = anomalous, 0 = normal, at least two of each.
        method: 'hiprobe' selects a layer, 'headhunt' heads.
        top: number of heads.
        weight: weight of a head's deviation over the prompts, the paper's lambda.
        seed: of the two-means clustering.

    Raises:
        VadprobeError: if a class has fewer than two samples, a feature is not finite, or 'hiprobe' gets several stores.
        StoreError: if a row, layer or head is not stored.
    """
    if isinstance(stores, FeatureStore):
        stores = {stores.spec.prompt.key: stores}
    if method not in ("hiprobe", "headhunt"):
        raise VadprobeError(f"method must be 'hiprobe' or 'headhunt', got {method!r}.")
    rows, labels = np.asarray(rows), np.asarray(labels)
    if method == "hiprobe" and len(stores) != 1:
        raise VadprobeError(f"a layer is selected under one prompt, got {len(stores)} stores; name one of them.")
    with open_scheduler("synchronous", 0) as here:
        if method == "headhunt":
            metrics = map_heads(stores, rows, partial(head_metrics, labels=labels, seed=seed), here)
            return select_heads(metrics, weight=weight, top=top)
        of_layers = map_layers(next(iter(stores.values())), rows, partial(layer_metrics, labels=labels), here)
    return select_layer({name: values for name, values in of_layers.items() if name != FLOORED_DIMENSIONS})
