"""Saliency of layers and heads on the calibration samples, measured once for each prompt and kept."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import partial
from typing import Any

import numpy as np

from vadprobe.analyze.calibration.calibration import Calibration
from vadprobe.analyze.compute.registry import added_code
from vadprobe.analyze.compute.scheduling import Scheduler
from vadprobe.analyze.compute.step_cache import CachedResult, StepCache
from vadprobe.analyze.configuration import HEAD_METRICS, LAYER_METRICS, SaliencyConfig
from vadprobe.analyze.features.cached_scores import samples_digest
from vadprobe.analyze.features.kernel_mapping import Metrics, map_heads, map_layers
from vadprobe.analyze.saliency.heads import head_metrics
from vadprobe.analyze.saliency.kernels.silhouette import silhouettes
from vadprobe.analyze.saliency.layers import layer_metrics
from vadprobe.analyze.saliency.rules import RULES, Ranked, RankingRule, SelectionRule
from vadprobe.store.reading.feature_store import FeatureStore


def layer_metrics_of(
    store: FeatureStore, calibration: Calibration, config: SaliencyConfig, cache: StepCache, scheduler: Scheduler
) -> Metrics:
    """Measure DLSP's metrics of one prompt's layers 1 to L, (L,) each, with the number of floored dimensions."""

    def compute() -> CachedResult:
        kernel = partial(layer_metrics, labels=calibration.labels, readings=config.of_layers)
        return CachedResult(arrays=map_layers(store, calibration.rows, kernel, scheduler))

    inputs = {**samples_digest(store, calibration), "readings": asdict(config.of_layers)}
    return dict(cache.result("layer-saliency", inputs, compute).arrays)


def head_metrics_of(
    stores: Mapping[str, FeatureStore],
    calibration: Calibration,
    config: SaliencyConfig,
    seed: int,
    cache: StepCache,
    scheduler: Scheduler,
) -> dict[str, Metrics]:
    """Measure RHI's metrics of every head, (L, H) each, by prompt; prompts that are not kept go together."""
    parts: dict[str, dict[str, Any]] = {
        key: {**samples_digest(store, calibration), **reading_of_heads(config), "seed": seed}
        for key, store in stores.items()
    }

    def compute(missing: list[str]) -> dict[str, CachedResult]:
        lacking = {key: stores[key] for key in missing}
        kernel = partial(
            head_metrics,
            labels=calibration.labels,
            seed=seed,
            convention=config.convention,
            readings=config.of_heads,
        )
        found = map_heads(lacking, calibration.rows, kernel, scheduler)
        return {key: CachedResult(arrays=metrics) for key, metrics in found.items()}

    results = cache.results("head-saliency", parts, compute)
    return {key: dict(result.arrays) for key, result in results.items()}


def rule_scores_of(
    store: FeatureStore, calibration: Calibration, name: str, cache: StepCache, scheduler: Scheduler
) -> np.ndarray:
    """Score every layer, (L,), or head, (L, H), under one prompt by a selection rule that has a score function."""
    rule = RULES[name]

    def compute() -> CachedResult:
        kernel = partial(_rule_scores, rule=rule, labels=calibration.labels)
        what = f"{rule.unit}s by {name}"
        if rule.unit == "layer":
            return CachedResult(arrays=map_layers(store, calibration.rows, kernel, scheduler, what=what))
        return CachedResult(arrays=map_heads({"": store}, calibration.rows, kernel, scheduler, what=what)[""])

    key = {
        **samples_digest(store, calibration),
        "rule": name,
        **added_code(rule.scores if isinstance(rule, Ranked) else rule),
    }
    return cache.result("rule-scores", key, compute).arrays["scores"]


def _rule_scores(features: np.ndarray, rule: SelectionRule, labels: np.ndarray) -> Metrics:
    assert isinstance(rule, RankingRule)
    return {"scores": np.asarray(rule.scores(features, labels), dtype=np.float64)}


def reading_of_heads(config: SaliencyConfig) -> dict[str, Any]:
    """Return the part of a step's key that says which readings of the heads' metrics are used."""
    return {"convention": config.convention, "readings": asdict(config.of_heads)}


def layer_silhouettes_of(
    store: FeatureStore, calibration: Calibration, cache: StepCache, scheduler: Scheduler
) -> np.ndarray:
    """Measure the silhouette of the calibration samples under their true labels, (L,) (HiProbe-VAD, figure 3)."""

    def compute() -> CachedResult:
        kernel = partial(_silhouettes, labels=calibration.labels)
        return CachedResult(arrays=map_layers(store, calibration.rows, kernel, scheduler, what="silhouettes of layers"))

    return cache.result("layer-silhouettes", samples_digest(store, calibration), compute).arrays["silhouette"]


def _silhouettes(features: np.ndarray, labels: np.ndarray) -> Metrics:
    return {"silhouette": silhouettes(features, labels)}


def ranked(metrics: Mapping[str, np.ndarray], wanted: Sequence[str] | None) -> Metrics:
    """Return the measured metrics that are ranked: the `wanted` ones, all for None."""
    names = wanted or [name for name in (*HEAD_METRICS, *LAYER_METRICS) if name in metrics]
    return {name: metrics[name] for name in names}


def plain(values: np.ndarray) -> Any:
    """Return an array as nested lists, unknown values as None."""
    result = values.astype(object)
    result[np.isnan(values)] = None
    return result.tolist()
