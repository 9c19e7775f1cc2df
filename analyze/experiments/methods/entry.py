"""One row of a comparison before it is put into a table: its draws, its numbers, and differences from other rows."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from vadprobe.analyze.evaluation.bootstrap.paired import auc_difference
from vadprobe.analyze.experiments.methods.measured import ALL, Measured
from vadprobe.analyze.experiments.rows import Number, Row
from vadprobe.store.files.text import percent


@dataclass(frozen=True)
class Difference:
    """Difference of two AUCs, and the ends of its interval over paired resamples; NaN where unknown."""

    value: float
    low: float = math.nan
    high: float = math.nan
    confidence: float = math.nan

    @property
    def has_interval(self) -> bool:
        """True if the interval is known."""
        return not math.isnan(self.low)

    @property
    def may_be_nothing(self) -> bool:
        """True if the interval is known and contains 0."""
        return self.low <= 0 <= self.high


@dataclass(frozen=True, eq=False)
class Entry:
    """One row: its key for the verdicts, and the measured draws; without draws, the `reason`.

    If `baseline` is given, the row shows that baseline of the evaluations. `others` are the AUCs, by name, of which the
    row's is the best. `notes` say how the scores are made.
    """

    key: str
    label: str
    draws: tuple[Measured, ...] = ()
    reason: str = ""
    choice: str = ""
    baseline: str = ""
    others: Mapping[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def aucs(self) -> list[float]:
        """AUC of every draw over all videos."""
        return [draw.auc for draw in self.draws]

    @property
    def auc(self) -> float:
        """AUC over all videos, the median of several draws; NaN if unknown."""
        return float(np.median(self.aucs)) if self.draws else math.nan

    def difference(self, other: "Entry") -> Difference:
        """Return the AUC over all videos minus that of another row, with its interval if both have one draw."""
        value = self.auc - other.auc
        mine, theirs = (one.draws[0] if len(one.draws) == 1 else None for one in (self, other))
        evaluation = mine.by_group[ALL] if mine is not None else None
        if mine is None or theirs is None or evaluation is None or mine.clips is None or theirs.clips is None:
            return Difference(value)
        settings = evaluation.bootstrap
        if settings.n_resamples == 0:
            return Difference(value)
        ends = auc_difference(mine.clips, theirs.clips, settings)
        return Difference(value, *ends, settings.confidence)

    def row(self, columns: Mapping[str, tuple[str, str]]) -> Row:
        """Return the table's row; `columns` gives (group, metric) by the name of the column."""
        numbers = {name: self._number(*place) for name, place in columns.items()}
        if not self.draws:
            return Row(self.label, numbers, reason=self.reason, key=self.key)
        caveats = tuple(dict.fromkeys(text for draw in self.draws for text in draw.caveats))
        count = len(self.draws)
        return Row(self.label, numbers, self._interval(), count, self.choice, caveats=caveats, key=self.key)

    def _number(self, group: str, metric: str) -> Number:
        found = [draw.by_group.get(group) for draw in self.draws]
        known = [one for one in found if one is not None]
        if not known or len(known) < len(found):
            return Number()
        if self.baseline:
            return Number(known[0].baselines[self.baseline][metric])
        values = [float(getattr(one, metric)) for one in known]
        if len(values) > 1:
            return Number(float(np.median(values)), min(values), max(values))
        return Number(values[0], *known[0].intervals.get(metric, ()))

    def _interval(self) -> str:
        if self.baseline:
            return ""
        if len(self.draws) > 1:
            return f"lowest and highest of {len(self.draws)} draws of heads; the number before is their median"
        first = next((one for one in self.draws[0].by_group.values() if one is not None), None)
        return (
            f"{percent(first.bootstrap.confidence)} of video resamples" if first is not None and first.intervals else ""
        )
