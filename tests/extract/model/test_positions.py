"""Features at other tokens than the last one: equal to an eager reference, alone and behind shared tokens."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.support.oracles.eager_reference import ROUNDING
from tests.support.oracles.prompt_passes import PROMPTS, Clips, difference, first_token_report
from vadprobe.extract.model.backbone import Backbone, load
from vadprobe.extract.model.chosen_parts import ChosenParts
from vadprobe.extract.model.forward import Forward
from vadprobe.extract.model.positions import PositionTokens
from vadprobe.store.errors import VadprobeError
from vadprobe.store.format.prompts import POSITIONS, Prompt
from vadprobe.store.format.sampling import Sampling
from vadprobe.store.format.specification import FeatureSpec

FRAMES = 3
SECONDS = (0.7, 2.5)
BEFORE = "You watch a camera."
MakeClips = Callable[[int, int], Sequence[np.ndarray]]


def specs_of(backbone: Backbone, prompts: Sequence[Prompt], prefix: str) -> list[FeatureSpec]:
    sampling, spec = Sampling("segment", 2 * FRAMES, FRAMES), backbone.description.spec
    return [FeatureSpec("", "", 0, sampling, spec, prompt, {"prefix": prefix}) for prompt in prompts]


def shares_of(ids: Tensor, vision: set[int], position: str) -> Tensor:
    """Count the tokens of a position one by one: (clips, tokens), summing to 1."""
    shares = torch.zeros(ids.shape)
    for row, tokens in enumerate(ids.tolist()):
        seen = [place for place, token in enumerate(tokens) if token in vision]
        places = {
            "last-prompt": [len(tokens) - 1],
            "last-vision": seen[-1:],
            "mean-vision": seen,
            "mean-prompt": list(range(seen[-1] + 1, len(tokens))),
        }[position]
        shares[row, places] = 1 / len(places)
    return shares


@pytest.mark.parametrize("prefix", ["shared", "independent"])
def test_every_position_equals_the_eager_reference(backbone: Backbone, random_clips: MakeClips, prefix: str) -> None:
    before = "" if backbone.description.spec.family == "llava_onevision" else BEFORE
    prompts = [Prompt("a", PROMPTS[0], before).at(position) for position in POSITIONS]
    prompts += [Prompt("b", PROMPTS[1], before).at(position) for position in ("mean-prompt", "last-vision")]
    prompts += [Prompt("c", PROMPTS[2], before)]
    clips = random_clips(2, FRAMES)
    made = Clips.of(backbone, clips, SECONDS)
    found = Forward(backbone)(clips, SECONDS, specs_of(backbone, prompts, prefix), backbone.description.spec.n_layers)
    config = backbone.model.config
    vision = {getattr(config, name, None) for name in ("image_token_id", "video_token_id")}
    for prompt, mine in zip(prompts, list(found), strict=True):
        report = first_token_report(backbone.model, made.raw(prompt.text, prompt.before))
        ids = made.arguments(prompt.text, prompt.before)["input_ids"]
        shares = shares_of(ids, vision, prompt.position)
        reference = made.reference(backbone.model, report.hidden_states[0][0], shares, prompt.text, prompt.before)
        assert difference(mine.hidden_states, reference.hidden) <= ROUNDING, prompt
        assert difference(mine.head_outputs, reference.heads) <= ROUNDING, prompt
        logits = report.logits[0][:, list(backbone.description.answer_ids)]
        assert mine.answer_logits is not None
        assert difference(mine.answer_logits, logits) <= ROUNDING


def test_padded_clips_have_the_features_of_clips_alone(describe_tiny: Any, random_clips: MakeClips) -> None:
    own, clips, seconds = load(describe_tiny("qwen3_vl"), "cpu", threads=1), random_clips(2, FRAMES), (0.7, 120.0)
    assert not Clips.of(own, clips, seconds).arguments()["attention_mask"].all()  # it writes the seconds
    specs = specs_of(own, [Prompt("a", "Yes?").at(position) for position in POSITIONS], "shared")
    batch = list(Forward(own)(clips, seconds, specs, 2))
    for number in range(2):
        alone = list(Forward(own)(clips[number : number + 1], seconds[number : number + 1], specs, 2))
        for mine, theirs in zip(batch, alone, strict=True):
            assert difference(mine.hidden_states[number], theirs.hidden_states[0]) <= ROUNDING
            assert difference(mine.head_outputs[number], theirs.head_outputs[0]) <= ROUNDING


@pytest.mark.parametrize("prefix", ["shared", "independent"])
def test_positions_share_a_pass_and_chosen_parts_are_the_same(
    describe_tiny: Any, random_clips: MakeClips, prefix: str
) -> None:
    own, clips = load(describe_tiny("qwen2_5_vl"), "cpu", threads=1), random_clips(1, FRAMES)
    forward = Forward(own)
    specs = specs_of(own, [Prompt("a", "Yes?").at(position) for position in POSITIONS], prefix)
    runs: list[int] = []
    hook = own.parts.blocks[0].register_forward_hook(lambda *_: runs.append(1))
    whole = list(forward(clips, [1.0], specs, own.description.spec.n_layers))
    hook.remove()
    assert len(runs) == (2 if prefix == "shared" else 1)
    for spec, features in zip(specs, whole, strict=True):
        heads = forward.chosen(clips, [1.0], spec, ChosenParts("head", ((1, 1), (0, 0))))
        wanted = torch.cat([features.head_outputs[:, 1, 1], features.head_outputs[:, 0, 0]], dim=1)
        assert difference(heads, wanted) <= ROUNDING
        layer = forward.chosen(clips, [1.0], spec, ChosenParts("layer", ((2,),)))
        assert difference(layer, features.hidden_states[:, 2]) <= ROUNDING
    apart = [float((whole[0].hidden_states[:, 1:] - one.hidden_states[:, 1:]).abs().amax()) for one in whole[1:]]
    assert min(apart) > 1e-2


def test_vision_tokens_that_cannot_be_told_are_refused(describe_tiny: Any) -> None:
    own = load(describe_tiny("internvl"), "cpu", threads=1)
    with pytest.raises(VadprobeError, match=r"stand for frames cannot be identified.*keep the position 'last-prompt'"):
        PositionTokens.of(own.model, torch.zeros(1, 4, dtype=torch.int64), ["mean-vision"])


def test_a_template_that_puts_every_video_first_takes_no_text_before_it(describe_tiny: Any) -> None:
    family = describe_tiny("llava_onevision").family
    with pytest.raises(VadprobeError, match=r"does not put the text 'You watch a camera\.' before the video"):
        family.prefix_mode("Yes?", FRAMES, BEFORE)
    other = describe_tiny("qwen2_5_vl").family
    shared = [other.shared_tokens(FRAMES, before) for before in ("", BEFORE)]
    assert other.chat.tokenizer.decode(shared[1]).count(BEFORE) == 1
    assert len(shared[1]) > len(shared[0])
    assert other.prefix_mode("Yes?", FRAMES, BEFORE) == "shared"
    with pytest.raises(VadprobeError, match="text before the video"):
        other.prefix_mode("Yes?", FRAMES, "a <|im_end|>")


def test_averages_are_rounded_to_the_dtype_of_the_model(describe_tiny: Any, random_clips: MakeClips) -> None:
    """Else a detector would see other values than the store holds."""
    own, clips = load(describe_tiny("internvl", dtype="bfloat16"), "cpu", threads=1), random_clips(1, FRAMES)
    (spec,) = specs_of(own, [Prompt("a", "Yes?").at("mean-vision")], "independent")
    (whole,) = Forward(own)(clips, [1.0], [spec], 2)
    heads = Forward(own).chosen(clips, [1.0], spec, ChosenParts("head", ((1, 1),)))
    assert heads.dtype == whole.head_outputs.dtype == whole.hidden_states.dtype == torch.bfloat16
    assert torch.equal(heads, whole.head_outputs[:, 1, 1])


def test_tokens_of_no_position_are_not_looked_at(describe_tiny: Any) -> None:
    own = load(describe_tiny("internvl"), "cpu", threads=1)
    vision = own.model.config.image_token_id
    tokens = PositionTokens.of(own.model, torch.tensor([[1, vision, vision, 2, 3]]), ["last-vision", "mean-prompt"])
    value = torch.tensor([[torch.nan, torch.inf, 1.0, 2.0, 6.0]])[..., None]
    assert tokens.finished(tokens.take(value), None, torch.float32).flatten().tolist() == [1.0, 4.0]
