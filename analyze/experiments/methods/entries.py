"""Rows of a comparison from detectors: both methods, single layers and heads, and baselines."""

import math
from collections.abc import Callable, Sequence

from vadprobe.analyze.configuration import AnalysisConfig
from vadprobe.analyze.evaluation.evaluation import Evaluation
from vadprobe.analyze.experiments.cases import ExperimentContext, ExperimentJob, chosen_by, varied
from vadprobe.analyze.experiments.measuring import describe
from vadprobe.analyze.experiments.methods.entry import Entry
from vadprobe.analyze.experiments.methods.measured import ALL, Groups, Measured, fit_and_measure
from vadprobe.analyze.experiments.papers.headhunt_tables import headhunt_config
from vadprobe.analyze.experiments.papers.hiprobe_tables import hiprobe_config
from vadprobe.analyze.report.evaluation_text import BASELINE_NAMES
from vadprobe.store.errors import VadprobeError

DRAWS = 20
"""Number of draws of random heads."""

BASELINES = ("video_flat", "random")
"""Baselines in the table: one knows the true label of each video, the other is random."""

Target = Callable[[ExperimentJob], ExperimentJob | None]
"""Function from a job to the job on whose test videos it is measured; None means its own."""


def layer_entries(lab: ExperimentContext, groups: Groups, target: Target) -> list[Entry]:
    """Measure HiProbe-VAD's layer, the last, the middle, and the best of all layers."""
    case = lab.case_of("hiprobe")
    base = hiprobe_config(case)
    chosen = _entry(lab, "dlsp", "HiProbe-VAD (layer by DLSP)", case, [base], groups, target)
    last = varied(base, selection=chosen_by("last-layer"))
    middle = varied(base, selection=chosen_by("middle-layer"))
    entries = [
        chosen,
        _entry(lab, "last-layer", "  last layer", case, [last], groups, target),
        _entry(lab, "middle-layer", "  middle layer", case, [middle], groups, target),
    ]
    if not chosen.draws:
        return entries
    n_layers = case.inputs(base).store.spec.backbone.n_layers
    fixed = {
        layer: _entry(lab, "", f"layer {layer}", case, [_at_layer(base, layer)], groups, target)
        for layer in range(1, n_layers + 1)
    }
    aucs = {str(layer): entry.auc for layer, entry in fixed.items() if not math.isnan(entry.auc)}
    if aucs:
        best = fixed[int(max(aucs, key=lambda layer: aucs[layer]))]
        label = "  best fixed layer (chosen on test)"
        entries.append(Entry("best-layer", label, best.draws, choice=best.choice, others=aucs))
    return entries


def head_entries(lab: ExperimentContext, groups: Groups, target: Target) -> list[Entry]:
    """Measure HeadHunt-VAD's heads, random heads, all heads of the last block, and all heads."""
    case = lab.case_of("headhunt")
    base = headhunt_config(case)
    count = base.top_heads
    entries = [_entry(lab, "rhi", f"HeadHunt-VAD ({count} heads by RHI)", case, [base], groups, target)]
    if not entries[0].draws:
        return entries
    random = varied(base, selection=chosen_by("random-heads"), evaluation={"resamples": 0})
    draws = [varied(random, selection={"seed": base.selection.seed + number}) for number in range(DRAWS)]
    last = varied(base, selection=chosen_by("last-block"))
    every = varied(base, selection=chosen_by("all-heads"))
    return [
        *entries,
        _entry(lab, "random-heads", f"  {count} random heads", case, draws, groups, target),
        _entry(lab, "last-block", "  all heads of the last block", case, [last], groups, target),
        _entry(lab, "all-heads", "  all heads of all blocks", case, [every], groups, target),
    ]


def baseline_entries(methods: Sequence[Entry]) -> list[Entry]:
    """Return the rows of trivial baselines, on the frames of the first method that was measured."""
    first = next((entry.draws[0] for entry in methods if entry.draws and _is_known(entry.draws[0])), None)
    if first is None:
        return []
    return [Entry(name, f"baseline: {BASELINE_NAMES[name]}", (first,), baseline=name) for name in BASELINES]


def _entry(
    lab: ExperimentContext,
    key: str,
    label: str,
    case: ExperimentJob,
    draws: Sequence[AnalysisConfig],
    groups: Groups,
    target: Target,
) -> Entry:
    found: list[Measured] = []
    for config in draws:
        lab.report("", label.strip())
        try:
            found.append(fit_and_measure(lab, case, config, groups, target(case)))
        except VadprobeError as error:
            return Entry(key, label, reason=str(error))
    detector = found[0].detector
    choice = describe(detector.selection) if detector is not None and len(found) == 1 else ""
    return Entry(key, label, tuple(found), choice=choice)


def _at_layer(config: AnalysisConfig, layer: int) -> AnalysisConfig:
    return varied(config, selection={**chosen_by("layer"), "layer": layer})


def _is_known(found: Measured) -> bool:
    evaluation: Evaluation | None = found.by_group[ALL]
    return evaluation is not None
