"""Transfer between datasets for both methods: of the whole detector, and of the selection alone."""

from collections.abc import Callable
from dataclasses import replace

from vadprobe.analyze.configuration import AnalysisConfig
from vadprobe.analyze.detector.fitting import calibrate
from vadprobe.analyze.detector.selection_rules import choose
from vadprobe.analyze.experiments.cases import ExperimentContext, ExperimentJob, varied
from vadprobe.analyze.experiments.measuring import (
    LAYER_NOTE,
    Measurement,
    draws_of,
    measure,
    measured_row,
    of_measurements,
    over_draws,
    table_of,
)
from vadprobe.analyze.experiments.own.backbones import METHODS, left_out
from vadprobe.analyze.experiments.papers.headhunt_tables import SIGMA, THRESHOLD
from vadprobe.analyze.experiments.papers.transfers import jobs_by_set
from vadprobe.analyze.experiments.rows import Row, Table
from vadprobe.analyze.saliency.selection import Selection
from vadprobe.store.errors import VadprobeError


def transfer(lab: ExperimentContext) -> Table:
    """Fit on each dataset and measure on each, with every backbone; also with only the layer or heads transferred."""
    rows: list[Row] = []
    used: list[ExperimentJob] = []
    for method, (name, config_of) in METHODS.items():
        for backbone, jobs in jobs_by_set(lab, method).items():
            used += jobs.values()
            for source in jobs.values():
                if source.truth.of_split("train"):
                    rows += _rows(lab, f"{name}, {backbone}", source, list(jobs.values()), config_of)
    notes = (
        "Everything: layer or heads, probe and locator are fitted on the first set. Selection alone: layer or heads "
        "are chosen on the first set, probe and locator are fitted on the second.",
        f"Where a locator is chosen by a grid and a store has no validation videos, HeadHunt-VAD's pair ({SIGMA}, "
        f"{THRESHOLD}) is taken.",
        LAYER_NOTE,
        *left_out(lab, used, "dataset", "another dataset with the same backbone"),
    )
    table = table_of(lab.cases[0], "transfer", "fitted on one dataset, measured on another", rows, notes=notes)
    return replace(
        table,
        dataset=" and ".join(dict.fromkeys(job.truth.name for job in used)),
        backbone=" and ".join(dict.fromkeys(job.backbone for job in used)),
    )


def _rows(
    lab: ExperimentContext,
    name: str,
    source: ExperimentJob,
    targets: list[ExperimentJob],
    config_of: Callable[[ExperimentJob], AnalysisConfig],
) -> list[Row]:
    config, home, rows = _tunable(config_of(source), source), source.truth.name, []
    for target in targets:
        label = f"{name}: {home} -> {target.truth.name}"
        if target is source:
            rows.append(measured_row(lab, source, label, config))
            continue
        rows.append(measured_row(lab, source, f"{label}, everything", config, target=target))
        rows.append(_selection_row(lab, f"{label}, selection alone", source, target, config))
    return rows


def _selection_row(
    lab: ExperimentContext, label: str, source: ExperimentJob, target: ExperimentJob, config: AnalysisConfig
) -> Row:
    """Measure a detector fitted on the target with the selection of the source, over the draws of both."""

    def measured(drawn: AnalysisConfig) -> Measurement:
        inputs = source.inputs(drawn)
        calibration, _ = calibrate(inputs, drawn.calibration)
        selection = choose(inputs, drawn, calibration, lab.cache, lab.scheduler).selection
        return measure(lab, target, _tunable(varied(drawn, selection=_given(selection)), target))

    found, reasons = over_draws(lab, label, draws_of(lab, source, config), measured)
    if not found:
        return Row(label, reason=reasons[0], backbone=source.backbone)
    return of_measurements(label, found, reasons)


def _tunable(config: AnalysisConfig, job: ExperimentJob) -> AnalysisConfig:
    """Return settings with the paper's pair in place of a grid, if a job has no validation videos."""
    if not config.locator.tunes:
        return config
    try:
        if len(job.inputs(config).rows_of_split("validation")):
            return config
    except VadprobeError:  # measuring it says why
        return config
    return varied(config, locator={"sigmas": (SIGMA,), "threshold": THRESHOLD})


def _given(selection: Selection) -> dict[str, object]:
    """Return the changes for `varied` that give a job the selection of another one."""
    if selection.unit == "layer":
        return {"rule": "layer", "layer": selection.indices[0][0], "heads": (), "prompts": None}
    return {"rule": "heads", "layer": None, "heads": selection.indices, "prompts": None}
