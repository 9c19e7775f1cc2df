"""The papers' comparisons on UCF-Crime and XD-Violence: rows of both methods measured, those of others quoted."""

from dataclasses import replace

from vadprobe.analyze.configuration import AnalysisConfig
from vadprobe.analyze.evaluation.evaluation import Evaluation
from vadprobe.analyze.experiments.cases import ExperimentContext, ExperimentJob, preferred
from vadprobe.analyze.experiments.measuring import (
    LAYER_NOTE,
    METRICS,
    fit_and_score,
    measure,
    measured_row,
    summarised,
)
from vadprobe.analyze.experiments.papers.headhunt_tables import headhunt_config
from vadprobe.analyze.experiments.papers.hiprobe_tables import hiprobe_config
from vadprobe.analyze.experiments.papers.printed import backbone_name, not_measured, printed_rows, printed_table
from vadprobe.analyze.experiments.rows import Number, Row, Table
from vadprobe.analyze.features.answers import answer_notes
from vadprobe.analyze.report.evaluation_text import BASELINE_NAMES
from vadprobe.analyze.report.published.numbers import PrintedRow, printed_tables
from vadprobe.store.errors import VadprobeError

_OTHERS = "a method of others, of which the stores hold no features"
_SET_NAMES = {"1": "ucf", "2": "xd"}
_HIPROBE = "HiProbe-VAD"


def hiprobe_comparison(lab: ExperimentContext, name: str) -> Table:
    """Measure the rows of HiProbe-VAD's backbones that have jobs, and the trivial baselines."""
    case = lab.on_set("hiprobe", _SET_NAMES[name[-1]])

    def measured(row: PrintedRow) -> Row:
        if not row.label.startswith(f"{_HIPROBE} ("):
            return not_measured(_OTHERS)
        wanted = row.label.removeprefix(f"{_HIPROBE} (").removesuffix(")")
        found = _on_same_set(lab, case, "hiprobe", wanted)
        if found is None:
            return not_measured(f"no job on {case.truth.name} has the backbone {wanted}")
        return measured_row(lab, found, row.label, hiprobe_config(found))

    rows = printed_rows(name, measured)
    label = f"{_HIPROBE} ({backbone_name(case.backbone) or case.backbone})"
    if label not in {row.label for row in rows}:
        own = measured_row(lab, case, f"{_HIPROBE} ({case.backbone})", hiprobe_config(case))
        rows.append(_ours(own, "this backbone"))
    config = hiprobe_config(case)
    rows += [*_answers(lab, case, config), *_baselines(lab, case, config)]
    return printed_table(case, name, rows, notes=(LAYER_NOTE, *_answer_notes(case, config)))


def headhunt_comparison(lab: ExperimentContext, name: str) -> Table:
    """Measure the rows of both methods, and the trivial baselines."""
    case = lab.on_set("headhunt", _SET_NAMES[name[-1]])

    def measured(row: PrintedRow) -> Row:
        if row.label == "HeadHunt-VAD":
            return measured_row(lab, case, row.label, headhunt_config(case))
        if row.label != _HIPROBE:
            return not_measured(_OTHERS)
        found = _on_same_set(lab, case, "hiprobe", None) or case
        return measured_row(lab, found, row.label, hiprobe_config(found))

    config = headhunt_config(case)
    rows = [*printed_rows(name, measured), *_answers(lab, case, config), *_baselines(lab, case, config)]
    shares = printed_tables()[name].shares
    notes = (
        f"For methods that both papers have, this table prints the numbers of {shares}. Which of these "
        "methods it lists is not recorded, so all are shown.",
        "The paper measures HeadHunt-VAD with InternVL3. Its number for HiProbe-VAD is the one that "
        "HiProbe-VAD's authors print for InternVL2.5.",
        *_answer_notes(case, config),
    )
    return printed_table(case, name, rows, notes=notes)


def _on_same_set(
    lab: ExperimentContext, case: ExperimentJob, method: str, backbone: str | None
) -> ExperimentJob | None:
    """Return a job of a method on the dataset of `case`, with the named backbone; None takes the backbone of `case`."""
    same = [job for job in lab.cases if job.truth.name == case.truth.name]
    if backbone is None:
        return preferred([job for job in same if job.backbone == case.backbone], method)
    return preferred([job for job in same if backbone_name(job.backbone) == backbone], method)


def _answers(lab: ExperimentContext, case: ExperimentJob, config: AnalysisConfig) -> list[Row]:
    """Measure the backbone's own p(yes) under every prompt, raw and smoothed by the method's smoothing."""
    try:
        scored = fit_and_score(lab, case, config)
    except VadprobeError:  # the method's own row says why
        return []
    baselines = scored.text_baselines(lab.cache)
    return [
        Row(f"text output: {name}", dict.fromkeys(METRICS, Number()), reason=baseline.reason)
        if found is None
        else summarised(f"text output: {name}", [(_numbers(found), ())], found, "", ())
        for baseline in baselines
        for name, found in baseline.rows().items()
    ]


def _numbers(found: Evaluation) -> dict[str, float]:
    return {metric: getattr(found, metric) for metric in METRICS}


def _answer_notes(case: ExperimentJob, config: AnalysisConfig) -> tuple[str, ...]:
    try:
        return answer_notes(case.inputs(config).store.spec)
    except VadprobeError:
        return ()


def _baselines(lab: ExperimentContext, case: ExperimentJob, config: AnalysisConfig) -> list[Row]:
    try:
        evaluation = measure(lab, case, config).result.evaluation
    except VadprobeError:  # the method's own row says why
        return []
    if evaluation is None:
        return []
    return [
        _ours(Row(BASELINE_NAMES[key], {metric: Number(values[metric]) for metric in METRICS}), "baseline")
        for key, values in evaluation.baselines.items()
    ]


def _ours(row: Row, kind: str) -> Row:
    """Return a row marked as one that is in no paper."""
    return replace(row, words={"supervision": kind})
