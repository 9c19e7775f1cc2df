"""Comparison of selections of the layer, with the silhouette of each."""

from dataclasses import replace

import numpy as np

from vadprobe.analyze.configuration import LAYER_METRICS, AnalysisConfig
from vadprobe.analyze.detector.fitting import calibrate
from vadprobe.analyze.detector.saliency_steps import layer_silhouettes_of
from vadprobe.analyze.detector.selection_rules import choose
from vadprobe.analyze.experiments.cases import ExperimentContext, ExperimentJob, chosen_by, varied
from vadprobe.analyze.experiments.measuring import LAYER_NOTE, METRICS, describe, measured_row, table_of
from vadprobe.analyze.experiments.papers.hiprobe_tables import hiprobe_config
from vadprobe.analyze.experiments.rows import Number, Row, Table
from vadprobe.store.errors import VadprobeError


def layers(lab: ExperimentContext) -> Table:
    """Compare layers: by DLSP, by one metric alone, and those that other works take, with their silhouettes."""
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
        "The silhouette (figure 3 of HiProbe-VAD) is that of the first draw's calibration samples under their labels.",
        LAYER_NOTE,
    )
    return table_of(case, "layers", "choice of the layer", rows, (*METRICS, "silhouette"), notes)


def _with_silhouette(lab: ExperimentContext, case: ExperimentJob, config: AnalysisConfig, row: Row) -> Row:
    try:
        inputs = case.inputs(config)
        calibration, _ = calibrate(inputs, config.calibration)
        selection = choose(inputs, config, calibration, lab.cache, lab.scheduler).selection
        # A row whose first draw could not be measured shows another draw's layer, so it gets no silhouette.
        shown = describe(selection) == row.choice
        values = layer_silhouettes_of(inputs.calibration_store, calibration, lab.cache, lab.scheduler)
        value = values[selection.indices[0][0] - 1] if shown else np.nan
    except VadprobeError:  # the row has the reason
        value = np.nan
    return replace(row, numbers={**row.numbers, "silhouette": Number(float(value))})
