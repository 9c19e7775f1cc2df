"""Segments of a result that are explained: every event, and some of the normal ones."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from vadprobe.analyze.locator.explanation_files import place_of
from vadprobe.analyze.locator.segments import ANOMALOUS, KINDS, NORMAL

NormalRule = Literal["longest", "seed"]
"""Rule that chooses normal segments: the longest in frames, or drawn by a seed."""


@dataclass(frozen=True)
class NormalChoice:
    """Choice of at most `count` normal segments of a result, by a rule; only the rule 'seed' uses `seed`."""

    count: int = 0
    rule: NormalRule = "longest"
    seed: int = 0

    def to_json(self) -> dict[str, Any]:
        """Return the choice as plain JSON values."""
        return asdict(self)

    def of(self, rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        """Return the chosen rows of normal segments; among equally long ones the first by video and start."""
        if self.rule == "seed":
            order = np.random.default_rng(self.seed).permutation(len(rows)).tolist()
            return [rows[place] for place in order[: self.count]]
        longest = sorted(rows, key=lambda row: (row["start_frame"] - row["stop_frame"], place_of(row)))
        return longest[: self.count]


NO_NORMAL = NormalChoice()
"""No normal segments: only events are explained."""


def chosen_segments(events: pa.Table, normal: NormalChoice) -> list[Mapping[str, Any]]:
    """Return every anomalous segment and the chosen normal ones, by video and start.

    Args:
        events: the result of `read_events`.
        normal: choice of the normal segments.
    """
    rows = events.to_pylist()
    anomalous, others = ([row for row in rows if row["kind"] == KINDS[kind]] for kind in (ANOMALOUS, NORMAL))
    return sorted([*anomalous, *normal.of(others)], key=place_of)
