"""Converted checkpoints compute what the original model computes; whatever does not fit is refused by name."""

import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("transformers")

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import PreTrainedConfig

from tests.support.models.original_checkpoints import (
    ADAPTED,
    ARCHITECTURES,
    GOLDEN,
    LARGE_TOWER,
    original_config,
    random_model,
    write_adapter,
    write_byte_tokenizer,
    write_original,
)
from tests.support.models.original_internvl_model import OriginalInternVL, Wrapped
from tests.support.profiles import thinned
from vadprobe.extract.configuration import BackboneConfig
from vadprobe.extract.conversion.convert import PROVENANCE, Recipe, convert
from vadprobe.extract.model.backbone import RANDOM_WEIGHTS_CARD, describe, load
from vadprobe.store.errors import VadprobeError

if TYPE_CHECKING:
    from vadprobe.extract.model.backbone import Backbone

# Of sums in another order: three blocks of the tower, the projector, three blocks of the text model and its head, with
# sums of 96 products at most, each off by about sqrt(96) eps / 2 of a layer's largest value; a sum may be near 0.
TOLERANCE = 8 * 96**0.5 * torch.finfo(torch.float32).eps / 2
Make = Callable[..., tuple[Path, OriginalInternVL]]


@pytest.fixture(scope="module", autouse=True)
def _configurations_in_few_words() -> Iterator[None]:
    """Every load writes its configurations out for a log that nobody reads, which takes a third of these tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PreTrainedConfig, "__repr__", object.__repr__)
        yield


@pytest.fixture
def make(tmp_path: Path, tiny_backbones: Mapping[str, Path]) -> Make:
    """Write an original checkpoint of an architecture; the arguments change its configuration."""

    def one(architecture: str = "InternLM2ForCausalLM", n_files: int = 1, **changes: Any) -> tuple[Path, Any]:
        model = random_model(original_config(architecture, **changes))
        return write_original(tmp_path / "original", tiny_backbones["internvl"], model, n_files), model

    return one


def loaded(folder: Path, **settings: Any) -> "Backbone":
    """Through the path of every job."""
    config = BackboneConfig(**{"key": "converted", "path": str(folder), "dtype": "float32", **settings})
    return load(describe(config, folder), "cpu", threads=1)


def inputs(backbone: "Backbone", frames: int = 2) -> tuple[Tensor, Tensor, int]:
    """Token ids and pixels of a clip of noise, and the id of an image token."""
    family = backbone.description.family
    clip = np.random.default_rng(0).integers(0, 256, (frames, 56, 56, 3), dtype=np.uint8)
    pixels = family.prepare([clip], [1.0], torch.device("cpu")).vision["pixel_values"]
    return family.tokenize("Is there something abnormal?", frames), pixels, backbone.model.config.image_token_id


@torch.no_grad()
def compare(folder: Path, model: OriginalInternVL, frames: int = 2) -> None:
    """Every layer's output and the logits of the converted checkpoint against the original model's."""
    backbone = loaded(folder)
    ids, pixels, image_token = inputs(backbone, frames)
    assert int((ids == image_token).sum()) == frames * 4
    wanted, wanted_logits = model(pixels, ids, image_token)
    outputs: list[Tensor] = []
    layers = backbone.model.model.language_model.layers
    for layer in layers:
        layer.register_forward_hook(lambda module, given, output: outputs.append(output))
    found = backbone.model(input_ids=ids, pixel_values=pixels, attention_mask=torch.ones_like(ids), use_cache=False)
    assert len(outputs) == len(wanted) - 1
    for output, state in zip(outputs, wanted[1:], strict=True):
        torch.testing.assert_close(output, state, atol=TOLERANCE * float(state.abs().max()), rtol=0)
    torch.testing.assert_close(found.logits, wanted_logits, atol=TOLERANCE * float(wanted_logits.abs().max()), rtol=0)
    assert found.logits.std() > 0.1  # not equal for want of a signal


# What is computed


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("n_files", [1, 3])
def test_hidden_states_and_logits_are_those_of_the_original(
    make: Make, tmp_path: Path, architecture: str, n_files: int
) -> None:
    source, model = make(architecture, n_files)
    done = convert(source, tmp_path / "native", max_file_bytes=100_000 if n_files > 1 else 10**9)
    assert (tmp_path / "native" / "model.safetensors").exists() == (n_files == 1)
    assert done.n_merged == 0
    compare(tmp_path / "native", model)


@pytest.mark.parametrize(("architecture", "kv_heads"), thinned(ARCHITECTURES, [1, 4, 8], strength=1))
def test_key_value_heads_of_any_number(make: Make, tmp_path: Path, architecture: str, kv_heads: int) -> None:
    source, model = make(architecture, llm_num_key_value_heads=kv_heads)
    convert(source, tmp_path / "native")
    compare(tmp_path / "native", model)


def test_biases_of_internlm2(make: Make, tmp_path: Path) -> None:
    source, model = make(llm_bias=True)
    convert(source, tmp_path / "native")
    compare(tmp_path / "native", model)


@pytest.mark.parametrize("layer", [-1, -2, 2])
def test_the_large_vision_tower_and_other_layers_of_it(make: Make, tmp_path: Path, layer: int) -> None:
    tower = {f"vision_{key}": value for key, value in LARGE_TOWER.items()}
    source, model = make("Qwen2ForCausalLM", select_layer=layer, **tower)
    convert(source, tmp_path / "native")
    compare(tmp_path / "native", model)


@pytest.mark.parametrize(
    ("architecture", "scaling"),
    thinned(
        ARCHITECTURES,
        [
            None,
            {"type": "dynamic", "factor": 2.0},
            {"type": "dynamic", "factor": 3.0},
            {"type": "linear", "factor": 4.0},
        ],
        strength=1,
    ),
)
def test_positions_beyond_the_trained_length(
    make: Make, tmp_path: Path, architecture: str, scaling: dict[str, Any] | None
) -> None:
    source, model = make(architecture, llm_rope_scaling=scaling, llm_max_position_embeddings=24, llm_rope_theta=5000)
    convert(source, tmp_path / "native")
    compare(tmp_path / "native", model, frames=3)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_adapters_inside_the_checkpoint_are_merged(make: Make, tmp_path: Path, architecture: str) -> None:
    source, model = make(architecture, n_files=2, use_llm_lora=3, use_backbone_lora=2)
    done = convert(source, tmp_path / "native")
    assert done.n_merged == 3 * len(ADAPTED[architecture]) + 3 * 4
    compare(tmp_path / "native", model)
    record = json.loads((tmp_path / "native" / PROVENANCE).read_text())
    assert [(lora["rank"], lora["alpha"], lora["scale"]) for lora in record["merged"]] == [(3, 6.0, 2.0), (2, 4.0, 2.0)]


@pytest.mark.parametrize(
    ("whole_model", "architecture", "rslora"), thinned([False, True], ARCHITECTURES, [False, True])
)
def test_an_adapter_folder_is_merged(
    make: Make, tmp_path: Path, architecture: str, whole_model: bool, rslora: bool
) -> None:
    source, model = make(architecture)
    rank, alpha = 4, 6.0
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        scale = alpha / rank**0.5 if rslora else alpha / rank
        model.language_model = Wrapped(model.language_model, ADAPTED[architecture], rank, scale).requires_grad_(False)
    state = {
        ("base_model.model.language_model." if whole_model else "base_model.model.")
        + name.removeprefix("base_model.model.").replace(".default.", "."): tensor
        for name, tensor in model.language_model.state_dict().items()
        if "lora_" in name
    }
    adapter = write_adapter(tmp_path / "adapter", state, rank, alpha, use_rslora=rslora)
    done = convert(source, tmp_path / "native", Recipe(adapter=adapter))
    assert done.n_merged == 3 * len(ADAPTED[architecture])
    compare(tmp_path / "native", model)


def test_the_dtype_of_every_weight_is_kept(make: Make, tmp_path: Path) -> None:
    source, model = make(use_llm_lora=2, torch_dtype="bfloat16")
    state = {name: tensor.to(torch.bfloat16) for name, tensor in model.state_dict().items()}
    save_file(state, source / "model.safetensors")
    convert(source, tmp_path / "native")
    weights = load_file(tmp_path / "native" / "model.safetensors")
    assert {weight.dtype for weight in weights.values()} == {torch.bfloat16}
    assert json.loads((tmp_path / "native" / "config.json").read_text())["dtype"] == "bfloat16"
    name = "language_model.base_model.model.model.layers.1.feed_forward.w2"
    base, down, up = (
        state[f"{name}.{part}.weight"].float() for part in ("base_layer", "lora_A.default", "lora_B.default")
    )
    merged = weights["model.language_model.layers.1.mlp.down_proj.weight"]
    assert torch.equal(merged, (base + 2.0 * (up @ down)).to(torch.bfloat16))


def test_tied_embeddings_stay_tied(make: Make, tmp_path: Path) -> None:
    source, model = make("Qwen2ForCausalLM", llm_tie_word_embeddings=True)
    model.language_model.lm_head.weight = model.language_model.model.embed_tokens.weight
    state = model.state_dict()
    del state["language_model.lm_head.weight"]
    save_file(state, source / "model.safetensors")
    convert(source, tmp_path / "native")
    assert "lm_head.weight" not in load_file(tmp_path / "native" / "model.safetensors")
    compare(tmp_path / "native", model)


def test_tied_embeddings_that_are_stored_twice(make: Make, tmp_path: Path) -> None:
    source, model = make("Qwen2ForCausalLM", llm_tie_word_embeddings=True)
    with pytest.raises(VadprobeError, match="output projection is not its token embedding"):
        convert(source, tmp_path / "native")
    model.language_model.lm_head.weight = model.language_model.model.embed_tokens.weight
    save_file({name: tensor.clone() for name, tensor in model.state_dict().items()}, source / "model.safetensors")
    convert(source, tmp_path / "native")
    compare(tmp_path / "native", model)


def test_computed_buffers_are_left_out_and_named(make: Make, tmp_path: Path) -> None:
    source, model = make("LlamaForCausalLM")
    buffer = "language_model.model.layers.0.self_attn.rotary_emb.inv_freq"
    save_file({**model.state_dict(), buffer: torch.ones(4)}, source / "model.safetensors")
    done = convert(source, tmp_path / "native")
    assert done.dropped == (buffer,)
    assert json.loads((tmp_path / "native" / PROVENANCE).read_text())["dropped"] == [buffer]
    compare(tmp_path / "native", model)


def test_rotary_settings_as_newer_transformers_write_them(make: Make, tmp_path: Path) -> None:
    settings = {"rope_type": "linear", "factor": 3.0, "rope_theta": 700.0}
    source, model = make("Qwen2ForCausalLM", llm_rope_scaling={"type": "linear", "factor": 3.0}, llm_rope_theta=700.0)
    config = json.loads((source / "config.json").read_text())
    del config["llm_config"]["rope_scaling"], config["llm_config"]["rope_theta"]
    config["llm_config"]["rope_parameters"] = settings
    (source / "config.json").write_text(json.dumps(config))
    convert(source, tmp_path / "native")
    compare(tmp_path / "native", model)


# What is written beside the weights


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


def test_weights_can_be_read_by_whoever_reads_the_rest(make: Make, tmp_path: Path) -> None:
    source, _ = make()
    convert(source, tmp_path / "native", max_file_bytes=50_000)
    assert len({path.stat().st_mode for path in (tmp_path / "native").iterdir()}) == 1


# What is refused


def refused(source: Path, target: Path, reason: str, **recipe: Any) -> None:
    """The conversion is refused for that reason and leaves nothing behind."""
    folder = source.parent
    before = {path.name for path in folder.iterdir()}
    with pytest.raises(VadprobeError, match=reason):
        convert(source, target, Recipe(**recipe))
    assert {path.name for path in folder.iterdir()} == before


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
    config = json.loads((source / "config.json").read_text())
    config["llm_config"]["architectures"] = [name]
    (source / "config.json").write_text(json.dumps(config))
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
    config = json.loads((source / "config.json").read_text())
    (source / "config.json").write_text(json.dumps({**config, **changes}))
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
    config = json.loads((source / "config.json").read_text())
    config[section][key] = value
    (source / "config.json").write_text(json.dumps(config))
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
    refused(source, tmp_path / "native", r"0\.0 GB are free at")


def test_a_target_that_cannot_be_made_is_refused(make: Make, tmp_path: Path) -> None:
    source, _ = make()
    (tmp_path / "file").write_text("")
    refused(source, tmp_path / "file" / "native", "cannot be created")


# Adapters that do not fit


def adapter_of(folder: Path, rank: int = 2, shape: tuple[int, int] = (64, 64), **changes: Any) -> Path:
    """An adapter of one layer of InternLM2: wo, (out, in)."""
    name = "base_model.model.model.layers.0.attention.wo.lora_{}.weight"
    state = {name.format("A"): torch.ones(2, shape[1]), name.format("B"): torch.ones(shape[0], 2)}
    return write_adapter(folder, state, rank, 4.0, **changes)


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"rank": 3}, r"has the shape \(2, 64\); with the configured rank 3"),
        ({"shape": (64, 32)}, r"a weight of \(64, 64\) it must be \(2, 64\)"),
        ({"peft_type": "IA3"}, "is not of a LoRA adapter"),
        ({"use_dora": True}, "uses use_dora"),
        ({"bias": "all"}, "uses bias"),
        ({"rank_pattern": {"wo": 4}}, "uses rank_pattern"),
        ({"lora_alpha": None}, "lacks the rank"),
    ],
)
def test_an_adapter_that_does_not_fit_is_refused(
    make: Make, tmp_path: Path, settings: dict[str, Any], reason: str
) -> None:
    source, _ = make()
    refused(source, tmp_path / "native", reason, adapter=adapter_of(tmp_path / "adapter", **settings))


def test_an_adapter_of_another_model_is_refused(make: Make, tmp_path: Path) -> None:
    source, _ = make()
    adapter = adapter_of(tmp_path / "adapter")
    path = adapter / "adapter_model.safetensors"
    state = load_file(path)
    save_file({name.replace("attention.wo", "self_attn.o_proj"): value for name, value in state.items()}, path)
    refused(source, tmp_path / "native", "belongs to another model", adapter=adapter)
    save_file({name: value for name, value in state.items() if "lora_A" in name}, path)
    refused(source, tmp_path / "native", "without its other factor", adapter=adapter)
    save_file({**state, "base_model.model.mlp1.0.weight": torch.ones(2)}, path)
    refused(source, tmp_path / "native", "is no factor of a linear layer's update", adapter=adapter)
    path.unlink()
    refused(source, tmp_path / "native", r"has no adapter_model\.safetensors", adapter=adapter)
    (adapter / "adapter_config.json").unlink()
    refused(source, tmp_path / "native", r"has no adapter_config\.json", adapter=adapter)


def test_a_rank_that_is_not_the_configured_one_is_refused(make: Make, tmp_path: Path) -> None:
    source, _ = make(use_llm_lora=3)
    config = json.loads((source / "config.json").read_text())
    for rank, reason in ((4, "with the configured rank 4"), (0, "to 0, but the checkpoint holds 30 low-rank tensors")):
        (source / "config.json").write_text(json.dumps({**config, "use_llm_lora": rank}))
        refused(source, tmp_path / "native", reason)


# Interruption


@pytest.mark.parametrize("at", [1, 40])
def test_an_interrupted_conversion_leaves_nothing(make: Make, tmp_path: Path, at: int) -> None:
    source, _ = make()

    def interrupt(done: int, total: int) -> None:
        if done == at:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        convert(source, tmp_path / "native", report=interrupt, max_file_bytes=20_000)
    assert [path.name for path in tmp_path.iterdir()] == ["original"]
