"""Greedy texts: those of a loop without a cache, whatever the batch, with masses that are sums of softmax."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from tests.support.builders import clip_table, feature_spec
from tests.support.oracles.prompt_passes import PROMPTS, Clips
from vadprobe.extract.model.backbone import Backbone
from vadprobe.extract.model.generation import GeneratedText, TextGeneration, WordTokens, end_tokens
from vadprobe.store.errors import VadprobeError
from vadprobe.store.format.prompts import Prompt
from vadprobe.store.format.sampling import Sampling
from vadprobe.store.format.specification import FeatureSpec

MakeClips = Callable[[int, int], Sequence[np.ndarray]]
SECONDS = (0.7, 1.15, 3.4)
FRAMES, STEPS = 4, 6
TOLERANCE = 1e-5
"""Bounds the difference of probabilities whose sums run in another order."""

WORDS = ("abnormal", "Abnormal", "eventually", "Eventually")


def spec_of(prompt: str = PROMPTS[0]) -> FeatureSpec:
    spec = feature_spec(clip_table(3, Sampling("segment", 8, FRAMES)))
    return replace(spec, prompt=Prompt("asked", prompt), recipe={"prefix": "independent"})


def generated(backbone: Backbone, clips: Sequence[np.ndarray], words: WordTokens) -> list[GeneratedText]:
    """Generate `STEPS` tokens of each clip, prepared as extraction prepares it."""
    resized = [backbone.description.family.resize(clip) for clip in clips]
    return TextGeneration(backbone, STEPS)(resized, SECONDS[: len(clips)], spec_of(), words)


@torch.inference_mode()
def uncached(backbone: Backbone, clips: Sequence[np.ndarray], words: WordTokens) -> tuple[np.ndarray, np.ndarray]:
    """Run the whole sequence anew for each token: ids (clips, steps), and the mass of the words' tokens."""
    made = Clips.of(backbone, clips, SECONDS[: len(clips)])
    family: Any = backbone.description.family
    ids = made.arguments()["input_ids"]
    chosen, masses = [], []
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
    assert family.tokenizer is not None
    return torch.cat(chosen, dim=1).numpy(), torch.stack(masses, dim=1).numpy()


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
    tokens, masses = uncached(backbone, clips, words)
    tokenizer = backbone.description.family.tokenizer
    for one, wanted, mass in zip(found, tokens.tolist(), masses, strict=True):
        assert list(one.tokens) == wanted
        assert one.text == tokenizer.decode(wanted, skip_special_tokens=True).strip()
        np.testing.assert_allclose(one.masses, mass, atol=TOLERANCE)
        assert one.probability == pytest.approx(1 - np.prod(1 - mass), abs=TOLERANCE)
        assert 0 < one.probability < 1


def test_texts_are_those_of_the_library(backbone: Backbone, random_clips: MakeClips) -> None:
    clips = random_clips(2, FRAMES)
    inputs = Clips.of(backbone, clips, SECONDS[:2]).raw()
    with torch.no_grad():
        wanted = backbone.model.generate(**inputs, max_new_tokens=STEPS, do_sample=False)
    found = generated(backbone, clips, WordTokens())
    assert [list(one.tokens) for one in found] == wanted[:, inputs["input_ids"].shape[1] :].tolist()


def test_a_clip_has_its_text_whichever_others_are_there(backbone: Backbone, random_clips: MakeClips) -> None:
    clips, words = random_clips(3, FRAMES), some_words(backbone)
    together = generated(backbone, clips, words)
    resized = backbone.description.family.resize(clips[2])
    (alone,) = TextGeneration(backbone, STEPS)([resized], SECONDS[2:], spec_of(), words)
    assert alone.tokens == together[2].tokens
    np.testing.assert_allclose(alone.masses, together[2].masses, atol=TOLERANCE)


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
    words = WordTokens.of(tokenizer, ["abnormal", "yes", "eventually"])
    assert set(map(tokenizer.decode, words.later)) == {" abnormal", " yes", " event"}
    first = set(map(tokenizer.decode, words.first))
    assert "Yes" in first
    assert all(any(form.startswith(part) for form in ("yes", "Yes", *WORDS)) for part in first), first


def test_a_tokenizer_that_knows_no_word_is_refused() -> None:
    class Letters:
        def encode(self, text: str, add_special_tokens: bool) -> list[int]:
            return [ord(letter) for letter in text]

        def decode(self, ids: list[int]) -> str:
            return "".join(map(chr, ids))

    with pytest.raises(VadprobeError, match="must have a token that begins the word 'van'"):
        WordTokens.of(Letters(), ["van"])
