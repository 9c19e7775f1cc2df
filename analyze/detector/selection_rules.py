"""How layers or heads are chosen: the papers' rules (HP7, HH9), and those that their ablations compare them with."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from vadprobe.analyze.calibration.calibration import Calibration
from vadprobe.analyze.detector.saliency_steps import head_metrics_of, layer_metrics_of, plain, ranked
from vadprobe.analyze.features.context import Workbench
from vadprobe.analyze.saliency.ranking import dlsp, rhi
from vadprobe.analyze.saliency.selection import Selection, select_heads, select_layer
from vadprobe.store.errors import VadprobeError


@dataclass(frozen=True, eq=False)
class Choice:
    """A selection with what the report shows of it as JSON values.

    ``shown`` has ``scores`` that were ranked, their ``parts``, the ``layers`` of a layer's scores, and the raw
    ``metrics`` by prompt; it is None for a rule that ranks nothing.
    """

    selection: Selection
    shown: dict[str, Any] | None = None


def choose(bench: Workbench, calibration: Calibration) -> Choice:
    """Choose by the rule of the job.

    Raises:
        VadprobeError: if the rule asks for a layer or head that the backbone does not have, or nothing can be ranked.
    """
    digests = {"calibration": calibration.digest, "features": bench.inputs.feature_digest}
    return _RULES[bench.inputs.config.rule](bench, calibration, digests)


def _dlsp(bench: Workbench, calibration: Calibration, digests: dict[str, str]) -> Choice:
    measured = layer_metrics_of(bench, calibration)
    metrics = ranked(measured, bench.inputs.config.saliency.metrics)
    selection = select_layer(metrics, inputs=digests)
    scores, parts = dlsp(metrics)
    layers = list(range(selection.first_layer, selection.first_layer + len(scores)))
    return Choice(selection, _shown(scores, parts, {bench.inputs.score_prompt: measured}, layers))


def _rhi(bench: Workbench, calibration: Calibration, digests: dict[str, str]) -> Choice:
    config = bench.inputs.config
    measured = head_metrics_of(bench, calibration, bench.inputs.ranked_prompts)
    metrics = {key: ranked(values, config.saliency.metrics) for key, values in measured.items()}
    selection = select_heads(metrics, weight=config.instability_weight, top=config.top_heads, inputs=digests)
    robust = rhi(metrics, config.instability_weight, config.top_heads)
    parts = {"mean": robust.mean, "instability": robust.instability}
    return Choice(selection, _shown(robust.robust, parts, measured, []))


def _layer(bench: Workbench, calibration: Calibration, digests: dict[str, str]) -> Choice:
    config = bench.inputs.config
    count = bench.inputs.store.spec.backbone.n_layers
    layers = {"last-layer": count, "middle-layer": max(1, round(count / 2)), "layer": config.selection.layer}
    layer = layers[config.rule]
    if layer is None or layer > count:
        raise VadprobeError(f"selection.layer is {layer}, but the backbone has layers 0 to {count}.")
    return Choice(Selection("layer", config.rule, ((layer,),), inputs=digests))


def _heads(bench: Workbench, calibration: Calibration, digests: dict[str, str]) -> Choice:
    config, backbone = bench.inputs.config, bench.inputs.store.spec.backbone
    for block, head in config.selection.heads:
        if not (0 <= block < backbone.n_layers and 0 <= head < backbone.n_heads):
            raise VadprobeError(
                f"selection.heads has [{block}, {head}], but the backbone has blocks 0 to {backbone.n_layers - 1} of "
                f"heads 0 to {backbone.n_heads - 1}."
            )
    return Choice(Selection("head", config.rule, config.selection.heads, inputs=digests))


def _random_heads(bench: Workbench, calibration: Calibration, digests: dict[str, str]) -> Choice:
    config, backbone = bench.inputs.config, bench.inputs.store.spec.backbone
    total = backbone.n_layers * backbone.n_heads
    if config.top_heads > total:
        raise VadprobeError(f"top_heads is {config.top_heads}, but the backbone has {total} heads.")
    generator = np.random.default_rng(config.selection.seed)
    drawn = generator.choice(total, config.top_heads, replace=False).tolist()
    heads = tuple(divmod(number, backbone.n_heads) for number in drawn)
    return Choice(Selection("head", config.rule, heads, inputs=digests | {"seed": str(config.selection.seed)}))


def _full_layer(bench: Workbench, calibration: Calibration, digests: dict[str, str]) -> Choice:
    best = _rhi(bench, calibration, digests)
    block = best.selection.indices[0][0]
    heads = tuple((block, head) for head in range(bench.inputs.store.spec.backbone.n_heads))
    return Choice(Selection("head", "full-layer", heads, best.selection.scores, digests), best.shown)


def _all_heads(bench: Workbench, calibration: Calibration, digests: dict[str, str]) -> Choice:
    backbone = bench.inputs.store.spec.backbone
    heads = tuple((block, head) for block in range(backbone.n_layers) for head in range(backbone.n_heads))
    return Choice(Selection("head", "all-heads", heads, inputs=digests))


_RULES: Mapping[str, Callable[[Workbench, Calibration, dict[str, str]], Choice]] = {
    "dlsp": _dlsp,
    "layer": _layer,
    "middle-layer": _layer,
    "last-layer": _layer,
    "rhi": _rhi,
    "heads": _heads,
    "random-heads": _random_heads,
    "full-layer": _full_layer,
    "all-heads": _all_heads,
}


def _shown(
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
