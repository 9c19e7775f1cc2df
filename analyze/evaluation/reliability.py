"""Reliability of probabilities: Brier score and reliability curve on frames."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from vadprobe.analyze.evaluation.bootstrap.bootstrap import draw_videos
from vadprobe.analyze.evaluation.evaluation import BootstrapConfig, null_for_nan
from vadprobe.analyze.evaluation.scored_clips import ScoredClips
from vadprobe.store.errors import VadprobeError

N_BINS = 10
"""Number of bins of equal width over [0, 1]; a probability at an edge is in the upper bin, 1 in the last."""

MEANING = (
    "The Brier score is the mean squared distance of the probability from the truth of the frame, 0 or 1. "
    "Lower is better; a constant probability, equal to the share of anomalous frames, gets share (1 - "
    "share). A bin whose frames are anomalous as often as its mean probability says lies on the diagonal. "
    "Bins may lie elsewhere, because the probe learns from samples with another share of anomalies than "
    "these frames have: read a probability as a rank, not as a chance."
)
"""Explanation that is shown with the numbers everywhere."""


@dataclass(frozen=True)
class ReliabilityBin:
    """Frames with a probability in [lower, upper), or [lower, 1] for the last bin.

    `observed` is the fraction of anomalous frames, `low` and `high` the ends of its interval. `mean_probability` and
    `observed` are NaN in an empty bin; `low` and `high` are NaN if fewer than two videos have a frame in the bin.
    """

    lower: float
    upper: float
    n_frames: int
    n_videos: int
    mean_probability: float
    observed: float
    low: float
    high: float


@dataclass(frozen=True)
class Reliability:
    """Probabilities of labelled frames against their truth; all frames of a clip have the clip's probability.

    Attributes:
        brier: mean of (p - y)^2 over `n_frames` frames.
        brier_interval: its percentile interval over resamples of videos; (NaN, NaN) without resamples.
        brier_constant: Brier score of the fraction of anomalous frames as a constant probability.
        gap: expected calibration error, the mean over frames of the distance between mean probability and observed
            fraction of the frame's bin.
        bins: the `N_BINS` bins.
    """

    brier: float
    brier_interval: tuple[float, float]
    brier_constant: float
    gap: float
    n_frames: int
    n_positive: int
    confidence: float
    bins: tuple[ReliabilityBin, ...]

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values with `MEANING`; unknown numbers are null."""
        return {**null_for_nan(asdict(self)), "unit": "labelled frames", "line": self.line(), "meaning": MEANING}

    def line(self) -> str:
        """Return the numbers in one line of text."""
        ends = "" if np.isnan(self.brier_interval[0]) else " [{:.4f}, {:.4f}]".format(*self.brier_interval)
        return (
            f"Brier score {self.brier:.4f}{ends} on {self.n_frames} labelled frames ({self.brier_constant:.4f} for "
            f"always saying their share of anomalous ones), mean distance from the diagonal {self.gap:.4f}"
        )


def reliability(clips: ScoredClips, bootstrap: BootstrapConfig) -> Reliability:
    """Measure probabilities on the frames of clips.

    The resamples are those of all other intervals: whole videos, with the same seed. A resample without frames in a bin
    is left out of that bin's interval.

    Args:
        clips: scores are probabilities in [0, 1], without NaN; at least one frame.
        bootstrap: of the intervals; none with 0 resamples.

    Raises:
        VadprobeError: if a score is no probability, or there is no frame.
    """
    probabilities = clips.scores
    if not np.all((probabilities >= 0) & (probabilities <= 1)) or clips.n_frames.sum() == 0:
        raise VadprobeError("reliability needs frames with probabilities in [0, 1], without NaN; pass known clips.")
    _, videos = np.unique(clips.groups, return_inverse=True)
    numbers = np.minimum((probabilities * N_BINS).astype(np.int64), N_BINS - 1)
    squares = clips.positives * (1 - probabilities) ** 2 + clips.negatives * probabilities**2
    shape = (int(videos.max()) + 1, N_BINS)

    def by_cell(weights: np.ndarray) -> np.ndarray:
        """Return the sums of weights of the clips by video and bin, (videos, bins)."""
        cells = np.bincount(videos * N_BINS + numbers, weights=weights, minlength=shape[0] * N_BINS)
        return np.asarray(cells.reshape(shape))

    frames, positives = by_cell(clips.n_frames), by_cell(clips.positives)
    sums, losses = by_cell(clips.n_frames * probabilities), by_cell(squares)
    total, share = frames.sum(), positives.sum() / frames.sum()
    counts = frames.sum(axis=0)
    means, observed = (_ratio(part.sum(axis=0), counts) for part in (sums, positives))
    ends, interval = _intervals(frames, positives, losses, bootstrap)
    bins = zip(counts, np.count_nonzero(frames, axis=0), means, observed, *ends, strict=True)
    return Reliability(
        brier=float(losses.sum() / total),
        brier_interval=interval,
        brier_constant=float(share * (1 - share)),
        gap=float(np.nansum(counts * np.abs(means - observed)) / total),
        n_frames=int(total),
        n_positive=int(positives.sum()),
        confidence=bootstrap.confidence,
        bins=tuple(
            ReliabilityBin(number / N_BINS, (number + 1) / N_BINS, int(n), int(v), *map(float, rest))
            for number, (n, v, *rest) in enumerate(bins)
        ),
    )


def _intervals(
    frames: np.ndarray, positives: np.ndarray, losses: np.ndarray, config: BootstrapConfig
) -> tuple[tuple[np.ndarray, np.ndarray], tuple[float, float]]:
    """Return the interval of each bin's observed fraction, (bins,) for each end, and that of the Brier score."""
    low, high = np.full((2, N_BINS), np.nan)
    if config.n_resamples == 0:
        return (low, high), (float("nan"), float("nan"))
    drawn = draw_videos(np.random.default_rng(config.seed), len(frames), config.n_resamples)[:, : config.n_resamples]
    tails = [(1 - config.confidence) / 2, (1 + config.confidence) / 2]
    brier = _ratio(losses.sum(axis=1) @ drawn, frames.sum(axis=1) @ drawn)
    shares = _ratio(positives.T @ drawn, frames.T @ drawn)
    for number in np.flatnonzero(np.count_nonzero(frames, axis=0) > 1):
        known = shares[number][~np.isnan(shares[number])]
        if len(known):
            low[number], high[number] = np.quantile(known, tails)
    lower, upper = np.nanquantile(brier, tails)
    return (low, high), (float(lower), float(upper))


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Return part / whole; NaN where the whole is 0."""
    return np.asarray(np.divide(part, whole, out=np.full(np.shape(whole), np.nan), where=np.asarray(whole) > 0))
