"""Threshold rules by name, and the protocol for rules that other packages add."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from vadprobe.analyze.compute.registry import Registry
from vadprobe.analyze.evaluation.scored_clips import ScoredClips
from vadprobe.analyze.locator.grid import frame_f1_grid
from vadprobe.analyze.locator.locator import Locator, adaptive_threshold
from vadprobe.analyze.locator.smoothing import MIRRORED, Smoothing


@dataclass(frozen=True, eq=False)
class LocatorSamples:
    """Everything that a threshold rule may see; scores are computed on demand.

    Attributes:
        calibrated: returns the scores of the calibration rows, (n,) float64, unsmoothed.
        labels: (n,) int64, of the calibration rows.
        held_out: returns the clips of the labelled videos that are held out for tuning; no reported row is among them.
        sigmas: of the job, in clips.
        thresholds: of the job's grid.
        smoothing: edge and reach, for every sigma.
        kappa: number of deviations of the adaptive threshold.
        anomalous_only: True if the adaptive threshold is computed from anomalous samples alone.
    """

    calibrated: Callable[[], np.ndarray]
    labels: np.ndarray
    held_out: Callable[[], ScoredClips]
    sigmas: tuple[float, ...]
    thresholds: tuple[float, ...] = ()
    smoothing: Smoothing = MIRRORED
    kappa: float = 0.2
    anomalous_only: bool = False


class LocatorRule(Protocol):
    """Protocol of a threshold rule: a frozen value that fits smoothing and threshold.

    If `tunes` is True, the rule uses the held-out clips, and results on their videos are refused.
    """

    @property
    def tunes(self) -> bool:
        """True if the rule uses the held-out clips."""
        ...

    def fit(self, samples: LocatorSamples, /) -> Locator:
        """Return the locator, which must not depend on the order of the calibration rows, except for rounding."""
        ...


@dataclass(frozen=True)
class Adaptive:
    """Adaptive threshold: mean plus kappa deviations of the calibration scores (eq. 10 (HiProbe-VAD))."""

    tunes: bool = False

    def fit(self, samples: LocatorSamples) -> Locator:
        """Return a locator with the job's first sigma and the adaptive threshold."""
        scores = samples.calibrated()
        of = scores[samples.labels == 1] if samples.anomalous_only else scores
        smoothing = samples.smoothing
        return Locator(samples.sigmas[0], adaptive_threshold(of, samples.kappa), smoothing.edge, smoothing.truncate)


@dataclass(frozen=True)
class Grid:
    """Grid search: the pair of sigma and threshold with the best frame F1 on the held-out videos."""

    tunes: bool = True

    def fit(self, samples: LocatorSamples) -> Locator:
        """Return the best pair of the job's sigmas and thresholds."""
        return frame_f1_grid(samples.held_out(), samples.sigmas, samples.thresholds, samples.smoothing).locator


LOCATOR_RULES: Registry[LocatorRule] = Registry("threshold", {"adaptive": Adaptive(), "grid": Grid()})
"""Threshold rules by the name that a job gives in place of a number."""
