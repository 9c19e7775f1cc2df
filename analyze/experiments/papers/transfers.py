"""HiProbe-VAD's table 3, fitted on one dataset and measured on the other, and the pairs of jobs that it needs."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from vadprobe.analyze.experiments.cases import ExperimentContext, ExperimentJob, preferred
from vadprobe.analyze.experiments.measuring import LAYER_NOTE, measured_row
from vadprobe.analyze.experiments.papers.hiprobe_tables import hiprobe_config
from vadprobe.analyze.experiments.papers.printed import backbone_name, not_measured, printed_rows, printed_table
from vadprobe.analyze.experiments.rows import Number, Row, Table
from vadprobe.analyze.report.published.numbers import PrintedRow

_COLUMNS = ("ap_on_b", "auc_on_b", "auc_on_a", "ap_on_a")
_FORTH = {"ap_on_b": "ap_step", "auc_on_b": "auc"}
_BACK = {"auc_on_a": "auc", "ap_on_a": "ap_step"}


def jobs_by_set(lab: ExperimentContext, method: str) -> dict[str, dict[str, ExperimentJob]]:
    """Return, by backbone and dataset, a job to fit a method on, all with the same samplings and prompts.

    Samplings and prompts are those of the first job of the method with that backbone. If another dataset has no such
    job, the first job is moved to it; if a store is missing then, that is the reason of a row.
    """
    found = {}
    for backbone in dict.fromkeys(case.backbone for case in lab.cases):
        jobs = [case for case in lab.cases if case.backbone == backbone]
        first = preferred(jobs, method)
        assert first is not None
        sets = {first.truth.name: first}
        for job in sorted(
            jobs, key=lambda job: job.config.method != method or _features_of(job) != _features_of(first)
        ):
            sets.setdefault(job.truth.name, _put_to(first, job, method))
        found[backbone] = sets
    return found


def hiprobe_3(lab: ExperimentContext) -> Table:
    """Measure each backbone that has jobs on two datasets, in both directions."""
    case = lab.on_set("hiprobe", "ucf")
    by_backbone = jobs_by_set(lab, "hiprobe")
    names = list(dict.fromkeys(job.truth.name for job in (case, *lab.cases)))
    others = names[1:]
    other = next((name for name in others if name.lower().startswith("xd")), next(iter(others), None))
    pairs = {
        backbone: (sets[case.truth.name], sets[other])
        for backbone, sets in by_backbone.items()
        if other is not None and {case.truth.name, other} <= set(sets)
    }
    printed = {backbone_name(backbone): backbone for backbone in pairs}

    def measured(row: PrintedRow) -> Row:
        if row.label in printed:
            return _both_ways(lab, row.label, *pairs[printed[row.label]])
        return not_measured(f"no jobs on two datasets have the backbone {row.label}")

    rows = printed_rows("hiprobe-3", measured)
    labels = {row.label for row in rows}
    rows += [_both_ways(lab, key, *pair) for key, pair in pairs.items() if backbone_name(key) not in labels]
    about = f"A is {case.truth.name}, B is {other or 'missing: name a job on a second dataset after --jobs'}."
    notes = (f"{about} Layer, probe and threshold are fitted on one and measured on the other.", LAYER_NOTE)
    table = printed_table(case, "hiprobe-3", rows, _COLUMNS, notes)
    return replace(table, dataset=" and ".join(name for name in (case.truth.name, other) if name))


def _both_ways(lab: ExperimentContext, label: str, one: ExperimentJob, other: ExperimentJob) -> Row:
    """Measure the transfers in both directions as one row."""
    forth = measured_row(lab, one, label, hiprobe_config(one), target=other)
    back = measured_row(lab, other, label, hiprobe_config(other), target=one)
    numbers = {**_renamed(forth.numbers, _FORTH), **_renamed(back.numbers, _BACK)}
    return Row(
        label,
        numbers,
        forth.interval or back.interval,
        max(forth.n_draws, back.n_draws),
        _joined((forth.choice, back.choice)),
        reason=_joined((forth.reason, back.reason)),
        caveats=tuple(dict.fromkeys((*forth.caveats, *back.caveats))),
        backbone=one.backbone,
    )


def _renamed(numbers: Mapping[str, Number], names: Mapping[str, str]) -> dict[str, Number]:
    return {name: numbers[metric] for name, metric in names.items()}


def _joined(texts: Sequence[str]) -> str:
    """Join texts with the name of the dataset of each; empty without texts."""
    return "; ".join(f"from {name}: {text}" for name, text in zip("AB", texts, strict=True) if text)


def _features_of(case: ExperimentJob) -> tuple[object, ...]:
    """Return the settings that two jobs must share so that a detector of one can score the other."""
    return case.segment, case.score_prompt


def _put_to(first: ExperimentJob, job: ExperimentJob, method: str) -> ExperimentJob:
    """Return `job` if it has the method and features of `first`, else `first` moved to the dataset of `job`."""
    if job.config.method == method and _features_of(job) == _features_of(first):
        return job
    return replace(first, name=job.name, truth=job.truth, probed=job.probed, layout=job.layout, texts=None)
