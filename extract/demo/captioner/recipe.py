"""The recipe of the captioner: what is drawn, how large the model is, how it is trained; and how recipes differ."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

FRAME_SIZE = (112, 168)
"""Height and width in pixels of the frames that the captioner knows."""

VERSION = 1
"""Version of the world, the grammar, the model and the training, apart from the numbers of a recipe."""


@dataclass(frozen=True)
class ClipRecipe:
    """Choice of what is drawn.

    A shot is seeded by `namespace`, its shard and its number; no set of videos uses that namespace.
    """

    shots: int = 600
    held_out_shots: int = 50
    shots_per_shard: int = 25
    anomalous: float = 0.7
    """Share of shots with an anomaly."""
    look_alikes: int = 2
    """Number of harmless happenings that are tried in each shot."""
    compressed: float = 0.35
    """Share of clips that go through a video codec."""
    namespace: int = 770_077

    def as_json(self) -> dict[str, Any]:
        """Return the recipe of the clips for a JSON file."""
        return {"version": VERSION, **asdict(self)}

    @property
    def n_held_out(self) -> int:
        """Number of shards that are held out; they are the first ones."""
        return -(-self.held_out_shots // self.shots_per_shard)

    @property
    def n_shards(self) -> int:
        """Number of all shards."""
        return self.n_held_out - (-self.shots // self.shots_per_shard)

    def shots_of(self, shard: int) -> int:
        """Return the number of shots of a shard."""
        held_out = shard < self.n_held_out
        total, place = (self.held_out_shots, shard) if held_out else (self.shots, shard - self.n_held_out)
        return min(self.shots_per_shard, total - place * self.shots_per_shard)


@dataclass(frozen=True)
class TrainingRecipe:
    """Course of the training: first the vision tower on single words, then the whole model on captions.

    In the first stage a clip is one slice of two frames, which is all that a token of the vision tower sees; many
    different pictures teach the tower more than many slices of one video. A step is the mean of two halves.

    Attributes:
        vision_steps: steps of the first stage.
        caption_steps: steps of the second stage.
        warm_up_steps: steps over which the learning rate rises.
        clips_of_8: clips of 8 frames in one half of a step.
        clips_of_16: clips of 16 frames in one half of a step.
        slices: slices in one half of a step of the first stage.
        learning_rate: largest rate of AdamW.
        matrix_learning_rate: largest rate of Muon, which trains the hidden matrices.
        first_token_weight: weight of an answer's first token in the loss of captions; other tokens count 1.
        largest_gradient: norm to which the gradient of all weights together is clipped.
        evaluate_every: steps between two evaluations on held-out clips.
    """

    vision_steps: int = 1600
    caption_steps: int = 900
    warm_up_steps: int = 50
    clips_of_8: int = 12
    clips_of_16: int = 9
    slices: int = 24
    share_of_16: float = 0.3
    """Part of the steps on captions whose clips have 16 frames."""
    instructions: int = 2
    """Number of instructions with answers about one video."""
    learning_rate: float = 2e-3
    matrix_learning_rate: float = 0.02
    weight_decay: float = 0.01
    words_weight: float = 0.3
    """Weight of the loss of single words while captions are learnt."""
    places_weight: float = 3.0
    """Weight of the loss of each video token, relative to that of the whole clip, in the loss of single words."""
    first_token_weight: float = 2.0
    largest_gradient: float = 1.0
    falling: float = 0.5
    """Part of all steps, the last ones, over which the learning rate falls."""
    last_rate: float = 0.02
    """Part of the learning rate that is left at the end."""
    evaluate_every: int = 400

    @property
    def steps(self) -> int:
        """Number of all steps."""
        return self.vision_steps + self.caption_steps


@dataclass(frozen=True)
class Recipe:
    """All that decides a captioner.

    Attributes:
        seed: seed of the weights, the order of clips and the wordings.
        vocabulary: number of tokens without the special ones.
        clips: what is drawn.
        training: how the model is trained.
    """

    seed: int = 0
    vocabulary: int = 1000
    clips: ClipRecipe = field(default_factory=ClipRecipe)
    training: TrainingRecipe = field(default_factory=TrainingRecipe)

    def as_json(self) -> dict[str, Any]:
        """Return the recipe for a JSON file."""
        return {"version": VERSION, **asdict(self)}


def first_difference(wanted: Mapping[str, Any], found: Mapping[str, Any], name: str = "") -> str | None:
    """Return the first part in which two recipes differ, with both values, or None."""
    for key in sorted({*wanted, *found}):
        mine, other = wanted.get(key), found.get(key)
        if isinstance(mine, Mapping) and isinstance(other, Mapping):
            inside = first_difference(mine, other, f"{name}{key}.")
            if inside:
                return inside
        elif mine != other:
            return f"{name}{key} must be {mine}, got {other}"
    return None
