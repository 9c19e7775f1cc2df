"""Texts of clips under a prompt, greedy or drawn, each with the probability that it names one of some words.

Families with inputs of their own run in a loop written here: a batch of clips is encoded once, as for features, and
every further token runs alone behind the keys and values of the tokens before it. The library's `generate` could not
do that, as it takes pixels only. All other families go through `generate`, because only the library knows how each of
them continues a text.
"""

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from transformers import GenerationConfig, LogitsProcessorList

from vadprobe.extract.families.family import Pass
from vadprobe.extract.model.backbone import Backbone
from vadprobe.extract.model.blocks.text_blocks import KeptTokens
from vadprobe.extract.model.shared_prefix import token_positions
from vadprobe.extract.model.texts.token_choice import GREEDY, TokenChoice, TokenChooser
from vadprobe.extract.model.texts.word_tokens import WordTokens
from vadprobe.store.format.specification import FeatureSpec


@dataclass(frozen=True)
class GeneratedText:
    """The text of one clip.

    Attributes:
        text: the tokens as text.
        tokens: ids of the tokens, without the one that ends the text.
        masses: for each step that ran, the sum of the softmax probabilities of the words' tokens. A text that reached
            its end has one step more than tokens.
    """

    text: str
    tokens: tuple[int, ...]
    masses: tuple[float, ...]

    @property
    def probability(self) -> float:
        """Probability that the text names a word if all steps were independent: 1 - prod(1 - mass)."""
        missed = 1.0
        for mass in self.masses:
            missed *= 1.0 - mass
        return 1.0 - missed


class Step(NamedTuple):
    """One step of texts that run side by side: logits (texts, vocabulary), and the ids (texts,) chosen from them."""

    logits: Tensor
    chosen: Tensor


@dataclass
class StepTimes:
    """Seconds of texts so far: until the first token of each, and for the tokens behind it.

    `later_tokens` counts the tokens behind the first ones, of all clips that ran side by side. Where the library's own
    loop writes a text, everything is in `first`, and `is_apart` is False.
    """

    texts: int = 0
    tokens: int = 0
    first: float = 0.0
    later: float = 0.0
    later_tokens: int = 0
    is_apart: bool = True
    _begun: float = 0.0

    def begin(self) -> None:
        """Start the clock of a batch."""
        self._begun = time.monotonic()

    def steps(self, steps: Iterable[Step]) -> Iterator[Step]:
        """Pass on the steps of one batch and count their seconds.

        A step is counted when the next one is asked for: by then the caller has waited for its values.
        """
        for number, step in enumerate(steps):
            yield step
            now, count = time.monotonic(), len(step.chosen)
            self.tokens += count
            if number == 0:
                self.texts += count
                self.first += now - self._begun
            else:
                self.later += now - self._begun
                self.later_tokens += count
            self._begun = now


@dataclass(frozen=True)
class TextGeneration:
    """Generation of texts of at most `max_tokens` tokens, greedy by default; `times` counts the seconds."""

    backbone: Backbone
    max_tokens: int
    choice: TokenChoice = GREEDY
    times: StepTimes = field(default_factory=StepTimes)

    @torch.inference_mode()
    def __call__(
        self,
        clips: Sequence[Any],
        seconds: Sequence[float],
        spec: FeatureSpec,
        words: WordTokens,
        draws: Sequence[np.random.Generator] = (),
    ) -> list[GeneratedText]:
        """Generate the text of every clip of a batch.

        Args:
            clips: as the family's `resize` left them, all with the same number of frames.
            seconds: duration of each clip.
            spec: specification of a store: its prompt is asked, its sampling says how many frames a clip has.
            words: tokens whose mass is summed in each step.
            draws: random numbers of each clip; needed only where tokens are drawn.
        """
        family, model = self.backbone.description.family, self.backbone.model
        ends = end_tokens(model, family.tokenizer)
        texts: list[GeneratedText] = []
        left = iter(draws)
        self.times.begin()
        for passes in family.passes(model, self.backbone.device, clips, seconds, [spec]):
            for one in passes:
                run = self._by_library if one.with_head else self._in_own_loop
                self.times.is_apart &= not one.with_head
                choose = TokenChooser(self.choice, list(islice(left, len(one.inputs["input_ids"]))))
                texts += _texts(self.times.steps(run(one, ends, choose)), family.tokenizer, ends, words)
        return texts

    def _in_own_loop(self, one: Pass, ends: frozenset[int], choose: TokenChooser) -> Iterator[Step]:
        """Yield each step until every clip has ended."""
        model, inputs = self.backbone.model, one.inputs
        kept = KeptTokens(config=model.get_decoder().config)
        positions, mask = token_positions(model, inputs), inputs["attention_mask"]
        # A text goes on behind the greatest position on any axis: the space of a video is wider than its time.
        following = positions.amax(dim=-1)
        following = (following if following.ndim == 1 else following.amax(dim=0)) + 1
        output = model.model(**inputs, position_ids=positions, past_key_values=kept, use_cache=True)
        ended = torch.zeros(len(mask), dtype=torch.bool, device=mask.device)
        for step in range(self.max_tokens):
            head: nn.Module = model.get_output_embeddings()
            logits: Tensor = head(output.last_hidden_state[:, -1])
            chosen = choose(logits)
            yield Step(logits, chosen)
            chosen = chosen.to(mask.device)
            ended |= torch.isin(chosen, torch.tensor(sorted(ends), device=mask.device))
            if bool(ended.all()) or step + 1 == self.max_tokens:
                return
            mask = torch.cat([mask, torch.ones_like(mask[:, :1])], dim=1)
            output = model.model(
                input_ids=chosen[:, None],
                attention_mask=mask,
                position_ids=(following + step)[:, None].expand(*positions.shape[:-1], 1),
                past_key_values=kept,
                use_cache=True,
            )

    def _by_library(self, one: Pass, ends: frozenset[int], choose: TokenChooser) -> Iterator[Step]:
        """Yield the same steps from the library's own loop, without the checkpoint's sampling settings."""
        forced = _Forced(choose)
        settings = GenerationConfig(
            max_new_tokens=self.max_tokens,
            do_sample=False,
            eos_token_id=sorted(ends) or None,
            pad_token_id=min(ends, default=0),
            output_logits=True,
            return_dict_in_generate=True,
        )
        output = self.backbone.model.generate(
            **one.inputs, generation_config=settings, logits_processor=LogitsProcessorList([forced])
        )
        yield from map(Step, output.logits, forced.chosen)


@dataclass(frozen=True)
class _Forced:
    """Leaves the library's greedy loop one token to take, the chosen one, and keeps it."""

    choose: TokenChooser
    chosen: list[Tensor] = field(default_factory=list)

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        ids = self.choose(scores)
        self.chosen.append(ids)
        return torch.full_like(scores, -torch.inf).scatter(-1, ids[:, None], 0.0)


def end_tokens(model: Any, tokenizer: Any) -> frozenset[int]:
    """Return the ids of the tokens that end a text, as the checkpoint's files name them."""
    found: set[int] = set()
    for owner in (model.generation_config, model.config.get_text_config(), tokenizer):
        ids = getattr(owner, "eos_token_id", None)
        found |= {ids} if isinstance(ids, int) else set(ids or ())
    return frozenset(found)


def _texts(steps: Iterable[Step], tokenizer: Any, ends: frozenset[int], words: WordTokens) -> Iterator[GeneratedText]:
    """Yield the texts of the clips from their steps."""
    chosen, masses = [], []
    for number, (logits, taken) in enumerate(steps):
        ids = torch.tensor(words.later if number else words.first, dtype=torch.long, device=logits.device)
        masses.append(torch.softmax(logits.float(), dim=-1)[:, ids].sum(dim=-1).double().cpu())
        chosen.append(taken.cpu())
    for tokens, found in zip(torch.stack(chosen, dim=1).tolist(), torch.stack(masses, dim=1).tolist(), strict=True):
        length = next((place for place, token in enumerate(tokens) if token in ends), len(tokens))
        text = tokenizer.decode(tokens[:length], skip_special_tokens=True)
        yield GeneratedText(text.strip(), tuple(tokens[:length]), tuple(found[: length + 1]))
