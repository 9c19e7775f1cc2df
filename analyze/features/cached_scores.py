"""Probabilities of rows of a store under a selection and a probe, kept by the digest of their inputs."""

from typing import Any

import numpy as np

from vadprobe.analyze.calibration.calibration import Calibration
from vadprobe.analyze.compute.registry import added_code
from vadprobe.analyze.compute.scheduling import Scheduler
from vadprobe.analyze.compute.step_cache import CachedResult, StepCache
from vadprobe.analyze.features.inputs import AnalysisInputs
from vadprobe.analyze.features.kernel_mapping import probabilities
from vadprobe.analyze.probes.kinds.registry import Probe
from vadprobe.analyze.saliency.selection import Selection
from vadprobe.store.files.digests import digest_arrays, digest_json
from vadprobe.store.reading.feature_store import FeatureStore


def samples_digest(store: FeatureStore, calibration: Calibration) -> dict[str, str]:
    """Return the part of a step's key for the calibration samples of a store: digests of values, labels and videos."""
    return {
        "features": store.digest_of(calibration.rows),
        "samples": digest_arrays([calibration.rows, calibration.labels, calibration.groups]),
    }


def cached_probabilities(
    store: FeatureStore,
    selection: Selection,
    probe: Probe,
    rows: np.ndarray,
    cache: StepCache,
    scheduler: Scheduler,
) -> np.ndarray:
    """Compute the probe's probability of some rows, (n,) float64, or take it from the cache; a failed row is NaN.

    The probabilities are kept under the digest of exactly these rows, so only the same rows find them again.
    """
    inputs: dict[str, Any] = {
        "features": store.digest_of(rows),
        "rows": digest_arrays([rows]),
        "chosen": digest_json([selection.unit, [list(index) for index in selection.indices], probe.to_json()]),
        **added_code(probe),
    }

    def compute() -> CachedResult:
        return CachedResult(arrays={"scores": probabilities(store, selection, probe, rows, scheduler)})

    return cache.result("scores", inputs, compute).arrays["scores"]


def segment_probabilities(
    inputs: AnalysisInputs,
    selection: Selection,
    probe: Probe,
    rows: np.ndarray,
    cache: StepCache,
    scheduler: Scheduler,
) -> np.ndarray:
    """Return the probe's probability of some rows of the scored store, (n,) float64.

    The first call computes all rows that will be scored, so that locator and scoring share one pass over the store.
    `rows` (n,) are rows of validation and test videos, ascending.
    """
    every = inputs.rows_to_score()
    found = cached_probabilities(inputs.store, selection, probe, every, cache, scheduler)
    return np.asarray(found[np.searchsorted(every, rows)])
