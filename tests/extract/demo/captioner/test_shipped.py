"""The shipped demo backbone: whole, small, of the recipe that the command repeats, and able to see."""

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.support.builders import clip_table, feature_spec
from tests.support.models.described import loaded
from vadprobe.extract.demo.captioner.making import shipped_captioner
from vadprobe.extract.demo.captioner.recipe import FRAME_SIZE, Recipe, first_difference
from vadprobe.extract.demo.captioner.sentences import event_words, kinds_said
from vadprobe.extract.demo.contact_sheet import shot_with
from vadprobe.extract.demo.scenes.camera import Film
from vadprobe.extract.demo.scenes.shot import NAMED_KINDS, UNNAMED_KINDS
from vadprobe.extract.model.backbone import Backbone
from vadprobe.extract.model.checkpoint.card import BACKBONE_CARD
from vadprobe.extract.model.texts.generation import GeneratedText, TextGeneration
from vadprobe.extract.model.texts.word_tokens import WordTokens, known_words
from vadprobe.store.files.atomic_files import read_json
from vadprobe.store.format.prompts import SHIPPED
from vadprobe.store.format.sampling import Sampling, sample_frames
from vadprobe.store.format.specification import DEMO_CAPTIONER

MEGABYTES = 8


@pytest.fixture(scope="module")
def captioner() -> Iterator[Backbone]:
    with shipped_captioner() as folder:
        yield loaded(folder, frame_size=FRAME_SIZE)


def test_the_card_belongs_to_the_weights_and_to_the_recipe_of_the_command() -> None:
    with shipped_captioner() as folder:
        card = read_json(folder / BACKBONE_CARD)
        weights = (folder / "model.safetensors").read_bytes()
        size = sum(path.stat().st_size for path in folder.iterdir())
    assert card["kind"] == DEMO_CAPTIONER
    assert card["weights_sha256"] == hashlib.sha256(weights).hexdigest()
    assert first_difference(Recipe(seed=card["seed"]).as_json(), card["recipe"]) is None
    assert card["steps"] == Recipe().training.steps
    assert card["named"] == list(NAMED_KINDS)
    assert not set(card["named"]) & set(UNNAMED_KINDS)
    assert size <= MEGABYTES * 2**20


def test_the_losses_of_the_card_are_those_of_a_model_that_learnt() -> None:
    with shipped_captioner() as folder:
        losses = read_json(folder / BACKBONE_CARD)["losses"]
    assert losses["caption"] < 1.0  # one of 1000 tokens at random: 6.9
    assert losses["words_auc"] > 0.88


def texts_of(captioner: Backbone, kind: str, numbers: range) -> list[GeneratedText]:
    """Let the backbone describe shots of one kind on a clear day, in the middle of the happening."""
    family, length, clips = captioner.description.family, 24, []
    for number in numbers:
        shot, (start, stop) = shot_with(kind, number)
        shot = replace(shot, weather="clear", faintness=0.0, occluders=0, shake=0.0)
        first = min(max((start + stop - length) // 2, 0), shot.n_frames - length)
        frames = Film(shot, [31, number, 0, 0]).frames(sample_frames(first, first + length, 8))
        clips.append(family.resize(np.stack(list(frames))))
    spec = feature_spec(clip_table(len(clips), Sampling("segment", length, 8)))
    spec = replace(spec, prompt=SHIPPED["detailed"], recipe={"prefix": "independent"})
    words = WordTokens.of(family.tokenizer, known_words(family.tokenizer, event_words()))
    return TextGeneration(captioner, 48)(clips, [length / 25] * len(clips), spec, words)


def named_rightly(captioner: Backbone, numbers: range) -> float:
    """Return the part of clear shots of named kinds in whose texts the kind is named."""
    right = [kind in kinds_said(text.text) for kind in NAMED_KINDS for text in texts_of(captioner, kind, numbers)]
    return float(np.mean(right))


def test_it_says_more_of_what_it_sees_than_chance_would(captioner: Backbone) -> None:
    """A model that says one kind of all videos would be right in one of six."""
    assert named_rightly(captioner, range(100, 103)) > 0.6


@pytest.mark.slow
def test_it_names_the_event_in_nine_of_ten_clear_segments(captioner: Backbone) -> None:
    assert named_rightly(captioner, range(200, 220)) >= 0.9


def test_words_of_events_are_likelier_where_there_is_an_event(captioner: Backbone) -> None:
    events = [text.probability for kind in NAMED_KINDS for text in texts_of(captioner, kind, range(100, 102))]
    harmless = [
        text.probability
        for kind in ("Jogging", "Hugging", "Delivery", "Steam", "BicyclePushed")
        for text in texts_of(captioner, kind, range(100, 102))
    ]
    above = np.mean([[event > other for other in harmless] for event in events])
    assert above > 0.7


def test_the_folder_is_in_the_package() -> None:
    with shipped_captioner() as folder:
        names = {path.name for path in Path(folder).iterdir()}
    assert {
        BACKBONE_CARD,
        "model.safetensors",
        "config.json",
        "tokenizer.json",
        "video_preprocessor_config.json",
    } <= names
