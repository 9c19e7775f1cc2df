"""The specification of a store: everything that decides its values.

Frames are counted from 0 and every interval is half-open: `[start_frame, stop_frame)`.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any, Literal

from vadprobe.store.errors import StoreError, VadprobeError
from vadprobe.store.files.digests import digest_json
from vadprobe.store.files.names import check_key
from vadprobe.store.format.prompts import Prompt
from vadprobe.store.format.sampling import Sampling

FORMAT_VERSION = 1
"""Version of the store format. A reader refuses a store of a later version."""


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
        n_heads: attention heads of a block.
        head_dim: values of a head.
        hidden_size: values of a hidden state.
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

    def __post_init__(self) -> None:
        check_key("the backbone's key", self.key)
        if self.dtype not in ("bfloat16", "float16", "float32"):
            raise VadprobeError(
                f"backbone {self.key!r}: dtype must be 'bfloat16', 'float16' or 'float32', got {self.dtype!r}."
            )
        for name in ("n_layers", "n_heads", "head_dim", "hidden_size"):
            value = getattr(self, name)
            if not isinstance(value, int) or value < 1:
                raise VadprobeError(f"backbone {self.key!r}: {name} must be a positive integer, got {value!r}.")


@dataclass(frozen=True)
class FeatureSpec:
    """Everything that decides the values in one feature store. Two stores with the same digest are interchangeable.

    Their values are equal bit by bit where the same device, number of threads and batches computed both, else up to
    rounding: no field names these.

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
        format_version: version of the store format.
    """

    dataset: str
    clips_digest: str
    n_clips: int
    sampling: Sampling
    backbone: BackboneSpec
    prompt: Prompt
    recipe: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    format_version: int = FORMAT_VERSION

    def __post_init__(self) -> None:
        kinds = {"dataset": str, "clips_digest": str, "n_clips": int, "recipe": dict, "versions": dict}
        for name, kind in kinds.items():
            value = getattr(self, name)
            if not isinstance(value, kind):
                raise VadprobeError(f"specification: {name} must be of type {kind.__name__}, got {value!r}.")

    def to_json(self) -> dict[str, Any]:
        """Return the specification as plain JSON values."""
        return asdict(self)

    @staticmethod
    def from_json(value: dict[str, Any]) -> "FeatureSpec":
        """Read back `to_json`.

        Raises:
            StoreError: if a part is missing, unknown or impossible.
        """
        try:
            parts = dict(value)
            parts["sampling"] = Sampling(**parts["sampling"])
            parts["backbone"] = BackboneSpec(**parts["backbone"])
            parts["prompt"] = Prompt(**parts["prompt"])
            spec = FeatureSpec(**parts)
            digest_json(spec.to_json())  # refuses what JSON does not have, such as NaN
        except (TypeError, KeyError, ValueError, AttributeError) as error:
            raise StoreError(f"a stored specification is not one ({error}); it was edited or damaged.") from error
        return spec

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the canonical JSON form."""
        return digest_json(self.to_json())

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences that every reader of the values must know about the backbone's weights; mostly none."""
        return backbone_notes(self.backbone.key, self.recipe)

    def differences(self, other: "FeatureSpec") -> list[str]:
        """Name each field that differs, as `name: mine, not theirs`; empty when the digests agree."""
        return _differences("", self.to_json(), other.to_json())


DEMO_CAPTIONER = "demo-captioner"
"""Kind of the backbone card of a model that has only seen drawings."""


def backbone_notes(key: str, recipe: Mapping[str, Any]) -> tuple[str, ...]:
    """Return what a backbone's weights allow to be said of its numbers: the one place that decides these sentences.

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
            f"MEANINGLESS: these videos are no drawings of vadprobe's generated set, and {key} has never seen anything "
            "else. Its features, scores and texts are nonsense here; do not use them."
        )
        return (stamp, note)
    return (note,)


_MISSING = object()


def _differences(prefix: str, mine: Any, theirs: Any) -> list[str]:
    if isinstance(mine, dict) and isinstance(theirs, dict):
        return [
            line
            for name in sorted(mine.keys() | theirs.keys())
            for line in _differences(
                f"{prefix}.{name}" if prefix else name, mine.get(name, _MISSING), theirs.get(name, _MISSING)
            )
        ]
    # As JSON, which is what the digest sees: 1 is not 1.0, and a tuple is a list.
    shown = [("missing" if value is _MISSING else json.dumps(value, sort_keys=True)) for value in (mine, theirs)]
    if shown[0] == shown[1]:
        return []
    plain = ["missing" if value is _MISSING else repr(value) for value in (mine, theirs)]
    return [f"{prefix}: {plain[0]}, not {plain[1]}"]
