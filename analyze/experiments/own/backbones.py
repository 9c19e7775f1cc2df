"""Comparison of both methods with every backbone that has a job on one dataset."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from vadprobe.analyze.configuration import AnalysisConfig
from vadprobe.analyze.experiments.cases import ExperimentContext, ExperimentJob, preferred
from vadprobe.analyze.experiments.measuring import measured_row, table_of
from vadprobe.analyze.experiments.papers.headhunt_tables import headhunt_config
from vadprobe.analyze.experiments.papers.hiprobe_tables import hiprobe_config
from vadprobe.analyze.experiments.papers.printed import backbone_name
from vadprobe.analyze.experiments.rows import Table
from vadprobe.analyze.report.published.numbers import printed_tables

METHODS: Mapping[str, tuple[str, Callable[[ExperimentJob], AnalysisConfig]]] = {
    "hiprobe": ("HiProbe-VAD", hiprobe_config),
    "headhunt": ("HeadHunt-VAD", headhunt_config),
}
"""By method: its printed name, and the function that changes a job's settings to it."""


def backbones(lab: ExperimentContext) -> Table:
    """Compare backbones under both methods: every job on the same dataset."""
    case = lab.case_of("hiprobe")
    same = [job for job in lab.cases if job.truth.name == case.truth.name]
    rows, used = [], []
    for method, (name, config_of) in METHODS.items():
        for backbone in dict.fromkeys(job.backbone for job in (case, *same)):
            job = preferred([job for job in same if job.backbone == backbone], method)
            assert job is not None
            used.append(job)
            row = measured_row(lab, job, f"{name}, {backbone}", config_of(job))
            rows.append(replace(row, published=_published(method, backbone)))
    notes = left_out(lab, used, "backbone", "another backbone on the same dataset")
    return table_of(case, "backbones", "both methods by backbone", rows, notes=notes)


def left_out(lab: ExperimentContext, used: Iterable[ExperimentJob], kind: str, wanted: str) -> tuple[str, ...]:
    """Return notes on jobs without a row, and on the job that is missing if there is only one dataset or backbone."""
    taken = {(job.truth.name, job.backbone) for job in used}
    names = [case.name for case in lab.cases if (case.truth.name, case.backbone) not in taken]
    notes = [f"Not used here: {', '.join(names)}; every row needs {wanted}."] if names else []
    if len({dataset if kind == "dataset" else backbone for dataset, backbone in taken}) == 1:
        notes.append(f"Only one {kind} is here: add a job of {wanted}.")
    return tuple(notes)


def _published(method: str, backbone: str) -> dict[str, float]:
    """Return the numbers that the method's paper prints for a backbone of that name."""
    name = backbone_name(backbone)
    label = "HeadHunt-VAD" if method == "headhunt" and name == "InternVL3" else f"HiProbe-VAD ({name})"
    tables = (printed_tables()[f"{method}-{number}"] for number in (1, 2))
    return {
        metric: value
        for table in tables
        for row in table.rows
        if row.label == label
        for metric, value in row.values.items()
    }
