"""What of a store is exported: arrays with their layers or heads, and videos with the names of their files."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from vadprobe.store.errors import StoreError, VadprobeError
from vadprobe.store.files.names import file_names
from vadprobe.store.format.stored_parts import Head
from vadprobe.store.reading.feature_store import FeatureStore

Format = Literal["npy", "safetensors"]
FORMATS: tuple[Format, ...] = ("npy", "safetensors")
ARRAYS = ("hidden_states", "head_outputs", "answer_logits")

Parts = dict[str, tuple[Any, ...] | None]
"""Arrays by name, each with its layers or heads; None for all of them."""


@dataclass(frozen=True)
class ExportChoice:
    """What is exported.

    ``layers`` of the hidden states and ``heads`` as (block, head); None for all that the store holds, unless the other
    one is given: then none. ``arrays`` by name; None for those that the layers and heads speak of, and the answer
    logits. ``videos`` by name; None for all whose rows the store has.
    """

    format: Format
    layers: tuple[int, ...] | None = None
    heads: tuple[Head, ...] | None = None
    arrays: tuple[str, ...] | None = None
    videos: tuple[str, ...] | None = None


@dataclass(frozen=True)
class ExportedVideo:
    """A video's rows ``[start, stop)`` and the stem of its files."""

    video_id: str
    stem: str
    start: int
    stop: int


def chosen_parts(store: FeatureStore, choice: ExportChoice) -> Parts:
    """The arrays to be exported.

    Raises:
        StoreError: if the store lacks a part.
        VadprobeError: if the choice contradicts itself.
    """
    held = store.contents
    layers = held.layers if choice.layers is None and choice.heads is None else choice.layers
    heads = held.heads if choice.heads is None and choice.layers is None else choice.heads
    wanted = choice.arrays
    if wanted is None:
        left_out = {
            "hidden_states": (choice.heads is not None and choice.layers is None) or layers == (),
            "head_outputs": (choice.layers is not None and choice.heads is None) or heads == (),
            "answer_logits": not held.answers,
        }
        wanted = tuple(name for name in ARRAYS if not left_out[name])
    unknown = [name for name in wanted if name not in ARRAYS]
    if unknown or not wanted:
        what = f"names {unknown[0]!r}" if unknown else "is empty"
        raise VadprobeError(f"arrays {what}; some of {', '.join(ARRAYS)} are wanted.")
    for name, given, option in (("hidden_states", choice.layers, "layers"), ("head_outputs", choice.heads, "heads")):
        if given is not None and name not in wanted:
            raise VadprobeError(f"{option} are chosen, but {name} is not among the arrays; add it, or leave them out.")
    found = {"hidden_states": layers or held.layers, "head_outputs": heads or held.heads, "answer_logits": None}
    parts = {name: found[name] for name in ARRAYS if name in wanted}
    for name, part in parts.items():
        if part == ():
            raise StoreError(f"{store.path} holds no {name}: {held.describe()}. Leave it out of the arrays.")
        _check_held(store, name, part)
    return parts


def _check_held(store: FeatureStore, name: str, part: tuple[Any, ...] | None) -> None:
    """Refuse layers and heads that do not exist or are not held, before anything is read."""
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
    """The videos to be exported, in the order of their rows, and how many are left out as the store lacks rows.

    Raises:
        VadprobeError: if a video that is named does not exist, or is not all there.
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
            raise StoreError(f"{store.path} is a part of a store and lacks rows of {absent[0]!r}; pull that video too.")
        wanted = [video for video in videos if video.video_id in set(names)]
    if not wanted:
        raise StoreError(f"{store.path} holds no whole video; nothing to export.")
    return sorted(wanted, key=lambda video: video.start), len(lacking) if names is None else 0
