"""Explanations of segments: the texts of generation, whatever the batch, with digests of all that they depend on."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest

from tests.support.builders import clip_table, feature_spec
from vadprobe.extract.model.backbone import Backbone
from vadprobe.extract.model.texts.explanations import (
    Explainer,
    ExplanationRequest,
    ExplanationSettings,
    explain_segments,
)
from vadprobe.extract.model.texts.generation import TextGeneration
from vadprobe.extract.model.texts.token_choice import TokenChoice
from vadprobe.extract.model.texts.word_tokens import WordTokens
from vadprobe.store.errors import VadprobeError
from vadprobe.store.format.prompts import Prompt
from vadprobe.store.format.sampling import Sampling

MakeClips = Callable[[int, int], Sequence[np.ndarray]]
PROMPT = "What happens in this video?"
SHORT = ExplanationSettings(max_tokens=4)


def requests_of(clips: Sequence[np.ndarray], prompt: str = PROMPT) -> list[ExplanationRequest]:
    return [ExplanationRequest(f"v{n}", 0, 50, clip, prompt, 2.0) for n, clip in enumerate(clips)]


def test_a_text_is_that_of_generation(backbone: Backbone, random_clips: MakeClips) -> None:
    clips = random_clips(2, 4)
    found = explain_segments(backbone, requests_of(clips), SHORT)
    spec = replace(feature_spec(clip_table(2, Sampling("segment", 8, 4))), prompt=Prompt("x", PROMPT))
    resized = [backbone.description.family.resize(clip) for clip in clips]
    wanted = TextGeneration(backbone, 4)(
        resized, [2.0] * 2, replace(spec, recipe={"prefix": "independent"}), WordTokens()
    )
    assert [one.text for one in found] == [one.text for one in wanted]
    for one, text in zip(found, wanted, strict=True):
        assert one.prompt == PROMPT
        assert one.settings == {"max_tokens": 4, "temperature": 0.0, "frames": 4}
        assert one.is_whole == (len(text.tokens) < 4)


def test_requests_of_all_kinds_come_back_in_order(backbone: Backbone, random_clips: MakeClips) -> None:
    short, long = random_clips(2, 2), random_clips(2, 4)
    mixed = [*requests_of(short), *requests_of(long, "Describe the place."), *requests_of(long)]
    order = [4, 0, 3, 1, 5, 2]
    found = explain_segments(backbone, [mixed[place] for place in order], SHORT)
    assert [one.prompt for one in found] == [mixed[place].prompt for place in order]
    assert [one.settings["frames"] for one in found] == [len(mixed[place].frames) for place in order]
    assert len({one.digest for one in found}) == len(found)
    alone = [explain_segments(backbone, [mixed[place]], SHORT)[0] for place in order]
    assert [one.digest for one in found] == [one.digest for one in alone]


def test_a_digest_tells_all_that_a_text_depends_on(backbone: Backbone, random_clips: MakeClips) -> None:
    (request,) = requests_of(random_clips(1, 4))
    changed = request.frames.copy()
    changed[0, 0, 0, 0] ^= 1
    requests = [
        request,
        replace(request, frames=changed),
        replace(request, stop_frame=49),
        replace(request, seconds=2.5),
        replace(request, video_id="w"),
        replace(request, prompt="Describe it all."),
    ]
    explainer = Explainer(backbone, SHORT)
    digests = [one.digest for one in explainer.explain([explainer.prepare(each) for each in requests])]
    longer = Explainer(backbone, ExplanationSettings(max_tokens=5))
    digests += [one.digest for one in longer.explain([longer.prepare(request)])]
    assert len(set(digests)) == len(digests)
    again = explain_segments(backbone, [request], SHORT)[0].digest
    assert again == digests[0]


def test_drawn_texts_repeat_with_their_seed(backbone: Backbone, random_clips: MakeClips) -> None:
    requests = requests_of(random_clips(3, 2))

    def texts(seed: int, chosen: Sequence[ExplanationRequest]) -> list[str]:
        settings = ExplanationSettings(6, TokenChoice(2.0, 1.0, seed))
        return [one.text for one in explain_segments(backbone, chosen, settings)]

    first = texts(3, requests)
    assert texts(3, requests[1:]) == first[1:]
    assert texts(4, requests) != first


def test_frames_must_be_pictures() -> None:
    good = np.zeros((2, 8, 8, 3), np.uint8)
    for frames in (good[0], good[:0], good.astype(np.float32), good[..., :2]):
        with pytest.raises(ValueError, match="frames must"):
            ExplanationRequest("v", 0, 5, frames)
    with pytest.raises(ValueError, match="stop_frame must be above start_frame 5, got 5"):
        ExplanationRequest("v", 5, 5, good)


def test_impossible_questions_are_refused(backbone: Backbone, random_clips: MakeClips) -> None:
    with pytest.raises(VadprobeError, match="must not be empty"):
        explain_segments(backbone, requests_of(random_clips(1, 2), "  "), SHORT)
    with pytest.raises(VadprobeError, match="max_tokens must be a positive integer, got 0"):
        ExplanationSettings(max_tokens=0)
    assert explain_segments(backbone, []) == []
