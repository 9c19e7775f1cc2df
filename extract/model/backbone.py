"""A frozen backbone: described from its small files, loaded through transformers' own classes."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import AutoConfig, AutoModelForImageTextToText, PreTrainedConfig
from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES

from vadprobe.extract.configuration import BackboneConfig
from vadprobe.extract.families import internvl_chat
from vadprobe.extract.families.family import Family, PrefixMode
from vadprobe.extract.families.fixed_size_frames import InternVL
from vadprobe.extract.families.library import one_line
from vadprobe.extract.families.processor import ProcessorFamily
from vadprobe.extract.families.registry import FAMILIES, own_inputs
from vadprobe.extract.model.blocks.compiling import compile_blocks
from vadprobe.extract.model.blocks.text_blocks import TextBlocks
from vadprobe.extract.model.blocks.text_shape import text_shape
from vadprobe.extract.model.checkpoint.card import read_card
from vadprobe.extract.model.checkpoint.quantisation import Quantisation, check_quantisation, quantisation_of
from vadprobe.extract.model.checkpoint.weight_files import check_pointers, check_weights, content_digest
from vadprobe.extract.model.devices import BALANCED, choose_device, input_device
from vadprobe.extract.model.window_attention import batch_windows
from vadprobe.store.errors import VadprobeError
from vadprobe.store.format.specification import BackboneSpec

RANDOM_WEIGHTS_CARD = "random_weights.json"
"""Name of the file that marks a checkpoint folder's weights as never trained; reports then say so too."""

_LOCAL, _UNKNOWN = "sha256:", "unknown"  # revision of a folder (its beginning), and of a hub that names no commit


@dataclass(frozen=True)
class Description:
    """A backbone as its small files describe it, enough to plan the work.

    Attributes:
        config: the job's `[backbone]` section.
        source: folder or hub id that transformers loads from.
        spec: the backbone's part of a store's specification.
        family: inputs of this kind of model.
        answer_ids: token ids of yes and no.
        random_weights: True if the weights were never trained.
        card: content of the checkpoint's own card; None where it has none.
        quantisation: how the weights are quantised; None for plain weights.
    """

    config: BackboneConfig
    source: str
    spec: BackboneSpec
    family: Family
    answer_ids: tuple[int, int]
    random_weights: bool
    card: Mapping[str, Any] | None = None
    quantisation: Quantisation | None = None

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences for the user, to be said before the work begins."""
        quantised = () if self.quantisation is None else (self.quantisation.note(self.config.key),)
        return (*quantised, *self.family.notes(self.config.key))

    @property
    def can_share_prefix(self) -> bool:
        """True if prompts may share the tokens before their text, as far as the chat template allows it."""
        return self.family.can_share_prefix

    def prefix_mode(self, text: str, frames: int, before: str = "") -> PrefixMode:
        """Return how the tokens before a prompt's text can run. Errors as of `Family.prefix_mode`."""
        return self.family.prefix_mode(text, frames, before)

    def device_type(self, name: str) -> str:
        """Return the kind of the device that a job names, such as "cuda". Errors as of `choose_device`."""
        return choose_device(name).type

    def recipe(self) -> dict[str, Any]:
        """Return what the checkpoint adds to a store's recipe: its inputs, its answers, and the origin of its weights.

        Quantisation is named only where the weights are quantised, so that the digests of older stores stay the same.
        """
        return {
            **self.family.recipe(),
            "answer_ids": list(self.answer_ids),
            "random_weights": self.random_weights,
            **({} if self.quantisation is None else {"quantisation": self.quantisation.recipe()}),
        }


@dataclass(frozen=True)
class Backbone:
    """A loaded backbone in evaluation mode; `device` is where its inputs go."""

    description: Description
    model: Any
    parts: TextBlocks
    device: torch.device


def describe(config: BackboneConfig, folder: Path | None) -> Description:
    """Read a checkpoint's configuration, tokenizer and image settings, without its weights.

    Args:
        config: the job's `[backbone]` section.
        folder: the checkpoint folder, or None when `config.path` is a hub id.

    Raises:
        VadprobeError: if the checkpoint cannot be found, has pointers in the place of files, is of an unknown family,
            or has quantised weights that cannot be read here.
    """
    source = str(folder) if folder else config.path
    if folder is not None:
        check_pointers(config.key, folder)
    options: dict[str, Any] = {"revision": config.revision} if config.revision else {}
    options["trust_remote_code"] = config.trust_remote_code
    try:
        # The plain file first: AutoConfig would refuse a foreign model type in its own words, or ask for remote code.
        content, _ = PreTrainedConfig.get_config_dict(source, **options)
    except (OSError, ValueError) as error:
        raise _unreadable(config, error) from error
    model_type = content.get("model_type") if isinstance(content, dict) else None
    if model_type is None:
        raise _unreadable(config, "config.json is missing or names no model_type.")
    _check_family(config, str(model_type))
    quantisation = quantisation_of(content)
    if quantisation is not None:
        check_quantisation(config.key, quantisation, config.dtype)
    try:
        model_config = AutoConfig.from_pretrained(source, **options)
        find = own_inputs if model_type in FAMILIES else _processor_inputs
        family, tokenizer, shape = find(config, model_config, source, folder, options)
    except VadprobeError:
        raise
    except (OSError, ValueError) as error:
        raise _unreadable(config, error) from error
    spec = BackboneSpec(
        key=config.key,
        family=model_config.model_type,
        source=Path(source).name if folder else source,
        revision=_LOCAL + content_digest(folder) if folder else _commit(model_config),
        dtype=config.dtype,
        attention=config.attention,
        **shape,
    )
    random_weights = folder is not None and (folder / RANDOM_WEIGHTS_CARD).exists()
    card = read_card(folder) if folder is not None else None
    return Description(config, source, spec, family, _answer_ids(config, tokenizer), random_weights, card, quantisation)


def _commit(model_config: Any) -> str:
    """Return the hub commit that a configuration came from."""
    return str(getattr(model_config, "_commit_hash", None) or _UNKNOWN)


def _check_family(config: BackboneConfig, model_type: str) -> None:
    """Refuse families and settings that cannot be read, before anything else is read.

    Raises:
        VadprobeError: if the family or the chat asked for it is not known.
    """
    if model_type not in FAMILIES and model_type not in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES:
        raise VadprobeError(
            f"backbone {config.key!r} is of the unknown family {model_type!r}; vadprobe reads "
            "transformers' image-text-to-text models. The fastest are those with inputs of vadprobe's "
            f"own: {', '.join(sorted(FAMILIES))}. Original InternVL checkpoints (model type internvl_chat) "
            "must be in the native transformers layout: 'vadprobe convert-checkpoint SOURCE TARGET' makes "
            "it from a local folder, and hub ids that end in '-hf' have it."
        )
    if config.chat == internvl_chat.NAME and model_type != InternVL.name:
        raise VadprobeError(
            f"backbone {config.key!r} is of the family {model_type!r}, and backbone.chat = {internvl_chat.NAME!r} is "
            f"known only for {InternVL.name} (InternVL and Holmes-VAU); set it to 'native'."
        )
    if config.frame_size is not None and model_type not in FAMILIES:
        raise VadprobeError(
            f"frame_size is {config.frame_size}, but frames of the family {model_type!r} are resized by the "
            "checkpoint's own processor; leave frame_size out."
        )


def _processor_inputs(
    config: BackboneConfig, model_config: Any, source: str, folder: Path | None, options: dict[str, Any]
) -> tuple[ProcessorFamily, Any, dict[str, Any]]:
    """Return the same values as `own_inputs` for any other model, whose inputs transformers' processor makes."""
    shape = text_shape(model_config.model_type, model_config)
    family = ProcessorFamily.load(model_config.model_type, source, options, config.system)
    return family, family.processor.tokenizer, shape


def check_described(description: Description) -> None:
    """Refuse a local checkpoint whose weights are missing or cut, by their headers alone.

    Raises:
        VadprobeError: naming the first file that is wrong, and the cure.
    """
    if description.spec.revision.startswith(_LOCAL):
        check_weights(description.config.key, Path(description.source))


def load(
    description: Description, device: str | Mapping[str, str], threads: int | None = None, *, compiled: bool = False
) -> Backbone:
    """Load the weights (safetensors only: no pickle is read) and place the model.

    Args:
        description: the backbone.
        device: as for `choose_device`; or transformers' `device_map`, from the name of each part of the model to its
            device or "disk". The devices change nothing but the rounding of the answers' logits.
        threads: CPU threads of the model; by default all cores but one. If the decoder has no core of its own, the
            model's threads wait for each other, and the same work may take ten times as long.
        compiled: compile the language model's blocks, which changes features by rounding.

    Raises:
        VadprobeError: if the weights are missing, or the device does not exist.
    """
    config = description.config
    # A hub's weights come from the commit that was described, not from the newest.
    revision = description.spec.revision
    options: dict[str, Any] = {} if revision.startswith((_LOCAL, _UNKNOWN)) else {"revision": revision}
    check_described(description)
    target = choose_device(device) if isinstance(device, str) else None
    if target is None or device == BALANCED:
        options["device_map"] = device
    elif description.quantisation is not None:  # quantised weights cannot be moved once they are loaded
        options["device_map"] = {"": str(target)}
    try:
        model, info = AutoModelForImageTextToText.from_pretrained(
            description.source,
            dtype=getattr(torch, config.dtype),
            attn_implementation=config.attention,
            use_safetensors=True,
            trust_remote_code=config.trust_remote_code,
            output_loading_info=True,
            **options,
        )
    except (OSError, ValueError, ImportError, RuntimeError, SafetensorError) as error:
        raise _unreadable(config, error) from error
    missing = sorted(info["missing_keys"])
    if missing:
        raise VadprobeError(
            f"the checkpoint of backbone {config.key!r} lacks {len(missing)} weights, first {missing[0]}; transformers "
            "would fill them with random numbers. Download the checkpoint again."
        )
    torch.set_num_threads(threads or max(1, len(os.sched_getaffinity(0)) - 1))
    model = model.eval().requires_grad_(False)
    if "device_map" not in options:
        model = model.to(target)
    batch_windows(model)
    parts = TextBlocks.of(model)
    if compiled:
        compile_blocks(parts)
    return Backbone(description, model, parts, input_device(model))


def _answer_ids(config: BackboneConfig, tokenizer: Any) -> tuple[int, int]:
    """Return the first token of "Yes" and of "No" as an answer begins."""
    yes, no = (tokenizer.encode(word, add_special_tokens=False) for word in ("Yes", "No"))
    if not yes or not no:
        raise VadprobeError(
            f"the tokenizer of backbone {config.key!r} cannot be read from {config.path!r}: it has no token for 'Yes' "
            "or 'No', so a tokenizer file is missing."
        )
    return int(yes[0]), int(no[0])


def _unreadable(config: BackboneConfig, why: Exception | str) -> VadprobeError:
    return VadprobeError(
        f"the checkpoint of backbone {config.key!r} cannot be read from {config.path!r}: {one_line(why)} "
        "It must be a local folder in transformers' layout with safetensors weights, or a hub id that can be reached."
    )
