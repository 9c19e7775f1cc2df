"""What every step of an analysis works with: the opened inputs, the results kept so far, and where to compute."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from vadprobe.analyze.calibration.calibration import Calibration
from vadprobe.analyze.compute.cluster import Scheduler
from vadprobe.analyze.compute.step_cache import CachedResult, StepCache
from vadprobe.analyze.features.inputs import AnalysisInputs
from vadprobe.analyze.features.kernel_mapping import probabilities
from vadprobe.analyze.probes.kinds import Probe
from vadprobe.analyze.saliency.selection import Selection
from vadprobe.store.files.digests import digest_arrays, digest_json
from vadprobe.store.reading.feature_store import FeatureStore


@dataclass(frozen=True, eq=False)
class Workbench:
    """One analysis at work. ``steps`` and ``scheduler`` are shared by the analyses of a table."""

    inputs: AnalysisInputs
    steps: StepCache
    scheduler: Scheduler


def samples_digest(store: FeatureStore, calibration: Calibration) -> dict[str, str]:
    """What a step that reads the calibration samples of a store depends on: their values, labels and videos."""
    return {
        "features": store.digest_of(calibration.rows),
        "samples": digest_arrays([calibration.rows, calibration.labels, calibration.groups]),
    }


def chosen_digest(selection: Selection, probe: Probe) -> str:
    """What the score of a row depends on besides its features."""
    return digest_json([selection.unit, [list(index) for index in selection.indices], probe.to_json()])


def scores_of(bench: Workbench, selection: Selection, probe: Probe, rows: np.ndarray) -> np.ndarray:
    """The probe's probability of some rows of the scored store, (n,) float64: all that are scored are, once.

    Args:
        rows: (n,) rows of validation and test videos, ascending.
    """
    every = bench.inputs.rows_to_score()
    found = raw_scores(bench, bench.inputs.store, selection, probe, every)
    return np.asarray(found[np.searchsorted(every, rows)])


def raw_scores(
    bench: Workbench, store: FeatureStore, selection: Selection, probe: Probe, rows: np.ndarray
) -> np.ndarray:
    """The probe's probability of some rows, (n,) float64; a failed row is NaN. Kept for these very rows together."""
    inputs: dict[str, Any] = {
        "features": store.digest_of(rows),
        "rows": digest_arrays([rows]),
        "chosen": chosen_digest(selection, probe),
    }

    def compute() -> CachedResult:
        return CachedResult(arrays={"scores": probabilities(store, selection, probe, rows, bench.scheduler)})

    return bench.steps.result("scores", inputs, compute).arrays["scores"]
