"""A method beside trivial baselines, which are measured, and other methods, which are quoted."""

from vadprobe.analyze.configuration import AnalysisConfig
from vadprobe.analyze.evaluation.evaluation import Evaluation
from vadprobe.analyze.experiments.cases import ExperimentContext, ExperimentJob
from vadprobe.analyze.experiments.measuring import (
    METRICS,
    fit_and_score,
    measure,
    measured_row,
    summarised,
    table_of,
)
from vadprobe.analyze.experiments.rows import Number, Row, Table
from vadprobe.analyze.features.answers import answer_notes
from vadprobe.analyze.report.evaluation_text import BASELINE_NAMES
from vadprobe.analyze.report.published_results import PUBLISHED, SETS
from vadprobe.store.errors import VadprobeError


def comparison(lab: ExperimentContext, case: ExperimentJob, name: str, config: AnalysisConfig, label: str) -> Table:
    """Measure the method with its trivial baselines, then quote what others have published on the public sets."""
    rows = [measured_row(lab, case, label, config), *_answers(lab, case, config), *_baselines(lab, case, config)]
    quoted: dict[str, dict[str, float]] = {}
    for dataset, (metric, results) in PUBLISHED.items():
        for result in results:
            quoted.setdefault(result.method, {})[f"{SETS[dataset]} {metric.removeprefix('frame ')}"] = result.value
    rows += [Row(method, published=values) for method, values in quoted.items()]
    notes = tuple(
        f"{SETS[dataset]}: {result.method}: {result.caveat}."
        for dataset, (_, results) in PUBLISHED.items()
        for result in results
        if result.caveat
    )
    return table_of(case, name, "comparison", rows, notes=(*_answer_notes(case, config), *notes))


def _answers(lab: ExperimentContext, case: ExperimentJob, config: AnalysisConfig) -> list[Row]:
    """Measure the backbone's own p(yes) under every prompt, as it is and smoothed as the method smooths."""
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
        Row(f"baseline: {BASELINE_NAMES[key]}", {metric: Number(values[metric]) for metric in METRICS})
        for key, values in evaluation.baselines.items()
    ]
