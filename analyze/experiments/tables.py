"""The tables by name."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from vadprobe.analyze.experiments.cases import ExperimentContext
from vadprobe.analyze.experiments.headhunt_tables import headhunt_1, headhunt_2, headhunt_3
from vadprobe.analyze.experiments.hiprobe_tables import (
    hiprobe_1,
    hiprobe_2,
    hiprobe_3,
    hiprobe_4,
    hiprobe_5,
    hiprobe_6,
)
from vadprobe.analyze.experiments.rows import Table
from vadprobe.store.errors import VadprobeError

TABLES: Mapping[str, tuple[str, Callable[[ExperimentContext], Table]]] = {
    "hiprobe-1": ("comparison with baselines and published methods", hiprobe_1),
    "hiprobe-2": ("zero-shot transfer between datasets", hiprobe_2),
    "hiprobe-3": ("choice of the layer", hiprobe_3),
    "hiprobe-4": ("thresholds and smoothing", hiprobe_4),
    "hiprobe-5": ("sampling rate: K frames of a clip", hiprobe_5),
    "hiprobe-6": ("backbones", hiprobe_6),
    "headhunt-1": ("comparison with baselines and published methods", headhunt_1),
    "headhunt-2": ("choice of heads, prompts and probe", headhunt_2),
    "headhunt-3": ("temporal locator", headhunt_3),
}
"""Name to what it compares and the function that measures it, in the order of printing."""


def measured_table(lab: ExperimentContext, name: str) -> Table:
    """Measure one table; a backbone that was never trained is said first."""
    lab.report(name, "")
    table = TABLES[name][1](lab)
    measured = {table.backbone, *(row.label for row in table.rows)}  # one table has a row for each backbone
    random = sorted({case.backbone for case in lab.cases if case.has_random_weights and case.backbone in measured})
    warnings = [
        f"{backbone} has random weights: the numbers say nothing about the method or any real camera."
        for backbone in random
    ]
    return replace(table, notes=(*warnings, *table.notes))


def check_names(names: Sequence[str]) -> None:
    """Refuse a table that does not exist.

    Raises:
        VadprobeError: naming it, and those there are.
    """
    unknown = [name for name in names if name not in TABLES]
    if unknown:
        raise VadprobeError(f"there is no table {unknown[0]!r}; the tables are {', '.join(TABLES)}.")
