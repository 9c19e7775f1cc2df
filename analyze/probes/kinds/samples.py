"""Samples that a kind of probe is fitted on, and the protocol of a kind that fits itself."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, Self, runtime_checkable

import numpy as np


@dataclass(frozen=True, eq=False)
class FitSamples:
    """Standardised samples of a fit, float64.

    Attributes:
        features: (n, k) of the calibration rows.
        labels: (n,) int64, 1 (anomalous) or 0, of `features`.
        rows: (m, k), all rows that statistics without labels see: `features` first and, in a transductive fit, rows of
            the videos to score behind them, without labels.
        mean: (k,) that was subtracted; the probe must store it.
        scale: (k,) that was divided by; the probe must store it.
        options: value of every option that the kind declares, by name.
    """

    features: np.ndarray
    labels: np.ndarray
    rows: np.ndarray
    mean: np.ndarray
    scale: np.ndarray
    options: Mapping[str, float]


@runtime_checkable
class Scorer(Protocol):
    """Protocol of a class of probes that fits itself: a subclass of `probe.Probe` with `fit` and these attributes.

    Attributes:
        kind: its name in a job.
        options: keys of `[analysis.probe.options]` with their defaults, all numbers.
        sees_labels: False if the fit does not depend on labels.
        sees_rows: True if it has statistics without labels, so that a transductive fit is possible.
        scale_free: True if multiplying features by a positive number does not change the scores, even without
            standardising.
    """

    kind: ClassVar[str]
    options: ClassVar[Mapping[str, float]]
    sees_labels: ClassVar[bool]
    sees_rows: ClassVar[bool]
    scale_free: ClassVar[bool]

    @classmethod
    def fit(cls, samples: FitSamples) -> Self:
        """Return the fitted probe, which must not depend on the order of samples, except for rounding."""
        ...

    def score(self, features: np.ndarray) -> np.ndarray:
        """Return (n,) scores in [0, 1], each computed from its row alone."""
        ...

    def to_json(self) -> dict[str, Any]:
        """Return the probe as plain JSON values."""
        ...
