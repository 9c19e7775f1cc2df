"""Measuring one row of a table: one variation of a job over several calibration draws."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np

from vadprobe.analyze.compute.step_cache import StepCache
from vadprobe.analyze.configuration import AnalysisConfig
from vadprobe.analyze.detector.detector import Detector
from vadprobe.analyze.detector.fitting import calibrate, fit
from vadprobe.analyze.detector.results.benchmark import Result, evaluate, measured_answers
from vadprobe.analyze.detector.results.text_baseline import TextBaseline
from vadprobe.analyze.detector.scoring import Scores, score
from vadprobe.analyze.evaluation.evaluation import Evaluation
from vadprobe.analyze.experiments.cases import ExperimentContext, ExperimentJob, varied
from vadprobe.analyze.experiments.rows import Number, Row, Table
from vadprobe.analyze.features.answers import answers_by_prompt
from vadprobe.analyze.features.inputs import AnalysisInputs
from vadprobe.analyze.saliency.selection import Selection, layer_name
from vadprobe.store.errors import VadprobeError
from vadprobe.store.files.text import first_few, percent
from vadprobe.store.format.sampling import Sampling

Found = TypeVar("Found")

METRICS = ("auc", "ap_step", "pr_area_trapezoid", "auc_macro")
"""Columns of most tables."""

DECISION_METRICS = ("auc", "ap_step", "auc_gated", "ap_gated", "auc_binary", "ap_binary")
"""Columns of the papers' ablations: metrics of continuous scores, of gated scores, and of the decision."""

THRESHOLD_METRICS = (*DECISION_METRICS, "f1", "false_alarm_rate")
"""Columns of tables about thresholds."""

THRESHOLD_NOTE = (
    "A threshold changes neither AUC nor AP of continuous scores. It changes them only for gated scores "
    "(all scores at or below it are ranked lowest) and for the decision, whose AUC is (TPR + TNR) / 2. "
    "The papers do not say which of these they print."
)

LAYER_NOTE = (
    "Layers count from 1, layer 0 is the embedding; HiProbe-VAD most likely counts blocks from 0: its layer 20 is "
    "layer 21 here, its mid layer 16 is layer 17."
)

_RESULT_METRICS = tuple(dict.fromkeys((*METRICS, *THRESHOLD_METRICS)))


@dataclass(frozen=True, eq=False)
class Measurement:
    """Result of one draw: the detector, and its numbers on the test split."""

    detector: Detector
    result: Result

    @property
    def numbers(self) -> dict[str, float]:
        """Metric to value, NaN where unknown."""
        found = self.result.evaluation
        return {name: float("nan") if found is None else getattr(found, name) for name in _RESULT_METRICS}

    @property
    def caveats(self) -> tuple[str, ...]:
        """Caveats of the numbers, and reasons for unknown ones."""
        found = self.result.evaluation
        unknown = found is not None and any(math.isnan(value) for value in self.numbers.values())
        return (*self.result.warnings, *(found.reasons() if found is not None and unknown else ()))


@dataclass(frozen=True, eq=False)
class ScoredTest:
    """Scores of a test split, with the inputs, the settings and the detector that computed them."""

    inputs: AnalysisInputs
    config: AnalysisConfig
    detector: Detector
    scores: Scores

    def result(self, cache: StepCache) -> Result:
        """Return the numbers of the scores."""
        return evaluate(self.inputs, self.config, self.detector, self.scores, cache)

    def text_baselines(self, cache: StepCache) -> tuple[TextBaseline, ...]:
        """Return the numbers of the backbone's own p(yes) for the same segments."""
        answers = answers_by_prompt(self.inputs, self.scores.rows)
        return measured_answers(self.inputs, self.config, self.detector, self.scores, answers, cache)


def fit_and_score(
    lab: ExperimentContext,
    case: ExperimentJob,
    config: AnalysisConfig,
    samplings: Sequence[Sampling] | None = None,
    target: ExperimentJob | None = None,
) -> ScoredTest:
    """Fit one variation, and score the test split of its own job or of the job `target`, on which nothing is fitted.

    On a target, sampling of segments and score prompt are those of the variation.

    Raises:
        VadprobeError: if the variation cannot be fitted, or its stores are missing.
    """
    inputs = case.inputs(config, samplings)
    detector = fit(inputs, config, lab.cache, lab.scheduler).detector
    if target is not None:
        allowed = {name: getattr(target.config, name) for name in ("allow_overlap", "allow_transductive")}
        changes = {"score_prompt": case.score_prompt, **allowed}
        config = config.model_copy(update={"detector": "of this run", **changes})
        inputs = target.inputs(config, samplings or (case.segment,))
    rows = inputs.rows_of_split("test")
    if len(rows) == 0:
        raise VadprobeError(f"no test video of {inputs.truth.name!r} is in the store; nothing to score.")
    return ScoredTest(inputs, config, detector, score(inputs, detector, rows, lab.cache, lab.scheduler))


def measure(
    lab: ExperimentContext,
    case: ExperimentJob,
    config: AnalysisConfig,
    samplings: Sequence[Sampling] | None = None,
    target: ExperimentJob | None = None,
) -> Measurement:
    """Fit one variation and return its numbers; arguments and errors as for `fit_and_score`."""
    scored = fit_and_score(lab, case, config, samplings, target)
    return Measurement(scored.detector, scored.result(lab.cache))


def table_of(
    case: ExperimentJob,
    name: str,
    title: str,
    rows: Sequence[Row],
    metrics: tuple[str, ...] = METRICS,
    notes: Sequence[str] = (),
) -> Table:
    """Return the table of a job's rows; empty notes are left out."""
    notes = tuple(note for note in notes if note)
    return Table(name, title, case.truth.name, case.backbone, metrics, tuple(rows), notes)


def over_draws(
    lab: ExperimentContext, label: str, draws: Sequence[AnalysisConfig], measured: Callable[[AnalysisConfig], Found]
) -> tuple[list[Found], list[str]]:
    """Measure each draw; return the results, and the reasons why other draws could not be measured."""
    found, reasons = [], []
    for config in draws:
        lab.report("", label)
        try:
            found.append(measured(config))
        except VadprobeError as error:
            reasons.append(str(error))
    return found, reasons


def draws_of(
    lab: ExperimentContext, case: ExperimentJob, config: AnalysisConfig, samplings: Sequence[Sampling] | None = None
) -> list[AnalysisConfig]:
    """Return the settings of the variation for each calibration draw; equal draws, as with fraction 1, are made once.

    Random heads are drawn anew with every calibration draw, so their draws always differ.
    """
    drawn, seen = [], set()
    for number in range(lab.draws):
        changed = varied(
            config,
            calibration={"seed": config.calibration.seed + number},
            selection={"seed": config.selection.seed + number},
            evaluation=({} if number == 0 else {"resamples": 0}),
        )
        try:
            calibration, _ = calibrate(case.inputs(changed, samplings), changed.calibration)
            key = (calibration.rows.tobytes(), changed.selection.seed if changed.rule == "random-heads" else 0)
        except VadprobeError:  # measuring it will raise the reason
            key = (b"", number)
        if key not in seen:
            seen.add(key)
            drawn.append(changed)
    return drawn


def measured_row(
    lab: ExperimentContext,
    case: ExperimentJob,
    label: str,
    config: AnalysisConfig,
    *,
    samplings: Sequence[Sampling] | None = None,
    target: ExperimentJob | None = None,
) -> Row:
    """Return a row measured over the calibration draws; if none can be measured, a row with the reason."""
    draws = draws_of(lab, case, config, samplings)
    found, reasons = over_draws(lab, label, draws, lambda drawn: measure(lab, case, drawn, samplings, target))
    if not found:
        return Row(label, dict.fromkeys(_RESULT_METRICS, Number()), reason=reasons[0], backbone=case.backbone)
    return replace(of_measurements(label, found, reasons), backbone=case.backbone)


def of_measurements(label: str, found: Sequence[Measurement], reasons: Sequence[str]) -> Row:
    """Return the row of at least one measurement by `summarised`, with the selection of the first."""
    choice = describe(found[0].detector.selection)
    return summarised(label, [(one.numbers, one.caveats) for one in found], found[0].result.evaluation, choice, reasons)


def summarised(
    label: str,
    draws: Sequence[tuple[Mapping[str, float], Sequence[str]]],
    first: Evaluation | None,
    choice: str,
    reasons: Sequence[str],
) -> Row:
    """Return a row with mean and range over draws, or, for a single draw, with its interval of the video bootstrap.

    A number that is unknown in any draw is unknown.

    Args:
        label: of the row.
        draws: numbers by metric, and caveats, of each draw.
        first: evaluation of the first draw; None if there is none.
        choice: selection of the first draw, in words.
        reasons: why other draws could not be measured.
    """
    reason = f"{len(reasons)} of {len(reasons) + len(draws)} draws: {reasons[0]}" if reasons else ""
    numbers, interval = _spread([numbers for numbers, _ in draws], first)
    caveats = tuple(dict.fromkeys(text for _, texts in draws for text in texts))
    return Row(label, numbers, interval, len(draws), choice, reason=reason, caveats=caveats)


def _spread(draws: Sequence[Mapping[str, float]], first: Evaluation | None) -> tuple[dict[str, Number], str]:
    """Return numbers with the ends of their intervals, and a phrase that says what the intervals are."""
    if len(draws) > 1:
        values = {name: np.array([draw[name] for draw in draws]) for name in draws[0]}
        numbers = {name: Number(float(of.mean()), float(of.min()), float(of.max())) for name, of in values.items()}
        return numbers, "lowest and highest of the calibration draws (the number before is their mean)"
    intervals = first.intervals if first is not None else {}
    numbers = {name: Number(value, *intervals.get(name, ())) for name, value in draws[0].items()}
    confidence = first.bootstrap.confidence if first is not None else 0.95
    return numbers, f"{percent(confidence)} of video resamples of one calibration draw" if intervals else ""


def describe(selection: Selection) -> str:
    """Describe a selection in a few words."""
    if selection.unit == "layer":
        return "layer " + ", ".join(layer_name(index[0]) for index in selection.indices)
    heads = [f"{block}:{head}" for block, head in selection.indices]
    return f"heads {first_few(heads, 8)}"
