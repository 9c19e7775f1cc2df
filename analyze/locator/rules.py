"""Rules of thresholds by name, and the protocol of one that another package adds."""

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
    """Everything that a rule of thresholds may see; scores are computed when they are asked for.

    Attributes:
        calibrated: gives the scores of the calibration rows, (n,) float64 unsmoothed.
        labels: (n,) int64, of the calibration rows.
        held_out: gives the clips of the labelled videos that are held out for a rule that tunes; the rows that are
            reported are not among them.
        sigmas: of the job, in clips.
        thresholds: of the job's grid.
        smoothing: edge and reach, of every sigma.
        kappa: deviations of the adaptive threshold.
        anomalous_only: True if the adaptive threshold is of the anomalous samples alone.
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
    """Protocol of a rule: a frozen value that fits smoothing and threshold.

    `tunes` is True if it asks for the held-out clips: their videos are then refused as reported ones.
    """

    @property
    def tunes(self) -> bool:
        """True if the held-out clips are asked for."""
        ...

    def fit(self, samples: LocatorSamples, /) -> Locator:
        """Return the locator; the order of the calibration rows changes it by rounding only."""
        ...


@dataclass(frozen=True)
class Adaptive:
    """Mean plus kappa deviations of the calibration scores (eq. 10 (HiProbe-VAD))."""

    tunes: bool = False

    def fit(self, samples: LocatorSamples) -> Locator:
        """Return the first sigma with that threshold."""
        scores = samples.calibrated()
        of = scores[samples.labels == 1] if samples.anomalous_only else scores
        smoothing = samples.smoothing
        return Locator(samples.sigmas[0], adaptive_threshold(of, samples.kappa), smoothing.edge, smoothing.truncate)


@dataclass(frozen=True)
class Grid:
    """The pair of sigma and threshold of best frame F1 on the held-out videos."""

    tunes: bool = True

    def fit(self, samples: LocatorSamples) -> Locator:
        """Return the best pair of the job's sigmas and thresholds."""
        return frame_f1_grid(samples.held_out(), samples.sigmas, samples.thresholds, samples.smoothing).locator


LOCATOR_RULES: Registry[LocatorRule] = Registry("threshold", {"adaptive": Adaptive(), "grid": Grid()})
"""Rules by the name that a job gives in place of a number."""
