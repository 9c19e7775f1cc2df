"""Gaussian smoothing of clip scores over time, each video by itself."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, get_args

import numpy as np

from vadprobe.store.errors import VadprobeError

Edge = Literal["reflect", "zero", "nearest"]
"""Scores assumed beyond the ends of a video: the mirrored ones, edge clip included; zeros; or the edge clip's."""


@dataclass(frozen=True)
class Smoothing:
    """Details of a convolution with a Gaussian: its `edge`, and the sigmas that it reaches to each side, `truncate`."""

    edge: Edge = "reflect"
    truncate: float = 4.0

    def __post_init__(self) -> None:
        if self.edge not in get_args(Edge):
            raise VadprobeError(f"the edge of smoothing must be one of {', '.join(get_args(Edge))}, got {self.edge!r}.")
        if not (np.isfinite(self.truncate) and self.truncate > 0):
            raise VadprobeError(f"truncate must be a finite number of sigmas above 0, got {self.truncate}.")

    def radius(self, sigma: float) -> int:
        """Return the number of clips on each side that enter a smoothed score: `truncate` sigmas, rounded.

        Raises:
            VadprobeError: if sigma is negative or not finite.
        """
        if not (np.isfinite(sigma) and sigma >= 0):
            raise VadprobeError(f"sigma must be a finite number of clips, 0 or more, got {sigma}.")
        return int(self.truncate * sigma + 0.5)


MIRRORED = Smoothing()
"""The default smoothing, which is scipy's: mirrored edges, 4 sigmas."""


@dataclass(frozen=True, eq=False)
class PaddedVideos:
    """Videos in one sequence, each padded with `radius` clips on both sides, so that one filter runs over all of them.

    `places` (n,) is the position of each clip, ascending. `repeated` (2, 2 * radius * videos) has the positions of the
    padding and the clip that is repeated at each; with `zeros` the padding is 0 instead.
    """

    places: np.ndarray
    repeated: np.ndarray
    zeros: bool = False

    def spread(self, values: np.ndarray) -> np.ndarray:
        """Return clip values (n,) laid on all positions, (places,), padding included."""
        spread = np.empty(len(values) + self.repeated.shape[1], dtype=values.dtype)
        spread[self.places] = values
        spread[self.repeated[0]] = 0 if self.zeros else values[self.repeated[1]]
        return spread


def smooth(
    scores: np.ndarray, sigma: float, groups: np.ndarray | None = None, smoothing: Smoothing = MIRRORED
) -> np.ndarray:
    """Smooth clip scores over time by a Gaussian, each video by itself (eq. 12 (HeadHunt-VAD)).

    For known scores this equals `scipy.ndimage.gaussian_filter1d` of each video, with mode "reflect" and truncate 4,
    bit by bit; the edge "zero" is its mode "constant". A NaN score (a failed clip) stays NaN and does not spread: its
    neighbours become weighted means of the known clips alone.

    Args:
        scores: (n,) one per clip, the clips of a video in order.
        sigma: standard deviation in clips, >= 0; 0 smooths nothing.
        groups: (n,) video of each clip (any integers); the clips of a video must be contiguous. None: one video.
        smoothing: the edge, and the reach.

    Returns:
        (n,) float64. The scores of a video with constant scores, or with one clip, stay the same up to rounding, unless
        the edge is "zero".

    Raises:
        VadprobeError: if sigma is negative or not finite, or a video's clips are not contiguous.
    """
    radius = smoothing.radius(sigma)
    scores = np.array(scores, dtype=np.float64)
    groups = np.zeros(len(scores), dtype=np.int64) if groups is None else np.asarray(groups)
    starts = first_clips(groups)
    if radius == 0 or len(scores) == 0:
        return scores
    padded = pad_videos(starts, len(scores), radius, smoothing.edge)
    return np.asarray(filter_padded(padded.spread(scores), sigma, smoothing)[padded.places])


def first_clips(groups: np.ndarray) -> np.ndarray:
    """Return the first clip of each video, (videos,), ascending.

    Raises:
        VadprobeError: if a video's clips are not contiguous.
    """
    starts = np.flatnonzero(np.concatenate([[True], groups[1:] != groups[:-1]])[: len(groups)])
    codes, counts = np.unique(groups[starts], return_counts=True)
    if np.any(counts > 1):
        raise VadprobeError(
            f"the clips of video {codes[counts > 1][0]} are not contiguous; sort the rows by video and start frame, "
            "smoothing runs over time."
        )
    return starts


def pad_videos(starts: np.ndarray, n_clips: int, radius: int, edge: Edge = "reflect") -> PaddedVideos:
    """Pad each video beyond both ends; a video shorter than the radius is mirrored several times.

    Args:
        starts: (videos,) the first clip of each video, from `first_clips`.
        n_clips: number of clips of all videos.
        radius: clips added on each side: the radius of the largest sigma.
        edge: kind of padding.
    """
    lengths = np.diff(starts, append=n_clips)
    shifts = radius * (2 * np.arange(len(starts)) + 1)
    places = np.repeat(shifts, lengths)
    places += np.arange(n_clips)
    left = np.arange(-radius, 0)
    # Padding at -radius .. -1 and length .. length + radius - 1, relative to a video's first clip, folded back into it.
    outside = np.concatenate([np.broadcast_to(left, (len(starts), radius)), lengths[:, None] - left[::-1] - 1], axis=1)
    length = lengths[:, None]
    if edge == "reflect":
        phase = outside % (2 * length)
        within = np.minimum(phase, 2 * length - 1 - phase)
    else:
        within = np.clip(outside, 0, length - 1)
    others = np.stack([((starts + shifts)[:, None] + outside).ravel(), (starts[:, None] + within).ravel()])
    return PaddedVideos(places, others, zeros=edge == "zero")


def filter_padded(scores: np.ndarray, sigma: float, smoothing: Smoothing = MIRRORED) -> np.ndarray:
    """Smooth padded scores; the outer `smoothing.radius(sigma)` values lack neighbours and are meaningless.

    Args:
        scores: (places,) float64, each value with its neighbours; NaN is unknown, stays so and does not spread.
        sigma: in clips, >= 0.
        smoothing: decides the reach; its edge is already in the padding.

    Returns:
        (places,) float64; the input itself if the radius is 0.
    """
    from scipy.ndimage import correlate1d

    radius = smoothing.radius(sigma)
    if radius == 0:
        return scores
    weights = _weights(sigma, radius)
    unknown = np.isnan(scores)
    if not unknown.any():
        return np.asarray(correlate1d(scores, weights))
    smoothed = np.asarray(correlate1d(np.where(unknown, 0.0, scores), weights))
    missing = correlate1d(unknown.astype(np.float64), weights) > 0
    present = correlate1d((~unknown).astype(np.float64), weights)
    incomplete = missing & ~unknown
    smoothed[incomplete] /= present[incomplete]
    smoothed[unknown] = np.nan
    return smoothed


@lru_cache(maxsize=64)
def _weights(sigma: float, radius: int) -> np.ndarray:
    """Return (2 * radius + 1,) float64 weights of sum 1, read-only since the cache shares them."""
    weights = np.exp(-0.5 / (sigma * sigma) * np.arange(-radius, radius + 1) ** 2)
    weights /= weights.sum()
    weights.flags.writeable = False
    return np.asarray(weights)
