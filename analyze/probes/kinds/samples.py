"""Samples that a kind of probe is fitted on, and the protocol of a kind that brings its own fit."""

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
        rows: (m, k) of all rows that a statistic without labels sees: `features` first, then, in a transductive fit,
            rows of the videos to score. Their labels are not here.
        mean: (k,) that was taken out; it belongs into the probe.
        scale: (k,) that was divided by; it belongs into the probe.
        options: by name, every one that the kind declares.
    """

    features: np.ndarray
    labels: np.ndarray
    rows: np.ndarray
    mean: np.ndarray
    scale: np.ndarray
    options: Mapping[str, float]


@runtime_checkable
class Scorer(Protocol):
    """A class of probes that fits itself: a subclass of `probe.Probe` with `fit` and the claims below.

    Attributes:
        kind: name of it in a job.
        options: keys of `[analysis.probe.options]` with their defaults, all numbers.
        sees_labels: False if permuted labels leave the fit as it is.
        sees_rows: True if it has statistics without labels, which may be transductive.
        scale_free: True if features times a positive number give the same scores, without standardising.
    """

    kind: ClassVar[str]
    options: ClassVar[Mapping[str, float]]
    sees_labels: ClassVar[bool]
    sees_rows: ClassVar[bool]
    scale_free: ClassVar[bool]

    @classmethod
    def fit(cls, samples: FitSamples) -> Self:
        """Return the probe that was fitted; the order of samples changes it by rounding only."""
        ...

    def score(self, features: np.ndarray) -> np.ndarray:
        """Return (n,) scores in [0, 1], each of its row alone."""
        ...

    def to_json(self) -> dict[str, Any]:
        """Return the probe as plain JSON values."""
        ...
