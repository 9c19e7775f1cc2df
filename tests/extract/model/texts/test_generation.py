"""Greedy texts: those of a loop without a cache, whatever the batch, with masses that are sums of softmax."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import torch

from tests.support.builders import clip_table, feature_spec
from tests.support.oracles.prompt_passes import PROMPTS, Clips
from vadprobe.extract.demo.captioner.sentences import event_words
from vadprobe.extract.demo.captioner.vocabulary import captioner_tokenizer
from vadprobe.extract.model.backbone import Backbone
from vadprobe.extract.model.texts.generation import GeneratedText, TextGeneration, end_tokens
from vadprobe.extract.model.texts.word_tokens import WordTokens, known_words
from vadprobe.store.errors import VadprobeError
from vadprobe.store.format.prompts import Prompt
from vadprobe.store.format.sampling import Sampling
from vadprobe.store.format.specification import FeatureSpec

MakeClips = Callable[[int, int], Sequence[np.ndarray]]
SECONDS = (0.7, 1.15, 3.4)
FRAMES, STEPS = 4, 6
TOLERANCE = 1e-5
"""Bounds the difference of probabilities whose sums run in another order."""


def spec_of(prompt: str = PROMPTS[0]) -> FeatureSpec:
    spec = feature_spec(clip_table(3, Sampling("segment", 8, FRAMES)))
    return replace(spec, prompt=Prompt("asked", prompt), recipe={"prefix": "independent"})


def generated(backbone: Backbone, clips: Sequence[np.ndarray], words: WordTokens) -> list[GeneratedText]:
    """Generate `STEPS` tokens of each clip, prepared as extraction prepares it."""
    resized = [backbone.description.family.resize(clip) for clip in clips]
    return TextGeneration(backbone, STEPS)(resized, SECONDS[: len(clips)], spec_of(), words)


@dataclass(frozen=True)
class Texts:
    """Choices of a loop without a cache for each clip, and how clear they were.

    `tokens` (clips, steps), `masses` (clips, steps) of the words' tokens, `leads` (clips, steps), the largest logit
    less the second largest.
    """

    tokens: np.ndarray
    masses: np.ndarray
    leads: np.ndarray

    def clear(self, clip: int) -> int:
        """Count a clip's steps before the first whose choice is a near-tie: another sum order may choose otherwise."""
        near = np.flatnonzero(self.leads[clip] < TOLERANCE)
        return int(near[0]) if len(near) else STEPS


@torch.inference_mode()
def uncached(backbone: Backbone, clips: Sequence[np.ndarray], words: WordTokens) -> Texts:
    """Run the whole sequence anew for each token."""
    made = Clips.of(backbone, clips, SECONDS[: len(clips)])
    family: Any = backbone.description.family
    ids = made.arguments()["input_ids"]
    chosen, masses, leads = [], [], []
    for step in range(STEPS):
        arguments = made.arguments()
        longer = torch.cat([arguments["input_ids"], *chosen], dim=1)
        arguments |= {"input_ids": longer, "attention_mask": torch.ones_like(longer)}
        if "mm_token_type_ids" in arguments:
            types = arguments["mm_token_type_ids"]
            added = types.new_zeros(len(ids), longer.shape[1] - types.shape[1])
            arguments["mm_token_type_ids"] = torch.cat([types, added], dim=1)
        output = backbone.model.model(**arguments, mm_encoder_outputs=made.encoded(), use_cache=False)
        logits = backbone.model.get_output_embeddings()(output.last_hidden_state[:, -1])
        probabilities = torch.softmax(logits, dim=-1)
        masses.append(probabilities[:, list(words.later if step else words.first)].sum(dim=-1))
        chosen.append(logits.argmax(dim=-1, keepdim=True))
        largest = logits.topk(2, dim=-1).values
        leads.append(largest[:, 0] - largest[:, 1])
    assert family.tokenizer is not None
    return Texts(*(torch.stack(each, dim=1).numpy() for each in ([c[:, 0] for c in chosen], masses, leads)))


@contextmanager
def ending_with(backbone: Backbone, token: int) -> Iterator[None]:
    """Let a token end every text."""
    settings = backbone.model.generation_config
    before, settings.eos_token_id = settings.eos_token_id, token
    try:
        yield
    finally:
        settings.eos_token_id = before


def some_words(backbone: Backbone) -> WordTokens:
    """Enough tokens to have a mass worth comparing."""
    size = backbone.model.get_output_embeddings().weight.shape[0]
    return WordTokens(tuple(range(0, size, 5)), tuple(range(1, size, 7)))


def test_texts_are_those_of_a_loop_without_a_cache(backbone: Backbone, random_clips: MakeClips) -> None:
    clips, words = random_clips(3, FRAMES), some_words(backbone)
    found = generated(backbone, clips, words)
    wanted = uncached(backbone, clips, words)
    for number, one in enumerate(found):
        clear = wanted.clear(number)
        assert one.tokens[:clear] == tuple(wanted.tokens[number, :clear])
        np.testing.assert_allclose(one.masses[: clear + 1], wanted.masses[number, : clear + 1], atol=TOLERANCE)
    assert sum(map(wanted.clear, range(len(clips)))) > STEPS


def test_a_text_is_that_of_its_tokens(backbone: Backbone, random_clips: MakeClips) -> None:
    tokenizer = backbone.description.family.tokenizer
    for one in generated(backbone, random_clips(3, FRAMES), some_words(backbone)):
        assert one.text == tokenizer.decode(one.tokens, skip_special_tokens=True).strip()
        assert len(one.masses) in (len(one.tokens), len(one.tokens) + 1)
        assert one.probability == pytest.approx(1 - np.prod(1 - np.array(one.masses)))
        assert 0 < one.probability < 1


def test_texts_are_those_of_the_library(backbone: Backbone, random_clips: MakeClips) -> None:
    clips = random_clips(2, FRAMES)
    made = Clips.of(backbone, clips, SECONDS[:2])
    inputs = made.raw()
    with torch.no_grad():
        wanted = backbone.model.generate(**inputs, max_new_tokens=STEPS, do_sample=False)
    tokens = wanted[:, inputs["input_ids"].shape[1] :].tolist()
    reference = uncached(backbone, clips, WordTokens())
    for number, one in enumerate(generated(backbone, clips, WordTokens())):
        clear = reference.clear(number)
        assert list(one.tokens[:clear]) == tokens[number][:clear]


def test_a_clip_has_its_text_whichever_others_are_there(backbone: Backbone, random_clips: MakeClips) -> None:
    clips, words = random_clips(3, FRAMES), some_words(backbone)
    together = generated(backbone, clips, words)
    resized = backbone.description.family.resize(clips[2])
    (alone,) = TextGeneration(backbone, STEPS)([resized], SECONDS[2:], spec_of(), words)
    clear = uncached(backbone, clips, words).clear(2)
    assert alone.tokens[:clear] == together[2].tokens[:clear]
    np.testing.assert_allclose(alone.masses[: clear + 1], together[2].masses[: clear + 1], atol=TOLERANCE)


def test_a_text_stops_at_its_end_and_the_others_go_on(backbone: Backbone, random_clips: MakeClips) -> None:
    clips, words = random_clips(3, FRAMES), some_words(backbone)
    whole = generated(backbone, clips, words)
    end = whole[0].tokens[2]
    with ending_with(backbone, end):
        assert end in end_tokens(backbone.model, backbone.description.family.tokenizer)
        ended = generated(backbone, clips, words)
    for one, before in zip(ended, whole, strict=True):
        length = before.tokens.index(end) if end in before.tokens else STEPS
        assert one.tokens == before.tokens[:length]
        np.testing.assert_allclose(one.masses, before.masses[: length + 1], atol=TOLERANCE)
    assert len(ended[0].tokens) <= 2


def test_words_are_found_where_they_begin(backbone: Backbone) -> None:
    tokenizer = backbone.description.family.tokenizer
    words = WordTokens.of(tokenizer, ["abnormal", "yes"])
    assert set(map(tokenizer.decode, words.later)) == {" abnormal", " yes"}
    first = {tokenizer.decode(token).strip() for token in words.first}
    assert "Yes" in first
    assert first <= {"yes", "Yes", "abnormal", "Abnormal"}


def test_every_token_of_the_captioner_s_words_is_a_word() -> None:
    tokenizer = captioner_tokenizer(1000)
    known = known_words(tokenizer, event_words())
    assert len(known) >= 0.9 * len(event_words())
    found = WordTokens.of(tokenizer, sorted(known))
    assert {tokenizer.decode(token).strip().lower() for token in found.later} == known
    assert {tokenizer.decode(token).lower() for token in found.first} <= known
    pieces = tokenizer.encode("Alone", add_special_tokens=False)
    assert tokenizer.decode(pieces[:1]) == "A"
    assert pieces[0] not in (*found.first, *found.later)


def test_a_word_in_pieces_is_refused(backbone: Backbone) -> None:
    tokenizer = backbone.description.family.tokenizer
    assert known_words(tokenizer, ["yes", "eventually"]) == {"yes"}
    with pytest.raises(VadprobeError, match="must have one token for the word 'eventually', got several"):
        WordTokens.of(tokenizer, ["yes", "eventually"])
