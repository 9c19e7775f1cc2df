"""Converted checkpoints compute the same as the original model."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.support.models.conversions import Make, compare
from tests.support.models.original_checkpoints import ARCHITECTURES, LARGE_TOWER
from tests.support.profiles import thinned
from vadprobe.extract.conversion import weights
from vadprobe.extract.conversion.convert import PROVENANCE, convert
from vadprobe.store.errors import VadprobeError


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("n_files", [1, 3])
def test_hidden_states_and_logits_are_those_of_the_original(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, architecture: str, n_files: int
) -> None:
    source, model = make(architecture, n_files)
    if n_files > 1:
        monkeypatch.setattr(weights, "MAX_FILE_BYTES", 100_000)
    done = convert(source, tmp_path / "native")
    assert (tmp_path / "native" / "model.safetensors").exists() == (n_files == 1)
    assert done.n_merged == 0
    compare(tmp_path / "native", model)


SCALINGS = [
    None,
    {"type": "dynamic", "factor": 2.0},
    {"type": "dynamic", "factor": 3.0},
    {"type": "linear", "factor": 4.0},
]


@pytest.mark.parametrize(
    ("architecture", "changes"),
    [
        *thinned(ARCHITECTURES, [{"llm_num_key_value_heads": count} for count in (1, 4, 8)], strength=1),
        ("InternLM2ForCausalLM", {"llm_bias": True}),
        *(("Qwen2ForCausalLM", {"select_layer": layer, **LARGE_TOWER}) for layer in (-1, -2, 2)),
        # Beyond the trained length of 24 tokens.
        *thinned(
            ARCHITECTURES,
            [
                {"llm_rope_scaling": scaling, "llm_max_position_embeddings": 24, "llm_rope_theta": 5000}
                for scaling in SCALINGS
            ],
            strength=1,
        ),
    ],
    ids=str,
)
def test_other_configurations_compute_the_same(
    make: Make, tmp_path: Path, architecture: str, changes: dict[str, Any]
) -> None:
    source, model = make(architecture, **changes)
    convert(source, tmp_path / "native")
    compare(tmp_path / "native", model, frames=3)


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
