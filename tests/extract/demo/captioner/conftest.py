"""A few clips and a small recipe."""

from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("transformers")

import torch

from vadprobe.extract.demo.captioner.recipe import ClipRecipe, Recipe, TrainingRecipe
from vadprobe.extract.demo.captioner.shards import draw_shards

SMALL = Recipe(
    clips=ClipRecipe(shots=3, held_out_shots=1, shots_per_shard=2),
    training=TrainingRecipe(vision_steps=1, caption_steps=2, warm_up_steps=1, clips_of_8=2, clips_of_16=1, slices=2),
)


@pytest.fixture(scope="session")
def small_recipe() -> Recipe:
    """Return a recipe of three steps on four shots."""
    return SMALL


@pytest.fixture(scope="session")
def small_clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of that recipe's clips."""
    folder = tmp_path_factory.mktemp("captioner") / "clips"
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    draw_shards(folder, SMALL.clips, workers=2)
    torch.set_num_threads(before)
    return folder


@pytest.fixture
def longer_recipe() -> Recipe:
    """Return a recipe of some more steps, on the same clips."""
    return replace(SMALL, training=replace(SMALL.training, vision_steps=3, caption_steps=17, warm_up_steps=5))
