"""Conversion of original InternVL checkpoints to transformers' native layout, without running code or pickles.

The weights are read and written one by one, so that memory holds one output file at most.
"""

import shutil
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from vadprobe.extract.configuration import BackboneConfig
from vadprobe.extract.conversion.config import architecture, native_config
from vadprobe.extract.conversion.lora import ADAPTER_WEIGHTS, MergedWeights, adapter_config, add_adapter, unwrap
from vadprobe.extract.conversion.original import TensorFiles, check_index, read_config, weight_files
from vadprobe.extract.conversion.tokenizer import write_settings, write_tokenizer
from vadprobe.extract.conversion.weight_names import is_computed
from vadprobe.extract.conversion.weights import check_complete, is_tied, places, write_weights
from vadprobe.extract.families.fixed_size_frames import InternVL
from vadprobe.extract.model.backbone import RANDOM_WEIGHTS_CARD, describe
from vadprobe.store.errors import VadprobeError
from vadprobe.store.files.atomic_files import sync, write_json
from vadprobe.store.files.digests import digest_file
from vadprobe.store.files.text import size_text
from vadprobe.store.progress import Progress

PROVENANCE = "conversion.json"
_SOURCE_SUFFIXES = frozenset({".json", ".jinja", ".safetensors", ".txt", ".model"})


@dataclass(frozen=True)
class Converted:
    """Summary of a conversion.

    Attributes:
        folder: the converted checkpoint.
        n_tensors: tensors of the original that were converted.
        n_merged: weights that an adapter was merged into.
        dropped: names of the original's tensors that the native model computes itself.
        n_bytes: bytes of all converted tensors.
    """

    folder: Path
    n_tensors: int
    n_merged: int
    dropped: tuple[str, ...]
    n_bytes: int


@dataclass(frozen=True)
class Recipe:
    """Choices of a conversion.

    Attributes:
        adapter: folder of a PEFT adapter to merge in; None for none.
        tokenizer: folder of a fast tokenizer instead of the checkpoint's own; None for its own.
        system_turn: put the system message of the original `chat()` before the user's turn.
    """

    adapter: Path | None = None
    tokenizer: Path | None = None
    system_turn: bool = False


def convert(
    source: Path, folder: Path, recipe: Recipe | None = None, report: Progress = lambda done, total: None
) -> Converted:
    """Convert a checkpoint; the new folder appears complete or not at all.

    Args:
        source: folder of an original InternVL checkpoint with safetensors weights.
        folder: folder to make; it must not exist.
        recipe: choices; by default the checkpoint as it is.
        report: called with (done, all) tensors.

    Raises:
        VadprobeError: if a part of the checkpoint is missing, damaged, unknown or left over.
    """
    recipe = recipe or Recipe()
    _check_free(folder)
    config = read_config(source)
    architecture(config)
    with ExitStack() as stack:
        files = TensorFiles(weight_files(source), stack)
        check_index(source, files)
        weights = unwrap(files, config)
        if recipe.adapter is not None:
            settings = adapter_config(recipe.adapter)
            adapter = TensorFiles([recipe.adapter / ADAPTER_WEIGHTS], stack)
            weights = add_adapter(weights, adapter, settings)
        staging = stack.enter_context(_staged(folder))
        _check_space(folder, weight_files(source))
        image_token_id = write_tokenizer(source, staging, config, recipe.tokenizer, recipe.system_turn)
        dropped = tuple(name for name in weights.names if is_computed(name))
        plan = places(config, [name for name in weights.names if name not in dropped])
        tied = is_tied(config, weights, plan)
        native = native_config(config, image_token_id, tied)
        shapes = check_complete(native, plan)
        native.save_pretrained(staging)
        write_settings(source, staging, native)
        _check_readable(staging, image_token_id)
        n_bytes = write_weights(staging, weights, plan, shapes, report)
        write_json(staging / PROVENANCE, _provenance(source, recipe, weights, dropped))
        if (source / RANDOM_WEIGHTS_CARD).is_file():
            shutil.copyfile(source / RANDOM_WEIGHTS_CARD, staging / RANDOM_WEIGHTS_CARD)
        merged = {name for lora in weights.loras for name in lora.factors}
        return Converted(folder, len(plan), len(merged), dropped, n_bytes)


def _check_space(folder: Path, files: list[Path]) -> None:
    wanted, free = sum(path.stat().st_size for path in files), shutil.disk_usage(folder.parent).free
    if wanted > free:
        raise VadprobeError(
            f"the converted weights take about {size_text(wanted)}, but only {size_text(free)} is free at "
            f"{folder.parent}; free some space or name another place."
        )


def _check_free(folder: Path) -> None:
    if folder.exists() or folder.is_symlink():
        raise VadprobeError(f"{folder} exists already; name a folder that does not, or remove that one first.")


@contextmanager
def _staged(folder: Path) -> Iterator[Path]:
    """Yield a temporary folder beside `folder`; rename it to `folder` at the end, or remove it after an error."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        staging = folder.with_name(f"{folder.name}.{uuid.uuid4().hex}.partial")
        staging.mkdir()
    except OSError as error:
        raise VadprobeError(f"{folder} cannot be created ({error.strerror}); name another place.") from error
    try:
        yield staging
        for path in staging.iterdir():
            sync(path)
        sync(staging)
        _check_free(folder)
        staging.rename(folder)
        sync(folder.parent)
    except BaseException:
        shutil.rmtree(staging, ignore_errors=True)
        raise


def _check_readable(staging: Path, image_token_id: int) -> None:
    """Read the small files back as a job would, before the long work with the weights."""
    family = describe(BackboneConfig(key="converted", path=str(staging)), staging).family
    if not isinstance(family, InternVL):
        raise VadprobeError(f"the converted checkpoint is read as family {family.name!r} instead of 'internvl'.")
    wanted = 2 * family.tokens_per_frame
    ids = family.tokenize("Is something wrong?", 2)
    count = int((ids == image_token_id).sum())
    if count != wanted:
        raise VadprobeError(
            f"the tokenizer reads two frames as {count} image tokens instead of {wanted}; it is not this checkpoint's. "
            "Give the right one with --tokenizer."
        )


def _provenance(source: Path, recipe: Recipe, weights: MergedWeights, dropped: tuple[str, ...]) -> dict[str, Any]:
    """Return the origin of a conversion, without paths and times: equal work gives equal files everywhere."""
    record: dict[str, Any] = {
        "versions": {name: version(name) for name in ("vadprobe", "transformers")},
        "source_files": _digests(source),
        "system_turn": recipe.system_turn,
        "dropped": sorted(dropped),
        "merged": [
            {"rank": lora.rank, "alpha": lora.alpha, "scale": lora.scale, "weights": sorted(lora.factors)}
            for lora in weights.loras
        ],
    }
    for name, folder in (("adapter_files", recipe.adapter), ("tokenizer_files", recipe.tokenizer)):
        if folder is not None:
            record[name] = _digests(folder)
    return record


def _digests(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.iterdir() if path.suffix in _SOURCE_SUFFIXES and path.is_file())
    with ThreadPoolExecutor(max_workers=4) as pool:
        return dict(zip([path.name for path in files], pool.map(digest_file, files), strict=True))
