"""The weights of an original InternVL checkpoint, moved one by one into files of the native layout."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor
from transformers import InternVLConfig, InternVLForConditionalGeneration

from vadprobe.extract.conversion.config import INTERNLM2, architecture
from vadprobe.extract.conversion.lora import MergedWeights
from vadprobe.extract.conversion.original import INDEX
from vadprobe.extract.conversion.weight_names import Target, contiguous, target
from vadprobe.extract.families.library import one_line
from vadprobe.store.errors import VadprobeError
from vadprobe.store.files.atomic_files import write_json

MAX_FILE_BYTES = 2_000_000_000
"""Largest size in bytes of one file of weights, held in memory as a whole. A larger tensor has a file of its own."""

_HEAD, _EMBEDDING = "lm_head.weight", "model.language_model.embed_tokens.weight"

Shapes = Mapping[str, tuple[int, ...]]


def places(config: Mapping[str, Any], names: Sequence[str]) -> dict[str, Target]:
    """Return the native place of each tensor.

    Raises:
        VadprobeError: if a tensor belongs to no InternVL model.
    """
    name = architecture(config)
    heads = int(config["llm_config"].get("num_attention_heads") or 1)
    kv_heads = int(config["llm_config"].get("num_key_value_heads") or heads)
    found = {tensor: target(tensor, name == INTERNLM2, heads, kv_heads) for tensor in names}
    unknown = sorted(tensor for tensor, place in found.items() if place is None)
    if unknown:
        raise VadprobeError(
            f"the checkpoint holds {len(unknown)} tensors that an InternVL model with {name} does not have: "
            f"{_some(unknown)}."
        )
    return {tensor: place for tensor, place in found.items() if place is not None}


def is_tied(config: Mapping[str, Any], weights: MergedWeights, plan: Mapping[str, Target]) -> bool:
    """Return True if the output projection is the token embedding.

    Raises:
        VadprobeError: if the configuration ties the two but they are stored with different values.
    """
    stored = {place.names[0]: name for name, place in plan.items()}
    own = bool(config["llm_config"].get("tie_word_embeddings"))
    if _HEAD not in stored:
        return own or bool(config.get("tie_word_embeddings"))
    if own and _EMBEDDING in stored and not torch.equal(weights.read(stored[_HEAD]), weights.read(stored[_EMBEDDING])):
        raise VadprobeError(
            "llm_config.tie_word_embeddings is true, but the checkpoint's output projection is not its token "
            "embedding; which of them counts cannot be known. Correct config.json."
        )
    return False


def check_complete(native: InternVLConfig, plan: Mapping[str, Target]) -> Shapes:
    """Check that every weight of the native model is filled once and nothing is left over.

    Returns:
        Shapes of the native model's weights by name.

    Raises:
        VadprobeError: if a weight is missing, filled twice or left over; the error names it.
    """
    try:
        with torch.device("meta"):
            shapes = {
                name: tuple(value.shape)
                for name, value in InternVLForConditionalGeneration(native).state_dict().items()
            }
    except (ValueError, RuntimeError, TypeError, KeyError) as error:
        raise VadprobeError(f"config.json describes no model that can be built ({one_line(error)}).") from error
    if native.tie_word_embeddings:
        del shapes[_HEAD]
    given = {name: original for original, place in plan.items() for name in place.names}
    missing = sorted(set(shapes) - set(given))
    if missing:
        raise VadprobeError(
            f"the checkpoint does not fill {len(missing)} weights of the native model: {_some(missing)}. A file may be "
            "missing, or config.json is not the checkpoint's own."
        )
    left = sorted({given[name] for name in set(given) - set(shapes)})
    if left:
        raise VadprobeError(
            f"the checkpoint holds {len(left)} tensors for which its config.json has no place: {_some(left)}."
        )
    return shapes


def write_weights(
    folder: Path, weights: MergedWeights, plan: Mapping[str, Target], shapes: Shapes, report: Callable[[int, int], None]
) -> int:
    """Write all weights, with an index if they take several files.

    Args:
        folder: folder to write to.
        weights: the tensors, read one at a time.
        plan: native place of each.
        shapes: shapes of the native model's weights by name.
        report: called with (done, all) tensors.

    Returns:
        Bytes of all tensors.

    Raises:
        VadprobeError: if a tensor does not have the shape of the native model's weight.
    """
    files: list[list[str]] = []
    pending: dict[str, Tensor] = {}
    total = 0

    def flush() -> None:
        path = folder / _part(len(files))
        try:
            save_file(pending, path, metadata={"format": "pt"})
        except (OSError, SafetensorError) as error:
            raise VadprobeError(f"{path.parent} cannot be written ({error}); the disk may be full.") from error
        files.append(list(pending))
        pending.clear()

    for done, (name, place) in enumerate(plan.items(), start=1):
        parts = dict(zip(place.names, _taken_apart(name, place, weights, shapes), strict=True))
        n_bytes = sum(part.nbytes for part in parts.values())
        if pending and n_bytes + sum(part.nbytes for part in pending.values()) > MAX_FILE_BYTES:
            flush()
        pending |= parts
        total += n_bytes
        report(done, len(plan))
    flush()
    _name_files(folder, files, total)
    return total


def _taken_apart(name: str, place: Target, weights: MergedWeights, shapes: Shapes) -> list[Tensor]:
    tensor = weights.read(name)
    try:
        parts = [contiguous(part) for part in place.split(tensor)]
    except RuntimeError as error:
        raise _wrong_shape(name, tensor) from error
    if [tuple(part.shape) for part in parts] != [shapes[part] for part in place.names]:
        raise _wrong_shape(name, tensor)
    return parts


def _wrong_shape(name: str, tensor: Tensor) -> VadprobeError:
    return VadprobeError(
        f"{name} has the shape {tuple(tensor.shape)}, which does not fit the sizes in config.json; take the "
        "checkpoint's own configuration."
    )


def _part(number: int) -> str:
    return f"part-{number:05d}.safetensors"


def _name_files(folder: Path, files: list[list[str]], total: int) -> None:
    """Give the files the names that transformers looks for, now that their number is known."""
    for number in range(len(files)):
        # safetensors makes files that only their owner may read; they get the folder's permissions.
        (folder / _part(number)).chmod(folder.stat().st_mode & 0o666)
    if len(files) == 1:
        (folder / _part(0)).rename(folder / "model.safetensors")
        return
    weight_map: dict[str, str] = {}
    for number, names in enumerate(files):
        final = f"model-{number + 1:05d}-of-{len(files):05d}.safetensors"
        (folder / _part(number)).rename(folder / final)
        weight_map |= dict.fromkeys(names, final)
    write_json(folder / INDEX, {"metadata": {"total_size": total}, "weight_map": weight_map})


def _some(names: Sequence[str]) -> str:
    """Join the first few names."""
    return ", ".join(names[:5]) + (" and others" if len(names) > 5 else "")
