"""Smoothing of scores that arrive one after another: each smoothed score is final a stated number of segments later."""

from collections import deque
from dataclasses import dataclass, field

import numpy as np

from vadprobe.analyze.locator.locator import Locator
from vadprobe.analyze.locator.smoothing import smooth
from vadprobe.store.errors import VadprobeError


@dataclass
class OnlineSmoother:
    """Gaussian smoothing of one video's scores as they come.

    The smoothed score of segment t is final once segment `t + look_ahead` has its score. With the kernel's radius as
    look-ahead it equals the score of `analyze.locator.smoothing.smooth`, also at the ends of a video (eq. 12 of
    HeadHunt-VAD). With a shorter look-ahead, it is the mean of the known scores from `t - radius` to `t + look_ahead`,
    weighted by the Gaussian, with weights that sum to 1. A NaN score (a segment that could not be read) stays NaN and
    spreads to no other score.

    Args:
        locator: sigma, edge and reach of the smoothing.
        look_ahead: number of segments to wait for, 0 to the radius; None for the radius.

    Attributes:
        radius: reach of the kernel in segments.
        delay: number of segments after which a smoothed score is final.

    Raises:
        VadprobeError: if `look_ahead` is negative or larger than the radius.
    """

    locator: Locator
    look_ahead: int | None = None
    _scores: deque[float] = field(default_factory=deque)
    _first: int = 0
    _next: int = 0

    def __post_init__(self) -> None:
        self.radius = self.locator.smoothing.radius(self.locator.sigma)
        if self.look_ahead is not None and not 0 <= self.look_ahead <= self.radius:
            raise VadprobeError(
                f"the look-ahead must be 0 to {self.radius} segments, the radius of the smoothing (sigma "
                f"{self.locator.sigma:g}, {self.locator.truncate:g} sigmas), got {self.look_ahead}."
            )
        self.delay = self.radius if self.look_ahead is None else self.look_ahead
        offsets = np.arange(-self.radius, self.delay + 1)
        sigma = self.locator.sigma
        self._weights = np.exp(-0.5 * (offsets / sigma) ** 2) if self.radius else np.ones(1)

    @property
    def is_offline(self) -> bool:
        """True if every smoothed score equals the one computed from the whole video."""
        return self.delay == self.radius

    def add(self, score: float) -> list[float]:
        """Take the next score; return the smoothed scores that are final now, in order."""
        self._scores.append(score)
        newest = self._first + len(self._scores) - 1
        return self._final(newest - self.delay + 1)

    def finish(self) -> list[float]:
        """End the video: return the remaining smoothed scores. The next score begins another video."""
        rest = self._final(self._first + len(self._scores))
        self._scores.clear()
        self._first = self._next = 0
        return rest

    def _final(self, stop: int) -> list[float]:
        if stop <= self._next:
            return []
        held = np.array(self._scores)
        start = self._next - self._first
        if self.is_offline:
            # Scores are held for a radius back, so the ends of `held` change none of the scores asked for, unless
            # they are the ends of the video.
            smoothed = smooth(held, self.locator.sigma, smoothing=self.locator.smoothing)[start : stop - self._first]
        else:
            smoothed = np.array([self._mean(held, place) for place in range(start, stop - self._first)])
        self._next = stop
        while self._first < self._next - 2 * self.radius:
            self._scores.popleft()
            self._first += 1
        return [float(value) for value in smoothed]

    def _mean(self, held: np.ndarray, place: int) -> float:
        """Return the weighted mean of the known scores around a place; NaN if the score at the place is NaN."""
        if np.isnan(held[place]):
            return float("nan")
        low, high = max(0, place - self.radius), min(len(held), place + self.delay + 1)
        near, weights = held[low:high], self._weights[low - place + self.radius : high - place + self.radius]
        known = ~np.isnan(near)
        return float(weights[known] @ near[known] / weights[known].sum())
