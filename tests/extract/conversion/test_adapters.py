"""LoRA adapters, inside a checkpoint or in a folder of their own: merged, or refused by name."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.support.models.conversions import Make, change_config, compare, refused
from tests.support.models.original_checkpoints import ADAPTED, ARCHITECTURES, write_adapter
from tests.support.models.original_internvl_model import Wrapped
from tests.support.profiles import thinned
from vadprobe.extract.conversion.convert import PROVENANCE, Recipe, convert


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
    refused(source, tmp_path / "native", "lacks its other factor", adapter=adapter)
    save_file({**state, "base_model.model.mlp1.0.weight": torch.ones(2)}, path)
    refused(source, tmp_path / "native", "is not a factor of a linear layer's update", adapter=adapter)
    path.unlink()
    refused(source, tmp_path / "native", r"has no adapter_model\.safetensors", adapter=adapter)
    (adapter / "adapter_config.json").unlink()
    refused(source, tmp_path / "native", r"has no adapter_config\.json", adapter=adapter)


def test_a_rank_that_is_not_the_configured_one_is_refused(make: Make, tmp_path: Path) -> None:
    source, _ = make(use_llm_lora=3)
    for rank, reason in ((4, "with the configured rank 4"), (0, "to 0, but the checkpoint holds 30 low-rank tensors")):
        change_config(source, use_llm_lora=rank)
        refused(source, tmp_path / "native", reason)
