"""The conversation around video and prompt: the checkpoint's own, with a system turn, or the papers'."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from tests.support.extractions import make_extractor
from tests.support.models.begin_token import with_begin_token
from tests.support.models.described import described, without_weights
from tests.support.models.original_checkpoints import original_config, random_model, write_original
from tests.support.oracles.prompt_passes import PROMPTS, assert_near, both_ways, difference
from vadprobe.extract.configuration import BackboneConfig
from vadprobe.extract.conversion.convert import Recipe, convert
from vadprobe.extract.model.backbone import Description, load
from vadprobe.store.errors import StoreError, VadprobeError

# As published in InternVL's conversation.py; written out here again, so that a slip in either is seen.
NEWER = (
    "\u4f60\u662f\u4e66\u751f\u00b7\u4e07\u8c61\uff0c\u82f1\u6587\u540d\u662fInternVL\uff0c\u662f\u7531"
    "\u4e0a\u6d77\u4eba\u5de5\u667a\u80fd\u5b9e\u9a8c\u5ba4\u3001\u6e05\u534e\u5927\u5b66\u53ca\u591a\u5bb6\u5408\u4f5c\u5355\u4f4d\u8054"
    "\u5408\u5f00\u53d1\u7684\u591a\u6a21\u6001\u5927\u8bed\u8a00\u6a21\u578b\u3002"
)
OLDER = (
    "\u4f60\u662f\u7531\u4e0a\u6d77\u4eba\u5de5\u667a\u80fd\u5b9e\u9a8c\u5ba4\u8054\u5408\u5546\u6c64\u79d1\u6280\u5f00"
    "\u53d1\u7684\u4e66\u751f\u591a\u6a21\u6001\u5927\u6a21\u578b\uff0c\u82f1\u6587\u540d\u53ebInternVL, \u662f"
    "\u4e00\u4e2a\u6709\u7528\u65e0\u5bb3\u7684\u4eba\u5de5\u667a\u80fd\u52a9\u624b\u3002"
)
IMAGE = "<img>" + "<IMG_CONTEXT>" * 16 + "</img>"
OTHERS = ("qwen2_5_vl", "qwen3_vl", "llava_onevision")
SYSTEM = "You watch the cameras of a station."
CPU = torch.device("cpu")
DescribeTiny = Callable[..., Description]
MakeClips = Callable[[int, int], Sequence[np.ndarray]]


def text_of(family: Any, prompt: str, frames: int) -> str:
    return str(family.chat.tokenizer.decode(family.tokenize(prompt, frames)[0]))


@pytest.fixture
def older_checkpoint(tiny_backbones: Mapping[str, Path], tmp_path: Path) -> Path:
    """A converted InternVL2 checkpoint, as Holmes-VAU: its turns end without a newline."""
    folder = without_weights(tiny_backbones["internvl-llama"], tmp_path / "older")
    template = folder / "chat_template.jinja"
    template.write_text(template.read_text().replace(r"'<|im_end|>\n'", "'<|im_end|>'"))
    return folder


@pytest.mark.parametrize("kind", ["internvl", "internvl-llama"])
@pytest.mark.parametrize("frames", [1, 3])
def test_the_internvl_conversation_is_written_out(describe_tiny: DescribeTiny, kind: str, frames: int) -> None:
    family = describe_tiny(kind, chat="internvl-chat").family
    video = "".join(f"Frame{number + 1}: {IMAGE}\n" for number in range(frames))
    wanted = (
        f"<|im_start|>system\n{NEWER}<|im_end|>\n<|im_start|>user\n{video}Is it?<|im_end|>\n<|im_start|>assistant\n"
    )
    assert text_of(family, "Is it?", frames) == wanted


def test_an_older_checkpoint_has_the_older_conversation(older_checkpoint: Path) -> None:
    family = described(older_checkpoint, chat="internvl-chat").family
    wanted = (
        f"<|im_start|>system\n{OLDER}<|im_end|><|im_start|>user\nFrame1: {IMAGE}\nFrame2: {IMAGE}\nIs it?<|im_end|>"
        "<|im_start|>assistant\n"
    )
    assert text_of(family, "Is it?", 2) == wanted


@pytest.mark.parametrize(("start", "before"), [("<|im_start|>", "<|im_start|>system\nHi.<|im_end|>"), ("### ", "")])
def test_a_template_of_another_form_or_with_another_system_turn_is_refused(
    older_checkpoint: Path, start: str, before: str
) -> None:
    template = older_checkpoint / "chat_template.jinja"
    template.write_text(before + template.read_text().replace("<|im_start|>", start))
    with pytest.raises(VadprobeError, match="not how InternVL's own code writes a question"):
        described(older_checkpoint, chat="internvl-chat")


def test_a_begin_token_of_the_template_is_kept(older_checkpoint: Path) -> None:
    with_begin_token(older_checkpoint)
    plain = text_of(described(older_checkpoint, chat="internvl-chat").family, "Is it?", 1)
    assert plain.startswith(f"<|endoftext|><|im_start|>system\n{OLDER}")  # the tokenizer puts it there
    template = older_checkpoint / "chat_template.jinja"
    template.write_text("<|endoftext|>" + template.read_text())
    assert text_of(described(older_checkpoint, chat="internvl-chat").family, "Is it?", 1) == plain


@pytest.mark.parametrize("architecture", ["InternLM2ForCausalLM", "Qwen2ForCausalLM"])
def test_a_converted_checkpoint_is_asked_as_one_converted_with_a_system_turn(
    tmp_path: Path, tiny_backbones: Mapping[str, Path], architecture: str
) -> None:
    model = random_model(original_config(architecture))
    source = write_original(tmp_path / "original", tiny_backbones["internvl"], model)
    texts = {}
    for system_turn in (False, True):
        folder = tmp_path / f"native-{system_turn}"
        convert(source, folder, Recipe(system_turn=system_turn))
        for chat in ("native", "internvl-chat"):
            texts[system_turn, chat] = text_of(described(folder, chat=chat).family, "Is it?", 2)
    assert texts[False, "internvl-chat"] == texts[True, "internvl-chat"] == texts[True, "native"]
    assert texts[False, "native"] != texts[True, "native"]


def test_the_choice_is_in_the_recipe(describe_tiny: DescribeTiny, older_checkpoint: Path) -> None:
    native, own = (describe_tiny("internvl", chat=chat).family.recipe() for chat in ("native", "internvl-chat"))
    assert (own["chat"], own["system"]) == ("papers", NEWER)  # the setting's first name, so that existing stores go on
    assert own["chat_template"] != native["chat_template"]
    assert own["chat_template"] != described(older_checkpoint, chat="internvl-chat").family.recipe()["chat_template"]
    rest = {"chat", "system", "chat_template"}
    assert {name: own[name] for name in own.keys() - rest} == {name: native[name] for name in native.keys() - rest}
    assert json.loads(json.dumps(own)) == own


def test_another_conversation_is_another_store(describe_tiny: DescribeTiny, video_folder: Path, tmp_path: Path) -> None:
    plain = make_extractor(video_folder, tmp_path, describe_tiny("internvl"))
    for settings, named in (({"chat": "internvl-chat"}, "chat"), ({"system": SYSTEM}, "system")):
        with pytest.raises(StoreError, match=rf"another specification: .*recipe\.{named}"):
            make_extractor(video_folder, tmp_path, describe_tiny("internvl", **settings))
        elsewhere = make_extractor(video_folder, tmp_path / named, describe_tiny("internvl", **settings))
        mine, theirs = (made.plan.samplings[0].writers[0].spec for made in (plain, elsewhere))
        assert mine.digest != theirs.digest
        assert theirs.recipe["prefix"] == "shared"


@pytest.mark.parametrize("kind", OTHERS)
def test_other_families_have_no_internvl_conversation(describe_tiny: DescribeTiny, kind: str) -> None:
    with pytest.raises(VadprobeError, match=r"backbone\.chat = 'internvl-chat' is known only for internvl"):
        describe_tiny(kind, chat="internvl-chat")


def test_a_system_message_reaches_the_model(describe_tiny: DescribeTiny, backbone: Any) -> None:
    kind = backbone.description.family.name
    plain, own = (describe_tiny(kind, **settings).family for settings in ({}, {"system": SYSTEM}))
    before, after = (text_of(family, "Is it?", 2) for family in (plain, own))
    opening = "<|im_start|>system \n" if kind == "llava_onevision" else "<|im_start|>system\n"
    assert after.startswith(f"{opening}{SYSTEM}<|im_end|>")
    assert after.endswith(before[before.index("<|im_start|>user") :])
    assert own.recipe() == {**plain.recipe(), "system": SYSTEM}
    assert not {"chat", "system"} & plain.recipe().keys()  # so stores from before there was a choice go on


def test_a_template_without_a_system_turn_is_refused(older_checkpoint: Path) -> None:
    template = older_checkpoint / "chat_template.jinja"
    before = template.read_text()
    for guard in ("if message.role != 'system'", ""):
        refusal = "" if guard else "{{ raise_exception('no system turn') if messages[0].role == 'system' }}"
        loop = f"{{%- for message in messages {guard} -%}}"
        template.write_text(refusal + before.replace("{%- for message in messages -%}", loop))
        with pytest.raises(VadprobeError, match="takes no system message, so 'You watch"):
            described(older_checkpoint, system=SYSTEM)
        assert described(older_checkpoint).family.tokenize("Is it?", 1).shape[1] > 16


def test_a_system_message_with_a_control_token_is_refused(describe_tiny: DescribeTiny) -> None:
    with pytest.raises(VadprobeError, match=r"the system message .* reads as a control token"):
        describe_tiny("internvl", system="Be kind.<|im_end|>")


def test_a_prompt_with_a_control_token_is_refused_in_the_internvl_conversation(describe_tiny: DescribeTiny) -> None:
    with pytest.raises(VadprobeError, match=r"the prompt .* reads as a control token"):
        describe_tiny("internvl", chat="internvl-chat").family.tokenize("What is <video>?", 2)


def test_the_first_name_of_the_setting_is_still_read() -> None:
    assert BackboneConfig(key="tiny", path="x", chat="papers").chat == "internvl-chat"


@pytest.mark.parametrize("settings", [{"chat": "internvl-chat", "system": SYSTEM}, {"system": ""}, {"chat": "theirs"}])
def test_contradictory_settings_are_refused(settings: dict[str, str]) -> None:
    with pytest.raises(
        ValidationError, match=r"brings its own system message|at least 1 character|'native' or 'internvl-chat'"
    ):
        BackboneConfig(key="tiny", path="x", **settings)


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        ("internvl", {"chat": "internvl-chat"}),
        ("internvl-llama", {"chat": "internvl-chat"}),
        *((o, {"system": SYSTEM}) for o in OTHERS),
    ],
)
def test_the_system_turn_is_shared_by_all_prompts(
    describe_tiny: DescribeTiny, random_clips: MakeClips, kind: str, settings: dict[str, Any]
) -> None:
    backbone = load(describe_tiny(kind, **settings), "cpu", threads=1)
    family = backbone.description.family
    prefix, plain = (found.shared_tokens(3) for found in (family, describe_tiny(kind).family))
    assert prefix is not None
    assert plain is not None
    system = family.chat.tokenizer.decode(prefix)
    assert str(family.chat.system) in system
    together, alone = both_ways(backbone, random_clips(2, 3), PROMPTS, [0.4, 2.5])
    for mine, theirs in zip(together, alone, strict=True):
        assert_near(mine, theirs)
    without, _ = both_ways(load(describe_tiny(kind), "cpu", threads=1), random_clips(2, 3), PROMPTS[:1], [0.4, 2.5])
    assert difference(together[0].hidden_states[:, 1:], without[0].hidden_states[:, 1:]) > 1e-3
