"""Objectives of the captioner: single words from the vision tower, answers from all of it; losses of held-out clips."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from vadprobe.extract.demo.captioner.facts import FACT_WORDS, PLACED_WORDS
from vadprobe.extract.demo.captioner.training.batches import IGNORED, Batch

_PLACED = [FACT_WORDS.index(word) for word in PLACED_WORDS]
_RARE = torch.tensor(4.0)  # weight of tokens where a word applies: most do not
_LARGEST = 2  # tokens whose mean is a word's score


@dataclass(frozen=True)
class Losses:
    """Losses of a batch. `words` is that of single words, `caption` and `first` cross-entropies per token, or None.

    `caption` counts the first token of an answer as much as the recipe says, `first` is that of first tokens alone.
    `scores` (clips, words) are the scores of single words.
    """

    words: Tensor
    scores: Tensor
    caption: Tensor | None = None
    first: Tensor | None = None


class WordReader(torch.nn.Linear):
    """Linear map from a token of the vision tower to scores of words; it is thrown away after the training."""

    def __init__(self, width: int) -> None:
        super().__init__(width, len(FACT_WORDS))
        torch.nn.init.zeros_(self.weight)
        torch.nn.init.constant_(self.bias, -2.0)

    def read(self, tokens: Tensor) -> Tensor:
        """Return scores (clips, words) of video tokens (clips, tokens, width): a word may be seen in few places."""
        scores: Tensor = self(tokens)
        return scores.topk(_LARGEST, dim=1).values.mean(1)


def losses_of(
    model: Any,
    reader: WordReader,
    batch: Batch,
    first_weight: float,
    captions: bool = True,
    places_weight: float = 0.0,
) -> Losses:
    """Compute the losses of a batch; without `captions` the text model is not run.

    The loss of single words is that of the whole clip, and `places_weight` times that of every token of the video.
    """
    visual = model.model.visual(batch.patches, grid_thw=batch.grid).pooler_output
    tokens = visual.view(batch.size, batch.video.stop - batch.video.start, -1)
    scores = reader.read(tokens)
    words = binary_cross_entropy_with_logits(scores, batch.words)
    placed = reader(tokens)[..., _PLACED]
    words = words + places_weight * binary_cross_entropy_with_logits(placed, batch.where, pos_weight=_RARE)
    if not captions:
        return Losses(words, scores)
    answers = batch.targets != IGNORED
    states = last_hidden_states(model, batch, tokens)[answers]
    entropy = cross_entropy(model.lm_head(states), batch.targets[answers], reduction="none")
    first = batch.first[answers]
    weights = torch.where(first, first_weight, 1.0)
    return Losses(words, scores, (entropy * weights).sum() / weights.sum(), entropy[first].mean())


def last_hidden_states(model: Any, batch: Batch, tokens: Tensor) -> Tensor:
    """Run the text model with video tokens (clips, tokens, width) in their places; returns (clips, length, width)."""
    embedded = model.model.get_input_embeddings()(batch.ids)
    embedded = torch.cat([embedded[:, : batch.video.start], tokens, embedded[:, batch.video.stop :]], 1)
    output = model.model.language_model(
        inputs_embeds=embedded,
        position_ids=batch.positions,
        attention_mask={"full_attention": batch.mask},
        use_cache=False,
    )
    states: Tensor = output.last_hidden_state
    return states


@torch.no_grad()
def held_out_losses(model: Any, reader: WordReader, batches: Iterable[Batch]) -> dict[str, float]:
    """Return mean losses over batches, per token and per clip, and the mean AUC of single words."""
    sums, weights = torch.zeros(3), torch.zeros(3)
    scores, truth = [], []
    for batch in batches:
        losses = losses_of(model, reader, batch, 1.0)
        assert losses.caption is not None
        assert losses.first is not None
        answers = int((batch.targets != IGNORED).sum())
        weight = torch.tensor([answers, int(batch.first.sum()), batch.size])
        sums += weight * torch.stack([losses.caption, losses.first, losses.words])
        weights += weight
        scores.append(losses.scores)
        truth.append(batch.words)
    areas = [area for area in map(_area, torch.cat(scores).T, torch.cat(truth).T) if area is not None]
    caption, first, words = (sums / weights).tolist()
    return {"caption": caption, "first_token": first, "words": words, "words_auc": sum(areas) / max(len(areas), 1)}


def _area(scores: Tensor, truth: Tensor) -> float | None:
    """Return the area under the ROC curve, ties counted half, or None where one class is absent."""
    positive, negative = scores[truth > 0.5], scores[truth < 0.5]
    if not len(positive) or not len(negative):
        return None
    above = (positive[:, None] > negative).float() + 0.5 * (positive[:, None] == negative).float()
    return float(above.mean())
