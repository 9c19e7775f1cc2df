"""Features with a planted signal: it is known which heads and layers tell the classes apart; all else is noise.

Heads are of four kinds. The class means of a *robust* head differ under every prompt, those of an *unstable* head under
one prompt only. In a *covariance-only* head the classes have different variances and the same mean. All other heads are
*null*.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

Head = tuple[int, int]

_MASSIVE_MEAN, _MASSIVE_DEVIATION = 40.0, 10.0  # of a massive dimension, in deviations of the others


@dataclass(frozen=True)
class Planting:
    """Settings of the planted signal. Deviations are those of the noise in one dimension, before heavy tails.

    Attributes:
        n_layers, n_heads, head_dim, hidden_size: shape of the backbone.
        prompts: keys of the prompts.
        robust, unstable, covariance: numbers of heads of these kinds; no head is of two kinds.
        strength: distance of the class means of a robust head, in deviations, along a random direction.
        prompt_spread: s, so that a prompt's distance is uniform in strength * (1 - s, 1 + s).
        unstable_strength: distance of the class means of an unstable head under its one informative prompt.
        covariance_ratio: deviation of the anomalous class over that of the normal class in a covariance-only head.
        layers: informative layers of the hidden states, 1 to `n_layers`.
        layer_strength: distance of the class means of these layers; None for `strength`.
        overlap: share of anomalous videos without any signal.
        cluster: deviation of a random offset of each video, shared by its clips and the prompts.
        shared: share of the noise's variance that is the same under every prompt, in [0, 1].
        tails: degrees of freedom of a multivariate t distribution of the noise, above 2; None for a normal one.
        massive: dimensions of each head and layer with a large mean and deviation.
        seed: seed of all random numbers.
    """

    n_layers: int = 28
    n_heads: int = 28
    head_dim: int = 128
    hidden_size: int = 256
    prompts: tuple[str, ...] = ("coarse", "detailed", "question", "guided", "step")
    robust: int = 5
    unstable: int = 20
    covariance: int = 0
    strength: float = 2.0
    prompt_spread: float = 0.25
    unstable_strength: float = 3.0
    covariance_ratio: float = 1.3
    layers: tuple[int, ...] = ()
    layer_strength: float | None = None
    overlap: float = 0.0
    cluster: float = 0.0
    shared: float = 0.0
    tails: float | None = None
    massive: int = 0
    seed: int = 0


@dataclass(frozen=True)
class Truth:
    """Heads and layers with a signal. `unstable` has, for each prompt, the heads that are informative only under it."""

    robust: tuple[Head, ...]
    unstable: dict[str, tuple[Head, ...]] = field(hash=False)
    covariance: tuple[Head, ...]
    layers: tuple[int, ...]


class PlantedSignal:
    """Draws features with the signal of a planting; a draw depends only on its own numbers and the seed."""

    def __init__(self, planting: Planting) -> None:
        self.planting = planting
        self._shape = planting.n_layers, planting.n_heads, planting.head_dim
        rng = self._generator(0)
        wanted = planting.robust + planting.unstable + planting.covariance
        places = rng.permutation(planting.n_layers * planting.n_heads)[:wanted]
        if len(places) < wanted:
            raise ValueError(f"{wanted} heads are planted, but there are {len(places)}.")
        heads = [divmod(int(place), planting.n_heads) for place in places]
        robust, rest = heads[: planting.robust], heads[planting.robust :]
        unstable, covariance = rest[: planting.unstable], rest[planting.unstable :]
        self._strengths = np.zeros((len(planting.prompts), *self._shape[:2]), dtype=np.float32)
        for head in robust:
            spread = planting.prompt_spread * rng.uniform(-1, 1, len(planting.prompts))
            self._strengths[:, *head] = planting.strength * (1 + spread)
        owners = rng.integers(len(planting.prompts), size=len(unstable))
        for head, owner in zip(unstable, owners, strict=True):
            self._strengths[owner, *head] = planting.unstable_strength
        self._ratios = np.ones(self._shape[:2], dtype=np.float32)
        for head in covariance:
            self._ratios[head] = planting.covariance_ratio
        self.truth = Truth(
            tuple(sorted(robust)),
            {
                prompt: tuple(sorted(head for head, owner in zip(unstable, owners, strict=True) if owner == number))
                for number, prompt in enumerate(planting.prompts)
            },
            tuple(sorted(covariance)),
            planting.layers,
        )

    @cached_property
    def _directions(self) -> np.ndarray:
        """(L, H, d) unit vectors."""
        return _unit(self._generator(1).standard_normal(self._shape, dtype=np.float32))

    @cached_property
    def _layer_shifts(self) -> np.ndarray:
        """(L + 1, hidden): where the class means of each layer differ, 0 for layers without a signal."""
        planting = self.planting
        shifts = np.zeros((planting.n_layers + 1, planting.hidden_size), dtype=np.float32)
        rng = self._generator(2)
        strength = planting.strength if planting.layer_strength is None else planting.layer_strength
        for layer in planting.layers:
            shifts[layer] = strength * _unit(rng.standard_normal(planting.hidden_size, dtype=np.float32))
        return shifts

    def shows(self, labels: np.ndarray) -> np.ndarray:
        """Return (n,) bool: which videos of these labels show their anomaly; the share `overlap` of them does not."""
        anomalous = np.flatnonzero(labels)
        hidden = self._generator(3).permutation(anomalous)[: round(self.planting.overlap * len(anomalous))]
        shows = np.asarray(labels, dtype=bool).copy()
        shows[hidden] = False
        return shows

    def head_noise(self, n: int, prompt: int, stream: Sequence[int], layers: Sequence[int]) -> np.ndarray:
        """Return (n, len(layers), H, d) float32 noise; draws with other numbers in `stream` are independent."""
        return self._noise((n, len(layers), *self._shape[1:]), prompt, stream)

    def hidden_noise(self, n: int, prompt: int, stream: Sequence[int], layers: Sequence[int]) -> np.ndarray:
        """Return (n, len(layers), hidden) float32 noise."""
        return self._noise((n, len(layers), self.planting.hidden_size), prompt, [*stream, 1])

    def heads(
        self,
        noise: np.ndarray,
        prompt: int,
        positive: np.ndarray,
        shows: np.ndarray,
        videos: np.ndarray,
        layers: Sequence[int],
    ) -> np.ndarray:
        """Return head outputs of some clips under one prompt.

        Args:
            noise: the result of `head_noise`; it is changed.
            prompt: position of the prompt.
            positive: (n,) bool, anomalous clips; covariance-only heads differ in all of them.
            shows: (n,) bool, clips whose means are shifted.
            videos: (n,) int, number of each clip's video.
            layers: blocks, from 0.

        Returns:
            (n, len(layers), H, d) float32.
        """
        blocks = list(layers)
        noise[positive] *= self._ratios[blocks, :, None]
        self._add_offsets(noise, videos, (4, blocks))
        noise[shows] += self._strengths[prompt, blocks, :, None] * self._directions[blocks]
        return self._with_massive(noise, 5, blocks)

    def hidden_states(
        self, noise: np.ndarray, shows: np.ndarray, videos: np.ndarray, layers: Sequence[int]
    ) -> np.ndarray:
        """Return hidden states of some clips and layers, (n, len(layers), hidden) float32; `noise` is changed."""
        self._add_offsets(noise, videos, (6, list(layers)))
        noise[shows] += self._layer_shifts[list(layers)]
        return self._with_massive(noise, 7, layers)

    def _noise(self, shape: tuple[int, ...], prompt: int, stream: Sequence[int]) -> np.ndarray:
        """Return noise of unit deviation; a part of it is the same under every prompt."""
        planting = self.planting
        values = self._one_noise(shape, self._generator(8, prompt, *stream))
        if planting.shared > 0:
            values *= np.float32(np.sqrt(1 - planting.shared))
            values += np.float32(np.sqrt(planting.shared)) * self._one_noise(shape, self._generator(9, *stream))
        return values

    def _one_noise(self, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
        values = rng.standard_normal(shape, dtype=np.float32)
        if self.planting.tails is not None:
            freedom = self.planting.tails
            values *= np.sqrt((freedom - 2) / rng.chisquare(freedom, (*shape[:-1], 1))).astype(np.float32)
        return values

    def _add_offsets(self, values: np.ndarray, videos: np.ndarray, of: tuple[int, list[int]]) -> None:
        if self.planting.cluster == 0:
            return
        name, layers = of
        for video in np.unique(videos).tolist():
            offset = self._generator(name, video, *layers).standard_normal(values.shape[1:], dtype=np.float32)
            values[videos == video] += np.float32(self.planting.cluster) * offset

    def _with_massive(self, values: np.ndarray, name: int, layers: Sequence[int]) -> np.ndarray:
        for position, layer in enumerate(layers):
            rng = self._generator(name, layer)
            massive = rng.permutation(values.shape[-1])[: self.planting.massive]
            values[:, position, ..., massive] *= _MASSIVE_DEVIATION
            values[:, position, ..., massive] += _MASSIVE_MEAN
        return values

    def _generator(self, *numbers: int) -> np.random.Generator:
        return np.random.default_rng([self.planting.seed, *numbers])


def planted_labels(n_videos: int, anomalous: float, seed: int) -> np.ndarray:
    """Return labels (n_videos,) int64: `round(anomalous * n_videos)` ones at random places."""
    labels = np.zeros(n_videos, dtype=np.int64)
    labels[np.random.default_rng([seed, 10]).permutation(n_videos)[: round(anomalous * n_videos)]] = 1
    return labels


@dataclass(frozen=True, eq=False)
class PlantedSample:
    """A sample of videos, whose features are drawn one prompt at a time.

    `labels` (n,) int64 are the classes of the rows, `groups` (n,) int64 the numbers of their videos.
    """

    signal: PlantedSignal
    labels: np.ndarray
    groups: np.ndarray
    shows: np.ndarray
    draw: int

    @classmethod
    def of(
        cls, planting: Planting, n_videos: int, clips_per_video: int = 1, anomalous: float = 0.5, draw: int = 0
    ) -> "PlantedSample":
        """Return a sample; arguments as of `planted_heads`."""
        signal = PlantedSignal(planting)
        of_video = planted_labels(n_videos, anomalous, draw)
        groups = np.repeat(np.arange(n_videos), clips_per_video)
        return cls(signal, of_video[groups], groups, signal.shows(of_video)[groups], draw)

    def heads(self, prompt: str) -> np.ndarray:
        """Return head outputs (L, H, n, d) float32 under one prompt."""
        planting = self.signal.planting
        number, n_videos = planting.prompts.index(prompt), int(self.groups[-1]) + 1
        noise = self.signal.head_noise(len(self.groups), number, [self.draw, n_videos], range(planting.n_layers))
        # Videos of another draw have other numbers, so other offsets.
        videos = self.groups + self.draw * n_videos
        positive, layers = self.labels == 1, range(planting.n_layers)
        values = self.signal.heads(noise, number, positive, self.shows, videos, layers)
        return np.ascontiguousarray(np.moveaxis(values, 0, 2))


def planted_heads(
    planting: Planting, n_videos: int, *, clips_per_video: int = 1, anomalous: float = 0.5, draw: int = 0
) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray, Truth]:
    """Return head outputs in memory, for kernels.

    Args:
        planting: what is planted.
        n_videos: number of videos; all clips of an anomalous video are anomalous.
        clips_per_video: number of rows of each video.
        anomalous: share of anomalous videos.
        draw: number of the sample; another number gives other videos with the same planted heads.

    Returns:
        Features (L, H, n, d) float32 by prompt; labels (n,) int64; the video of each row (n,) int64; the truth.
    """
    sample = PlantedSample.of(planting, n_videos, clips_per_video, anomalous, draw)
    features = {prompt: sample.heads(prompt) for prompt in planting.prompts}
    return features, sample.labels, sample.groups, sample.signal.truth


def _unit(vectors: np.ndarray) -> np.ndarray:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=-1, keepdims=True))
