"""Selection of layers or heads by a rule: the papers' (DLSP, RHI), one of their ablations, or an added one."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from vadprobe.analyze.calibration.calibration import Calibration
from vadprobe.analyze.compute.scheduling import Scheduler
from vadprobe.analyze.compute.step_cache import StepCache
from vadprobe.analyze.configuration import AnalysisConfig
from vadprobe.analyze.detector.saliency_steps import (
    head_metrics_of,
    layer_metrics_of,
    plain,
    ranked,
    rule_scores_of,
)
from vadprobe.analyze.features.inputs import AnalysisInputs
from vadprobe.analyze.features.kernel_mapping import check_has_heads
from vadprobe.analyze.saliency.ranking import dlsp, rhi
from vadprobe.analyze.saliency.rules import RULES, RankingRule
from vadprobe.analyze.saliency.selection import Selection, select_heads, select_layer
from vadprobe.store.errors import VadprobeError
from vadprobe.store.format.specification import BackboneSpec, check_heads
from vadprobe.store.reading.requests import check_stored


@dataclass(frozen=True, eq=False)
class Choice:
    """A selection, and its details for a report as JSON values.

    `details` has the ranked `scores`, their `parts`, the raw `metrics` by prompt, for layers the `layers` of the
    scores, and for heads their saliency by prompt (`prompts`). It is None for a rule that ranks nothing.
    """

    selection: Selection
    details: dict[str, Any] | None = None


def choose(
    inputs: AnalysisInputs, config: AnalysisConfig, calibration: Calibration, cache: StepCache, scheduler: Scheduler
) -> Choice:
    """Choose by the rule of the job.

    Raises:
        VadprobeError: if the rule names a layer or head that the backbone or a store does not have, or nothing can be
            ranked.
    """
    if not config.chooses_layers:
        check_has_heads(inputs.store.spec.backbone)
    digests = {"calibration": calibration.digest, "features": inputs.feature_digest}
    if config.rule in _GIVEN:
        selection = _GIVEN[config.rule](config, inputs.store.spec.backbone, digests)
        _check_stored(inputs, calibration, selection)
        return Choice(selection)
    if config.rule == "dlsp":
        store = inputs.calibration_store
        return _by_dlsp(
            inputs, config, digests, layer_metrics_of(store, calibration, config.saliency, cache, scheduler)
        )
    rule = RULES[config.rule]
    if isinstance(rule, RankingRule):
        measured_scores = rule_scores_of(inputs.calibration_store, calibration, config.rule, cache, scheduler)
        return _by_scores(inputs, config, digests, measured_scores)
    stores = {key: inputs.calibration[key] for key in inputs.ranked_prompts}
    measured = head_metrics_of(stores, calibration, config.saliency, config.seed, cache, scheduler)
    best = _by_rhi(config, digests, measured)
    return best if config.rule == "rhi" else _full_layer(best, inputs.store.spec.backbone, digests)


def _check_stored(inputs: AnalysisInputs, calibration: Calibration, selection: Selection) -> None:
    """Refuse, before anything is read, layers or heads that the fitted or the scored store does not hold."""
    array = "hidden_states" if selection.unit == "layer" else "head_outputs"
    for store, rows in (
        (inputs.calibration_store, calibration.rows),
        (inputs.store, inputs.rows_of_split("test")),
    ):
        check_stored(store.path, store.spec, store.contents, array, selection.indices, rows)


def _by_dlsp(
    inputs: AnalysisInputs, config: AnalysisConfig, digests: dict[str, str], measured: Mapping[str, np.ndarray]
) -> Choice:
    metrics = ranked(measured, config.saliency.metrics)
    selection = select_layer(metrics, inputs=digests)
    scores, parts = dlsp(metrics)
    layers = list(range(selection.first_layer, selection.first_layer + len(scores)))
    return Choice(selection, _details(scores, parts, {inputs.score_prompt: measured}, layers))


def _by_rhi(
    config: AnalysisConfig, digests: dict[str, str], measured: Mapping[str, Mapping[str, np.ndarray]]
) -> Choice:
    metrics = {key: ranked(values, config.saliency.metrics) for key, values in measured.items()}
    selection = select_heads(metrics, weight=config.instability_weight, top=config.top_heads, inputs=digests)
    robust = rhi(metrics, config.instability_weight, config.top_heads)
    parts = {"mean": robust.mean, "instability": robust.instability}
    details = _details(robust.robust, parts, measured, [])
    prompts = {key: plain(values) for key, values in robust.prompts.items()}
    return Choice(selection, {**details, "prompts": prompts})


def _by_scores(inputs: AnalysisInputs, config: AnalysisConfig, digests: dict[str, str], scores: np.ndarray) -> Choice:
    """Choose the layer, or the `top_heads` heads, with the greatest scores; of equal ones the first."""
    unit = RULES[config.rule].unit
    wanted, known = 1 if unit == "layer" else config.top_heads, int(np.isfinite(scores).sum())
    if known < wanted:
        raise VadprobeError(
            f"rule {config.rule!r} needs {wanted} {unit}s with a finite score, got {known} of "
            f"{scores.size}. Draw a larger calibration set."
        )
    finite = np.where(np.isfinite(scores), scores, -np.inf)
    order = np.argsort(-finite, axis=None, kind="stable")[:wanted]
    first = 1 if unit == "layer" else 0
    indices = tuple(
        tuple(int(part) + first for part in np.unravel_index(number, scores.shape)) for number in order.tolist()
    )
    listed = plain(np.where(np.isfinite(scores), scores, np.nan))
    rows = tuple(listed) if unit == "layer" else tuple(tuple(row) for row in listed)
    selection = Selection(unit, config.rule, indices, rows, digests, first)
    details = _details(scores, {}, {inputs.score_prompt: {config.rule: scores}}, [])
    if unit == "layer":
        return Choice(selection, {**details, "layers": list(range(1, 1 + len(scores)))})
    one_prompt = {"mean": listed, "instability": plain(np.where(np.isfinite(scores), 0.0, np.nan))}
    return Choice(selection, {**details, "parts": one_prompt, "prompts": {inputs.score_prompt: listed}})


def _full_layer(best: Choice, backbone: BackboneSpec, digests: dict[str, str]) -> Choice:
    """Choose every head of the block of RHI's best head."""
    block = best.selection.indices[0][0]
    heads = tuple(head for head in backbone.heads if head[0] == block)
    return Choice(Selection("head", "full-layer", heads, best.selection.scores, digests), best.details)


def _layer(config: AnalysisConfig, backbone: BackboneSpec, digests: dict[str, str]) -> Selection:
    count = backbone.n_layers
    first = 0 if config.selection.layer_zero == "embedding" else 1
    if config.rule == "last-layer":
        layer = count
    else:
        number = config.selection.layer if config.rule == "layer" else max(1 - first, round(count / 2))
        layer = -1 if number is None else number + first
    if not 0 <= layer <= count:
        raise VadprobeError(
            f"selection.layer must be a layer of the backbone, 0 to {count - first}, got {config.selection.layer}; 0 "
            f"is the {config.selection.layer_zero} (layer_zero)."
        )
    return Selection("layer", config.rule, ((layer,),), inputs=digests)


def _heads(config: AnalysisConfig, backbone: BackboneSpec, digests: dict[str, str]) -> Selection:
    try:
        check_heads(backbone, config.selection.heads)
    except VadprobeError as error:
        raise VadprobeError(f"selection.heads: {error}") from error
    return Selection("head", config.rule, config.selection.heads, inputs=digests)


def _random_heads(config: AnalysisConfig, backbone: BackboneSpec, digests: dict[str, str]) -> Selection:
    total = len(backbone.heads)
    if config.top_heads > total:
        raise VadprobeError(f"top_heads must be at most {total}, the heads of the backbone, got {config.top_heads}.")
    generator = np.random.default_rng(config.selection.seed)
    drawn = generator.choice(total, config.top_heads, replace=False).tolist()
    heads = tuple(backbone.heads[number] for number in drawn)
    return Selection("head", config.rule, heads, inputs=digests | {"seed": str(config.selection.seed)})


def _last_block(config: AnalysisConfig, backbone: BackboneSpec, digests: dict[str, str]) -> Selection:
    last = backbone.heads[-1][0]  # of a hybrid backbone, the last block that has heads
    heads = tuple(head for head in backbone.heads if head[0] == last)
    return Selection("head", config.rule, heads, inputs=digests)


def _all_heads(config: AnalysisConfig, backbone: BackboneSpec, digests: dict[str, str]) -> Selection:
    return Selection("head", config.rule, backbone.heads, inputs=digests)


_GIVEN: Mapping[str, Callable[[AnalysisConfig, BackboneSpec, dict[str, str]], Selection]] = {
    "layer": _layer,
    "middle-layer": _layer,
    "last-layer": _layer,
    "heads": _heads,
    "random-heads": _random_heads,
    "last-block": _last_block,
    "all-heads": _all_heads,
}
"""Function of each rule that measures nothing."""


def _details(
    scores: np.ndarray,
    parts: Mapping[str, np.ndarray],
    metrics: Mapping[str, Mapping[str, np.ndarray]],
    layers: list[int],
) -> dict[str, Any]:
    return {
        "scores": plain(scores),
        "parts": {name: plain(values) for name, values in parts.items()},
        "layers": layers,
        "metrics": {prompt: {name: plain(v) for name, v in found.items()} for prompt, found in metrics.items()},
    }
