"""A checkpoint that does not fit is refused by name, and a failed conversion leaves nothing behind."""

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from tests.support.models.conversions import Make, change_config, refused
from vadprobe.extract.conversion import weights
from vadprobe.extract.conversion.convert import convert


def change_weights(source: Path, change: Callable[[dict[str, Tensor]], None]) -> None:
    state = load_file(source / "model.safetensors")
    change(state)
    save_file(state, source / "model.safetensors")


def test_pickled_weights_are_refused_and_not_opened(make: Make, tmp_path: Path) -> None:
    source, _ = make()
    (source / "model.safetensors").unlink()
    refused(source, tmp_path / "native", "has no weights")
    (source / "pytorch_model.bin").write_bytes(b"cposix\nsystem\n(S'exit 1'\ntR.")
    refused(source, tmp_path / "native", r"pickles only \(pytorch_model.bin\).*convert them to safetensors first")


@pytest.mark.parametrize("name", ["Phi3ForCausalLM", "InternLM3ForCausalLM", None])
def test_an_unknown_text_model_is_refused(make: Make, tmp_path: Path, name: str | None) -> None:
    source, _ = make()
    change_config(source, "llm_config", architectures=[name])
    refused(source, tmp_path / "native", f"architectures\\) is {name!r}; converted are InternLM2ForCausalLM")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"model_type": "internvl"}, "native layout already"),
        ({"model_type": "llava"}, "names the model type 'llava'"),
        ({"ps_version": "v1"}, "ps_version is 'v1'"),
        ({"force_image_size": 448}, "force_image_size to 448"),
        ({"template": "phi3-chat"}, "names the conversation .*'phi3-chat'; known are Hermes-2, internlm2-chat"),
        ({"use_llm_lora": 8}, "sets use_llm_lora to 8, but the checkpoint holds 0 low-rank tensors"),
        ({"llm_config": None}, "has no llm_config"),
        ({"vision_config": {"image_size": 56, "patch_size": 14}}, "lacks vision_config.hidden_size"),
    ],
)
def test_a_configuration_that_does_not_fit_is_refused(
    make: Make, tmp_path: Path, changes: dict[str, Any], reason: str
) -> None:
    source, _ = make()
    change_config(source, **changes)
    refused(source, tmp_path / "native", reason)


@pytest.mark.parametrize(
    ("section", "key", "value", "reason"),
    [
        ("llm_config", "num_hidden_layers", 2, "3 tensors|has no place"),
        ("llm_config", "num_hidden_layers", 4, "does not fill 9 weights"),
        ("llm_config", "num_key_value_heads", 4, "has the shape"),
        ("llm_config", "hidden_size", 128, "has the shape"),
        ("llm_config", "vocab_size", 100, "the id 5.., but the model has 100 embeddings"),
        ("llm_config", "vocab_size", None, "but the model has 0 embeddings"),
        ("llm_config", "rms_norm_eps", "small", "a setting that cannot be used"),
        ("llm_config", "rope_theta", [1], "a setting that cannot be used"),
        ("llm_config", "rope_scaling", {"type": "unheard of", "factor": 2.0}, "describes no model that can be built"),
        ("llm_config", "hidden_act", "unheard of", "describes no model that can be built"),
        ("llm_config", "num_attention_heads", "8", "a setting that cannot be used"),
        ("llm_config", "num_attention_heads", 7, "has the shape|cannot be"),
        ("vision_config", "num_attention_heads", 5, "describes no model that can be built"),
        ("vision_config", "patch_size", 0, "a setting that cannot be used"),
        ("vision_config", "image_size", "large", "a setting that cannot be used"),
        ("llm_config", "bias", True, "does not fill 12 weights"),
        ("vision_config", "qkv_bias", False, "has no place"),
        ("vision_config", "qk_normalization", True, "does not fill 6 weights"),
    ],
)
def test_sizes_that_are_not_the_weights_are_refused(
    make: Make, tmp_path: Path, section: str, key: str, value: Any, reason: str
) -> None:
    source, _ = make()
    change_config(source, section, **{key: value})
    refused(source, tmp_path / "native", reason)


@pytest.mark.parametrize(
    "name",
    [
        "vision_model.encoder.layers.1.ls2",
        "mlp1.3.bias",
        "language_model.model.layers.2.attention.wqkv.weight",
        "language_model.output.weight",
    ],
)
def test_a_missing_weight_is_named(make: Make, tmp_path: Path, name: str) -> None:
    source, _ = make()
    change_weights(source, lambda state: state.__delitem__(name))
    count = 3 if "wqkv" in name else 1
    refused(source, tmp_path / "native", f"does not fill {count} weights of the native model: (model|lm_head)")


@pytest.mark.parametrize(
    "name",
    ["mlp2.0.weight", "vision_model.head.weight", "language_model.model.layers.0.attention.extra.weight", "scorer.w"],
)
def test_an_unexpected_weight_is_named(make: Make, tmp_path: Path, name: str) -> None:
    source, _ = make()
    change_weights(source, lambda state: state.update({name: torch.ones(2)}))
    refused(source, tmp_path / "native", f"holds 1 tensors that .* does not have: {name}")


def test_an_existing_target_is_left_alone(make: Make, tmp_path: Path) -> None:
    source, _ = make()
    target = tmp_path / "native"
    target.mkdir()
    refused(source, target, "exists already")
    assert list(target.iterdir()) == []
    target.rmdir()
    target.symlink_to(tmp_path / "nowhere")
    refused(source, target, "exists already")


@pytest.mark.parametrize("n_files", [1, 2])
@pytest.mark.parametrize("kept", [0, 4, 1000, -1])
def test_weights_that_are_cut_off_are_refused(make: Make, tmp_path: Path, n_files: int, kept: int) -> None:
    source, _ = make(n_files=n_files)
    path = sorted(source.glob("*.safetensors"))[-1]
    path.write_bytes(path.read_bytes()[:kept])
    refused(source, tmp_path / "native", f"{path.name} cannot be read as safetensors")


def test_an_index_that_is_not_of_its_files_is_refused(make: Make, tmp_path: Path) -> None:
    source, _ = make(n_files=2)
    path = source / "model.safetensors.index.json"
    index = json.loads(path.read_text())
    for change, reason in (
        ({"one.more": "model-00001-of-00002.safetensors"}, r"differ in 1 tensors, first one\.more"),
        ({"one.more": "../elsewhere.safetensors"}, "only safetensors files beside it"),
        ({"one.more": "pytorch_model.bin"}, "only safetensors files beside it"),
        ({"one.more": "model-00003-of-00002.safetensors"}, "lacks 1 of the 3 files"),
    ):
        path.write_text(json.dumps({"weight_map": {**index["weight_map"], **change}}))
        refused(source, tmp_path / "native", reason)
    path.write_text("{}")
    refused(source, tmp_path / "native", "has no weight_map")


@pytest.mark.parametrize("name", ["config.json", "tokenizer_config.json", "generation_config.json"])
@pytest.mark.parametrize("content", ["", "{", "[]", '{"added_tokens_decoder": {"3": 4}}'])
def test_damaged_settings_are_refused(make: Make, tmp_path: Path, name: str, content: str) -> None:
    source, _ = make()
    (source / name).write_text(content)
    if name == "generation_config.json" and content.startswith('{"'):
        convert(source, tmp_path / "native")  # it says nothing about where to stop, which is no damage
    else:
        refused(source, tmp_path / "native", "JSON|damaged|model type|class None|no token|no settings")


def test_a_full_disk_is_said(make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, _ = make()

    def full(*arguments: object, **settings: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("vadprobe.extract.conversion.weights.save_file", full)
    refused(source, tmp_path / "native", "No space left on device.*the disk may be full")
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=10))
    refused(source, tmp_path / "native", r"but only 10 B is free at")


def test_a_target_that_cannot_be_made_is_refused(make: Make, tmp_path: Path) -> None:
    source, _ = make()
    (tmp_path / "file").write_text("")
    refused(source, tmp_path / "file" / "native", "cannot be created")


@pytest.mark.parametrize("at", [1, 40])
def test_an_interrupted_conversion_leaves_nothing(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    monkeypatch.setattr(weights, "MAX_FILE_BYTES", 20_000)
    source, _ = make()

    def interrupt(done: int, total: int) -> None:
        if done == at:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        convert(source, tmp_path / "native", report=interrupt)
    assert [path.name for path in tmp_path.iterdir()] == ["original"]
