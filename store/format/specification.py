"""The specification of a store: everything that decides its values.

Frames are counted from 0 and every interval is half-open: `[start_frame, stop_frame)`.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any, Literal

from vadprobe.store.errors import StoreError, VadprobeError
from vadprobe.store.files.digests import digest_json, json_differences
from vadprobe.store.files.names import check_key
from vadprobe.store.format.prompts import Prompt
from vadprobe.store.format.sampling import Sampling

FORMAT_VERSION = 2
"""Newest version of the store format.

A store has the lowest version that can describe it. Version 1 is enough if all blocks of the backbone have the same
number and width of heads, and the prompt is behind the video and read at its last token; otherwise it is 2. A reader
refuses a store of a later version.
"""

HeadShape = tuple[int, int]
"""Number and width of the heads of a block; (0, 0) for a block without heads."""

Head = tuple[int, int]
"""A head by (block, head), both from 0."""


@dataclass(frozen=True)
class BackboneSpec:
    """The frozen model that made the features.

    Attributes:
        key: name of the backbone's folder in a store root.
        family: family of the model.
        source: hub id, or the last part of a local folder's name: machine paths never enter a store.
        revision: hub commit, or `sha256:` and the digest of the local weight and configuration files.
        dtype: data type that the model computed with, and that the values have.
        attention: implementation of attention.
        n_layers: blocks of the model; the hidden states have one layer more, the embedding.
        n_heads: attention heads of a block, the most if blocks differ; 0 for a backbone without heads.
        head_dim: values of a head, the most if blocks differ; 0 for a backbone without heads.
        hidden_size: values of a hidden state.
        block_heads: number and width of the heads of each block; None where all are (`n_heads`, `head_dim`).
    """

    key: str
    family: str
    source: str
    revision: str
    dtype: Literal["bfloat16", "float16", "float32"]
    attention: str
    n_layers: int
    n_heads: int
    head_dim: int
    hidden_size: int
    block_heads: tuple[HeadShape, ...] | None = None

    def __post_init__(self) -> None:
        check_key("the backbone's key", self.key)
        if self.dtype not in ("bfloat16", "float16", "float32"):
            raise VadprobeError(
                f"backbone {self.key!r}: dtype must be 'bfloat16', 'float16' or 'float32', got {self.dtype!r}."
            )
        least = 0 if self.n_heads == self.head_dim == 0 else 1
        for name, low in (("n_layers", 1), ("n_heads", least), ("head_dim", least), ("hidden_size", 1)):
            value = getattr(self, name)
            if not isinstance(value, int) or value < low:
                raise VadprobeError(f"backbone {self.key!r}: {name} must be a positive integer, got {value!r}.")
        if self.block_heads is not None:
            # Lists in JSON; tuples make the value hashable.
            object.__setattr__(self, "block_heads", tuple((heads, width) for heads, width in self.block_heads))
            self._check_block_heads(self.block_heads)

    def _check_block_heads(self, shapes: tuple[HeadShape, ...]) -> None:
        """Refuse `block_heads` that contradict the other numbers, or that are alike in all blocks and so redundant."""
        good = all(isinstance(part, int) and part >= 0 for shape in shapes for part in shape)
        good = good and all((heads == 0) == (width == 0) for heads, width in shapes) and len(set(shapes)) > 1
        largest = tuple(map(max, zip(*shapes, strict=True)))
        if not good or len(shapes) != self.n_layers or largest != (self.n_heads, self.head_dim):
            raise VadprobeError(
                f"backbone {self.key!r}: block_heads must be the number and width of heads of each of {self.n_layers} "
                f"blocks, not all the same, at most ({self.n_heads}, {self.head_dim}), got {shapes!r}."
            )

    @staticmethod
    def numbers(shapes: Sequence[HeadShape]) -> dict[str, Any]:
        """Return `n_layers`, `n_heads`, `head_dim` and, where blocks differ, `block_heads`, of one shape per block."""
        heads, width = map(max, zip(*shapes, strict=True))
        ragged = {"block_heads": tuple(shapes)} if len(set(shapes)) > 1 else {}
        return {"n_layers": len(shapes), "n_heads": heads, "head_dim": width, **ragged}

    @property
    def head_shapes(self) -> tuple[HeadShape, ...]:
        """Number and width of the heads of each block."""
        return self.block_heads or ((self.n_heads, self.head_dim),) * self.n_layers

    @property
    def heads(self) -> tuple[Head, ...]:
        """Every head as (block, head), ascending."""
        return tuple((block, head) for block, (count, _) in enumerate(self.head_shapes) for head in range(count))

    @property
    def n_head_values(self) -> int:
        """Values of all heads of all blocks together."""
        return sum(count * width for count, width in self.head_shapes)

    @property
    def format_version(self) -> int:
        """Lowest version of the store format that can hold this backbone's features."""
        return 1 if self.block_heads is None and self.n_heads else 2

    def describe_heads(self) -> str:
        """Return the number and width of the heads in words: `28 blocks of 28 heads with 128 values`."""
        counts = Counter(self.head_shapes)
        return ", ".join(
            f"{count} block{'' if count == 1 else 's'} "
            + (f"of {shape[0]} heads with {shape[1]} values" if shape[0] else "without heads")
            for shape, count in counts.items()
        )


def check_heads(backbone: BackboneSpec, heads: Iterable[Head]) -> None:
    """Refuse heads that the backbone does not have.

    Raises:
        VadprobeError: naming the first such head, and the heads that exist.
    """
    for block, head in heads:
        if not backbone.n_heads:
            raise VadprobeError(f"backbone {backbone.key!r} has no attention heads; choose layers.")
        if not 0 <= block < backbone.n_layers:
            raise VadprobeError(f"head {block}:{head} does not exist; there are blocks 0 to {backbone.n_layers - 1}.")
        count, _ = backbone.head_shapes[block]
        if not 0 <= head < count:
            there = f"heads 0 to {count - 1}" if count else "no heads"
            raise VadprobeError(f"head {block}:{head} does not exist; block {block} has {there}.")


def backbone_json(backbone: BackboneSpec) -> dict[str, Any]:
    """Return a backbone as plain JSON values; `block_heads`, new in format version 2, only where blocks differ."""
    value = asdict(backbone)
    shapes = value.pop("block_heads")
    return value if shapes is None else {**value, "block_heads": [list(shape) for shape in shapes]}


@dataclass(frozen=True)
class FeatureSpec:
    """Everything that decides the values in one feature store. Two stores with the same digest are interchangeable.

    Their values are equal up to rounding. They are equal bit by bit if device, number of threads and batches were the
    same too, which no field names.

    Attributes:
        dataset: name of the dataset.
        clips_digest: digest of the clip table: the videos' fingerprints, the cuts and the sampled frames.
        n_clips: rows of the clip table and of every array.
        sampling: the way videos were cut into clips.
        backbone: the model.
        prompt: the question.
        recipe: the way frames and prompt became model inputs: sizes, the chat template's digest, answer token ids,
            batch shape, prefix mode.
        versions: the libraries that computed the values.
    """

    dataset: str
    clips_digest: str
    n_clips: int
    sampling: Sampling
    backbone: BackboneSpec
    prompt: Prompt
    recipe: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        kinds = {"dataset": str, "clips_digest": str, "n_clips": int, "recipe": dict, "versions": dict}
        for name, kind in kinds.items():
            value = getattr(self, name)
            if not isinstance(value, kind):
                raise VadprobeError(f"specification: {name} must be of type {kind.__name__}, got {value!r}.")

    @property
    def format_version(self) -> int:
        """Version of the store format: the lowest that can hold the features."""
        return max(self.backbone.format_version, self.prompt.format_version)

    def to_json(self) -> dict[str, Any]:
        """Return the specification as plain JSON values; fields that version 1 lacks only where they are needed."""
        parts = {"backbone": backbone_json(self.backbone), "prompt": self.prompt.to_json()}
        return {**asdict(self), **parts, "format_version": self.format_version}

    @staticmethod
    def from_json(value: dict[str, Any]) -> "FeatureSpec":
        """Read back `to_json`.

        Raises:
            StoreError: if a part is missing, unknown or impossible.
        """
        try:
            parts = dict(value)
            version = parts.pop("format_version")
            parts["sampling"] = Sampling(**parts["sampling"])
            parts["backbone"] = BackboneSpec(**parts["backbone"])
            parts["prompt"] = Prompt(**parts["prompt"])
            spec = FeatureSpec(**parts)
            if version != spec.format_version:
                raise ValueError(f"its format version must be {spec.format_version}, got {version!r}")
            digest_json(spec.to_json())  # refuses what JSON does not have, such as NaN
        except (TypeError, KeyError, ValueError, AttributeError) as error:
            raise StoreError(f"the stored specification is not valid ({error}); it was edited or damaged.") from error
        return spec

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the canonical JSON form."""
        return digest_json(self.to_json())

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences about the backbone's weights that every reader of the values must know; usually empty."""
        return backbone_notes(self.backbone.key, self.recipe)

    def differences(self, other: "FeatureSpec") -> list[str]:
        """Name each field that differs, as `name: mine, not theirs`; empty when the digests agree."""
        return json_differences("", self.to_json(), other.to_json())


DEMO_CAPTIONER = "demo-captioner"
"""Kind of the backbone card of a model that has only seen drawings."""


def backbone_notes(key: str, recipe: Mapping[str, Any]) -> tuple[str, ...]:
    """Return sentences that limit what numbers of a backbone may claim, such as those of random weights.

    Args:
        key: the backbone's key, as the sentences call it.
        recipe: `FeatureSpec.recipe`. `random_weights` is true for weights that were never trained, `backbone_card` is
            the short form of the checkpoint's own card, and `drawn` beside it tells whether vadprobe drew the videos.
    """
    if recipe.get("random_weights"):
        return (f"{key} has random weights: the numbers say nothing about the method or any real camera.",)
    card = recipe.get("backbone_card")
    if card is None:
        return ()
    note = f"{key}: {card['note'].rstrip('.')}."
    if card["kind"] == DEMO_CAPTIONER and not recipe.get("drawn"):
        stamp = (
            f"MEANINGLESS: these videos are not drawings of vadprobe's generated set, and {key} has never "
            "seen anything else. Its features, scores and texts are nonsense here; do not use them."
        )
        return (stamp, note)
    return (note,)
