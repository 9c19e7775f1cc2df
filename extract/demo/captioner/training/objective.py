"""Losses of the captioner: single words read off the vision tower, answers of the whole model; held-out losses."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from vadprobe.extract.demo.captioner.facts import FACT_WORDS, PLACED_WORDS
from vadprobe.extract.demo.captioner.training.batches import IGNORED, Batch

_PLACED = [FACT_WORDS.index(word) for word in PLACED_WORDS]
_RARE = torch.tensor(4.0)  # weight of the tokens where a word applies, which are few
_LARGEST = 2  # number of highest tokens whose mean is a word's score


@dataclass(frozen=True)
class Losses:
    """Losses of a batch.

    Attributes:
        words: loss of single words, (); binary cross-entropy.
        scores: logits of single words, (clips, words).
        caption: cross-entropy per token of the answers, first tokens weighted as the recipe says, (); None if the
            text model was not run.
        first: cross-entropy of the answers' first tokens alone, (); None if the text model was not run.
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
        """Return scores (clips, words) from video tokens (clips, tokens, width).

        A score is the mean of the two highest tokens, because a word may show in few places.
        """
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

    The loss of single words is the one of the whole clip plus `places_weight` times the mean one of a video token.
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
    """Return the text model's last hidden states, (clips, length, width).

    The video's tokens (clips, tokens, width) stand in the batch's `video` span.
    """
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
