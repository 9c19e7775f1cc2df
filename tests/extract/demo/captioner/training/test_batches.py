"""Several answers behind one video are computed as if each stood alone; chat and pixels are stage 1's own."""

from pathlib import Path

import numpy as np
import pytest
import torch

from vadprobe.extract.demo.captioner.recipe import Recipe
from vadprobe.extract.demo.captioner.shards import Clips
from vadprobe.extract.demo.captioner.training.batches import IGNORED
from vadprobe.extract.demo.captioner.training.objective import last_hidden_states
from vadprobe.extract.demo.captioner.training.trainer import Trainer
from vadprobe.store.format.prompts import SHIPPED


@pytest.fixture(scope="module")
def trainer(small_recipe: Recipe) -> Trainer:
    """Return an untrained captioner."""
    return Trainer(small_recipe)


@pytest.fixture
def clips(small_recipe: Recipe, small_clips: Path) -> Clips:
    """Return the clips that are learnt from."""
    return Clips(small_clips, range(1, small_recipe.clips.n_shards))


@pytest.mark.parametrize("count", [8, 16])
def test_packed_answers_equal_the_models_own_forward(trainer: Trainer, clips: Clips, count: int) -> None:
    chosen = [clips.clip(count, 0), clips.clip(count, 5)]  # a whole video, a segment
    batch = trainer.packer.pack(chosen, np.random.default_rng(1), 3)
    patches = batch.patches.view(len(chosen), -1, batch.patches.shape[1])
    with torch.no_grad():
        tokens = trainer.model.model.visual(batch.patches, grid_thw=batch.grid).pooler_output
        packed = last_hidden_states(trainer.model, batch, tokens.view(len(chosen), -1, tokens.shape[1]))
        for row, clip in enumerate(chosen):
            for last in _ends(batch.targets[row]):
                seen = batch.mask[row, 0, last].nonzero().flatten()
                ids = batch.ids[row, seen][None]
                alone = trainer.model.model(
                    input_ids=ids,
                    attention_mask=torch.ones_like(ids),
                    mm_token_type_ids=torch.where(ids == trainer.packer.family.video_token_id, 2, 0).int(),
                    pixel_values_videos=patches[row],
                    video_grid_thw=batch.grid[row : row + 1],
                    second_per_grid_ts=torch.tensor([2 * clip.seconds / count]),
                ).last_hidden_state[0]
                torch.testing.assert_close(packed[row, seen], alone, rtol=1e-4, atol=1e-4)


def _ends(targets: torch.Tensor) -> list[int]:
    """Return the last place of each answer."""
    said = (targets != IGNORED).tolist()
    return [place for place in range(len(said)) if said[place] and not (said[place + 1 :] or [False])[0]]


def test_an_answer_follows_its_instruction_as_in_stage_one(trainer: Trainer, clips: Clips) -> None:
    batch = trainer.packer.pack([clips.clip(8, 2)], np.random.default_rng(1), 1, "shipped")
    first = int(batch.first[0].nonzero())
    prompts = [trainer.packer.family.tokenize(prompt.text, 8)[0].tolist() for prompt in SHIPPED.values()]
    assert batch.ids[0, : first + 1].tolist() in prompts
    answer = batch.targets[0][batch.targets[0] != IGNORED]
    assert trainer.tiny.tokenizer.decode(answer).endswith(".<|im_end|>")
    assert batch.ids[0, first + 1 : first + 1 + len(answer)].tolist() == answer.tolist()


def test_pixels_are_those_of_stage_one_unless_they_are_changed(trainer: Trainer, clips: Clips) -> None:
    clip = clips.clip(8, 2)
    inputs = trainer.packer.family.prepare([torch.tensor(clip.frames)], [clip.seconds], torch.device("cpu"))
    plain, changed, again = (
        trainer.packer.pack([clip], np.random.default_rng(1), 1, augment=augment).patches
        for augment in (False, True, True)
    )
    assert torch.equal(plain, inputs.vision["pixel_values_videos"])
    assert not torch.equal(plain, changed)
    assert torch.equal(changed, again)
