"""Kernels over stores: bit for bit what they give in memory, however the work is cut and whoever does it."""

import itertools
import shutil
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support import profiles
from tests.support.builders import all_features, committed_store
from tests.support.processes.clusters import running_cluster
from tests.support.strategies import MODERATE
from vadprobe.analyze.calibration.calibration import Calibration
from vadprobe.analyze.compute.cluster import open_scheduler
from vadprobe.analyze.compute.scheduling import Pool, Scheduler
from vadprobe.analyze.features import kernel_mapping, opened_stores, store_row_blocks
from vadprobe.analyze.features.kernel_mapping import (
    map_layers,
    over_heads,
    partition_spans,
    probabilities,
)
from vadprobe.analyze.features.opened_stores import opened, state_of
from vadprobe.analyze.features.store_row_blocks import StoreRowBlocks
from vadprobe.analyze.probes.kinds.registry import Probe
from vadprobe.analyze.probes.logistic_fitting import fit_logistic
from vadprobe.analyze.probes.streaming.logistic import fit_streamed_logistic
from vadprobe.analyze.saliency.heads import head_metrics
from vadprobe.analyze.saliency.layers import layer_metrics
from vadprobe.analyze.saliency.selection import Selection
from vadprobe.store.errors import StoreError, VadprobeError
from vadprobe.store.exchange.compaction import compact
from vadprobe.store.exchange.transfer import Choice
from vadprobe.store.reading.feature_store import FeatureStore

N_CLIPS = 1100  # five partitions, the last short
FAILED = {300: "decord cannot decode these frames", 301: "decord cannot decode these frames"}
ROWS = np.array([900, 3, 17, 255, 256, 257, 40, 700, 701, 1099, 1, 5])
LABELS = np.arange(len(ROWS)) % 2
HEADS = Selection("head", "fixed", ((1, 2), (0, 0)))
LAYER = Selection("layer", "fixed", ((2,),))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> FeatureStore:
    return FeatureStore.open(committed_store(tmp_path_factory.mktemp("store"), N_CLIPS, failures=FAILED).path)


@pytest.fixture(scope="module")
def hidden(store: FeatureStore) -> np.ndarray:
    return all_features(store.spec, "hidden_states", FAILED)


@pytest.fixture(scope="module")
def heads(store: FeatureStore) -> np.ndarray:
    return all_features(store.spec, "head_outputs", FAILED)


@pytest.fixture
def synchronous() -> Iterator[Scheduler]:
    with open_scheduler("synchronous", 0) as scheduler:
        yield scheduler


def calibration() -> Calibration:
    order = np.argsort(ROWS)
    return Calibration(ROWS[order], LABELS[order], np.arange(len(ROWS)), "segment", 0, 0.1)


def moments(features: np.ndarray, weights: np.ndarray) -> dict[str, np.ndarray]:
    """A kernel with an axis of its own: one row of weights (m, n) for each result."""
    values = features.astype(np.float64)
    weighted = (weights[(slice(None), *[None] * (values.ndim - 2), ...)] * values.sum(axis=-1)).sum(axis=-1)
    return {"weighted": weighted, "largest": values.max(axis=(-2, -1))}


def block_sums(features: np.ndarray, labels: np.ndarray, power: int) -> tuple[int, np.ndarray]:
    return len(features), (features.astype(np.float64) ** power * labels[:, None]).sum(axis=0)


def as_they_are(features: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return features, labels


def equal_bits(one: Mapping[str, np.ndarray], other: Mapping[str, np.ndarray]) -> bool:
    return set(one) == set(other) and all(
        one[name].shape == other[name].shape and one[name].tobytes() == other[name].tobytes() for name in one
    )


def fitted(heads: np.ndarray) -> Probe:
    rows = np.arange(60)
    features = np.concatenate([heads[rows, 1, 2], heads[rows, 0, 0]], axis=1)
    return fit_logistic(features, rows % 2)


def test_a_kernel_of_layers_is_the_kernel_of_the_arrays(
    store: FeatureStore, hidden: np.ndarray, synchronous: Scheduler
) -> None:
    weights = np.random.default_rng(0).standard_normal((3, len(ROWS)))
    kernel = partial(moments, weights=weights)
    found = map_layers(store, ROWS, kernel, synchronous)
    assert found["weighted"].shape == (3, 2)
    assert equal_bits(found, moments(np.ascontiguousarray(hidden[ROWS].swapaxes(0, 1))[1:], weights))


def test_a_kernel_of_heads_is_the_kernel_of_the_arrays(
    store: FeatureStore, heads: np.ndarray, synchronous: Scheduler
) -> None:
    weights = np.random.default_rng(0).standard_normal((3, len(ROWS)))
    found = over_heads({"a": store, "b": store}, ROWS, partial(moments, weights=weights), synchronous)
    wanted = moments(np.ascontiguousarray(np.moveaxis(heads[ROWS], 0, 2)), weights)
    assert list(found) == ["a", "b"]
    assert found["a"]["weighted"].shape == (3, 2, 3)
    assert equal_bits(found["a"], wanted)
    assert equal_bits(found["b"], wanted)


def layer_saliency(store: FeatureStore, samples: Calibration, scheduler: Scheduler) -> Mapping[str, np.ndarray]:
    return map_layers(store, samples.rows, partial(layer_metrics, labels=samples.labels), scheduler)


def head_saliency(store: FeatureStore, samples: Calibration, scheduler: Scheduler) -> Mapping[str, np.ndarray]:
    return over_heads({"p": store}, samples.rows, partial(head_metrics, labels=samples.labels, seed=4), scheduler)["p"]


def test_saliency_is_that_of_the_arrays(
    store: FeatureStore, hidden: np.ndarray, heads: np.ndarray, synchronous: Scheduler
) -> None:
    samples = calibration()
    layers = layer_metrics(hidden[samples.rows].swapaxes(0, 1)[1:], samples.labels)
    for name, values in layer_saliency(store, samples, synchronous).items():
        np.testing.assert_allclose(values, layers[name], rtol=1e-12)
    wanted = head_metrics(np.moveaxis(heads[samples.rows], 0, 2), samples.labels, 4)
    for name, values in head_saliency(store, samples, synchronous).items():
        np.testing.assert_allclose(values, wanted[name], rtol=1e-9)


def test_probabilities_are_those_of_the_arrays_in_any_order(
    store: FeatureStore, heads: np.ndarray, synchronous: Scheduler
) -> None:
    probe = fitted(heads)
    rows = np.random.default_rng(1).permutation(N_CLIPS)
    rows = np.concatenate([rows, rows[:50]])
    wanted = probe.score(np.concatenate([heads[rows, 1, 2], heads[rows, 0, 0]], axis=1))
    found = probabilities(store, HEADS, probe, rows, synchronous)
    assert found.tobytes() == wanted.tobytes()
    assert np.isnan(found).sum() == np.isin(rows, list(FAILED)).sum() > 0
    assert probabilities(store, HEADS, probe, rows[:0], synchronous).shape == (0,)


@pytest.mark.parametrize("task_bytes", [1, 3000, 1 << 25])
def test_no_cut_into_tasks_changes_a_bit(
    store: FeatureStore, heads: np.ndarray, synchronous: Scheduler, monkeypatch: pytest.MonkeyPatch, task_bytes: int
) -> None:
    samples, probe, rows = calibration(), fitted(heads), np.arange(N_CLIPS)
    wanted = head_saliency(store, samples, synchronous)
    layers = layer_saliency(store, samples, synchronous)
    scores = probabilities(store, HEADS, probe, rows, synchronous)
    monkeypatch.setattr(kernel_mapping, "TASK_BYTES", task_bytes)
    assert equal_bits(head_saliency(store, samples, synchronous), wanted)
    assert equal_bits(layer_saliency(store, samples, synchronous), layers)
    assert probabilities(store, HEADS, probe, rows, synchronous).tobytes() == scores.tobytes()


def test_no_scheduler_and_number_of_workers_changes_a_bit(
    store: FeatureStore, heads: np.ndarray, synchronous: Scheduler, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(kernel_mapping, "TASK_BYTES", 3000)
    samples, probe, rows = calibration(), fitted(heads), np.arange(N_CLIPS)

    def everything(scheduler: Scheduler) -> dict[str, np.ndarray]:
        known = np.setdiff1d(rows, list(FAILED))
        cut = StoreRowBlocks(store, LAYER, known, known % 2, scheduler)
        sums, streamed = cut.map(block_sums, 1), fit_streamed_logistic(cut)
        return {
            **layer_saliency(store, samples, scheduler),
            **head_saliency(store, samples, scheduler),
            "scores": probabilities(store, HEADS, probe, rows, scheduler),
            "sums": np.stack([values for _, values in sums]),
            "streamed": np.append(streamed.coef, streamed.intercept),
        }

    wanted = everything(synchronous)
    for name, workers in (("threads", 1), ("threads", 3)):
        with open_scheduler(name, workers) as scheduler:
            assert equal_bits(everything(scheduler), wanted), name
    # One in the short profile: a worker loads all of this for two seconds.
    with open_scheduler("processes", 2 if profiles.LONG else 1) as scheduler:
        assert equal_bits(everything(scheduler), wanted)
    if not profiles.LONG:  # the workers of a cluster by address are another two of the same
        return
    with running_cluster(tmp_path) as running, open_scheduler(running.address, 0) as scheduler:
        assert equal_bits(everything(scheduler), wanted)


@MODERATE
@given(
    rows=st.lists(st.integers(0, 60), max_size=40),
    partition_rows=st.integers(1, 20),
    most=st.integers(1, 30),
)
def test_spans_hold_every_position_once_and_whole_partitions(rows: list[int], partition_rows: int, most: int) -> None:
    numbers = np.array(rows, dtype=np.int64)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kernel_mapping, "TASK_BYTES", 8 * most)
        spans = partition_spans(numbers, partition_rows, 1)
    assert sorted(np.concatenate([[], *spans]).tolist()) == list(range(len(rows)))
    of_span = [set((numbers[span] // partition_rows).tolist()) for span in spans]
    assert sum(map(len, of_span)) == len(set((numbers // partition_rows).tolist())), "no partition is in two spans"
    for span, partitions in zip(spans, of_span, strict=True):
        assert len(span) <= most or len(partitions) == 1
    for one, following in itertools.pairwise(spans):
        first = numbers[following] // partition_rows
        assert len(one) + (first == first.min()).sum() > most, "a span takes all that fits"


def test_a_row_that_failed_is_named_with_its_layer_or_head(store: FeatureStore, synchronous: Scheduler) -> None:
    rows = np.array([1, 2, 300, 301])
    words = r"layers 1 to 2 of the prompt 'question': 2 of 4 rows .* first layer 1 of row 300 \(video 'video 3'.*decord"
    with pytest.raises(VadprobeError, match=words):
        map_layers(store, rows, layer_metrics, synchronous)
    with pytest.raises(VadprobeError, match=r"blocks 0 to 1 .* first block 0, head 0 of row 300"):
        over_heads({"p": store}, rows, head_metrics, synchronous)


@pytest.mark.parametrize("selection", [LAYER, HEADS])
@pytest.mark.parametrize("task_bytes", [1, 16000, 1 << 25])
def test_blocks_of_rows_are_the_rows_in_order_and_end_with_chunks(
    store: FeatureStore,
    hidden: np.ndarray,
    heads: np.ndarray,
    synchronous: Scheduler,
    monkeypatch: pytest.MonkeyPatch,
    selection: Selection,
    task_bytes: int,
) -> None:
    monkeypatch.setattr(store_row_blocks, "TASK_BYTES", task_bytes)
    rows = np.setdiff1d(np.arange(3, N_CLIPS), [400, 500])  # so that blocks and partitions do not end together
    labels = rows % 3
    cut = StoreRowBlocks(store, selection, rows, labels, synchronous)
    parts = cut.map(as_they_are)
    assert {len(features) % 256 for features, _ in parts[:-1]} <= {0}
    wanted = hidden[rows, 2] if selection is LAYER else np.concatenate([heads[rows, 1, 2], heads[rows, 0, 0]], axis=1)
    found = np.concatenate([features for features, _ in parts])
    assert found.shape == (len(rows), cut.n_features)
    np.testing.assert_array_equal(found, wanted)
    assert found.dtype == wanted.dtype, "as stored: a worker holds no copy in float64"
    np.testing.assert_array_equal(np.concatenate([part for _, part in parts]), labels)
    assert sum(count for count, _ in cut.map(block_sums, 2)) == len(rows)


def test_a_compacted_store_gives_the_same_blocks(store: FeatureStore, synchronous: Scheduler, tmp_path: Path) -> None:
    together = FeatureStore.open(compact(store, tmp_path / "compact", Choice(), rows=512).writer.path)
    rows = np.arange(N_CLIPS)
    for one, other in zip(
        StoreRowBlocks(store, LAYER, rows, rows % 2, synchronous).map(as_they_are),
        StoreRowBlocks(together, LAYER, rows, rows % 2, synchronous).map(as_they_are),
        strict=True,
    ):
        np.testing.assert_array_equal(one[0], other[0])


def test_parts_that_a_store_lacks_are_refused_before_a_worker_starts(
    store: FeatureStore, heads: np.ndarray, tmp_path: Path
) -> None:
    few = FeatureStore.open(compact(store, tmp_path / "few", Choice(layers=(1,), heads=((1, 2),))).writer.path)

    def start() -> Pool:
        raise AssertionError("a worker was started")

    with pytest.raises(StoreError, match=r"head 0:0 is not stored"):
        probabilities(few, HEADS, fitted(heads), np.arange(N_CLIPS), Scheduler(start))


def test_a_process_opens_a_store_once(store: FeatureStore, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    shutil.copytree(store.path.parents[2], tmp_path / "toys")
    copied = FeatureStore.open(tmp_path / "toys" / store.path.relative_to(store.path.parents[2]))
    state = state_of(copied)
    assert opened(state) is copied
    del copied
    opens: list[Path] = []
    really = FeatureStore.open

    def count(path: Path) -> FeatureStore:
        opens.append(path)
        return really(path)

    monkeypatch.setattr(opened_stores.FeatureStore, "open", count)
    assert opened(state) is opened(state)
    assert len(opens) == 1


def test_a_store_that_changed_meanwhile_is_refused(store: FeatureStore, tmp_path: Path) -> None:
    shutil.copytree(store.path.parents[2], tmp_path / "toys")
    path = tmp_path / "toys" / store.path.relative_to(store.path.parents[2])
    state = state_of(FeatureStore.open(path))
    path.with_suffix(".records").joinpath("000002.json").unlink()
    with pytest.raises(StoreError, match="was changed while it was being analysed"):
        opened(state)


def test_few_stores_stay_open(store: FeatureStore, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(opened_stores, "_MOST", 2)
    states = []
    for number in range(3):
        folder = tmp_path / str(number)
        shutil.copytree(store.path.parents[2], folder)
        states.append(state_of(FeatureStore.open(folder / store.path.relative_to(store.path.parents[2]))))
    first = opened(states[0])
    for state in states[1:]:
        opened(state)
    assert opened(states[0]) is not first
