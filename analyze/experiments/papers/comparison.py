"""A method beside trivial baselines, which are measured, and other methods, which are quoted."""

from vadprobe.analyze.configuration import AnalysisConfig
from vadprobe.analyze.experiments.cases import ExperimentContext, ExperimentJob
from vadprobe.analyze.experiments.measuring import METRICS, measure, measured_row, table_of
from vadprobe.analyze.experiments.rows import Number, Row, Table
from vadprobe.analyze.report.evaluation_text import BASELINE_NAMES
from vadprobe.analyze.report.published_results import PUBLISHED, SETS
from vadprobe.store.errors import VadprobeError


def comparison(lab: ExperimentContext, case: ExperimentJob, name: str, config: AnalysisConfig, label: str) -> Table:
    """Measure the method with its trivial baselines, then quote what others have published on the public sets."""
    rows = [measured_row(lab, case, label, config), *_baselines(lab, case, config)]
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
    return table_of(case, name, "comparison", rows, notes=notes)


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
