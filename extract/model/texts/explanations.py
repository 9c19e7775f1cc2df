"""Explanations of events: a backbone's text about the frames of an event, with all that the text depends on.

An explanation is generated text. It is no part of a score, and nothing checks that it is true.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from vadprobe.extract.families.pixels import Frames
from vadprobe.extract.model.backbone import Backbone, Description
from vadprobe.extract.model.texts.generation import GeneratedText, StepTimes, TextGeneration
from vadprobe.extract.model.texts.token_choice import GREEDY, TokenChoice
from vadprobe.extract.model.texts.word_tokens import WordTokens
from vadprobe.store.errors import VadprobeError
from vadprobe.store.files.digests import digest_arrays, digest_json
from vadprobe.store.format.prompts import SHIPPED, Prompt
from vadprobe.store.format.sampling import Sampling
from vadprobe.store.format.specification import FeatureSpec

EXPLANATION_PROMPT = SHIPPED["detailed"].text
"""Default prompt of an explanation: the one of HeadHunt-VAD's public code that asks for a description."""

MAX_TOKENS = 64
"""Default limit of an explanation, in tokens."""

BATCH = 16
"""Default number of explanations that run side by side."""

_USUAL_FPS = 25.0


@dataclass(frozen=True)
class ExplanationSettings:
    """Settings of explanations: the limit of a text in tokens, and the choice of each token."""

    max_tokens: int = MAX_TOKENS
    choice: TokenChoice = GREEDY

    def __post_init__(self) -> None:
        if self.max_tokens < 1:
            raise VadprobeError(f"max_tokens must be a positive integer, got {self.max_tokens}.")

    def to_json(self) -> dict[str, Any]:
        """Return the settings as plain JSON values."""
        return {"max_tokens": self.max_tokens, **self.choice.to_json()}


USUAL_SETTINGS = ExplanationSettings()
"""Default settings: greedy, at most `MAX_TOKENS` tokens."""


@dataclass(frozen=True, eq=False)
class ExplanationRequest:
    """An event to be explained.

    Attributes:
        video_id: name of the video, or of the stream.
        start_frame, stop_frame: the event, half-open.
        frames: (n, height, width, 3) uint8 RGB, frames spread over the event (`sample_frames`).
        prompt: question that the backbone is asked.
        seconds: duration of the event; None for its duration at 25 frames per second.
    """

    video_id: str
    start_frame: int
    stop_frame: int
    frames: np.ndarray
    prompt: str = EXPLANATION_PROMPT
    seconds: float | None = None

    def __post_init__(self) -> None:
        if self.stop_frame <= self.start_frame:
            raise ValueError(f"stop_frame must be above start_frame {self.start_frame}, got {self.stop_frame}.")
        if self.frames.ndim != 4 or len(self.frames) == 0 or self.frames.shape[-1] != 3:
            raise ValueError(f"frames must have the shape (n, height, width, 3), got {self.frames.shape}.")
        if self.frames.dtype != np.uint8:
            raise ValueError(f"frames must be uint8, got {self.frames.dtype}.")


@dataclass(frozen=True)
class Explanation:
    """Generated text of one event.

    Attributes:
        text: text of the backbone, without white space at its ends; may be empty.
        prompt: question that it was asked.
        settings: `ExplanationSettings.to_json`, and the number of `frames` that it saw.
        digest: SHA-256 of all that the text depends on: weights, inputs, prompt, settings, and the frames themselves.
        is_whole: False where the text was cut by `max_tokens`.
    """

    text: str
    prompt: str
    settings: Mapping[str, Any]
    digest: str
    is_whole: bool


@dataclass(frozen=True, eq=False)
class PreparedRequest:
    """A request with frames in the model's size, so that many requests can wait in memory.

    `clip` holds those frames; `frames_digest` is the SHA-256 of the original frames.
    """

    request: ExplanationRequest
    clip: Frames
    frames_digest: str

    @property
    def seconds(self) -> float:
        """Duration of the event."""
        request = self.request
        return request.seconds or (request.stop_frame - request.start_frame) / _USUAL_FPS


@dataclass(frozen=True)
class Explainer:
    """Explains events with a loaded backbone, at most `batch` of them side by side; `times` counts the seconds."""

    backbone: Backbone
    settings: ExplanationSettings = USUAL_SETTINGS
    batch: int = BATCH
    times: StepTimes = field(default_factory=StepTimes)

    def prepare(self, request: ExplanationRequest) -> PreparedRequest:
        """Return a request without its large frames."""
        clip = self.backbone.description.family.resize(request.frames)
        small = replace(request, frames=request.frames[:, :1, :1].copy())
        return PreparedRequest(small, clip, digest_arrays([request.frames]))

    def explain(self, requests: Sequence[PreparedRequest]) -> list[Explanation]:
        """Return the explanation of each request; requests with equal prompt and number of frames run side by side."""
        found: dict[int, Explanation] = {}
        for places in _batches(requests, self.batch):
            texts = self._generate([requests[place] for place in places])
            for place, text in zip(places, texts, strict=True):
                found[place] = self._explanation(requests[place], text)
        return [found[place] for place in range(len(requests))]

    def _generate(self, batch: Sequence[PreparedRequest]) -> list[GeneratedText]:
        request = batch[0].request
        spec = _spec(self.backbone.description, request.prompt, len(batch[0].clip))
        generation = TextGeneration(self.backbone, self.settings.max_tokens, self.settings.choice, self.times)
        draws = [self.settings.choice.draws(_entropy(one)) for one in batch]
        return generation([one.clip for one in batch], [one.seconds for one in batch], spec, WordTokens(), draws)

    def _explanation(self, prepared: PreparedRequest, found: GeneratedText) -> Explanation:
        request = prepared.request
        settings = {**self.settings.to_json(), "frames": len(prepared.clip)}
        whole = {
            "backbone": self._identity,
            "video": request.video_id,
            "frames": [request.start_frame, request.stop_frame, prepared.frames_digest],
            "seconds": prepared.seconds,
            "prompt": request.prompt,
            "settings": settings,
        }
        is_whole = len(found.masses) > len(found.tokens)
        return Explanation(found.text, request.prompt, settings, digest_json(whole), is_whole)

    @cached_property
    def _identity(self) -> dict[str, Any]:
        """Weights and inputs, without the names that a user gives."""
        description = self.backbone.description
        parts = asdict(description.spec)
        return {**{name: parts[name] for name in parts if name not in ("key", "source")}, **description.family.recipe()}


def explain_segments(
    backbone: Backbone,
    requests: Sequence[ExplanationRequest],
    settings: ExplanationSettings = USUAL_SETTINGS,
) -> list[Explanation]:
    """Let a backbone say what happens in segments of videos, such as detected events.

    Each clip is encoded once; every further token then runs alone behind the keys and values of the tokens before.

    Args:
        backbone: a loaded backbone.
        requests: any number of events.
        settings: settings of the texts; greedy by default.

    Returns:
        One explanation for each request, in their order.

    Raises:
        VadprobeError: if a prompt cannot be asked.
    """
    for prompt, frames in dict.fromkeys((request.prompt, len(request.frames)) for request in requests):
        check_prompt(backbone.description, prompt, frames)
    explainer = Explainer(backbone, settings)
    return explainer.explain([explainer.prepare(request) for request in requests])


def check_prompt(description: Description, prompt: str, frames: int) -> None:
    """Check that a prompt can be asked about a clip of `frames` frames; no weights are needed.

    Raises:
        VadprobeError: if the prompt is empty or has control tokens, or such a clip cannot be prepared.
    """
    if not prompt.strip():
        raise VadprobeError("the prompt of an explanation must not be empty; write the question the model is asked.")
    description.family.prefix_mode(prompt, frames)


def _batches(requests: Sequence[PreparedRequest], most: int) -> Iterator[list[int]]:
    """Yield the places of at most `most` requests that can run side by side."""
    alike: dict[tuple[Any, ...], list[int]] = {}
    for place, one in enumerate(requests):
        alike.setdefault((one.request.prompt, tuple(one.clip.shape)), []).append(place)
    for places in alike.values():
        for start in range(0, len(places), most):
            yield places[start : start + most]


def _spec(description: Description, prompt: str, frames: int) -> FeatureSpec:
    """Return a specification that tells a family the prompt and the number of frames; no store has it."""
    sampling = Sampling("video", None, frames)
    recipe = {"prefix": "independent"}
    return FeatureSpec("explanations", "", 0, sampling, description.spec, Prompt("explanation", prompt), recipe)


def _entropy(one: PreparedRequest) -> list[int]:
    """Return integers that tell an event's draws from those of others."""
    request = one.request
    name = digest_json([request.video_id, request.start_frame, request.stop_frame, request.prompt])
    return [int(name[:16], 16)]
