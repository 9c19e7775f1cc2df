"""Kernels mapped over the layers, heads and rows of stores: the one place where they meet Dask.

A task reads what it needs itself and holds one span of layers, blocks or partitions in memory. Chunking never changes
an answer: every layer, head and row is computed from its own values alone.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import groupby

import numpy as np

from vadprobe.analyze.compute.scheduling import Scheduler, Task
from vadprobe.analyze.features.opened_stores import StoreState, opened, state_of
from vadprobe.analyze.features.selected import check_selected, n_selected, read_stored
from vadprobe.analyze.probes.kinds.registry import Probe
from vadprobe.analyze.saliency.selection import Selection
from vadprobe.store.errors import VadprobeError
from vadprobe.store.format.specification import BackboneSpec
from vadprobe.store.reading.feature_store import FeatureStore

Metrics = dict[str, np.ndarray]
Kernel = Callable[[np.ndarray], Mapping[str, np.ndarray]]
"""Features (units..., n, d) to named arrays (..., units...): the unit axes last, after any of the kernel's own.

It is a function of a module or a `functools.partial` of one, so that workers get it. A unit's values depend on
that unit's features alone."""

TASK_BYTES = 1 << 25
"""Features that a task holds at a time, as float64; one layer, block or partition at least."""

_MOST_UNITS = 4  # layers or blocks of a task: little data may be much work, which workers share


def map_layers(
    store: FeatureStore, rows: np.ndarray, kernel: Kernel, scheduler: Scheduler, what: str = "layers"
) -> Metrics:
    """Apply a kernel to layers 1 to L, without the embedding, on some rows.

    Args:
        store: one prompt's features.
        rows: (n,) row numbers, in the order in which the kernel gets them.
        kernel: from (k, n, hidden) in the storage dtype, C-contiguous and finite, to arrays (..., k).
        scheduler: where to compute.
        what: for the progress.

    Returns:
        Name to (..., L).

    Raises:
        VadprobeError: if a value is not finite; it names layer and row.
    """
    backbone, state, prompt = store.spec.backbone, state_of(store), store.spec.prompt.key
    spans = _unit_spans(range(1, backbone.n_layers + 1), len(rows) * backbone.hidden_size)
    tasks = [
        Task(f"{_named('layer', span)} of the prompt {prompt!r}", _layers, (state, rows, span, kernel))
        for span in spans
    ]
    return _joined(scheduler.run(tasks, what), axis=-1)


def over_heads(
    stores: Mapping[str, FeatureStore],
    rows: np.ndarray,
    kernel: Kernel,
    scheduler: Scheduler,
    what: str = "blocks of heads",
) -> dict[str, Metrics]:
    """Apply a kernel to every head on some rows of several prompts' stores.

    Args:
        stores: by any key, such as the prompt's.
        rows: (n,) row numbers, in the order in which the kernel gets them.
        kernel: from (k, heads, n, head_dim) in the storage dtype, C-contiguous and finite, to arrays (..., k, heads).
        scheduler: where to compute; the tasks of all stores run together.
        what: for the progress.

    Returns:
        Key to name to (..., blocks, heads); NaN where a block does not have a head.

    Raises:
        VadprobeError: if a value is not finite; it names block, head and row. If a backbone has no heads.
    """
    owners, tasks = [], []
    for key, store in stores.items():
        check_has_heads(store.spec.backbone)
        state = state_of(store)
        for span in _block_spans(store.spec.backbone, len(rows)):
            name = f"{_named('block', span)} of the prompt {store.spec.prompt.key!r}"
            tasks.append(Task(name, _blocks, (state, rows, span, kernel)))
            owners.append((key, span))
    results = scheduler.run(tasks, what)
    return {
        key: _laid(
            store.spec.backbone,
            [(span, found) for (owner, span), found in zip(owners, results, strict=True) if owner == key],
        )
        for key, store in stores.items()
    }


def check_has_heads(backbone: BackboneSpec) -> None:
    """Refuse a backbone without attention heads.

    Raises:
        VadprobeError: saying what can be done with it.
    """
    if not backbone.n_heads:
        raise VadprobeError(
            f"backbone {backbone.key!r} has no attention heads, which HeadHunt-VAD and the rules of heads choose from; "
            "choose a layer, as HiProbe-VAD does (rule 'dlsp')."
        )


def probabilities(
    store: FeatureStore, selection: Selection, probe: Probe, rows: np.ndarray, scheduler: Scheduler
) -> np.ndarray:
    """Compute the probe's probability of some rows, (n,) float64, by spans of partitions; a failed row is NaN.

    Raises:
        StoreError: if the store was not made to have what is selected.
    """
    rows = np.asarray(rows)
    check_selected(store, selection, rows)
    state = state_of(store)
    spans = partition_spans(rows, store.contents.partition_rows, n_selected(store, selection))
    tasks = [
        Task(f"rows {rows[span].min()} to {rows[span].max()}", _probabilities, (state, selection, probe, rows[span]))
        for span in spans
    ]
    result = np.empty(len(rows), dtype=np.float64)
    for span, values in zip(spans, scheduler.results(tasks, "spans of rows"), strict=True):
        result[span] = values
    return result


def partition_spans(rows: np.ndarray, partition_rows: int, row_values: int) -> list[np.ndarray]:
    """Cut the positions in `rows` where partitions end: whole partitions of up to `TASK_BYTES`, one at least."""
    if len(rows) == 0:
        return []
    numbers = rows // partition_rows
    order = np.argsort(numbers, kind="stable")
    starts = np.flatnonzero(np.diff(numbers[order], prepend=-1))
    most = max(1, TASK_BYTES // (8 * row_values))
    cuts, first = [], 0
    for start, stop in zip(starts.tolist(), [*starts[1:].tolist(), len(rows)], strict=True):
        if stop - first > most and start > first:
            cuts.append(start)
            first = start
    return np.split(order, cuts)


def _layers(state: StoreState, rows: np.ndarray, layers: list[int], kernel: Kernel) -> Mapping[str, np.ndarray]:
    store = opened(state)
    features = np.ascontiguousarray(store.hidden_states(rows, layers).swapaxes(0, 1))
    _check_finite(store, rows, features, [f"layer {layer}" for layer in layers])
    return kernel(features)


def _blocks(state: StoreState, rows: np.ndarray, blocks: list[int], kernel: Kernel) -> Mapping[str, np.ndarray]:
    store = opened(state)
    features = np.ascontiguousarray(np.moveaxis(store.blocks(rows, blocks), 0, 2))
    heads = range(features.shape[1])
    _check_finite(store, rows, features, [f"block {block}, head {head}" for block in blocks for head in heads])
    return kernel(features)


def _probabilities(state: StoreState, selection: Selection, probe: Probe, rows: np.ndarray) -> np.ndarray:
    return probe.score(read_stored(opened(state), selection, rows))


def _check_finite(store: FeatureStore, rows: np.ndarray, features: np.ndarray, units: Sequence[str]) -> None:
    """Refuse an infinity or NaN in features (units..., n, d): a kernel could not say whose it is."""
    finite = np.isfinite(features).all(axis=-1).reshape(len(units), len(rows))
    if finite.all():
        return
    unit, position = (int(number) for number in np.argwhere(~finite)[0])
    row = int(rows[position])
    clip = store.clips.clip(row)
    reason = store.failures.get(row, "the model overflowed; extract in bfloat16")
    raise VadprobeError(
        f"{int((~finite).any(axis=0).sum())} of {len(rows)} rows have values that are not finite, first {units[unit]} "
        f"of row {row} (video {clip.video_id!r}, from frame {clip.start_frame}): {reason}. Leave such rows out."
    )


def _unit_spans(units: range, unit_values: int) -> list[list[int]]:
    """Group consecutive units, one group a task."""
    count = max(1, min(_MOST_UNITS, TASK_BYTES // max(1, 8 * unit_values)))
    return [list(units[start : start + count]) for start in range(0, len(units), count)]


def _block_spans(backbone: BackboneSpec, n_rows: int) -> list[list[int]]:
    """Group consecutive blocks whose heads are alike, one group a task; blocks without heads are left out."""
    spans = []
    for (heads, width), blocks in groupby(range(backbone.n_layers), key=lambda block: backbone.head_shapes[block]):
        found = list(blocks)
        if heads:
            spans += _unit_spans(range(found[0], found[-1] + 1), n_rows * heads * width)
    return spans


def _laid(backbone: BackboneSpec, parts: Sequence[tuple[list[int], Mapping[str, np.ndarray]]]) -> Metrics:
    """Lay the values of spans of blocks into arrays (..., blocks, heads), NaN where there is no head."""
    if backbone.block_heads is None:
        return _joined([found for _, found in parts], axis=-2)
    laid = {}
    for name, values in parts[0][1].items():
        whole = np.full((*values.shape[:-2], backbone.n_layers, backbone.n_heads), np.nan)
        for span, found in parts:
            whole[..., span, : found[name].shape[-1]] = found[name]
        laid[name] = whole
    return laid


def _named(what: str, span: Sequence[int]) -> str:
    return f"{what} {span[0]}" if len(span) == 1 else f"{what}s {span[0]} to {span[-1]}"


def _joined(parts: Sequence[Mapping[str, np.ndarray]], axis: int) -> Metrics:
    return {name: np.concatenate([part[name] for part in parts], axis=axis) for name in parts[0]}
