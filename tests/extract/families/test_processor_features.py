"""Features of models read through the library's processor: those that its generate() reports."""

import functools
import inspect
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.support.extractions import features_of, make_extractor, run_all, store_of
from tests.support.models.described import loaded
from tests.support.oracles.eager_reference import ROUNDING, eager_features
from tests.support.oracles.processor_passes import (
    CPU,
    KINDS,
    QUESTION,
    SECONDS,
    Checkpoints,
    captures,
    family_of,
    from_library,
    noise,
)
from tests.support.oracles.prompt_passes import NAMES, assert_near, difference, first_token_report
from tests.support.profiles import LONG
from vadprobe.extract.model.backbone import Backbone
from vadprobe.extract.model.blocks.text_blocks import TextBlocks
from vadprobe.extract.model.capture import Captured, capture
from vadprobe.extract.model.forward import Forward
from vadprobe.extract.video.decoder import Decoder
from vadprobe.store.format.prompts import SHIPPED, Position, Prompt
from vadprobe.store.format.sampling import Sampling
from vadprobe.store.format.specification import FeatureSpec
from vadprobe.store.verification.verify import verify

pytestmark = pytest.mark.usefixtures("loaded_once")


@pytest.fixture(scope="module")
def generated(other: Backbone) -> Any:
    """The library's own report about a clip, from its own inputs, beside the capture of the same clip."""
    (clip,) = noise(1)
    inputs = from_library(other, clip, SECONDS[1], QUESTION)
    report = first_token_report(other.model, inputs)
    (captured,) = captures(other, [clip], SECONDS[1:])
    return captured, report, inputs


def test_inputs_are_those_of_the_library(other: Backbone, generated: Any) -> None:
    wanted = generated[2]
    (mine,) = family_of(other).inputs(QUESTION, noise(1), SECONDS[1:], CPU, torch.float32)
    assert mine.keys() == wanted.keys()
    for name, value in wanted.items():
        assert torch.equal(torch.as_tensor(mine[name]), torch.as_tensor(value)), name


def test_every_layer_before_the_last_is_exactly_what_generate_reports(other: Backbone, generated: Any) -> None:
    captured, report, _ = generated
    spec = other.description.spec
    assert captured.hidden_states.shape == (1, spec.n_layers + 1, spec.hidden_size)
    # Blocks of Gemma 4 that share keys read them from the cache that generate keeps, cut to their window.
    most = ROUNDING if spec.family == "gemma4" else 0.0
    for layer in range(spec.n_layers):
        assert difference(captured.hidden_states[:, layer], report.hidden_states[0][layer][:, -1]) <= most, layer
    with torch.inference_mode():
        last = other.model.get_decoder().norm(captured.hidden_states[:, -1])
    assert difference(last, report.hidden_states[0][-1][:, -1]) <= most


def test_answer_logits_are_those_of_generate(other: Backbone, generated: Any) -> None:
    captured, report, _ = generated
    most = ROUNDING if other.description.spec.family == "gemma4" else 0.0
    assert difference(captured.answer_logits, report.logits[0][:, list(other.description.answer_ids)]) <= most


def test_logits_are_those_of_the_whole_model(other: Backbone, generated: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some models scale or bound them; the rows of the language head alone would give others."""
    original = other.model.forward

    @functools.wraps(original)
    def scaled(*arguments: Any, **settings: Any) -> Any:
        output = original(*arguments, **settings)
        if "logits_to_keep" in inspect.signature(original).parameters:
            assert output.logits.shape[1] == 1  # the head ran on the last position only
        output.logits = output.logits / 4
        return output

    monkeypatch.setattr(other.model, "forward", scaled)
    (captured,) = captures(other, noise(1), SECONDS[1:])
    assert difference(captured.answer_logits, generated[0].answer_logits / 4) == 0.0


@pytest.mark.parametrize("other", ["llava", "idefics3", KINDS[3], KINDS[5], KINDS[9]], indirect=True)
def test_heads_and_layers_equal_the_eager_reference(other: Backbone, generated: Any) -> None:
    """Not of Gemma, whose blocks are others (test_unlike_blocks.py), and not of models with experts."""
    captured, report, inputs = generated
    spec = other.description.spec
    embeddings = report.hidden_states[0][0]
    positions = torch.arange(embeddings.shape[1])[None]
    if hasattr(other.model.model, "get_rope_index"):
        known = {name: inputs[name] for name in ("input_ids", "mm_token_type_ids", "video_grid_thw", "attention_mask")}
        positions = other.model.model.get_rope_index(**known)[0]
    reference = eager_features(other.model, embeddings, positions)
    assert captured.head_outputs.shape == (1, spec.n_layers, spec.n_heads, spec.head_dim)
    assert difference(captured.head_outputs, reference.heads) <= ROUNDING
    assert difference(captured.hidden_states, reference.hidden) <= ROUNDING


@pytest.mark.parametrize("other", ["idefics3"], indirect=True)
@pytest.mark.parametrize("position", ["last-vision", "mean-vision", "mean-prompt"])
def test_other_positions_equal_the_eager_reference(other: Backbone, generated: Any, position: Position) -> None:
    _, report, inputs = generated
    sampling = Sampling("segment", 2 * len(noise(1)[0]), len(noise(1)[0]))
    prompt = Prompt("question", QUESTION).at(position)
    spec = FeatureSpec("", "", 0, sampling, other.description.spec, prompt, {"prefix": "independent"})
    (captured,) = Forward(other)(noise(1), SECONDS[1:], [spec], other.description.spec.n_layers)
    vision = inputs["input_ids"][0] == other.model.config.image_token_id
    behind = torch.arange(len(vision)) > int(vision.nonzero()[-1])
    tokens = {"last-vision": torch.arange(len(vision)) == int(vision.nonzero()[-1]), "mean-vision": vision}
    chosen = tokens.get(position, behind).float()[None]
    embeddings = report.hidden_states[0][0]
    places = torch.arange(embeddings.shape[1])[None]
    reference = eager_features(other.model, embeddings, places, shares=chosen / chosen.sum())
    assert difference(captured.head_outputs, reference.heads) <= ROUNDING
    assert difference(captured.hidden_states, reference.hidden) <= ROUNDING


def test_heads_are_what_enters_the_output_projection(other: Backbone, generated: Any) -> None:
    """In any family: projected, they are what the attention adds."""
    captured, _, inputs = generated
    sent: list[Tensor] = []
    found = [(layer, one) for layer, one in enumerate(other.parts.projections) if one is not None]
    with ExitStack() as hooks, torch.no_grad():
        for _, projection in found:
            hooks.enter_context(projection.register_forward_hook(lambda _, __, output: sent.append(output[:, -1])))
        other.model(**inputs)
    assert found
    for (layer, projection), added in zip(found, sent, strict=True):
        with torch.inference_mode():
            heads, width = other.parts.shapes[layer]
            mine = captured.head_outputs[:, layer, :heads, :width].flatten(1)
            assert difference(projection(mine), added) <= ROUNDING


def test_several_clips_in_a_batch_equal_each_clip_alone(other: Backbone) -> None:
    clips = noise(2)
    (batch,) = captures(other, clips, SECONDS)
    for number, clip in enumerate(clips):
        (alone,) = captures(other, [clip], SECONDS[number : number + 1])
        assert_near(Captured(*(getattr(batch, name)[number : number + 1] for name in NAMES)), alone)
    assert difference(batch.hidden_states[0, 1:], batch.hidden_states[1, 1:]) > 1e-3


@pytest.mark.parametrize("n_blocks", [1, 3])
def test_a_pass_that_ends_early_has_the_same_layers(other: Backbone, generated: Any, n_blocks: int) -> None:
    (captured,) = captures(other, noise(1), SECONDS[1:], n_blocks=n_blocks)
    assert torch.equal(captured.hidden_states, generated[0].hidden_states[:, : n_blocks + 1])
    assert torch.equal(captured.head_outputs, generated[0].head_outputs[:, :n_blocks])
    assert captured.answer_logits is None


@pytest.mark.parametrize("kind", KINDS)
def test_bfloat16_runs_and_is_near(checkpoints: Checkpoints, kind: str) -> None:
    half, single = (loaded(checkpoints[kind], dtype=dtype) for dtype in ("bfloat16", "float32"))
    (mine,), (wanted,) = (captures(backbone, noise(1), SECONDS[:1]) for backbone in (half, single))
    assert mine.hidden_states.dtype == torch.bfloat16
    error = (mine.hidden_states.float() - wanted.hidden_states).norm() / wanted.hidden_states.norm()
    assert 0 < float(error) < 0.05


@pytest.mark.parametrize("other", KINDS if LONG else [KINDS[0], KINDS[3]], indirect=True)  # frames as images, a video
def test_an_extraction_holds_these_features(
    other: Backbone, video_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompts = (SHIPPED["coarse"], SHIPPED["question"])
    extractor = make_extractor(video_folder, tmp_path, other.description, prompts)
    assert run_all(extractor) == [{}]
    family = family_of(other)
    for number, prompt in enumerate(prompts):
        store = store_of(extractor, number)
        assert store.spec.recipe["prefix"] == "independent"
        assert store.spec.recipe["inputs"] == "AutoProcessor"
        assert verify(extractor.plan.samplings[0].writers[number].path).problems == ()
        features, clips = features_of(store), store.clips
        assert len(clips) == 9
        with Decoder(20.0) as decoder:
            for row in (0, 4, 8):
                clip = clips.clip(row)
                frames = decoder.read_clip(video_folder / f"{clip.video_id}.mp4", clip.frame_indices)
                seconds = (clip.stop_frame - clip.start_frame) / float(clips.fps[clips.video_codes[row]])
                (inputs,) = family.inputs(prompt.text, [frames], [seconds], CPU, torch.float32)
                alone = capture(other.model, other.parts, inputs, other.description.answer_ids, with_head=True)
                for name in NAMES:
                    assert difference(torch.from_numpy(features[name][row : row + 1]), getattr(alone, name)) <= ROUNDING


def test_clips_of_different_sizes_come_back_in_order(other: Backbone, tmp_path: Path, video_folder: Path) -> None:
    spec = make_extractor(video_folder, tmp_path, other.description).plan.samplings[0].writers[0].spec
    clips = [*noise(1), *noise(1, (120, 60))]
    whole = spec.backbone.n_layers
    (together,) = Forward(other)(clips, SECONDS, [spec], whole)
    (shallow,) = Forward(other)(clips, SECONDS, [spec], 2)
    assert shallow.answer_logits is None
    for number, clip in enumerate(clips):
        (alone,) = Forward(other)([clip], SECONDS[number : number + 1], [spec], whole)
        for name in NAMES:
            assert torch.equal(getattr(together, name)[number : number + 1], getattr(alone, name)), name
        assert torch.equal(shallow.hidden_states[number], alone.hidden_states[0, :3])


def test_blocks_one_level_deeper_are_found(other: Backbone) -> None:
    class Outer:
        def get_decoder(self) -> Any:
            return Inner()

    class Inner:
        model = other.model.get_decoder()

    assert TextBlocks.of(Outer()).blocks == other.parts.blocks
