"""The small files of a converted checkpoint: tokenizer, conversation, settings, provenance."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.support.models.conversions import Make, compare
from tests.support.models.described import loaded
from tests.support.models.original_checkpoints import GOLDEN, original_config, write_byte_tokenizer
from vadprobe.extract.conversion import weights
from vadprobe.extract.conversion.convert import PROVENANCE, Recipe, convert
from vadprobe.extract.model.backbone import RANDOM_WEIGHTS_CARD
from vadprobe.store.errors import VadprobeError


def test_equal_work_gives_equal_files_that_name_no_place(make: Make, tmp_path: Path) -> None:
    source, _ = make()
    shutil.copytree(source, tmp_path / "another")
    convert(source, tmp_path / "one" / "native")
    convert(tmp_path / "another", tmp_path / "two" / "native")
    files = sorted((tmp_path / "one" / "native").iterdir())
    assert [path.name for path in files] == sorted(path.name for path in (tmp_path / "two" / "native").iterdir())
    for path in files:
        content = path.read_bytes()
        assert content == (tmp_path / "two" / "native" / path.name).read_bytes()
        assert str(tmp_path).encode() not in content
    record = json.loads((tmp_path / "one" / "native" / PROVENANCE).read_text())
    assert set(record["source_files"]) == {
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "tokenizer.model",
        "tokenizer_config.json",
    }


@pytest.mark.parametrize(("architecture", "end"), [("InternLM2ForCausalLM", ""), ("Qwen2ForCausalLM", "\n")])
@pytest.mark.parametrize("system_turn", [False, True])
def test_the_conversation_is_the_checkpoints_own(
    make: Make, tmp_path: Path, architecture: str, end: str, system_turn: bool
) -> None:
    source, _ = make(architecture)
    convert(source, tmp_path / "native", Recipe(system_turn=system_turn))
    chat = loaded(tmp_path / "native").description.family.chat
    wanted = f"<|im_start|>user\n<video>\nAnything?<|im_end|>{end}<|im_start|>assistant\n"
    text = chat.render("Anything?")
    assert text.endswith(wanted)
    before = text.removesuffix(wanted)
    if system_turn:
        assert before.startswith("<|im_start|>system\n你是")
        assert before.endswith(f"。<|im_end|>{end}")
    else:
        assert before == ""


def test_a_system_message_of_the_configuration_comes_first(make: Make, tmp_path: Path) -> None:
    message = 'You\'re "careful" {{ here }}\nand \\\\ there'
    source, _ = make(system_message=message)
    convert(source, tmp_path / "native", Recipe(system_turn=True))
    text = loaded(tmp_path / "native").description.family.chat.render("Anything?")
    assert text.startswith(f"<|im_start|>system\n{message}<|im_end|><|im_start|>user\n")


def test_internlm2_tokens_are_those_of_its_slow_tokenizer(make: Make, tmp_path: Path) -> None:
    source, _ = make()
    convert(source, tmp_path / "native")
    tokenizer = loaded(tmp_path / "native").description.family.chat.tokenizer
    for case in json.loads((GOLDEN / "sentencepiece_tokens.json").read_text())["plain"]["cases"]:
        assert tokenizer(case["text"])["input_ids"] == case["ids"], case["text"]


@pytest.mark.parametrize("architecture", ["Qwen2ForCausalLM", "LlamaForCausalLM"])
def test_byte_level_tokens_keep_their_ids(
    make: Make, tmp_path: Path, tiny_backbones: Mapping[str, Path], architecture: str
) -> None:
    source, _ = make(architecture)
    convert(source, tmp_path / "native")
    tokenizer = loaded(tmp_path / "native").description.family.chat.tokenizer
    reference = loaded(tiny_backbones["internvl"]).description.family.chat.tokenizer
    text = "Is there  something abnormal?\n\nYes, 123 déjà vu 异常 🚗"
    assert tokenizer(text)["input_ids"] == reference(text)["input_ids"]
    added = json.loads((source / "tokenizer_config.json").read_text())["added_tokens_decoder"]
    for number, token in added.items():
        assert tokenizer(token["content"])["input_ids"] == [int(number)]


def test_image_and_generation_settings(make: Make, tmp_path: Path) -> None:
    source, _ = make()
    (source / "preprocessor_config.json").write_text(json.dumps({"image_mean": [0.1, 0.2, 0.3], "size": 224}))
    convert(source, tmp_path / "native")
    backbone = loaded(tmp_path / "native")
    recipe = backbone.description.family.recipe()
    assert recipe["frame_size"] == [56, 56]
    assert recipe["tokens_per_frame"] == 4
    assert recipe["mean"] == [0.1, 0.2, 0.3]
    assert recipe["std"] == [0.229, 0.224, 0.225]  # of ImageNet, where the checkpoint says nothing
    end = backbone.description.family.chat.tokenizer.convert_tokens_to_ids("<|im_end|>")
    assert backbone.model.generation_config.eos_token_id == sorted({2, 7, end})


def test_full_size_frames_have_256_tokens() -> None:
    from vadprobe.extract.conversion.config import native_config

    config = original_config("Qwen2ForCausalLM", vision_image_size=448, force_image_size=448)
    assert native_config(config, 5, tied=False).image_seq_length == 256


def test_another_tokenizer_can_be_given(make: Make, tmp_path: Path, tiny_backbones: Mapping[str, Path]) -> None:
    source, model = make("LlamaForCausalLM")
    (source / "tokenizer.json").unlink()
    with pytest.raises(VadprobeError, match=r"has no tokenizer.*--tokenizer"):
        convert(source, tmp_path / "native")
    (source / "tokenizer.model").write_bytes(b"some model")
    with pytest.raises(VadprobeError, match=r"whose rules are not known here.*--tokenizer"):
        convert(source, tmp_path / "native")
    (tmp_path / "fast").mkdir()
    write_byte_tokenizer(tmp_path / "fast", tiny_backbones["internvl"], whole=True)
    convert(source, tmp_path / "native", Recipe(tokenizer=tmp_path / "fast"))
    assert "tokenizer_files" in json.loads((tmp_path / "native" / PROVENANCE).read_text())
    compare(tmp_path / "native", model)


@pytest.mark.parametrize("family", ["internvl", "internvl-llama"])
def test_the_tokenizer_of_a_native_checkpoint_can_be_given(
    make: Make, tmp_path: Path, tiny_backbones: Mapping[str, Path], family: str
) -> None:
    source, model = make()
    native = tiny_backbones[family]
    convert(source, tmp_path / "native", Recipe(tokenizer=native))
    compare(tmp_path / "native", model)
    given = loaded(native).description.family.chat.tokenizer
    taken = loaded(tmp_path / "native").description.family.chat.tokenizer
    assert taken.get_vocab() == given.get_vocab()
    text = "<|im_start|>user\nFrame1: <img><IMG_CONTEXT></img>\n Is it 12?<|im_end|>"
    assert taken(text)["input_ids"] == given(text)["input_ids"]


def test_random_weights_stay_known_as_such(make: Make, tmp_path: Path) -> None:
    source, _ = make()
    (source / RANDOM_WEIGHTS_CARD).write_text("{}")
    convert(source, tmp_path / "native")
    assert loaded(tmp_path / "native").description.random_weights


def test_weights_can_be_read_by_whoever_reads_the_rest(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weights, "MAX_FILE_BYTES", 50_000)
    source, _ = make()
    convert(source, tmp_path / "native")
    assert len({path.stat().st_mode for path in (tmp_path / "native").iterdir()}) == 1
