"""HiProbe-VAD's comparisons and ablations (MM 2025), each measured on a job's stores."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np

from vadprobe.analyze.configuration import LAYER_METRICS, AnalysisConfig
from vadprobe.analyze.detector.fitting import calibrate
from vadprobe.analyze.detector.saliency_steps import layer_silhouettes_of
from vadprobe.analyze.detector.selection_rules import choose
from vadprobe.analyze.experiments.cases import ExperimentContext, ExperimentJob, chosen_by, varied
from vadprobe.analyze.experiments.measuring import (
    FIXED_THRESHOLDS,
    METRICS,
    THRESHOLD_METRICS,
    THRESHOLD_NOTE,
    describe,
    measured_row,
    table_of,
)
from vadprobe.analyze.experiments.papers.comparison import comparison
from vadprobe.analyze.experiments.rows import Number, Row, Table
from vadprobe.analyze.report.published_results import HIPROBE_BACKBONES
from vadprobe.store.errors import VadprobeError
from vadprobe.store.format.sampling import Sampling

FRAMES = (2, 4, 8, 16)
"""Frames of a clip that the backbone sees, in the ablation of the sampling rate."""


def hiprobe_config(case: ExperimentJob) -> AnalysisConfig:
    """Change the job's settings to HiProbe-VAD; a job of the other method gets the paper's locator."""
    if case.config.method == "hiprobe":
        return varied(case.config, selection=chosen_by("dlsp"))
    locator = {"sigmas": (0.4,), "threshold": "adaptive"}
    return varied(case.config, selection=chosen_by("dlsp"), locator=locator, preset="hiprobe")


def hiprobe_1(lab: ExperimentContext) -> Table:
    """Compare with published methods."""
    case = lab.case_of("hiprobe")
    return comparison(lab, case, "hiprobe-1", hiprobe_config(case), "HiProbe-VAD (DLSP layer)")


def hiprobe_2(lab: ExperimentContext) -> Table:
    """Measure zero-shot transfer: fitted on one set, measured on another, for every pair of jobs with one backbone."""
    case = lab.case_of("hiprobe")
    sets = {case.truth.name: case}
    for other in lab.others(case):
        if _features_of(other) == _features_of(case):
            sets.setdefault(other.truth.name, other)
    rows = [
        measured_row(
            lab,
            source,
            f"{source.truth.name} -> {target.truth.name}",
            hiprobe_config(source),
            target=None if target is source else target,
        )
        for source in sets.values()
        for target in sets.values()
        if source.truth.of_split("train")
    ]
    notes = _left_out(lab, sets.values(), "another dataset with the same backbone, sampling and score prompt")
    return table_of(case, "hiprobe-2", "zero-shot transfer between datasets", rows, notes=notes)


def hiprobe_3(lab: ExperimentContext) -> Table:
    """Compare layers: DLSP, one metric alone, the layers that other work takes; with the silhouette of each choice."""
    case = lab.case_of("hiprobe")
    base = hiprobe_config(case)
    variants = [("DLSP, all three metrics", varied(base, saliency={"metrics": None}))]
    variants += [
        (f"{name.replace('_', ' ')} alone", varied(base, saliency={"metrics": (name,)})) for name in LAYER_METRICS
    ]
    variants += [
        ("middle layer", varied(base, selection=chosen_by("middle-layer"))),
        ("last layer", varied(base, selection=chosen_by("last-layer"))),
    ]
    rows = [_with_silhouette(lab, case, config, measured_row(lab, case, label, config)) for label, config in variants]
    notes = (
        "The silhouette (figure 3 of the paper) is that of the first draw's calibration samples under their labels.",
    )
    return table_of(case, "hiprobe-3", "choice of the layer", rows, (*METRICS, "silhouette"), notes)


def hiprobe_4(lab: ExperimentContext) -> Table:
    """Compare thresholds: adaptive and fixed, and no smoothing; ranking metrics of the decision are labelled so."""
    case = lab.case_of("hiprobe")
    base = hiprobe_config(case)
    sigma = base.locator.sigmas[0]
    variants: list[tuple[str, dict[str, Any]]] = [
        ("adaptive threshold", {"threshold": "adaptive", "sigmas": (sigma,)}),
        *((f"fixed threshold {value}", {"threshold": value, "sigmas": (sigma,)}) for value in FIXED_THRESHOLDS),
        ("adaptive, no smoothing", {"threshold": "adaptive", "sigmas": (0.0,)}),
    ]
    rows = [measured_row(lab, case, label, varied(base, locator=locator)) for label, locator in variants]
    notes = (THRESHOLD_NOTE, _prior_note(lab, case, base))
    return table_of(case, "hiprobe-4", "thresholds and smoothing", rows, THRESHOLD_METRICS, notes)


def hiprobe_5(lab: ExperimentContext) -> Table:
    """Compare sampling rates: frames of a clip that the backbone sees."""
    case = lab.case_of("hiprobe")
    base = hiprobe_config(case)
    length = case.segment.clip_length or 0
    counts = sorted({*FRAMES, case.segment.frames_per_clip})
    rows = []
    for count in counts:
        label = f"K = {count} of {length} frames"
        if count > length:
            rows.append(Row(label, dict.fromkeys(METRICS, Number()), reason=f"a clip has {length} frames"))
            continue
        samplings = None  # the job's own, whatever it calibrates on
        if count != case.segment.frames_per_clip:
            samplings = [Sampling("segment", length, count), _calibrated_with(case, base, count)]
        rows.append(measured_row(lab, case, label, base, samplings=samplings))
    notes = ("Each row has features of its own: extract the samplings that are missing, under the same store root.",)
    return table_of(case, "hiprobe-5", "sampling rate", rows, notes=notes)


def hiprobe_6(lab: ExperimentContext) -> Table:
    """Compare backbones: every job on the same dataset."""
    case = lab.case_of("hiprobe")
    backbones: dict[str, ExperimentJob] = {}
    for other in (case, *lab.others(case)):
        if other.truth.name == case.truth.name:
            backbones.setdefault(other.backbone, other)
    rows = [measured_row(lab, other, other.backbone, hiprobe_config(other)) for other in backbones.values()]
    rows += [Row(name, published=values) for name, values in HIPROBE_BACKBONES.items()]
    notes = _left_out(lab, backbones.values(), "another backbone on the same dataset")
    return table_of(case, "hiprobe-6", "backbones", rows, notes=notes)


def _left_out(lab: ExperimentContext, used: Iterable[ExperimentJob], wanted: str) -> tuple[str, ...]:
    """Say which jobs have no row, and what a job of one's own must be."""
    taken = list(used)
    names = [case.name for case in lab.cases if case not in taken]
    notes = [f"Not used here: {', '.join(names)}; every row needs {wanted}."] if names else []
    if len(taken) == 1:
        notes.append(f"Only one job fits: add one of {wanted}.")
    return tuple(notes)


def _features_of(case: ExperimentJob) -> tuple[str, Sampling, str]:
    """Return what two jobs must share for a detector of one to be applied to the other."""
    return case.backbone, case.segment, case.score_prompt


def _calibrated_with(case: ExperimentJob, config: AnalysisConfig, frames: int) -> Sampling:
    """Return the sampling that is calibrated on, with that many frames of a clip."""
    if config.calibration.unit == "segment":
        return Sampling("segment", case.segment.clip_length, frames)
    return Sampling("video", None, frames)


def _with_silhouette(lab: ExperimentContext, case: ExperimentJob, config: AnalysisConfig, row: Row) -> Row:
    try:
        inputs = case.inputs(config)
        calibration, _ = calibrate(inputs, config.calibration)
        selection = choose(inputs, config, calibration, lab.cache, lab.scheduler).selection
        # A row whose first draw could not be measured shows another draw's layer: nothing is said of it.
        shown = describe(selection) == row.choice
        values = layer_silhouettes_of(inputs.calibration_store, calibration, lab.cache, lab.scheduler)
        value = values[selection.indices[0][0] - 1] if shown else np.nan
    except VadprobeError:  # the row has the reason
        value = np.nan
    return replace(row, numbers={**row.numbers, "silhouette": Number(float(value))})


def _prior_note(lab: ExperimentContext, case: ExperimentJob, config: AnalysisConfig) -> str:
    """Say what fraction of the samples is anomalous: the adaptive threshold follows it."""
    try:
        calibration, _ = calibrate(case.inputs(config), config.calibration)
    except VadprobeError:
        return ""
    fraction = float(calibration.labels.mean())
    return (
        "The adaptive threshold is a mean over all calibration samples and mostly follows the share of anomalous "
        f"ones, here {fraction:.0%} of {len(calibration.labels)}."
    )
