"""HiProbe-VAD's ablations (MM 2025), tables 4 and 5, each row measured on a job's stores."""

from dataclasses import replace

from vadprobe.analyze.configuration import AnalysisConfig
from vadprobe.analyze.detector.fitting import calibrate
from vadprobe.analyze.experiments.cases import ExperimentContext, ExperimentJob, chosen_by, probed_by, varied
from vadprobe.analyze.experiments.measuring import (
    DECISION_METRICS,
    LAYER_NOTE,
    METRICS,
    THRESHOLD_NOTE,
    measured_row,
)
from vadprobe.analyze.experiments.papers.printed import not_measured, printed_rows, printed_table
from vadprobe.analyze.experiments.rows import Row, Table
from vadprobe.analyze.report.published.numbers import PrintedRow
from vadprobe.store.errors import VadprobeError
from vadprobe.store.files.text import percent
from vadprobe.store.format.sampling import Sampling

SIGMA = 0.4
"""The paper's smoothing."""

MID_LAYER, PRINTED_LAYERS = 17, 32
"""The paper's mid layer 16 in our numbering, and the number of blocks of the paper's backbone."""


def hiprobe_config(case: ExperimentJob) -> AnalysisConfig:
    """Return the job's settings changed to HiProbe-VAD; a job of another method gets the paper's locator."""
    if case.config.method == "hiprobe":
        return varied(case.config, selection=chosen_by("dlsp"))
    locator = {"sigmas": (SIGMA,), "threshold": "adaptive"}
    return varied(case.config, method="hiprobe", selection=chosen_by("dlsp"), locator=locator, preset="hiprobe")


def fixed_sigma(config: AnalysisConfig, printed: float) -> float:
    """Return the job's sigma; the paper's if the job has several to choose from."""
    return config.locator.sigmas[0] if len(config.locator.sigmas) == 1 else printed


def hiprobe_4(lab: ExperimentContext) -> Table:
    """Measure the ablations of the layer, the scorer and the threshold."""
    case = lab.case_of("hiprobe")
    base = hiprobe_config(case)
    sigma = fixed_sigma(base, SIGMA)
    variants = {
        "Full HiProbe-VAD": base,
        "without DLSP: fixed last layer": varied(base, selection=chosen_by("last-layer")),
        "scorer: SVM": varied(base, probe=probed_by("linear-svm")),
        "scorer: distance-based": varied(base, probe=probed_by("distance")),
        **{
            f"fixed threshold {value:g}": varied(base, locator={"threshold": value, "sigmas": (sigma,)})
            for value in (0.75, 0.5, 0.25)
        },
    }

    def measured(row: PrintedRow) -> Row:
        if row.label in variants:
            return measured_row(lab, case, row.label, variants[row.label])
        return _mid_layer(lab, case, row.label, base)

    rows = printed_rows("hiprobe-4", measured)
    notes = (LAYER_NOTE, THRESHOLD_NOTE, prior_note(lab, case, base))
    return printed_table(case, "hiprobe-4", rows, DECISION_METRICS, notes)


def hiprobe_5(lab: ExperimentContext) -> Table:
    """Measure sampling rates: K frames of a clip that the backbone sees, and the job's own number if it differs."""
    case = lab.case_of("hiprobe")
    base = hiprobe_config(case)
    length = case.segment.clip_length or 0

    def measured(frames: int) -> Row:
        label = f"K = {frames}"
        if frames > length:
            return not_measured(f"a clip of this job has {length} frames")
        samplings = None  # the job's own samplings
        if frames != case.segment.frames_per_clip:
            samplings = [Sampling("segment", length, frames), _calibrated_with(case, base, frames)]
        return measured_row(lab, case, label, base, samplings=samplings)

    rows = printed_rows("hiprobe-5", lambda row: measured(int(row.label.removeprefix("K = "))))
    own = f"K = {case.segment.frames_per_clip}"
    if own not in {row.label for row in rows}:
        rows.append(replace(measured(case.segment.frames_per_clip), label=f"{own} (this job)"))
    notes = (
        f"K frames of the {length} of a clip. Each row has features of its own: extract the samplings that are missing "
        "under the same store root.",
    )
    return printed_table(case, "hiprobe-5", rows, METRICS, notes)


def prior_note(lab: ExperimentContext, case: ExperimentJob, config: AnalysisConfig) -> str:
    """Return a note with the fraction of anomalous calibration samples, which the adaptive threshold follows."""
    try:
        calibration, _ = calibrate(case.inputs(config), config.calibration)
    except VadprobeError:
        return ""
    fraction = float(calibration.labels.mean())
    return (
        "The adaptive threshold is a mean over all calibration samples and mostly follows the share of anomalous "
        f"ones, here {percent(fraction)} of {len(calibration.labels)}."
    )


def _mid_layer(lab: ExperimentContext, case: ExperimentJob, label: str, base: AnalysisConfig) -> Row:
    """Measure the paper's mid layer on a backbone of as many blocks as the paper's, else the middle layer."""
    try:
        count = case.inputs(base).store.spec.backbone.n_layers
    except VadprobeError as error:
        return not_measured(str(error))
    if count == PRINTED_LAYERS:
        config = varied(base, selection={**chosen_by("layer"), "layer": MID_LAYER})
        about = ""
    else:
        config = varied(base, selection=chosen_by("middle-layer"))
        about = f", the middle of {count}; the paper's 16 is of {PRINTED_LAYERS}"
    row = measured_row(lab, case, label, config)
    return replace(row, choice=f"{row.choice}{about}" if row.choice else "")


def _calibrated_with(case: ExperimentJob, config: AnalysisConfig, frames: int) -> Sampling:
    """Return the sampling of the calibration set with `frames` frames of a clip."""
    if config.calibration.unit == "segment":
        return Sampling("segment", case.segment.clip_length, frames)
    return Sampling("video", None, frames)
