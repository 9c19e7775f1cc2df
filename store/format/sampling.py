"""Cutting videos into clips, and choosing the frames of a clip."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from vadprobe.store.datasets.video import Video
from vadprobe.store.errors import VadprobeError


@dataclass(frozen=True)
class Sampling:
    """The way a video is cut into clips, and the number of frames of a clip that the backbone sees.

    Attributes:
        unit: "segment" for consecutive clips of `clip_length` frames, the last of which may be shorter; "video" for one
            clip that is the whole video.
        clip_length: frames of a segment; None for whole videos.
        frames_per_clip: frames of a clip that the backbone sees.
    """

    unit: Literal["segment", "video"]
    clip_length: int | None
    frames_per_clip: int

    def __post_init__(self) -> None:
        if self.unit not in ("segment", "video"):
            raise VadprobeError(f"sampling unit must be 'segment' or 'video', got {self.unit!r}.")
        if (self.unit == "segment") != (self.clip_length is not None):
            raise VadprobeError(
                f"sampling unit {self.unit!r} with clip_length {self.clip_length!r}: a segment needs a clip_length in "
                "frames, a whole video must have none."
            )
        if self.frames_per_clip < 1:
            raise VadprobeError(f"frames_per_clip must be at least 1, got {self.frames_per_clip}.")
        if self.clip_length is not None and self.clip_length < self.frames_per_clip:
            raise VadprobeError(
                f"clip_length is {self.clip_length} but frames_per_clip is {self.frames_per_clip}: a clip cannot show "
                "more frames than it has."
            )

    @property
    def key(self) -> str:
        """Folder name of this sampling in a store root, for example `segment-24-8` or `video-8`."""
        parts = (self.unit, self.clip_length, self.frames_per_clip)
        return "-".join(str(part) for part in parts if part is not None)


@dataclass(frozen=True)
class Clip:
    """Frames `[start_frame, stop_frame)` of a video; `frame_indices` are the ones the backbone sees, ascending.

    Indices repeat when a clip is shorter than `frames_per_clip`.
    """

    video_id: str
    index: int
    start_frame: int
    stop_frame: int
    frame_indices: tuple[int, ...]


def sample_frames(start_frame: int, stop_frame: int, count: int) -> tuple[int, ...]:
    """Return the middle frames of `count` equal parts of `[start_frame, stop_frame)`, ascending.

    Frame i is `start + floor((2 i + 1) length / (2 count))`. Indices repeat when the clip is shorter than `count`.
    """
    length = stop_frame - start_frame
    return tuple(start_frame + (2 * part + 1) * length // (2 * count) for part in range(count))


def segment(video: Video, sampling: Sampling) -> list[Clip]:
    """Cut a video into clips.

    With unit "segment", clip t covers `[t w, min((t+1) w, n))`: ceil(n / w) clips, the last one may be short. With
    unit "video" there is one clip, `[0, n)`. A video without frames has no clips.

    Raises:
        VadprobeError: if the number of frames is not known.
    """
    if video.n_frames is None:
        raise VadprobeError(
            f"video {video.video_id!r} has no frame count; probe the file (vadprobe plan) before cutting it into clips."
        )
    length = sampling.clip_length or max(video.n_frames, 1)
    return [
        Clip(
            video_id=video.video_id,
            index=index,
            start_frame=start,
            stop_frame=(stop := min(start + length, video.n_frames)),
            frame_indices=sample_frames(start, stop, sampling.frames_per_clip),
        )
        for index, start in enumerate(range(0, video.n_frames, length))
    ]


def to_frames(values: np.ndarray, start_frames: np.ndarray, stop_frames: np.ndarray, n_frames: int) -> np.ndarray:
    """Spread one value per clip over the frames of one video: the inverse of `segment`.

    Args:
        values: (n,) any dtype, one per clip.
        start_frames, stop_frames: (n,) integers, half-open; together they must cover `[0, n_frames)` exactly once.
        n_frames: frames of the video.

    Returns:
        (n_frames,) of the dtype of `values`.

    Raises:
        VadprobeError: if a frame is covered twice or not at all.
    """
    if not len(values) == len(start_frames) == len(stop_frames):
        raise VadprobeError(
            f"the clips do not cover the {n_frames} frames of the video: each clip must have one value, start and "
            f"stop frame, got {len(values)}, {len(start_frames)} and {len(stop_frames)}."
        )
    order = np.argsort(start_frames, kind="stable")
    starts, stops = np.asarray(start_frames)[order], np.asarray(stop_frames)[order]
    edges = np.concatenate([[0], stops])
    if not np.array_equal(np.concatenate([starts, [n_frames]]), edges) or np.any(stops < starts):
        raise VadprobeError(
            f"the clips do not cover the {n_frames} frames of the video exactly once: they start at "
            f"{starts.tolist()[:8]} and stop at {stops.tolist()[:8]} (half-open, first eight shown). "
            "Pass all clips of one video."
        )
    return np.repeat(np.asarray(values)[order], stops - starts)
