"""The tables by name."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from vadprobe.analyze.experiments.cases import ExperimentContext
from vadprobe.analyze.experiments.efficiency import efficiency
from vadprobe.analyze.experiments.methods.comparisons import (
    methods_by_kind,
    methods_compared,
    methods_on_another_set,
)
from vadprobe.analyze.experiments.papers import headhunt_tables as headhunt
from vadprobe.analyze.experiments.papers import hiprobe_tables as hiprobe
from vadprobe.analyze.experiments.rows import Table
from vadprobe.store.errors import VadprobeError

TABLES: Mapping[str, tuple[str, Callable[[ExperimentContext], Table]]] = {
    "hiprobe-1": ("comparison with baselines and published methods", hiprobe.hiprobe_1),
    "hiprobe-2": ("zero-shot transfer between datasets", hiprobe.hiprobe_2),
    "hiprobe-3": ("choice of the layer", hiprobe.hiprobe_3),
    "hiprobe-4": ("thresholds and smoothing", hiprobe.hiprobe_4),
    "hiprobe-5": ("sampling rate: K frames of a clip", hiprobe.hiprobe_5),
    "hiprobe-6": ("backbones", hiprobe.hiprobe_6),
    "headhunt-1": ("comparison with baselines and published methods", headhunt.headhunt_1),
    "headhunt-2": ("choice of heads, prompts and probe", headhunt.headhunt_2),
    "headhunt-3": ("temporal locator", headhunt.headhunt_3),
    "efficiency": ("seconds and operations per segment, features kept, videos needed", efficiency),
    "comparison": ("both methods beside layers, heads, the model's text and baselines", methods_compared),
    "comparison-kinds": ("the same on kinds that the backbone was told of, and on others", methods_by_kind),
    "comparison-transfer": ("the same, fitted here and measured on a second set", methods_on_another_set),
}
"""Name to what it compares and the function that measures it, in the order of printing."""

COMPARISONS = ("comparison", "comparison-kinds", "comparison-transfer")
"""Tables that are in no paper: what the methods add on the videos at hand."""


def measured_table(lab: ExperimentContext, name: str) -> Table:
    """Measure one table; what the backbones' weights allow to be said comes first."""
    lab.report(name, "")
    table = TABLES[name][1](lab)
    measured = {table.backbone, *(row.label for row in table.rows)}  # one table has a row for each backbone
    cases = sorted((case for case in lab.cases if case.backbone in measured), key=lambda case: case.backbone)
    warnings = list(dict.fromkeys(note for case in cases for note in case.notes))
    return replace(table, notes=(*warnings, *table.notes))


def check_names(names: Sequence[str]) -> None:
    """Refuse a table that does not exist.

    Raises:
        VadprobeError: naming it, and those there are.
    """
    unknown = [name for name in names if name not in TABLES]
    if unknown:
        raise VadprobeError(f"there is no table {unknown[0]!r}; the tables are {', '.join(TABLES)}.")
