"""Tiny original InternVL checkpoints: random weights in the files and names of the hub's remote-code checkpoints."""

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from tests.support.models.original_internvl_model import OriginalInternVL, Wrapped
from tests.support.paths import GOLDEN

ARCHITECTURES = ("InternLM2ForCausalLM", "Qwen2ForCausalLM", "LlamaForCausalLM")
SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<img>", "</img>", "<IMG_CONTEXT>", "<quad>", "</quad>")
ADAPTED = {
    "InternLM2ForCausalLM": ("attention.wqkv", "attention.wo", "feed_forward.w1", "feed_forward.w2", "feed_forward.w3"),
    "Qwen2ForCausalLM": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj", "up_proj"),
    "LlamaForCausalLM": ("self_attn.q_proj", "self_attn.v_proj", "mlp.gate_proj", "mlp.down_proj"),
}
ADAPTED_VISION = ("attn.qkv", "attn.proj", "mlp.fc1", "mlp.fc2")
# The two kinds of vision tower: InternViT-300M and InternViT-6B.
SMALL_TOWER = {"norm_type": "layer_norm", "qk_normalization": False, "qkv_bias": True}
LARGE_TOWER = {"vision_norm_type": "rms_norm", "vision_qk_normalization": True, "vision_qkv_bias": False}


def original_config(architecture: str, **changes: Any) -> dict[str, Any]:
    """Return a `config.json`; a change named `llm_...` or `vision_...` goes to that section."""
    text = {
        "architectures": [architecture],
        "hidden_size": 64,
        "intermediate_size": 96,
        "num_hidden_layers": 3,
        "num_attention_heads": 8,
        "num_key_value_heads": 2,
        "hidden_act": "silu",
        "max_position_embeddings": 4096,
        "rms_norm_eps": 1e-5,
        "rope_theta": 1000000,
        "rope_scaling": {"factor": 2.0, "type": "dynamic"},
        "bos_token_id": 1,
        "eos_token_id": 2,
        "tie_word_embeddings": False,
        "vocab_size": 560,
    }
    if architecture == "InternLM2ForCausalLM":
        text |= {"bias": False, "model_type": "internlm2"}
    vision = {
        "architectures": ["InternVisionModel"],
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "image_size": 56,
        "patch_size": 14,
        "layer_norm_eps": 1e-6,
        "hidden_act": "gelu",
        "model_type": "intern_vit_6b",
        **SMALL_TOWER,
    }
    config: dict[str, Any] = {
        "architectures": ["InternVLChatModel"],
        "auto_map": {"AutoConfig": "configuration_internvl_chat.InternVLChatConfig"},
        "downsample_ratio": 0.5,
        "force_image_size": 56,
        "model_type": "internvl_chat",
        "ps_version": "v2",
        "select_layer": -1,
        "template": "internlm2-chat" if architecture == "InternLM2ForCausalLM" else "internvl2_5",
        "torch_dtype": "float32",
        "use_backbone_lora": 0,
        "use_llm_lora": 0,
    }
    for key, value in changes.items():
        section, _, rest = key.partition("_")
        {"llm": text, "vision": vision}.get(section, config)[rest if section in ("llm", "vision") else key] = value
    return {**config, "llm_config": text, "vision_config": vision}


def random_model(config: Mapping[str, Any], seed: int = 0) -> OriginalInternVL:
    """Make a model with every weight random, norms and scales too, so that swapped weights are noticed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = OriginalInternVL(config)
        if config["use_llm_lora"]:
            suffixes = ADAPTED[config["llm_config"]["architectures"][0]]
            model.language_model = Wrapped(model.language_model, suffixes, config["use_llm_lora"])
        if config["use_backbone_lora"]:
            model.vision_model = Wrapped(model.vision_model, ADAPTED_VISION, config["use_backbone_lora"])
        for name, weight in model.named_parameters():
            scale = weight[0].numel() ** -0.5 if weight.ndim > 1 else 0.3
            if "lora_B" in name:
                scale *= 0.3  # updates are smaller than the weights that they change
            weight.data = torch.randn_like(weight) * scale + (0.7 if weight.ndim == 1 else 0.0)
    return model.eval().requires_grad_(False)


def write_weights(folder: Path, state: Mapping[str, Tensor], n_files: int = 1) -> None:
    """Save tensors in `n_files` files, with an index if there are several."""
    names = list(state)
    if n_files == 1:
        save_file({name: state[name].clone() for name in names}, folder / "model.safetensors")
        return
    weight_map = {}
    for number in range(n_files):
        file = f"model-{number + 1:05d}-of-{n_files:05d}.safetensors"
        here = names[number::n_files]  # neighbours in different files
        save_file({name: state[name].clone() for name in here}, folder / file)
        weight_map |= dict.fromkeys(here, file)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))


def write_original(folder: Path, tiny: Path, model: OriginalInternVL, n_files: int = 1) -> Path:
    """Write a checkpoint.

    Args:
        folder: folder to make.
        tiny: a tiny native checkpoint, whose vocabulary Qwen2 and Llama take.
        model: its weights and configuration.
        n_files: number of files of weights.
    """
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(model.config))
    (folder / "configuration_internvl_chat.py").write_text("raise SystemExit('code of a checkpoint was run')")
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": [2, 7]}))
    architecture = model.config["llm_config"]["architectures"][0]
    if architecture == "InternLM2ForCausalLM":
        write_piece_tokenizer(folder)
    else:
        write_byte_tokenizer(folder, tiny, whole=architecture == "LlamaForCausalLM")
    write_weights(folder, model.state_dict(), n_files)
    return folder


def write_piece_tokenizer(folder: Path) -> None:
    """Write InternLM2's slow tokenizer: a SentencePiece model and added tokens in its settings."""
    shutil.copyfile(GOLDEN / "sentencepiece_plain.model", folder / "tokenizer.model")
    added = json.loads((GOLDEN / "sentencepiece_tokens.json").read_text())["plain"]["added"]
    settings = {
        "added_tokens_decoder": {number: _token(text) for number, text in added.items()},
        "auto_map": {"AutoTokenizer": ["tokenization_internlm2.InternLM2Tokenizer", None]},
        "bos_token": "<s>",
        "eos_token": "</s>",
        "pad_token": "</s>",
        "unk_token": "<unk>",
        "tokenizer_class": "InternLM2Tokenizer",
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    (folder / "tokenization_internlm2.py").write_text("raise SystemExit('code of a checkpoint was run')")


def write_byte_tokenizer(folder: Path, tiny: Path, whole: bool, special: Sequence[str] = SPECIAL) -> None:
    """Write a byte-level tokenizer as Qwen2's: in one file, or as vocabulary and merges beside added tokens."""
    content = json.loads((tiny / "tokenizer.json").read_text())
    vocabulary = {text: n for text, n in content["model"]["vocab"].items() if not text.startswith("<|end")}
    added = {text: len(vocabulary) + number for number, text in enumerate(special)}
    settings = {
        "added_tokens_decoder": {str(number): _token(text) for text, number in added.items()},
        "additional_special_tokens": list(special[1:]),
        "bos_token": None,
        "eos_token": "<|im_end|>",
        "pad_token": "<|endoftext|>",
        "tokenizer_class": "PreTrainedTokenizerFast" if whole else "Qwen2Tokenizer",
        "chat_template": "an older template",
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    if whole:
        content["model"]["vocab"] = vocabulary
        content["added_tokens"] = [{"id": number, **_token(text)} for text, number in added.items()]
        (folder / "tokenizer.json").write_text(json.dumps(content))
        return
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    (folder / "merges.txt").write_text("".join(f"{a} {b}\n" for a, b in content["model"]["merges"]))
    (folder / "added_tokens.json").write_text(json.dumps(added))


def write_adapter(folder: Path, state: Mapping[str, Tensor], rank: int, alpha: float, **changes: Any) -> Path:
    """Write a PEFT adapter's folder."""
    folder.mkdir(parents=True)
    config = {"peft_type": "LORA", "r": rank, "lora_alpha": alpha, "bias": "none", "rank_pattern": {}, **changes}
    (folder / "adapter_config.json").write_text(json.dumps(config))
    save_file({name: tensor.clone() for name, tensor in state.items()}, folder / "adapter_model.safetensors")
    return folder


def _token(text: str) -> dict[str, Any]:
    return {"content": text, **dict.fromkeys(("lstrip", "normalized", "rstrip", "single_word"), False), "special": True}
