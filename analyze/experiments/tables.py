"""Tables by name: those of the papers under the papers' numbers, and our own."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial

from vadprobe.analyze.experiments.cases import ExperimentContext
from vadprobe.analyze.experiments.efficiency import efficiency
from vadprobe.analyze.experiments.methods.comparisons import (
    methods_by_kind,
    methods_compared,
    methods_on_another_set,
)
from vadprobe.analyze.experiments.own.backbones import backbones
from vadprobe.analyze.experiments.own.heads import heads
from vadprobe.analyze.experiments.own.layers import layers
from vadprobe.analyze.experiments.own.locators import headhunt_locators, hiprobe_locators
from vadprobe.analyze.experiments.own.transfers import transfer
from vadprobe.analyze.experiments.papers.comparison import headhunt_comparison, hiprobe_comparison
from vadprobe.analyze.experiments.papers.headhunt_tables import headhunt_3
from vadprobe.analyze.experiments.papers.hiprobe_tables import hiprobe_4, hiprobe_5
from vadprobe.analyze.experiments.papers.transfers import hiprobe_3
from vadprobe.analyze.experiments.rows import Table
from vadprobe.store.errors import VadprobeError

TABLES: Mapping[str, tuple[str, Callable[[ExperimentContext], Table]]] = {
    "hiprobe-1": ("HiProbe-VAD table 1: comparison on UCF-Crime", partial(hiprobe_comparison, name="hiprobe-1")),
    "hiprobe-2": ("HiProbe-VAD table 2: comparison on XD-Violence", partial(hiprobe_comparison, name="hiprobe-2")),
    "hiprobe-3": ("HiProbe-VAD table 3: zero-shot transfer between datasets", hiprobe_3),
    "hiprobe-4": ("HiProbe-VAD table 4: layer, scorer and threshold", hiprobe_4),
    "hiprobe-5": ("HiProbe-VAD table 5: K frames of a clip", hiprobe_5),
    "headhunt-1": ("HeadHunt-VAD table 1: comparison on UCF-Crime", partial(headhunt_comparison, name="headhunt-1")),
    "headhunt-2": ("HeadHunt-VAD table 2: comparison on XD-Violence", partial(headhunt_comparison, name="headhunt-2")),
    "headhunt-3": ("HeadHunt-VAD table 3: heads, prompts, scorer and locator", headhunt_3),
    "layers": ("choices of the layer: DLSP, each metric alone, middle, last", layers),
    "heads": ("choices of heads, prompts, metrics and probe", heads),
    "locators-hiprobe": ("HiProbe-VAD's thresholds and smoothing", hiprobe_locators),
    "locators-headhunt": ("HeadHunt-VAD's thresholds, grids and smoothing", headhunt_locators),
    "backbones": ("both methods by backbone", backbones),
    "transfer": ("both methods fitted on one dataset, measured on another; the selection alone beside", transfer),
    "efficiency": ("seconds and operations per segment, features kept, videos needed", efficiency),
    "comparison": ("both methods beside layers, heads, the model's text and baselines", methods_compared),
    "comparison-kinds": ("the same on kinds that the backbone was told of, and on others", methods_by_kind),
    "comparison-transfer": ("the same, fitted here and measured on a second set", methods_on_another_set),
}
"""By name, what the table compares and the function that measures it, in the order of printing."""

COMPARISONS = ("comparison", "comparison-kinds", "comparison-transfer")
"""Tables of our own that show what the methods add on the videos at hand."""

FORMER_NAMES: Mapping[str, str] = {"hiprobe-6": "backbones"}
"""Present names of tables that once had a paper's name without being in the paper."""


def measured_table(lab: ExperimentContext, name: str) -> Table:
    """Measure one table; its first notes are the limits of the backbones' weights."""
    lab.report(name, "")
    table = TABLES[name][1](lab)
    measured = {table.backbone, *(row.backbone for row in table.rows)}
    cases = sorted((case for case in lab.cases if case.backbone in measured), key=lambda case: case.backbone)
    warnings = list(dict.fromkeys(note for case in cases for note in case.notes))
    return replace(table, notes=(*warnings, *table.notes))


def check_names(names: Sequence[str]) -> None:
    """Refuse a table that does not exist.

    Raises:
        VadprobeError: naming it, and those there are, or the name it has now.
    """
    unknown = [name for name in names if name not in TABLES]
    if unknown and unknown[0] in FORMER_NAMES:
        raise VadprobeError(
            f"there is no table {unknown[0]!r}, as the paper has none; it is called {FORMER_NAMES[unknown[0]]!r} now."
        )
    if unknown:
        job = " Job files are named behind --jobs." if unknown[0].endswith(".toml") else ""
        raise VadprobeError(f"there is no table {unknown[0]!r}; the tables are {', '.join(TABLES)}.{job}")
