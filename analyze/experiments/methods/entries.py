"""The rows of a comparison: both methods, single layers and heads, the model's text, and baselines."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from vadprobe.analyze.configuration import AnalysisConfig
from vadprobe.analyze.evaluation.evaluation import Evaluation
from vadprobe.analyze.experiments.cases import ExperimentContext, ExperimentJob, chosen_by, varied
from vadprobe.analyze.experiments.headhunt_tables import headhunt_config
from vadprobe.analyze.experiments.hiprobe_tables import hiprobe_config
from vadprobe.analyze.experiments.measuring import describe
from vadprobe.analyze.experiments.methods.measured import (
    ALL,
    Groups,
    Measured,
    Segments,
    fit_and_measure,
    measure_segments,
)
from vadprobe.analyze.experiments.methods.text_output import read_texts
from vadprobe.analyze.experiments.rows import Number, Row
from vadprobe.analyze.report.evaluation_text import BASELINE_NAMES
from vadprobe.store.errors import VadprobeError

DRAWS = 20
"""Draws of random heads."""

BASELINES = ("video_flat", "random")
"""Baselines shown: one knows the true label of each video, the other nothing."""

Target = Callable[[ExperimentJob], ExperimentJob | None]
"""The job on whose test videos a job is measured; None for its own."""


@dataclass(frozen=True, eq=False)
class Entry:
    """One row: its key for the verdicts, and the draws that were measured; without any, the `reason`.

    `baseline` names a baseline of the evaluations, which is then what the row shows.
    """

    key: str
    label: str
    draws: tuple[Measured, ...] = ()
    reason: str = ""
    choice: str = ""
    baseline: str = ""
    others: Mapping[str, float] = field(default_factory=dict)

    @property
    def aucs(self) -> list[float]:
        """AUC of every draw over all videos."""
        return [draw.auc for draw in self.draws]

    @property
    def auc(self) -> float:
        """AUC over all videos, of several draws the median; NaN where it is unknown."""
        return float(np.median(self.aucs)) if self.draws else math.nan

    @property
    def auc_low(self) -> float:
        """Lower end of the interval of the AUC over all videos; NaN where there is none."""
        return self._number(ALL, "auc").low

    def row(self, columns: Mapping[str, tuple[str, str]]) -> Row:
        """Return the row with columns that are (group, metric) each."""
        numbers = {name: self._number(*place) for name, place in columns.items()}
        if not self.draws:
            return Row(self.label, numbers, reason=self.reason)
        caveats = tuple(dict.fromkeys(text for draw in self.draws for text in draw.caveats))
        return Row(self.label, numbers, self._interval(), len(self.draws), self.choice, caveats=caveats)

    def _number(self, group: str, metric: str) -> Number:
        found = [draw.by_group.get(group) for draw in self.draws]
        known = [one for one in found if one is not None]
        if not known or len(known) < len(found):
            return Number()
        if self.baseline:
            return Number(known[0].baselines[self.baseline][metric])
        values = [float(getattr(one, metric)) for one in known]
        if len(values) > 1:
            return Number(float(np.median(values)), min(values), max(values))
        return Number(values[0], *known[0].intervals.get(metric, ()))

    def _interval(self) -> str:
        if self.baseline:
            return ""
        if len(self.draws) > 1:
            return f"lowest and highest of {len(self.draws)} draws of heads; the number before is their median"
        first = next((one for one in self.draws[0].by_group.values() if one is not None), None)
        return f"{first.bootstrap.confidence:.0%} of video resamples" if first is not None and first.intervals else ""


def layer_entries(lab: ExperimentContext, groups: Groups, target: Target) -> list[Entry]:
    """Measure HiProbe-VAD's layer beside the last, the middle, and the best of all layers."""
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
    """Measure HeadHunt-VAD's heads beside random ones, those of the last block, and all."""
    case = lab.case_of("headhunt")
    base = headhunt_config(case)
    count = base.top_heads
    entries = [_entry(lab, "rhi", f"HeadHunt-VAD ({count} heads by RHI)", case, [base], groups, target)]
    if not entries[0].draws:
        return entries
    shape = case.inputs(base).store.spec.backbone
    random = varied(base, selection=chosen_by("random-heads"), evaluation={"resamples": 0})
    draws = [varied(random, selection={"seed": base.selection.seed + number}) for number in range(DRAWS)]
    heads = tuple((shape.n_layers - 1, head) for head in range(shape.n_heads))
    last = varied(base, selection={**chosen_by("heads"), "heads": heads})
    every = varied(base, selection=chosen_by("all-heads"))
    return [
        *entries,
        _entry(lab, "random-heads", f"  {count} random heads", case, draws, groups, target),
        _entry(lab, "last-block", "  all heads of the last block", case, [last], groups, target),
        _entry(lab, "all-heads", "  all heads of all blocks", case, [every], groups, target),
    ]


def text_entries(lab: ExperimentContext, groups: Groups, methods: Sequence[Entry]) -> list[Entry]:
    """Measure the text that the backbone generates, for each job that has texts; `methods` give the smoothing."""
    entries: list[Entry] = []
    cases = {"dlsp": lab.case_of("hiprobe"), "rhi": lab.case_of("headhunt")}
    if cases["dlsp"] is cases["rhi"]:
        del cases["rhi"]
    for key, case in cases.items():
        if case.texts is None or not case.texts.exists():
            continue
        method = next((entry for entry in methods if entry.key == key and entry.draws), None)
        detector = method.draws[0].detector if method is not None else None
        sigma = detector.locator.sigma if detector is not None else case.config.locator.sigmas[0]
        label = f"text about {case.segment.clip_length} frames"
        lab.report("", label)
        try:
            texts = read_texts(case.texts, case.inputs(case.config).store.spec)
        except VadprobeError as error:
            entries.append(Entry("text", label, reason=str(error)))
            continue
        variants = {
            "text-raw": (f"{label}: p of event words", texts.probabilities),
            "text": (f"  smoothed as the method (sigma {sigma:g})", texts.smoothed(sigma)),
            "text-said": ("  an event word is said, or not", texts.says_event),
        }
        for name, (words, scores) in variants.items():
            segments = Segments(texts.video_ids, texts.start_frames, texts.stop_frames, scores)
            found = measure_segments(lab, case.truth, segments, groups, case.config)
            entries.append(Entry(name, words, (Measured(found),)))
    return entries


def baseline_entries(methods: Sequence[Entry]) -> list[Entry]:
    """Return baselines that look at no picture, on the frames of the first method that was measured."""
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
