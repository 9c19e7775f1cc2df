"""Backbones: described without weights, loaded from safetensors only, refused in a sentence when something is off."""

import dataclasses
import json
import os
import pickle
import shutil
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.support.models.described import described, loaded
from vadprobe.extract.configuration import BackboneConfig
from vadprobe.extract.model import backbone as backbone_module
from vadprobe.extract.model.backbone import RANDOM_WEIGHTS_CARD, Backbone, Description, describe, load
from vadprobe.extract.model.checkpoint.outline import versions
from vadprobe.extract.model.devices import choose_device
from vadprobe.store.errors import VadprobeError

DescribeTiny = Callable[..., Description]


@pytest.fixture
def checkpoint(tiny_backbones: Mapping[str, Path], tmp_path: Path) -> Path:
    """A copy of a checkpoint, to be changed."""
    return Path(shutil.copytree(tiny_backbones["internvl"], tmp_path / "checkpoint"))


# Describing


def test_the_description_tells_the_shape(backbone: Backbone) -> None:
    spec = backbone.description.spec
    head_dim = 32 if spec.family == "qwen3_vl" else 16
    assert (spec.n_layers, spec.n_heads, spec.head_dim, spec.hidden_size) == (6, 8, head_dim, 128)
    assert spec.n_layers == len(backbone.parts.blocks) == len(backbone.parts.projections)
    assert spec.head_shapes == backbone.parts.shapes
    assert spec.family == backbone.description.family.name
    assert (spec.dtype, spec.attention) == ("float32", "sdpa")


def test_the_answers_are_yes_and_no(backbone: Backbone) -> None:
    tokenizer = backbone.description.family.chat.tokenizer  # type: ignore[attr-defined]
    assert [tokenizer.decode([number]) for number in backbone.description.answer_ids] == ["Yes", "No"]


def test_describing_reads_no_weights(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: Any, **settings: Any) -> None:
        raise AssertionError("weights were loaded")

    monkeypatch.setattr(backbone_module.AutoModelForImageTextToText, "from_pretrained", refuse)
    (checkpoint / "model.safetensors").write_bytes(b"no weights at all")
    assert described(checkpoint).spec.n_layers == 6


def test_the_revision_is_the_content_wherever_it_lies(checkpoint: Path, tmp_path: Path) -> None:
    first = described(checkpoint).spec
    moved = described(checkpoint.rename(tmp_path / "elsewhere")).spec
    assert first.revision.startswith("sha256:")
    assert moved.revision == first.revision
    assert (first.source, moved.source) == ("checkpoint", "elsewhere")
    assert str(tmp_path) not in json.dumps(dataclasses.asdict(moved))


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "tokenizer.json", "chat_template.jinja"])
def test_every_file_that_matters_changes_the_revision(checkpoint: Path, name: str) -> None:
    before = described(checkpoint).spec.revision
    path = checkpoint / name
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]) if name == "model.safetensors" else content + b"\n")
    assert described(checkpoint).spec.revision != before


def test_of_added_files_only_code_changes_the_revision(checkpoint: Path) -> None:
    before = described(checkpoint).spec.revision
    (checkpoint / "README.md").write_text("about this model")
    (checkpoint / "logs").mkdir()
    assert described(checkpoint).spec.revision == before
    (checkpoint / "modeling_special.py").write_text("SCALE = 2\n")
    assert described(checkpoint, trust_remote_code=True).spec.revision != before


def test_weights_that_were_never_trained_are_known_as_such(checkpoint: Path) -> None:
    assert described(checkpoint).random_weights
    (checkpoint / RANDOM_WEIGHTS_CARD).unlink()
    assert not described(checkpoint).random_weights


# What is refused


@pytest.mark.parametrize("family", ["llama", "qwen2", "my_model"])
def test_an_unknown_family_is_named_with_the_known_ones(checkpoint: Path, family: str) -> None:
    (checkpoint / "config.json").write_text(json.dumps({"model_type": family}))
    wanted = rf"unknown family '{family}'; .* of vadprobe's own: internvl, llava_onevision, qwen2_5_vl"
    with pytest.raises(VadprobeError, match=wanted):
        described(checkpoint)


@pytest.mark.parametrize("with_code", [False, True])
def test_an_original_internvl_checkpoint_is_told_what_to_use(checkpoint: Path, with_code: bool) -> None:
    config: dict[str, Any] = {"model_type": "internvl_chat"}
    if with_code:
        config["auto_map"] = {"AutoConfig": "configuration_internvl_chat.InternVLChatConfig"}
        (checkpoint / "configuration_internvl_chat.py").write_text("raise SystemExit('code of a checkpoint was run')")
    (checkpoint / "config.json").write_text(json.dumps(config))
    with pytest.raises(VadprobeError, match=r"vadprobe convert-checkpoint SOURCE TARGET.*'-hf'"):
        described(checkpoint)


@pytest.mark.parametrize(
    ("path", "folder"),
    [("no/such", None), ("/tmp/no/such/folder", Path("/tmp/no/such/folder")), ("not a hub id", None)],
)
def test_a_missing_checkpoint_says_what_it_must_be(path: str, folder: Path | None) -> None:
    wanted = r"backbone 'tiny' cannot be read from '.*It must be a local folder in transformers' layout"
    with pytest.raises(VadprobeError, match=wanted):
        describe(BackboneConfig(key="tiny", path=path), folder)


@pytest.mark.parametrize("content", ["", "{", "{}", "[]"])
def test_a_broken_configuration_is_refused(checkpoint: Path, content: str) -> None:
    (checkpoint / "config.json").write_text(content)
    with pytest.raises(VadprobeError, match="cannot be read"):
        described(checkpoint)


@pytest.mark.parametrize("missing", ["config.json", "preprocessor_config.json", "tokenizer.json"])
def test_a_checkpoint_that_lacks_a_file_is_refused(checkpoint: Path, missing: str) -> None:
    (checkpoint / missing).unlink()
    with pytest.raises(VadprobeError, match="cannot be read"):
        described(checkpoint)


class _Trap:
    """Unpickling it leaves a mark."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.mark),)


def test_pickled_weights_are_refused_and_never_opened(checkpoint: Path, tmp_path: Path) -> None:
    weights = checkpoint / "model.safetensors"
    torch.save(load_file(weights), checkpoint / "pytorch_model.bin")
    weights.unlink()
    with pytest.raises(VadprobeError, match=r"only pytorch_model\.bin, which vadprobe does not open"):
        loaded(checkpoint)
    (checkpoint / "pytorch_model.bin").write_bytes(pickle.dumps(_Trap(tmp_path / "unpickled")))
    with pytest.raises(VadprobeError, match="safetensors weights"):
        loaded(checkpoint)
    assert not (tmp_path / "unpickled").exists()


@pytest.mark.parametrize("kept", [0, 1000, 2_000_000])
def test_truncated_weights_are_refused(checkpoint: Path, kept: int) -> None:
    path = checkpoint / "model.safetensors"
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(VadprobeError, match="cannot be read"):
        loaded(checkpoint)


@pytest.mark.parametrize(("changed", "kept", "reason"), [("layers.3.", 0, r"layers\.3\."), ("lm_head", -3, "be read")])
def test_weights_that_are_missing_or_of_another_shape_are_refused(
    checkpoint: Path, changed: str, kept: int, reason: str
) -> None:
    path = checkpoint / "model.safetensors"
    weights = {name: value[:kept].clone() if changed in name else value for name, value in load_file(path).items()}
    save_file({name: value for name, value in weights.items() if len(value)}, path, metadata={"format": "pt"})
    with pytest.raises(VadprobeError, match=reason):
        loaded(checkpoint)


def test_an_attention_that_is_not_installed_is_refused(checkpoint: Path) -> None:
    with pytest.raises(VadprobeError, match="FlashAttention2"):
        loaded(checkpoint, attention="flash_attention_2")


# Loading


def test_a_loaded_backbone_is_frozen(backbone: Backbone) -> None:
    assert not backbone.model.training
    assert not any(parameter.requires_grad for parameter in backbone.model.parameters())
    assert {parameter.device for parameter in backbone.model.parameters()} == {backbone.device}


@pytest.mark.parametrize(("dtype", "attention"), [("bfloat16", "sdpa"), ("float16", "sdpa"), ("float32", "eager")])
def test_dtype_and_attention_are_those_asked_for(describe_tiny: DescribeTiny, dtype: str, attention: str) -> None:
    backbone = load(describe_tiny("qwen2_5_vl", dtype=dtype, attention=attention), "cpu", threads=1)
    assert {parameter.dtype for parameter in backbone.model.parameters()} == {getattr(torch, dtype)}
    assert backbone.model.get_decoder().config._attn_implementation == attention
    assert (backbone.description.spec.dtype, backbone.description.spec.attention) == (dtype, attention)


def test_weights_are_those_of_the_file(tiny_backbones: Mapping[str, Path], backbone: Backbone) -> None:
    folder = Path(backbone.description.source)
    kinds = [kind for kind in tiny_backbones if kind.removesuffix("-llama") == backbone.description.spec.family]
    assert folder in [tiny_backbones[kind] for kind in kinds]
    stored = load_file(folder / "model.safetensors")
    names = [name for name in stored if name.endswith("embed_tokens.weight")]
    assert len(names) == 1
    assert torch.equal(backbone.model.get_input_embeddings().weight, stored[names[0]])


def test_weights_come_from_the_commit_that_was_described(
    describe_tiny: DescribeTiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: dict[str, Any] = {}

    def remember(source: str, **settings: Any) -> None:
        asked.update(settings)
        raise OSError("not fetched")

    monkeypatch.setattr(backbone_module.AutoModelForImageTextToText, "from_pretrained", remember)
    local = describe_tiny("internvl")
    config = BackboneConfig(key="tiny", path="someone/model")
    hub = dataclasses.replace(
        local, config=config, source="someone/model", spec=dataclasses.replace(local.spec, revision="c0ffee" * 6)
    )
    with pytest.raises(VadprobeError, match="not fetched"):
        load(hub, "cpu", threads=1)
    assert asked["use_safetensors"] is True
    assert asked.get("revision") == "c0ffee" * 6


# Devices and versions


@pytest.mark.parametrize("name", ["nonsense", "", "cuda:99", "meta"])
def test_a_device_that_cannot_be_used_is_refused(name: str) -> None:
    with pytest.raises(VadprobeError, match="try 'auto' or 'cpu'"):
        choose_device(name)


@pytest.mark.parametrize("threads", [1, 2])
def test_the_model_computes_with_the_threads_asked_for(describe_tiny: DescribeTiny, threads: int) -> None:
    try:
        load(describe_tiny("internvl"), "cpu", threads)
        assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(1)


def test_auto_takes_a_gpu_only_when_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    for present, kind in ((False, "cpu"), (True, "cuda")):
        monkeypatch.setattr(torch.cuda, "is_available", lambda present=present: present)
        assert choose_device("auto").type == kind


def test_versions_name_what_can_change_a_feature() -> None:
    found = versions()
    assert {"torch", "transformers", "decord", "av", "machine"} <= found.keys()
    assert found["torch"] == torch.__version__
    assert found["av"] == version("av")
    assert all(isinstance(value, str) and value for value in found.values())
