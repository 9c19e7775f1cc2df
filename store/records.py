"""The nouns both stages share, as frozen values.

Frames are counted from 0 and every interval is half-open: ``[start_frame, stop_frame)``.
"""

import json
import math
import re
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from vadprobe.store.digests import digest_json
from vadprobe.store.errors import StoreError, VadprobeError

FORMAT_VERSION = 1
"""Version of the store format. A reader refuses a store of a later version."""

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test")

_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def check_key(what: str, key: str) -> str:
    """Return ``key`` if it can name a folder everywhere, else raise :class:`VadprobeError`."""
    if not _KEY.fullmatch(key):
        raise VadprobeError(
            f"{what} is {key!r}, but it names a folder: use letters, digits, '.', '_' and '-', "
            "beginning with a letter or digit."
        )
    return key


@dataclass(frozen=True)
class Video:
    """One video of a dataset.

    ``n_frames`` and ``fps`` are None until the file has been probed. ``label`` is 1 (anomalous), 0 (normal) or None
    (unknown). ``path`` is relative to the dataset's video folder, with ``/`` between its parts.
    """

    video_id: str
    path: str
    n_frames: int | None = None
    fps: float | None = None
    split: Split = "test"
    label: int | None = None
    category: str | None = None

    def __post_init__(self) -> None:
        if not self.video_id:
            raise VadprobeError(f"video_id is empty for the file {self.path!r}; every video needs a name.")
        if (
            self.path.startswith(("/", "\\", "~"))
            or ".." in self.path.replace("\\", "/").split("/")
            or "\0" in self.path
        ):
            raise VadprobeError(
                f"video {self.video_id!r}: path is {self.path!r}; a path below the dataset's video folder is wanted, "
                "with '/' between its parts and without '..'."
            )
        if self.split not in SPLITS:
            raise VadprobeError(
                f"video {self.video_id!r}: split is {self.split!r}; it must be one of {', '.join(SPLITS)}."
            )
        if self.n_frames is not None and (not isinstance(self.n_frames, int) or self.n_frames < 0):
            raise VadprobeError(
                f"video {self.video_id!r}: n_frames is {self.n_frames!r}; a whole number from 0, or none, is wanted."
            )
        if self.fps is not None and not (math.isfinite(self.fps) and self.fps > 0):
            raise VadprobeError(f"video {self.video_id!r}: fps is {self.fps!r}; a positive number, or none, is wanted.")
        if self.label not in (None, 0, 1):
            raise VadprobeError(
                f"video {self.video_id!r}: label is {self.label!r}; it must be 1 (anomalous), 0 (normal) "
                "or missing (unknown)."
            )


@dataclass(frozen=True, order=True)
class Interval:
    """An anomalous interval ``[start_frame, stop_frame)`` of a video."""

    video_id: str
    start_frame: int
    stop_frame: int
    category: str | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.start_frame < self.stop_frame:
            raise VadprobeError(
                f"video {self.video_id!r}: the interval [{self.start_frame}, {self.stop_frame}) is empty or negative; "
                "0 <= start_frame < stop_frame is wanted, counted in frames from 0, half-open."
            )


@dataclass(frozen=True)
class Sampling:
    """How a video is cut into clips and which frames of a clip the backbone sees.

    ``unit`` "segment": consecutive clips of ``clip_length`` frames, the last one may be shorter. ``unit`` "video": one
    clip that is the whole video, ``clip_length`` None. Each clip shows ``frames_per_clip`` frames.
    """

    unit: Literal["segment", "video"]
    clip_length: int | None
    frames_per_clip: int

    def __post_init__(self) -> None:
        if self.unit not in ("segment", "video"):
            raise VadprobeError(f"sampling unit is {self.unit!r}; it must be 'segment' or 'video'.")
        if (self.unit == "segment") != (self.clip_length is not None):
            raise VadprobeError(
                f"sampling unit {self.unit!r} with clip_length {self.clip_length!r}: a segment needs a clip_length in "
                "frames, a whole video must have none."
            )
        if self.frames_per_clip < 1:
            raise VadprobeError(f"frames_per_clip is {self.frames_per_clip}; at least 1 is wanted.")
        if self.clip_length is not None and self.clip_length < self.frames_per_clip:
            raise VadprobeError(
                f"clip_length is {self.clip_length} but frames_per_clip is {self.frames_per_clip}: a clip cannot show "
                "more frames than it has."
            )

    @property
    def key(self) -> str:
        """Folder name of this sampling in a store root, for example ``segment-24-8`` or ``video-8``."""
        parts = [self.unit, *([str(self.clip_length)] if self.clip_length else []), str(self.frames_per_clip)]
        return "-".join(parts)


@dataclass(frozen=True)
class Clip:
    """Frames ``[start_frame, stop_frame)`` of a video; ``frame_indices`` are the ones the backbone sees, ascending.

    Indices repeat when a clip is shorter than ``frames_per_clip``.
    """

    video_id: str
    index: int
    start_frame: int
    stop_frame: int
    frame_indices: tuple[int, ...]


@dataclass(frozen=True)
class Prompt:
    """A question put to the backbone. ``key`` names its store, ``text`` is what the model reads."""

    key: str
    text: str

    def __post_init__(self) -> None:
        check_key("the prompt's key", self.key)
        if not self.text.strip():
            raise VadprobeError(f"prompt {self.key!r} has an empty text; write the question the model is asked.")


@dataclass(frozen=True)
class BackboneSpec:
    """Which frozen model made the features.

    ``source`` is the hub id, or the last part of a local folder's name: machine paths never enter a store.
    ``revision`` is the hub commit, or ``sha256:`` and the digest of the local weight and configuration files.
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
                f"backbone {self.key!r}: dtype is {self.dtype!r}; 'bfloat16', 'float16' or 'float32' is wanted."
            )
        for name in ("n_layers", "n_heads", "head_dim", "hidden_size"):
            value = getattr(self, name)
            if not isinstance(value, int) or value < 1:
                raise VadprobeError(f"backbone {self.key!r}: {name} is {value!r}; a whole number from 1 is wanted.")


@dataclass(frozen=True)
class FeatureSpec:
    """Everything that decides the values in one feature store. Two stores with the same digest are interchangeable.

    Their values are equal bit by bit where the same device, number of threads and batches computed both, else up to
    rounding: no field names these.

    ``clips_digest`` is the digest of the clip table, which covers the videos' fingerprints, the cuts and the sampled
    frames. ``recipe`` says how frames and prompt became model inputs (sizes, chat template digest, answer token ids,
    batch shape, prefix mode); ``versions`` names the libraries that computed the values.
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
        wanted = {"dataset": str, "clips_digest": str, "n_clips": int, "recipe": dict, "versions": dict}
        for name, kind in wanted.items():
            value = getattr(self, name)
            if not isinstance(value, kind):
                raise VadprobeError(f"specification: {name} is {value!r}; a value of type {kind.__name__} is wanted.")

    def to_json(self) -> dict[str, Any]:
        """The specification as plain JSON values."""
        return asdict(self)

    @staticmethod
    def from_json(value: dict[str, Any]) -> "FeatureSpec":
        """The inverse of :meth:`to_json`.

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

    @property
    def digest(self) -> str:
        """SHA-256 of the canonical JSON form."""
        return digest_json(self.to_json())

    def differences(self, other: "FeatureSpec") -> list[str]:
        """Each field that differs, as ``name: mine, not theirs``; empty when the digests agree."""
        return _differences("", self.to_json(), other.to_json())


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
