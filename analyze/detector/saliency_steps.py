"""Saliency of layers and heads on the calibration samples, measured once for each prompt and kept."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from vadprobe.analyze.calibration.calibration import Calibration
from vadprobe.analyze.compute.step_cache import CachedResult
from vadprobe.analyze.configuration import HEAD_METRICS, LAYER_METRICS
from vadprobe.analyze.features.context import Workbench, samples_digest
from vadprobe.analyze.features.kernel_mapping import Metrics, head_saliency, layer_saliency, map_layers
from vadprobe.analyze.saliency.silhouette import silhouettes


def layer_metrics_of(bench: Workbench, calibration: Calibration) -> Metrics:
    """HiProbe's metrics of layers 1 to L under the score prompt, with the count of floored dimensions."""
    store = bench.inputs.calibration[bench.inputs.score_prompt]

    def compute() -> CachedResult:
        return CachedResult(arrays=layer_saliency(store, calibration, bench.scheduler))

    return dict(bench.steps.result("layer-saliency", samples_digest(store, calibration), compute).arrays)


def head_metrics_of(bench: Workbench, calibration: Calibration, prompts: Sequence[str]) -> dict[str, Metrics]:
    """HeadHunt's metrics of every head under some prompts; prompts that are not kept are measured together."""
    inputs = bench.inputs
    config = inputs.config
    parts: dict[str, dict[str, Any]] = {
        key: {
            **samples_digest(inputs.calibration[key], calibration),
            "convention": config.saliency.convention,
            "seed": config.seed,
        }
        for key in prompts
    }

    def compute(missing: list[str]) -> dict[str, CachedResult]:
        stores = {key: inputs.calibration[key] for key in missing}
        found = head_saliency(stores, calibration, config.seed, bench.scheduler, convention=config.saliency.convention)
        return {key: CachedResult(arrays=metrics) for key, metrics in found.items()}

    results = bench.steps.results("head-saliency", parts, compute)
    return {key: dict(result.arrays) for key, result in results.items()}


def layer_silhouettes_of(bench: Workbench, calibration: Calibration) -> np.ndarray:
    """Silhouette of the calibration samples under their true labels in layers 1 to L, (L,) (HP figure 3)."""
    store = bench.inputs.calibration[bench.inputs.score_prompt]

    def compute() -> CachedResult:
        kernel = partial(_silhouettes, labels=calibration.labels)
        return CachedResult(
            arrays=map_layers(store, calibration.rows, kernel, bench.scheduler, what="silhouettes of layers")
        )

    return bench.steps.result("layer-silhouettes", samples_digest(store, calibration), compute).arrays["silhouette"]


def _silhouettes(features: np.ndarray, labels: np.ndarray) -> Metrics:
    return {"silhouette": silhouettes(features, labels)}


def ranked(metrics: Mapping[str, np.ndarray], wanted: Sequence[str] | None) -> Metrics:
    """The metrics that are ranked, of those that were measured."""
    names = wanted or [name for name in (*HEAD_METRICS, *LAYER_METRICS) if name in metrics]
    return {name: metrics[name] for name in names}


def plain(values: np.ndarray) -> Any:
    """An array as nested lists, unknown values as None."""
    result = values.astype(object)
    result[np.isnan(values)] = None
    return result.tolist()
