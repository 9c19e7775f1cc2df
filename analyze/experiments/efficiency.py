"""Efficiency (HeadHunt-VAD, figure 4): seconds and operations per segment, features kept, videos needed."""

import math

import numpy as np

from vadprobe.analyze.calibration.calibration import Calibration
from vadprobe.analyze.detector.fitting import calibrate
from vadprobe.analyze.detector.selection_rules import choose
from vadprobe.analyze.experiments.cases import ExperimentContext, ExperimentJob
from vadprobe.analyze.experiments.measuring import describe
from vadprobe.analyze.experiments.rows import Number, Row, Table
from vadprobe.analyze.features.inputs import AnalysisInputs
from vadprobe.analyze.features.pass_costs import TEXT_TOKENS, PassCost, pass_costs
from vadprobe.analyze.saliency.selection import Selection
from vadprobe.store.errors import VadprobeError
from vadprobe.store.files.location import StorePath
from vadprobe.store.files.text import percent
from vadprobe.store.format.specification import BackboneSpec

METRICS = ("seconds", "tflop", "features", "videos")
"""Columns: seconds of the model and 10^12 operations per segment, feature values per segment, videos to fit on."""

PAPER_SHAPES = (28, 28, 128)
"""Blocks, heads of a block and values of a head of InternVL3-8B, the backbone of the paper."""

PAPER_HEADS = 5

NOTES = (
    "Seconds are those of the model at work, without waiting for frames or for the disk. The extraction "
    "kept them beside its stores; the devices are named.",
    "TFLOP are 10^12 operations of matrix products, counted from the shapes as torch counts them: linear maps 2 r n m, "
    "attention 4 q k w, nothing saved by the causal mask. Several prompts share the tokens before their text.",
    f"A text of {TEXT_TOKENS} tokens: a full pass with the language head, then {TEXT_TOKENS - 1} tokens one by one.",
    "Published in figure 4 of HeadHunt-VAD, without numbers for time: more than 100 thousand features for all heads, "
    "640 for five; less than 1 % of the data that fine-tuning needs.",
)


def efficiency(lab: ExperimentContext) -> Table:
    """Return the table of the costs of a segment in several ways; no model is run."""
    case = lab.case_of("headhunt")
    try:
        inputs = case.inputs(case.config)
        calibration, _ = calibrate(inputs, case.config.calibration)
        selection = choose(inputs, case.config, calibration, lab.cache, lab.scheduler).selection
    except VadprobeError as error:
        reason = str(error)
        rows = [Row("full pass", _numbers(), reason=reason), *_paper_rows()]
        return _table(case, rows)
    costs = pass_costs(inputs, selection, case.texts, _other_folders(lab, case))
    rows = [_cost_row(cost) for cost in costs]
    rows += [*_feature_rows(inputs.store.spec.backbone, selection), *_paper_rows()]
    rows += _video_rows(inputs, calibration)
    return _table(case, rows)


def _table(case: ExperimentJob, rows: list[Row]) -> Table:
    title = "efficiency of a segment, and what is kept and needed (HeadHunt-VAD, figure 4)"
    return Table("efficiency", title, case.truth.name, case.backbone, METRICS, tuple(rows), NOTES)


def _other_folders(lab: ExperimentContext, case: ExperimentJob) -> list[StorePath]:
    """Return the folders in which other jobs keep features of the same backbone and segments."""
    same = [one for one in lab.others(case) if (one.backbone, one.segment) == (case.backbone, case.segment)]
    return [one.layout.backbone(one.segment, one.backbone) for one in same]


def _cost_row(cost: PassCost) -> Row:
    known = cost.seconds is not None or cost.tflop is not None
    numbers = _numbers(seconds=cost.seconds, tflop=cost.tflop)
    return Row(cost.name, numbers, n_draws=int(known), reason=cost.reason, key=cost.key)


def _feature_rows(backbone: BackboneSpec, selection: Selection) -> list[Row]:
    """Return the rows of feature values per segment: all values, and those of the selection."""
    if selection.unit == "layer":
        every, kept, noun = backbone.n_layers * backbone.hidden_size, backbone.hidden_size, "layers"
        label = "the chosen layer"
    else:
        every = backbone.n_head_values
        count = len(selection.indices)
        kept = sum(backbone.head_shapes[index[0]][1] for index in selection.indices)
        noun, label = "heads", f"the {count} chosen heads"
    chosen = describe(selection)
    return [
        Row(f"features of all {noun}", _numbers(features=every), n_draws=1, key="features-all"),
        Row(f"features of {label}", _numbers(features=kept), n_draws=1, choice=chosen, key="features-kept"),
    ]


def _paper_rows() -> list[Row]:
    """Return the same rows for the paper's backbone."""
    blocks, heads, values = PAPER_SHAPES
    return [
        Row("InternVL3-8B by its shapes: all heads", _numbers(features=blocks * heads * values), n_draws=1),
        Row(f"InternVL3-8B by its shapes: {PAPER_HEADS} heads", _numbers(features=PAPER_HEADS * values), n_draws=1),
    ]


def _video_rows(inputs: AnalysisInputs, calibration: Calibration) -> list[Row]:
    """Return the rows of numbers of videos: all training videos, and the calibration videos."""
    total, used = len(inputs.truth.of_split("train")), len(np.unique(calibration.groups))
    return [
        Row("all training videos", _numbers(videos=total), n_draws=1, key="videos-all"),
        Row(f"calibration videos ({percent(used / total, 1)})", _numbers(videos=used), n_draws=1, key="videos-used"),
    ]


def _numbers(**values: float | None) -> dict[str, Number]:
    """Return numbers by metric: NaN for one that is given as None; metrics that are not given are left out."""
    if not values:
        values = {"seconds": None, "tflop": None}
    return {name: Number(math.nan if value is None else float(value)) for name, value in values.items()}
