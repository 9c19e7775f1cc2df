"""Texts of models read through the library's processor: those of its own generate."""

import pytest
import torch

from tests.support.builders import clip_table, feature_spec
from tests.support.oracles.processor_passes import FRAMES, QUESTION, SECONDS, from_library, noise
from vadprobe.extract.model.backbone import Backbone
from vadprobe.extract.model.texts.generation import TextGeneration
from vadprobe.extract.model.texts.word_tokens import WordTokens
from vadprobe.store.format.prompts import Prompt
from vadprobe.store.format.sampling import Sampling

STEPS = 5


def test_a_text_is_that_of_the_library(other: Backbone) -> None:
    clips = noise(2)
    sampling = Sampling("segment", 8, FRAMES)
    spec = feature_spec(clip_table(2, sampling), prompt=Prompt("asked", QUESTION), recipe={"prefix": "independent"})
    words = WordTokens(tuple(range(0, 400, 3)), tuple(range(0, 400, 3)))
    found = TextGeneration(other, STEPS)(clips, SECONDS, spec, words)
    for one, clip, seconds in zip(found, clips, SECONDS, strict=True):
        inputs = from_library(other, clip, seconds, QUESTION)
        with torch.no_grad():
            report = other.model.generate(
                **inputs, max_new_tokens=STEPS, do_sample=False, output_logits=True, return_dict_in_generate=True
            )
        tokens = report.sequences[0, inputs["input_ids"].shape[1] :].tolist()
        assert list(one.tokens) == tokens[: len(one.tokens)]
        assert len(one.tokens) == STEPS or len(one.masses) == len(one.tokens) + 1
        masses = [float(torch.softmax(logits[0], -1)[list(words.later)].sum()) for logits in report.logits]
        assert one.masses == pytest.approx(masses[: len(one.masses)], abs=1e-4)
