"""Plan of each step of the training, from the recipe alone: which clips, how many frames, which learning rate."""

import numpy as np

from vadprobe.extract.demo.captioner.clips import TrainingClip, slice_of
from vadprobe.extract.demo.captioner.recipe import Recipe
from vadprobe.extract.demo.captioner.shards import Clips

_SLICE = 2  # frames that a token of the vision tower sees

HALVES = 2
"""Parts of a step; two processes compute them side by side."""


class Schedule:
    """Steps of a recipe on given clips, a function of both alone, so a continued training takes the same steps."""

    def __init__(self, recipe: Recipe, clips: Clips) -> None:
        self._seed, self._training, self._clips = recipe.seed, recipe.training, clips
        rng = np.random.default_rng([recipe.seed, 1])
        self._frames = np.where(rng.random(self._training.steps) < self._training.share_of_16, 16, 8)
        self._frames[: self._training.vision_steps] = _SLICE
        self._orders: dict[tuple[int, int], np.ndarray] = {}

    def rate(self, step: int) -> float:
        """Return the factor of the learning rates in a step: a linear rise to 1, a plateau, and a linear fall."""
        training = self._training
        warm = min(1.0, (step + 1) / max(training.warm_up_steps, 1))
        down = min(1.0, (training.steps - step) / max(training.falling * training.steps, 1.0))
        return warm * (down + (1 - down) * training.last_rate)

    def generator(self, step: int, half: int) -> np.random.Generator:
        """Return the random numbers of one half of a step, for its wordings and its changes of pictures."""
        return np.random.default_rng([self._seed, 2, step, half])

    def clips(self, step: int, half: int) -> list[TrainingClip]:
        """Return the clips of one half of a step: all clips are seen once before any is seen again."""
        frames = int(self._frames[step])
        before = HALVES * self._size(frames) * int(np.count_nonzero(self._frames[:step] == frames))
        first = before + half * self._size(frames)
        places = range(first, first + self._size(frames))
        if frames == _SLICE:
            rng = np.random.default_rng([self._seed, 4, step, half])
            return [slice_of(self._clip(8, place), int(rng.integers(8 // _SLICE))) for place in places]
        return [self._clip(frames, place) for place in places]

    def _size(self, frames: int) -> int:
        training = self._training
        return {_SLICE: training.slices, 8: training.clips_of_8, 16: training.clips_of_16}[frames]

    def _clip(self, frames: int, place: int) -> TrainingClip:
        epoch, index = divmod(place, self._clips.size(frames))
        if (frames, epoch) not in self._orders:
            order = np.random.default_rng([self._seed, 3, frames, epoch]).permutation(self._clips.size(frames))
            self._orders[frames, epoch] = order
        return self._clips.clip(frames, int(self._orders[frames, epoch][index]))
