"""The kernels mapped over blocks of a store by Dask: one task per layer or per block of heads.

Chunking never changes an answer: every layer and every head is computed from its own values alone.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from vadprobe.analyze.calibration import Calibration
from vadprobe.analyze.cluster import Scheduler, Task
from vadprobe.analyze.features import read_selected
from vadprobe.analyze.head_saliency import head_metrics
from vadprobe.analyze.layer_saliency import layer_metrics
from vadprobe.analyze.probe import Probe
from vadprobe.analyze.selection import Selection
from vadprobe.store.reader import FeatureStore

Metrics = dict[str, np.ndarray]


def layer_saliency(store: FeatureStore, calibration: Calibration, scheduler: Scheduler) -> Metrics:
    """HiProbe's metrics of layers 1 to L on the calibration rows: metric to (L,) float64."""
    layers = range(1, store.spec.backbone.n_layers + 1)
    tasks = [Task("x", _one_layer, (store.path, calibration.rows, calibration.labels, layer)) for layer in layers]
    return _joined(scheduler.run(tasks))


def head_saliency(
    stores: Mapping[str, FeatureStore], calibration: Calibration, seed: int, scheduler: Scheduler
) -> dict[str, Metrics]:
    """HeadHunt's metrics of every head on the calibration rows: prompt to metric to (L, H) float64."""
    places = [(prompt, block) for prompt, store in stores.items() for block in range(store.spec.backbone.n_layers)]
    tasks = [
        Task("x", _one_block, (stores[prompt].path, calibration.rows, calibration.labels, block, seed))
        for prompt, block in places
    ]
    results = scheduler.run(tasks)
    return {
        prompt: _joined([result for (owner, _), result in zip(places, results, strict=True) if owner == prompt])
        for prompt in stores
    }


def probabilities(
    store: FeatureStore, selection: Selection, probe: Probe, rows: np.ndarray, scheduler: Scheduler
) -> np.ndarray:
    """The probe's probability of some rows, (n,) float64, one task per partition; a failed row is NaN."""
    numbers = rows // store.contents.partition_rows
    blocks = [rows[numbers == number] for number in np.unique(numbers)]
    tasks = [Task("x", _one_partition, (store.path, selection, probe, block)) for block in blocks]
    result = np.empty(len(rows), dtype=np.float64)
    for number, values in zip(np.unique(numbers), scheduler.run(tasks), strict=True):
        result[numbers == number] = values
    return result


def _one_layer(path: Path, rows: np.ndarray, labels: np.ndarray, layer: int) -> Metrics:
    features = FeatureStore.open(path).hidden_states(rows, [layer])
    return layer_metrics(features.swapaxes(0, 1), labels)


def _one_block(path: Path, rows: np.ndarray, labels: np.ndarray, block: int, seed: int) -> Metrics:
    features = FeatureStore.open(path).blocks(rows, [block])  # (n, 1, heads, head_dim)
    return head_metrics(np.moveaxis(features, 0, 2), labels, seed)


def _one_partition(path: Path, selection: Selection, probe: Probe, rows: np.ndarray) -> np.ndarray:
    return probe.score(read_selected(FeatureStore.open(path), selection, rows))


def _joined(parts: list[Metrics]) -> Metrics:
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def over_layers(store, rows, kernel, scheduler, layers=None, what="layers"):
    layers = layers if layers is not None else range(1, store.spec.backbone.n_layers + 1)
    found = [kernel(store.hidden_states(rows, [l]).swapaxes(0, 1)) for l in layers]
    return {k: np.concatenate([f[k] for f in found], axis=-1) for k in found[0]}


def over_heads(stores, rows, kernel, scheduler, what="heads"):
    out = {}
    for p, store in stores.items():
        found = [kernel(np.moveaxis(store.blocks(rows, [b]), 0, 2)[0]) for b in range(store.spec.backbone.n_layers)]
        out[p] = {k: np.stack([f[k] for f in found], axis=-2) for k in found[0]}
    return out
