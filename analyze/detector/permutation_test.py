"""The saliency of chance beside the saliency that was measured: relabeled videos, and scores that are not fitted on.

Every layer and head separates a few calibration samples; these numbers say how much of that is chance. A relabeling
moves the labels of whole videos, the same for every prompt, and goes through the whole ranking (HP7, HH9).
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from vadprobe.analyze.calibration.calibration import Calibration
from vadprobe.analyze.compute.step_cache import CachedResult
from vadprobe.analyze.configuration import LAYER_RULES
from vadprobe.analyze.detector.saliency_steps import head_metrics_of, layer_metrics_of, plain, ranked
from vadprobe.analyze.features.context import Workbench, samples_digest
from vadprobe.analyze.features.kernel_mapping import Metrics, map_layers, over_heads
from vadprobe.analyze.probes.unit_probing import cross_fitted_auc
from vadprobe.analyze.saliency.null.heads import head_null
from vadprobe.analyze.saliency.null.layers import layer_null
from vadprobe.analyze.saliency.null.permutations import Chance, chance, permuted_labels
from vadprobe.analyze.saliency.ranking import dlsp, rhi


def chance_of(bench: Workbench, calibration: Calibration) -> dict[str, Any]:
    """What chance would give, as JSON values, for the parts that the job asks for.

    ``chance``: of the ranked score S(l) or RSS, for every layer or head its ``p_value``, its ``familywise`` p-value (of
    the greatest score of all), and the ``quantile`` that 95 % of relabelings stay below. ``cross_fitted_auc``: by
    prompt, how well a ridge classifier fitted on the other folds of videos ranks each fold; 0.5 is chance.
    """
    config = bench.inputs.config.saliency
    found: dict[str, Any] = {}
    if config.permutations:
        found["chance"] = {"permutations": config.permutations, **_as_json(_ranked_chance(bench, calibration))}
    if config.folds:
        found["cross_fitted_auc"] = {key: plain(auc) for key, auc in cross_fitted(bench, calibration).items()}
    return found


def cross_fitted(bench: Workbench, calibration: Calibration) -> dict[str, np.ndarray]:
    """Cross-fitted AUC of every layer (L,) or head (L, H) under each prompt that is ranked."""
    inputs = bench.inputs
    layers = inputs.config.rule in LAYER_RULES
    prompts = (inputs.score_prompt,) if layers else inputs.ranked_prompts
    kernel = partial(
        _cross_fitted,
        labels=calibration.labels,
        groups=calibration.groups,
        n_folds=inputs.config.saliency.folds,
        seed=inputs.config.seed,
    )

    def compute(missing: list[str]) -> Mapping[str, CachedResult]:
        stores = {key: inputs.calibration[key] for key in missing}
        what = "cross-fitting"
        if layers:
            results = {key: map_layers(store, calibration.rows, kernel, bench.scheduler, what=what)
                       for key, store in stores.items()}  # fmt: skip
        else:
            results = over_heads(stores, calibration.rows, kernel, bench.scheduler, what=what)
        return {key: CachedResult(arrays=result) for key, result in results.items()}

    parts = {
        key: {
            **samples_digest(inputs.calibration[key], calibration),
            "layers": layers,
            "folds": inputs.config.saliency.folds,
            "seed": inputs.config.seed,
        }
        for key in prompts
    }
    return {key: r.arrays["auc"] for key, r in bench.steps.results("cross-fitted", parts, compute).items()}


def _cross_fitted(
    features: np.ndarray, labels: np.ndarray, groups: np.ndarray, n_folds: int, seed: int
) -> dict[str, np.ndarray]:
    return {"auc": cross_fitted_auc(features, labels, groups, n_folds, seed)}


def _ranked_chance(bench: Workbench, calibration: Calibration) -> Chance:
    """Chance of the score that chooses."""
    config = bench.inputs.config
    wanted = config.saliency.metrics
    if config.rule in LAYER_RULES:
        observed, _ = dlsp(ranked(layer_metrics_of(bench, calibration), wanted))
        null = _null(bench, calibration, (bench.inputs.score_prompt,))[bench.inputs.score_prompt]
        scores = [dlsp(ranked(_at(null, number), wanted))[0] for number in range(config.saliency.permutations)]
        return chance(observed, np.stack(scores))
    prompts = bench.inputs.ranked_prompts
    measured = head_metrics_of(bench, calibration, prompts)
    nulls = _null(bench, calibration, prompts)

    def robust(of_prompts: Mapping[str, Metrics]) -> np.ndarray:
        metrics = {key: ranked(values, wanted) for key, values in of_prompts.items()}
        return rhi(metrics, config.instability_weight, 1).robust

    scores = [robust({key: _at(nulls[key], n) for key in prompts}) for n in range(config.saliency.permutations)]
    return chance(robust(measured), np.stack(scores))


def _null(bench: Workbench, calibration: Calibration, prompts: Sequence[str]) -> dict[str, Metrics]:
    """The metrics under every relabeling: prompt to metric to (permutations, ...)."""
    inputs = bench.inputs
    config = inputs.config
    layers = config.rule in LAYER_RULES
    labelings = permuted_labels(calibration.labels, calibration.groups, config.saliency.permutations, config.seed)

    def compute(missing: list[str]) -> Mapping[str, CachedResult]:
        stores = {key: inputs.calibration[key] for key in missing}
        what = "relabeling"
        if layers:
            kernel = partial(layer_null, labelings=labelings)
            found = {key: map_layers(store, calibration.rows, kernel, bench.scheduler, what=what)
                     for key, store in stores.items()}  # fmt: skip
        else:
            of_heads = partial(head_null, labelings=labelings, seed=config.seed, convention=config.saliency.convention)
            found = over_heads(stores, calibration.rows, of_heads, bench.scheduler, what=what)
        return {key: CachedResult(arrays=metrics) for key, metrics in found.items()}

    parts = {
        key: {
            **samples_digest(inputs.calibration[key], calibration),
            "layers": layers,
            "convention": config.saliency.convention,
            "permutations": config.saliency.permutations,
            "seed": config.seed,
        }
        for key in prompts
    }
    results = bench.steps.results("relabeled-saliency", parts, compute)
    return {key: dict(result.arrays) for key, result in results.items()}


def _at(null: Metrics, number: int) -> Metrics:
    return {name: values[number] for name, values in null.items()}


def _as_json(found: Chance) -> dict[str, Any]:
    names = ("p_value", "familywise", "quantile")
    return {name: plain(np.asarray(getattr(found, name))) for name in names}
