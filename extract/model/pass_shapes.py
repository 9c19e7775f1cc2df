"""Shapes of a loaded model's passes, from which operations are counted, for families whose inputs are made here."""

from collections.abc import Callable, Iterator, Sequence
from itertools import product
from typing import Any

from vadprobe.extract.families.fixed_size_frames import FixedSizeFrames, InternVL
from vadprobe.extract.families.own_family import OwnFamily
from vadprobe.extract.families.qwen2_5_vl import Qwen25VL
from vadprobe.extract.model.backbone import Backbone
from vadprobe.store.format.prompts import LAST_PROMPT
from vadprobe.store.format.specification import FeatureSpec
from vadprobe.store.writing.timings.pass_shape import PassShape, Term, TextShape

_TEXTS = ("qwen2", "qwen3", "llama", "mistral")
_TOWERS = ("internvl_vision", "siglip_vision", "qwen2_5_vl", "qwen3_vl")

Terms = tuple[list[Term], list[Term]]
"""Linear maps as (rows, inputs, outputs), and attention as (queries, keys, values of all heads)."""


def pass_shape(backbone: Backbone, specs: Sequence[FeatureSpec]) -> PassShape | None:
    """Return the shapes of passes over one clip; None where they are not known.

    They are not known where transformers' processor makes the inputs, where the model has parts of another kind
    (experts, other towers, blocks that are not alike), and where prompts are read at several positions or have
    different texts before the video.

    Args:
        backbone: the model.
        specs: specifications of the stores of one sampling, one for each prompt.
    """
    family, config = backbone.description.family, backbone.model.config
    if not isinstance(family, OwnFamily) or not _is_known(config) or backbone.description.spec.block_heads:
        return None
    before = {spec.prompt.before for spec in specs}
    if len(before) > 1 or any(spec.prompt.position != LAST_PROMPT for spec in specs):
        return None  # prompts then share a pass as a whole, or run the video through the blocks several times
    frames = specs[0].sampling.frames_per_clip
    tower: Callable[[Any, Any, int], Terms] = _qwen if isinstance(family, Qwen25VL) else _fixed_size
    linear, attention = tower(family, config, frames)
    is_shared = all(spec.recipe["prefix"] == "shared" for spec in specs)
    prefix = family.shared_tokens(frames, *before) if is_shared else None
    shared = 0 if prefix is None else len(prefix)
    own = {
        spec.prompt.key: family.tokenize(spec.prompt.text, frames, spec.prompt.before).shape[1] - shared
        for spec in specs
    }
    return PassShape(_text(config.get_text_config()), tuple(linear), tuple(attention), shared, own)


def _is_known(config: Any) -> bool:
    """Return True for dense language models of three gated maps, behind a vision tower that is counted below."""
    text, tower = config.get_text_config().model_type, config.vision_config.model_type
    return text.startswith(_TEXTS) and "moe" not in text and tower.startswith(_TOWERS)


def _text(config: Any) -> TextShape:
    return TextShape(
        blocks=config.num_hidden_layers,
        hidden=config.hidden_size,
        heads=config.num_attention_heads,
        key_value_heads=config.num_key_value_heads,
        head_dim=getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads,
        intermediate=config.intermediate_size,
        vocabulary=config.vocab_size,
    )


def _fixed_size(family: FixedSizeFrames, config: Any, frames: int) -> Terms:
    """Return the terms of a tower that sees each frame by itself, and of its projector of two maps."""
    tower, text = config.vision_config, config.get_text_config().hidden_size
    hidden, inner, depth = tower.hidden_size, tower.intermediate_size, tower.num_hidden_layers
    height, width = _pair(tower.patch_size)
    patches = (family.pixels.height // height) * (family.pixels.width // width)
    is_internvl = isinstance(family, InternVL)
    tokens = patches + 1 if is_internvl else patches  # InternVL has a class token
    linear = [(frames * patches, 3 * height * width, hidden)]
    linear += [(frames * tokens * depth, hidden, 4 * hidden), (frames * tokens * depth, hidden, 2 * inner)]
    if is_internvl:  # patches are shuffled into fewer, wider tokens before the projector
        rows = frames * family.tokens_per_frame
        linear.append((rows, hidden * patches // family.tokens_per_frame, text))
    else:
        rows = frames * patches
        linear.append((rows, hidden, text))
    linear.append((rows, text, text))
    return linear, [(frames * tokens * depth, tokens, hidden)]


def _qwen(family: Qwen25VL, config: Any, frames: int) -> Terms:
    """Return the terms of Qwen's towers: windows in most blocks of Qwen2.5-VL, whole slices in all others."""
    tower = config.vision_config
    hidden, inner, depth, merge = tower.hidden_size, tower.intermediate_size, tower.depth, family.merge_size
    slices = -(-frames // family.temporal_patch_size)
    rows, columns = family.pixels.height // family.patch_size, family.pixels.width // family.patch_size
    patches, is_first = slices * rows * columns, config.model_type == "qwen2_5_vl"
    wide = hidden * merge**2
    n_mergers = 1 + (0 if is_first else len(tower.deepstack_visual_indexes))
    linear = [(patches, 3 * family.temporal_patch_size * family.patch_size**2, hidden)]
    linear += [(patches * depth, hidden, 4 * hidden), (patches * depth, hidden, (3 if is_first else 2) * inner)]
    merged = patches // merge**2 * n_mergers
    linear += [(merged, wide, wide), (merged, wide, tower.out_hidden_size)]
    n_whole = len(tower.fullatt_block_indexes) if is_first else depth
    attention = [(patches * n_whole, rows * columns, hidden)]
    if is_first:
        side = tower.window_size // merge // family.patch_size
        for height, width in product(_cuts(rows // merge, side), _cuts(columns // merge, side)):
            window = height * width * merge**2
            attention.append((window * slices * (depth - n_whole), window, hidden))
    return linear, attention


def _cuts(length: int, side: int) -> Iterator[int]:
    """Yield the lengths of windows along one side; the last may be shorter."""
    for start in range(0, length, side):
        yield min(side, length - start)


def _pair(value: Any) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else (int(value[0]), int(value[1]))
