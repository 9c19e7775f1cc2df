"""Choice of what to export: arrays with their layers or heads, and videos with the names of their files."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from vadprobe.store.errors import StoreError, VadprobeError
from vadprobe.store.files.names import file_names
from vadprobe.store.format.specification import Head
from vadprobe.store.reading.feature_store import FeatureStore

Format = Literal["npy", "safetensors"]
FORMATS: tuple[Format, ...] = ("npy", "safetensors")
ARRAYS = ("hidden_states", "head_outputs", "answer_logits")

Parts = dict[str, tuple[Any, ...] | None]
"""Arrays by name, each with its layers or heads; None for all of them."""


@dataclass(frozen=True)
class ExportChoice:
    """Parts of a store to export.

    Attributes:
        format: of the files.
        layers: layers of the hidden states. None means all stored ones or, if heads are given, none.
        heads: heads as (block, head). None means all stored ones or, if layers are given, none.
        arrays: names of arrays. None means those of the layers and heads, and the answer logits if they are stored.
        videos: names of videos. None means all whose rows the store has.
    """

    format: Format
    layers: tuple[int, ...] | None = None
    heads: tuple[Head, ...] | None = None
    arrays: tuple[str, ...] | None = None
    videos: tuple[str, ...] | None = None


@dataclass(frozen=True)
class ExportedVideo:
    """A video's rows `[start, stop)` and the stem of its files."""

    video_id: str
    stem: str
    start: int
    stop: int


def chosen_parts(store: FeatureStore, choice: ExportChoice) -> Parts:
    """Return the arrays to export, with the layers or heads of each.

    Raises:
        StoreError: if the store lacks a part.
        VadprobeError: if the choice contradicts itself.
    """
    held = store.contents
    given = {"hidden_states": choice.layers, "head_outputs": choice.heads}
    arrays = _implied_arrays(store, given) if choice.arrays is None else choice.arrays
    _check_arrays(arrays, given)
    everything = {"hidden_states": held.layers, "head_outputs": _all_heads(store), "answer_logits": None}
    parts = {name: given.get(name) or everything[name] for name in ARRAYS if name in arrays}
    for name, part in parts.items():
        if part == ():
            raise StoreError(f"{store.path} holds no {name}: {held.describe()}. Leave it out of the arrays.")
        _check_held(store, name, part)
    return parts


def _check_arrays(arrays: Sequence[str], given: Mapping[str, Sequence[Any] | None]) -> None:
    """Check that arrays exist, and that the chosen layers and heads belong to them."""
    unknown = [name for name in arrays if name not in ARRAYS]
    if unknown or not arrays:
        raise VadprobeError(f"arrays must be some of {', '.join(ARRAYS)}, got {unknown[0] if unknown else 'none'}.")
    for name, option in (("hidden_states", "layers"), ("head_outputs", "heads")):
        if given[name] is not None and name not in arrays:
            raise VadprobeError(f"{option} are chosen, but {name} is not among the arrays; add it, or leave them out.")


def _all_heads(store: FeatureStore) -> tuple[Head, ...] | None:
    """Return the heads that a store holds; None if it holds all and every block has the same number and width."""
    backbone, held = store.spec.backbone, store.contents.heads
    return backbone.heads if held is None and backbone.format_version > 1 else held


def _implied_arrays(store: FeatureStore, given: Mapping[str, Sequence[Any] | None]) -> tuple[str, ...]:
    """Return the arrays of the chosen layers and heads, all stored ones without a choice, and stored answer logits."""
    held = store.contents
    everything = {"hidden_states": held.layers, "head_outputs": _all_heads(store)}
    if any(part is not None for part in given.values()):
        named = [name for name, part in given.items() if part is not None and part != ()]
    else:
        named = [name for name, part in everything.items() if part != ()]
    return (*named, *(["answer_logits"] if held.answers else []))


def _check_held(store: FeatureStore, name: str, part: tuple[Any, ...] | None) -> None:
    """Refuse layers and heads that do not exist or are not stored, before anything is read."""
    none = np.empty(0, np.int64)
    if name == "hidden_states" and part is not None:
        store.hidden_states(none, part)
    elif name == "head_outputs" and part is not None:
        store.head_outputs(none, part)
    try:
        store.contents.check(name, part or (), store.partitions)
    except StoreError as error:
        raise StoreError(f"{store.path}: {error}") from error


def chosen_videos(store: FeatureStore, names: tuple[str, ...] | None) -> tuple[list[ExportedVideo], int]:
    """Return the videos to export, in the order of their rows, and how many are left out for lack of rows.

    Raises:
        VadprobeError: if a named video does not exist, or the store lacks rows of it.
    """
    clips = store.clips
    codes, starts, counts = np.unique(clips.video_codes, return_index=True, return_counts=True)
    stems = file_names(clips.video_ids)
    held = np.concatenate([[0], np.cumsum(store.stored)])
    videos: list[ExportedVideo] = []
    lacking: list[ExportedVideo] = []
    for code, start, count in zip(codes.tolist(), starts.tolist(), counts.tolist(), strict=True):
        video = ExportedVideo(clips.video_ids[code], stems[clips.video_ids[code]], start, start + count)
        (videos if held[start + count] - held[start] == count else lacking).append(video)
    if names is None:
        wanted = videos
    else:
        unknown = sorted(set(names) - {video.video_id for video in (*videos, *lacking)})
        absent = sorted(set(names) & {video.video_id for video in lacking})
        if unknown:
            raise VadprobeError(
                f"{store.path} has no clip of video {unknown[0]!r} ({len(unknown)} such); check --videos."
            )
        if absent:
            raise StoreError(f"{store.path} is a partial store and lacks rows of {absent[0]!r}; pull that video too.")
        wanted = [video for video in videos if video.video_id in set(names)]
    if not wanted:
        raise StoreError(f"{store.path} holds no whole video; nothing to export.")
    return sorted(wanted, key=lambda video: video.start), len(lacking) if names is None else 0
