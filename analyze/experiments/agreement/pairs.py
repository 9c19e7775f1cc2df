"""Pairs of selections: how much they share, beside the expectation for random selections."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any

import numpy as np

from vadprobe.analyze.evaluation.evaluation import null_for_nan
from vadprobe.analyze.experiments.agreement.choices import (
    Chosen,
    convention_choice,
    own_choice,
    prompt_choices,
)
from vadprobe.analyze.experiments.cases import ExperimentContext, ExperimentJob
from vadprobe.analyze.experiments.measuring import describe
from vadprobe.analyze.saliency.selection import Selection
from vadprobe.analyze.saliency.stability import Overlap, overlap
from vadprobe.store.format.specification import BackboneSpec

_NAN = float("nan")


@dataclass(frozen=True)
class Pair:
    """Agreement of two selections, as the mean over `n` pairs of draws.

    Attributes:
        first, second: names of the two.
        differ_in: settings in which they differ.
        size: number of selected heads or layers.
        overlap: shared indices; unknown between different backbones or units.
        distance: distance of two selected layers, in layers.
        chance_distance: expectation of `distance` for random layers.
        depth: difference of the mean relative depths, which is known for any two backbones.
    """

    first: str
    second: str
    differ_in: str
    unit: str
    n: int = 0
    size: float = _NAN
    overlap: Overlap = Overlap()  # noqa: RUF009  a frozen value
    distance: float = _NAN
    chance_distance: float = _NAN
    depth: float = _NAN
    choices: tuple[str, str] = ("", "")
    reason: str = ""


@dataclass(frozen=True, eq=False)
class Agreement:
    """All pairs, and notes that a reader must know."""

    pairs: tuple[Pair, ...]
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values; unknown numbers are null."""
        return null_for_nan({"pairs": [asdict(pair) for pair in self.pairs], "notes": list(self.notes)})


def measure_agreement(lab: ExperimentContext) -> Agreement:
    """Compare every job's selections with those under other draws, prompts and conventions, and with other jobs'."""
    owns = {case: own_choice(lab, case) for case in lab.cases}
    pairs = [pair for case, own in owns.items() for pair in _within(lab, case, own)]
    pairs += [_pair(owns[one], owns[other], _differing(one, other)) for one, other in combinations(lab.cases, 2)]
    warnings = [note for case in lab.cases for note in case.notes]
    return Agreement(tuple(pairs), tuple(dict.fromkeys(warnings)))


def _within(lab: ExperimentContext, case: ExperimentJob, own: Chosen) -> Iterator[Pair]:
    if len(own.selections) > 1:
        yield _compared(own, own, "draw", list(combinations(range(len(own.selections)), 2)))
    singles = list(prompt_choices(lab, case))
    if not case.config.chooses_layers:  # a layer's own selection equals that under its score prompt alone
        yield from (_pair(own, single, "prompts") for single in singles)
    yield from (_pair(one, other, "prompts") for one, other in combinations(singles, 2))
    convention = convention_choice(lab, case)
    if convention is not None:
        yield _pair(own, convention, "convention")


def _pair(first: Chosen, second: Chosen, differ_in: str) -> Pair:
    """Compare two selections draw by draw; a single draw, as of a whole split, is compared with every other draw."""
    counts = len(first.selections), len(second.selections)
    if min(counts) > 1 and counts[0] != counts[1]:  # some draws have no selection: compare each with each
        return _compared(first, second, differ_in, [(a, b) for a in range(counts[0]) for b in range(counts[1])])
    many = max(counts) if min(counts) else 0
    return _compared(first, second, differ_in, [(min(n, counts[0] - 1), min(n, counts[1] - 1)) for n in range(many)])


def _compared(first: Chosen, second: Chosen, differ_in: str, places: Sequence[tuple[int, int]]) -> Pair:
    names = _names(first, second, differ_in)
    if not places or first.backbone is None or second.backbone is None:
        reasons = (*first.reasons, *second.reasons)
        return Pair(*names, differ_in, "", reason=reasons[0] if reasons else "nothing was chosen")
    drawn = [(first.selections[a], second.selections[b]) for a, b in places]
    units = {selection.unit for pair in drawn for selection in pair}
    same = len(units) == 1 and _same(first.backbone, second.backbone)
    unit = "layer" if units == {"layer"} else "head" if units == {"head"} else "both"
    total = _total(first.backbone, unit)
    depths = [abs(first.depths[a] - second.depths[b]) for a, b in places]
    return Pair(
        *names,
        differ_in,
        unit,
        n=len(places),
        size=float(np.mean([len(one.indices) for one, _ in drawn])),
        overlap=_mean([overlap(one, other, total) for one, other in drawn]) if same else Overlap(),
        distance=_distance(drawn) if same and unit == "layer" else _NAN,
        chance_distance=(total * total - 1) / (3 * total) if same and unit == "layer" else _NAN,
        depth=float(np.mean(depths)),
        choices=(describe(drawn[0][0]), describe(drawn[0][1])),
        reason="" if same else "of two backbones" if len(units) == 1 else "a layer beside heads",
    )


def _names(first: Chosen, second: Chosen, differ_in: str) -> tuple[str, str]:
    if differ_in == "draw":
        return f"{first.case.name}, one draw", f"{second.case.name}, another"
    return f"{first.case.name}, {first.label}", f"{second.case.name}, {second.label}"


def _mean(found: Sequence[Overlap]) -> Overlap:
    return Overlap(*(float(np.mean([getattr(one, name) for one in found])) for name in asdict(Overlap())))


def _distance(drawn: Sequence[tuple[Selection, Selection]]) -> float:
    return float(np.mean([abs(one.indices[0][0] - other.indices[0][0]) for one, other in drawn]))


def _same(first: BackboneSpec, second: BackboneSpec) -> bool:
    """Return whether an index means the same layer or head in both: their weights are the same."""
    return (first.revision, first.head_shapes) == (second.revision, second.head_shapes)


def _total(backbone: BackboneSpec, unit: str) -> int:
    return backbone.n_layers if unit == "layer" else len(backbone.heads)


def _differing(first: ExperimentJob, second: ExperimentJob) -> str:
    """Return the settings in which two jobs differ, in words."""
    parts = {
        "dataset": (first.truth.name, second.truth.name),
        "backbone": (first.backbone, second.backbone),
        "method": (first.config.method, second.config.method),
        "samplings": (first.samplings, second.samplings),
        "prompts": (first.prompts, second.prompts),
    }
    return ", ".join(name for name, (one, other) in parts.items() if one != other) or "settings"
