"""The nearest-neighbour probe: distance of a sample to the rows most similar to it, without labels."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np

from vadprobe.analyze.probes.kinds.samples import FitSamples
from vadprobe.analyze.probes.probe import Probe


@dataclass(frozen=True, eq=False)
class NeighboursProbe(Probe):
    """Probe with score = d / (d + usual), where d is the mean Euclidean distance to the `neighbours` nearest bank rows.

    `bank` (b, k) float64 has distinct rows of the fit. Rows equal to the sample are ignored, so a sample of the bank is
    not its own neighbour. `usual` is the median of d over the bank, at which the score is 0.5.
    """

    kind: ClassVar[str] = "nearest-neighbours"
    arrays: ClassVar[tuple[str, ...]] = ("mean", "scale", "bank")
    options: ClassVar[Mapping[str, float]] = {"neighbours": 5, "bank": 512}
    sees_labels: ClassVar[bool] = False
    sees_rows: ClassVar[bool] = True
    scale_free: ClassVar[bool] = True

    bank: np.ndarray
    neighbours: int = 5
    usual: float = 1.0

    @classmethod
    def fit(cls, samples: FitSamples) -> Self:
        """Keep at most options["bank"] rows, drawn by a hash of their values, so that their order has no effect."""
        rows = np.unique(samples.rows, axis=0)
        most = int(samples.options["bank"])
        if len(rows) > most:
            keys = [hashlib.sha256(row.tobytes()).digest() for row in rows]
            rows = rows[sorted(sorted(range(len(rows)), key=keys.__getitem__)[:most])]
        count = int(samples.options["neighbours"])
        usual = float(np.median([_distance(rows, row, count) for row in rows]))
        return cls(samples.mean, samples.scale, rows, count, usual if usual > 0 else 1.0)

    def _score_standardised(self, block: np.ndarray) -> np.ndarray:
        found = np.array([_distance(self.bank, row, self.neighbours) for row in block])
        return np.asarray(found / (found + self.usual))

    def _check_shapes(self) -> None:
        super()._check_shapes()
        if self.bank.ndim != 2 or len(self.bank) == 0 or self.bank.shape[1:] != self.mean.shape:
            raise self._misshapen()


def _distance(bank: np.ndarray, row: np.ndarray, count: int) -> float:
    """Return the mean distance of a row to its nearest unequal rows of the bank; NaN for an unknown row."""
    distances = np.sqrt(((bank - row) ** 2).sum(axis=1))
    others = distances[distances != 0]
    if not len(others):
        return 0.0
    return float(np.sort(others)[:count].mean())
