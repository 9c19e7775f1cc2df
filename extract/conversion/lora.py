"""Low-rank adapters (LoRA) of InternVL checkpoints, merged into the weights they adapt: W + scale * B A.

Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models", ICLR 2022. The sum is formed in float32 and rounded
once.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vadprobe.extract.conversion.original import TensorFiles
from vadprobe.store.errors import VadprobeError
from vadprobe.store.files.atomic_files import read_json

ADAPTER_CONFIG, ADAPTER_WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
_WRAPPED = re.compile(r"^(language_model|vision_model)\.base_model\.model\.")
_FACTOR = re.compile(r"(?P<module>.+)\.lora_(?P<side>[AB])(\.(?P<adapter>[^.]+))?\.weight")
# Part of the model and the setting of its rank; alpha is twice the rank in InternVL's own code.
_RANKS = {"language_model": "use_llm_lora", "vision_model": "use_backbone_lora"}
_PLAIN_ONLY = ("use_dora", "fan_in_fan_out", "rank_pattern", "alpha_pattern", "megatron_config", "lora_bias")


@dataclass(frozen=True)
class Lora:
    """One adapter: its files, the names of its factors (A, B) by weight, its rank and alpha, and the scale of B A."""

    files: TensorFiles
    factors: Mapping[str, tuple[str, str]]
    rank: int
    alpha: float
    scale: float


@dataclass(frozen=True)
class MergedWeights:
    """The tensors of a checkpoint, read with its adapters merged in, under names without PEFT's wrappers.

    Args:
        files: the checkpoint.
        names: name in the files of each tensor, by its name without wrappers.
        loras: adapters; their factors are keyed by the same names.
    """

    files: TensorFiles
    names: Mapping[str, str]
    loras: list[Lora]

    def read(self, name: str) -> Tensor:
        """Read one tensor in its own dtype, with all adapters merged."""
        weight = self.files.read(self.names[name])
        here = [lora for lora in self.loras if name in lora.factors]
        if not here:
            return weight
        total = weight.to(torch.float32)
        for lora in here:
            down, up = (lora.files.read(factor).to(torch.float32) for factor in lora.factors[name])
            total = total + lora.scale * (up @ down)
        return total.to(weight.dtype)


def unwrap(files: TensorFiles, config: Mapping[str, Any]) -> MergedWeights:
    """Take off PEFT's wrappers from the names of a checkpoint and find the adapters inside it.

    Args:
        files: the checkpoint.
        config: its `config.json`, whose `use_llm_lora` and `use_backbone_lora` are the ranks.

    Raises:
        VadprobeError: if ranks, factors and weights do not fit together.
    """
    plain = {_WRAPPED.sub(r"\1.", name): name for name in files.names}
    factors = {name: source for name, source in plain.items() if ".lora_" in name}
    names = {name.replace(".base_layer.", "."): plain[name] for name in plain if name not in factors}
    if len(names) + len(factors) != len(files.names):
        raise VadprobeError("the checkpoint holds some weights both with and without an adapter's wrapper.")
    loras = []
    for part, setting in _RANKS.items():
        rank = int(config.get(setting) or 0)
        mine = {name: source for name, source in factors.items() if name.startswith(f"{part}.")}
        if bool(rank) != bool(mine):
            raise VadprobeError(
                f"config.json sets {setting} to {rank}, but the checkpoint holds {len(mine)} low-rank tensors of "
                f"{part}. If they were merged already, set {setting} to 0 there."
            )
        if mine:
            pairs = _pairs(mine)
            _check(files, names, files, pairs, rank)
            loras.append(Lora(files, pairs, rank, 2.0 * rank, 2.0))
    strange = [name for name in factors if not name.startswith(tuple(f"{part}." for part in _RANKS))]
    if strange:
        raise VadprobeError(f"the checkpoint holds the low-rank tensor {strange[0]}, of a part that has no adapter.")
    return MergedWeights(files, names, loras)


def adapter_config(folder: Path) -> dict[str, Any]:
    """Read `adapter_config.json` of a PEFT adapter.

    Raises:
        VadprobeError: if the folder is not one of a plain LoRA adapter with safetensors weights.
    """
    if not (folder / ADAPTER_CONFIG).is_file():
        raise VadprobeError(f"{folder} has no {ADAPTER_CONFIG}; it must be the folder of a PEFT adapter.")
    if not (folder / ADAPTER_WEIGHTS).is_file():
        raise VadprobeError(
            f"{folder} has no {ADAPTER_WEIGHTS}; an adapter saved as a pickle is never opened, so save it as "
            "safetensors."
        )
    content = read_json(folder / ADAPTER_CONFIG)
    if not isinstance(content, dict) or content.get("peft_type") != "LORA":
        raise VadprobeError(f"{folder / ADAPTER_CONFIG} is not of a LoRA adapter; no other kind can be merged.")
    unusual = [key for key in _PLAIN_ONLY if content.get(key)]
    if content.get("bias", "none") != "none":
        unusual.append("bias")
    if unusual:
        raise VadprobeError(f"{folder / ADAPTER_CONFIG} uses {unusual[0]}, which cannot be merged here.")
    if not isinstance(content.get("r"), int) or not isinstance(content.get("lora_alpha"), int | float):
        raise VadprobeError(f"{folder / ADAPTER_CONFIG} lacks the rank (r) or lora_alpha.")
    return content


def add_adapter(weights: MergedWeights, files: TensorFiles, config: Mapping[str, Any]) -> MergedWeights:
    """Merge a PEFT adapter into the weights, after the adapters in the checkpoint itself.

    Args:
        weights: tensors of the checkpoint.
        files: tensors of the adapter.
        config: result of `adapter_config`.

    Raises:
        VadprobeError: if a tensor of the adapter belongs to no weight, lacks its other factor, or is of another rank.
    """
    factors = {name.removeprefix("base_model.model."): name for name in files.names}
    if not factors:
        raise VadprobeError("the adapter holds no tensors.")
    pairs = _pairs(factors)
    prefix = _prefix(weights.names, pairs)
    pairs = {prefix + name: pair for name, pair in pairs.items()}
    rank = int(config["r"])
    _check(weights.files, weights.names, files, pairs, rank)
    alpha = float(config["lora_alpha"])
    scale = alpha / (math.sqrt(rank) if config.get("use_rslora") else rank)
    return MergedWeights(weights.files, weights.names, [*weights.loras, Lora(files, pairs, rank, alpha, scale)])


def _prefix(names: Mapping[str, str], pairs: Mapping[str, tuple[str, str]]) -> str:
    """Return the prefix of the part the adapter was made for: the whole model, the text model or the vision tower."""
    for prefix in ("", "language_model.", "vision_model."):
        if all(prefix + name in names for name in pairs):
            return prefix
    first = next((name for name in pairs if not any(known.endswith(name) for known in names)), next(iter(pairs)))
    raise VadprobeError(
        f"the adapter changes {first}, which the checkpoint does not have; it belongs to another model."
    )


def _pairs(factors: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    """Return factors (A, B) by the weight that they change."""
    sides: dict[str, dict[str, str]] = {}
    adapters = set()
    for name, source in factors.items():
        found = _FACTOR.fullmatch(name)
        if found is None:
            raise VadprobeError(f"{source} is not a factor of a linear layer's update; only such factors are merged.")
        adapters.add(found["adapter"])
        sides.setdefault(f"{found['module']}.weight", {})[found["side"]] = source
    if len(adapters) > 1:
        raise VadprobeError(f"there are {len(adapters)} adapters ({', '.join(sorted(map(str, adapters)))}); keep one.")
    alone = [pair for pair in sides.values() if len(pair) < len("AB")]
    if alone:
        raise VadprobeError(f"{next(iter(alone[0].values()))} lacks its other factor; get the files again.")
    return {name: (pair["A"], pair["B"]) for name, pair in sides.items()}


def _check(
    base: TensorFiles, names: Mapping[str, str], files: TensorFiles, pairs: Mapping[str, tuple[str, str]], rank: int
) -> None:
    for name, (down, up) in pairs.items():
        if name not in names:
            raise VadprobeError(f"{down} changes {name}, which the checkpoint does not have.")
        weight = base.shape(names[name])
        wanted = {down: (rank, *weight[1:]), up: (weight[0], rank)}
        for factor, shape in wanted.items():
            if files.shape(factor) != shape:
                raise VadprobeError(
                    f"{factor} has the shape {files.shape(factor)}; with the configured rank {rank} and a weight of "
                    f"{weight} it must be {shape}. The adapter and its configuration do not belong together."
                )
