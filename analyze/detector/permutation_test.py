"""Permutation test of saliency, and cross-fitted AUC of every layer and head.

Every layer and head separates a few calibration samples; these numbers say how much of that is chance. A relabeling
permutes the labels of whole videos, in the same way for every prompt, and repeats the whole ranking (DLSP, RHI).
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import partial
from typing import Any

import numpy as np

from vadprobe.analyze.calibration.calibration import Calibration
from vadprobe.analyze.compute.scheduling import Scheduler
from vadprobe.analyze.compute.step_cache import CachedResult, StepCache
from vadprobe.analyze.configuration import AnalysisConfig
from vadprobe.analyze.detector.saliency_steps import head_metrics_of, layer_metrics_of, plain, ranked, reading_of_heads
from vadprobe.analyze.features.cached_scores import samples_digest
from vadprobe.analyze.features.inputs import AnalysisInputs
from vadprobe.analyze.features.kernel_mapping import Metrics, map_heads, map_layers
from vadprobe.analyze.probes.unit_probing import cross_fitted_auc
from vadprobe.analyze.saliency.null.heads import head_null
from vadprobe.analyze.saliency.null.layers import layer_null
from vadprobe.analyze.saliency.null.permutations import Chance, chance, permuted_labels
from vadprobe.analyze.saliency.ranking import dlsp, rhi
from vadprobe.store.reading.feature_store import FeatureStore

Stores = Mapping[str, FeatureStore]
"""Calibration stores by prompt key."""


def chance_of(
    inputs: AnalysisInputs, config: AnalysisConfig, calibration: Calibration, cache: StepCache, scheduler: Scheduler
) -> dict[str, Any]:
    """Return `chance` and `cross_fitted_auc` as JSON values, each if the job asks for it.

    `chance` is about the ranked score, S(l) or RSS. For every layer or head it has the `p_value`, the `familywise`
    p-value (against the greatest score of each relabeling), and the `quantile` below which the score is in 95 % of
    relabelings. `cross_fitted_auc` is, by prompt, the AUC of a ridge classifier on each fold of videos, fitted on the
    other folds; 0.5 is chance.
    """
    if config.chooses_layers:
        stores: Stores = {inputs.score_prompt: inputs.calibration_store}
    else:
        stores = {key: inputs.calibration[key] for key in inputs.ranked_prompts}
    found: dict[str, Any] = {}
    if config.saliency.permutations:
        ranked_chance = _layer_chance if config.chooses_layers else _head_chance
        values = _as_json(ranked_chance(stores, config, calibration, cache, scheduler))
        found["chance"] = {"permutations": config.saliency.permutations, **values}
    if config.saliency.folds:
        by_prompt = cross_fitted(stores, config, calibration, cache, scheduler)
        found["cross_fitted_auc"] = {key: plain(auc) for key, auc in by_prompt.items()}
    return found


def cross_fitted(
    stores: Stores, config: AnalysisConfig, calibration: Calibration, cache: StepCache, scheduler: Scheduler
) -> dict[str, np.ndarray]:
    """Compute the cross-fitted AUC of every layer (L,) or head (L, H) under each prompt."""
    kernel = partial(
        _cross_fitted,
        labels=calibration.labels,
        groups=calibration.groups,
        n_folds=config.saliency.folds,
        seed=config.seed,
    )
    key = {"folds": config.saliency.folds, "seed": config.seed}
    found = _mapped("cross-fitted", stores, config, calibration, kernel, key, cache, scheduler)
    return {prompt: values["auc"] for prompt, values in found.items()}


def _cross_fitted(
    features: np.ndarray, labels: np.ndarray, groups: np.ndarray, n_folds: int, seed: int
) -> dict[str, np.ndarray]:
    return {"auc": cross_fitted_auc(features, labels, groups, n_folds, seed)}


def _layer_chance(
    stores: Stores, config: AnalysisConfig, calibration: Calibration, cache: StepCache, scheduler: Scheduler
) -> Chance:
    wanted = config.saliency.metrics
    ((prompt, store),) = stores.items()
    observed, _ = dlsp(ranked(layer_metrics_of(store, calibration, config.saliency, cache, scheduler), wanted))
    null = _relabeled(stores, config, calibration, cache, scheduler)[prompt]
    scores = [dlsp(ranked(_at(null, number), wanted))[0] for number in range(config.saliency.permutations)]
    return chance(observed, np.stack(scores))


def _head_chance(
    stores: Stores, config: AnalysisConfig, calibration: Calibration, cache: StepCache, scheduler: Scheduler
) -> Chance:
    measured = head_metrics_of(stores, calibration, config.saliency, config.seed, cache, scheduler)
    nulls = _relabeled(stores, config, calibration, cache, scheduler)

    def robust(of_prompts: Mapping[str, Metrics]) -> np.ndarray:
        metrics = {key: ranked(values, config.saliency.metrics) for key, values in of_prompts.items()}
        return rhi(metrics, config.instability_weight, 1).robust

    scores = [robust({key: _at(nulls[key], n) for key in stores}) for n in range(config.saliency.permutations)]
    return chance(robust(measured), np.stack(scores))


def _relabeled(
    stores: Stores, config: AnalysisConfig, calibration: Calibration, cache: StepCache, scheduler: Scheduler
) -> dict[str, Metrics]:
    """Measure the metrics under every relabeling; returns by prompt and metric arrays (permutations, ...)."""
    saliency = config.saliency
    labelings = permuted_labels(calibration.labels, calibration.groups, saliency.permutations, config.seed)
    kernel: Callable[[np.ndarray], Metrics]
    if config.chooses_layers:
        kernel = partial(layer_null, labelings=labelings, readings=saliency.of_layers)
        reading: dict[str, Any] = {"readings": asdict(saliency.of_layers)}
    else:
        kernel = partial(
            head_null,
            labelings=labelings,
            seed=config.seed,
            convention=saliency.convention,
            readings=saliency.of_heads,
        )
        reading = reading_of_heads(saliency)
    key = {**reading, "permutations": saliency.permutations, "seed": config.seed}
    return _mapped("relabeled-saliency", stores, config, calibration, kernel, key, cache, scheduler)


def _mapped(
    step: str,
    stores: Stores,
    config: AnalysisConfig,
    calibration: Calibration,
    kernel: Callable[[np.ndarray], Metrics],
    key: Mapping[str, Any],
    cache: StepCache,
    scheduler: Scheduler,
) -> dict[str, Metrics]:
    """Apply a kernel to every layer or head of each prompt; prompts without a kept result are computed together."""
    layers = config.chooses_layers
    parts = {
        prompt: {**samples_digest(store, calibration), "layers": layers, **key} for prompt, store in stores.items()
    }

    def compute(missing: list[str]) -> Mapping[str, CachedResult]:
        lacking = {prompt: stores[prompt] for prompt in missing}
        what = step.replace("-", " ")
        if layers:
            found = {
                prompt: map_layers(store, calibration.rows, kernel, scheduler, what=what)
                for prompt, store in lacking.items()
            }
        else:
            found = map_heads(lacking, calibration.rows, kernel, scheduler, what=what)
        return {prompt: CachedResult(arrays=metrics) for prompt, metrics in found.items()}

    return {prompt: dict(result.arrays) for prompt, result in cache.results(step, parts, compute).items()}


def _at(null: Metrics, number: int) -> Metrics:
    return {name: values[number] for name, values in null.items()}


def _as_json(found: Chance) -> dict[str, Any]:
    names = ("p_value", "familywise", "quantile")
    return {name: plain(np.asarray(getattr(found, name))) for name in names}
