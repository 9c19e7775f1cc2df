"""Axes of a sweep: keys with their values for every job, which are checked before anything is computed."""

import difflib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from vadprobe.analyze.experiments.cases import ExperimentJob
from vadprobe.analyze.experiments.sweeps.keys import KEYS, SweepKey, Variation, own_variation
from vadprobe.analyze.experiments.sweeps.values import Value, shown
from vadprobe.store.errors import VadprobeError
from vadprobe.store.files.text import counted

OWN, PRODUCT = "own", "product"
"""Values of `Cell.swept` for the job's own settings, and for a cell of a grid; else it is the name of a key."""


@dataclass(frozen=True, eq=False)
class Cell:
    """One setting of a job that is measured.

    `swept` is the key whose value differs from the job's own, or `OWN` or `PRODUCT`. `values` has the value of every
    key of the sweep in this cell; None if the job has no value of its own.
    """

    case: ExperimentJob
    swept: str
    values: Mapping[str, Value | None]
    variation: Variation

    @property
    def label(self) -> str:
        """Name of the cell within its job, in a few words."""
        moved = self.values if self.swept == PRODUCT else {key: self.values[key] for key in (self.swept,) if key != OWN}
        return ", ".join(f"{key} {shown(value)}" for key, value in moved.items()) or "the job's own settings"


@dataclass(frozen=True, eq=False)
class Plan:
    """Cells of a sweep, the keys that are swept in each job, and notes on keys that were left out or held fixed."""

    keys: tuple[str, ...]
    is_product: bool
    cells: tuple[Cell, ...]
    notes: tuple[str, ...] = ()
    axes: Mapping[str, Mapping[str, Sequence[Value]]] = field(default_factory=dict)


def read_axes(given: Sequence[str]) -> dict[SweepKey, list[str]]:
    """Read axes, each given as `KEY=V1,V2,...`.

    Raises:
        VadprobeError: if a key is unknown, named twice or has no value, or keys exclude each other.
    """
    names = {alias: key for key in KEYS.values() for alias in (key.name, *key.aliases)}
    found: dict[str, list[str]] = {}
    for text in given:
        name, equals, words = text.partition("=")
        name = name.strip().replace("_", "-")
        values = [word.strip() for word in words.split(",") if word.strip()]
        if not equals or not values:
            raise VadprobeError(f"--over must be KEY=V1,V2,..., got {text!r}; the keys are {', '.join(KEYS)}.")
        if name not in names:
            near = difflib.get_close_matches(name, names, n=1)
            hint = f"did you mean {names[near[0]].name!r}? The" if near else "the"
            raise VadprobeError(f"there is no sweep key {name!r}; {hint} keys are {', '.join(KEYS)}.")
        if names[name].name in found:
            raise VadprobeError(f"--over has {names[name].name} twice; name its values after one '='.")
        found[names[name].name] = values
    if not found:
        raise VadprobeError(f"no key is swept; give --over KEY=V1,V2,... The keys are {', '.join(KEYS)}.")
    return {key: found[name] for name, key in KEYS.items() if name in found}


def plan_sweep(
    cases: Sequence[ExperimentJob], axes: Mapping[SweepKey, Sequence[str]], *, is_product: bool, limit: int
) -> Plan:
    """Plan the cells: each key's values around the job's own settings, or every combination of values.

    Args:
        cases: jobs with different names.
        axes: from `read_axes`.
        is_product: make every combination of values a cell.
        limit: largest number of cells.

    Raises:
        VadprobeError: if a value does not fit, a key fits no job, or there are more than `limit` cells.
    """
    if is_product and {"tau", "kappa"} <= {key.name for key in axes}:
        raise VadprobeError(
            "tau is a fixed threshold and kappa is of the adaptive one, so no cell has both; leave one out, or leave "
            "out --product."
        )
    fitting = {case.name: {key: words for key, words in axes.items() if not key.misfit(case.config)} for case in cases}
    for key in axes:
        if not any(key in own for own in fitting.values()):
            raise VadprobeError(f"{key.name} fits no job: {key.misfit(cases[0].config)} ({cases[0].name}).")
    values = {case.name: {key: key.values(case, words) for key, words in fitting[case.name].items()} for case in cases}
    count = sum(1 + _count(own, is_product) for own in values.values())
    if count > limit:
        raise VadprobeError(
            f"the sweep has {counted(count, 'cell')}, and --limit is {limit:,}; name fewer values"
            f"{', leave out --product' if is_product else ''}, or raise --limit."
        )
    cells = [cell for case in cases for cell in _cells(case, [key.name for key in axes], values[case.name], is_product)]
    notes = [note for case in cases for note in _notes(case, axes, is_product)]
    by_name = {name: {key.name: found for key, found in own.items()} for name, own in values.items()}
    return Plan(tuple(key.name for key in axes), is_product, tuple(cells), tuple(dict.fromkeys(notes)), by_name)


def _count(values: Mapping[SweepKey, Sequence[Value]], is_product: bool) -> int:
    sizes = [len(found) for found in values.values()]
    return math.prod(sizes) if is_product and sizes else sum(sizes)


def _cells(
    case: ExperimentJob, names: Sequence[str], values: Mapping[SweepKey, Sequence[Value]], is_product: bool
) -> list[Cell]:
    base = own_variation(case)
    own = {name: KEYS[name].own(case) if any(key.name == name for key in values) else None for name in names}
    cells = [Cell(case, OWN, own, base)]
    if not is_product:
        for key, found in values.items():
            cells += [Cell(case, key.name, {**own, key.name: one}, key.changed(base, one)) for one in found]
        return cells
    grid: list[tuple[dict[str, Value | None], Variation]] = [({}, base)] if values else []
    for key, found in values.items():
        grid = [({**had, key.name: one}, key.changed(before, one)) for had, before in grid for one in found]
    return [*cells, *(Cell(case, PRODUCT, {**own, **had}, variation) for had, variation in grid)]


def _notes(case: ExperimentJob, axes: Mapping[SweepKey, Sequence[str]], is_product: bool) -> list[str]:
    """Return notes on keys without effect on a job, and on the smoothing under which a threshold is swept."""
    notes = [
        f"{key.name} is not swept in {case.name}: {key.misfit(case.config)}." for key in axes if key.misfit(case.config)
    ]
    held = [key.name for key in axes if key.name in ("tau", "kappa")]
    if held and len(case.config.locator.sigmas) > 1 and not (is_product and "sigma" in {key.name for key in axes}):
        notes.append(
            f"{case.name} searches its smoothing on a grid; for {' and '.join(held)} the "
            "smoothing is the paper's, "
            f"{KEYS['tau'].change(own_variation(case), 0.5).config.locator.sigmas[0]:g}."
        )
    return notes
