"""Search for the clips of a store that are most similar to one of them, by cosine of hidden states or head outputs."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vadprobe.store.errors import VadprobeError
from vadprobe.store.files.text import first_few
from vadprobe.store.format.clip_table import ClipTable
from vadprobe.store.progress import Progress
from vadprobe.store.reading.feature_store import FeatureStore

_BLOCK_BYTES = 1 << 25  # features read at a time


@dataclass(frozen=True)
class SimilarClip:
    """A clip by its row, and the cosine, in [-1, 1], of its features with those of the clip in question."""

    row: int
    cosine: float


def row_of_clip(clips: ClipTable, name: str) -> int:
    """Return the row of a clip by its name: a row number, "VIDEO" for its first clip, or "VIDEO@FRAME".

    A name with an "@" that is the name of a video is taken as that video.

    Raises:
        VadprobeError: if the table has no such clip.
    """
    if name.isdecimal() and name not in clips.video_ids and int(name) < len(clips):
        return int(name)
    video, frame = (name, "0") if name in clips.video_ids else (name.rpartition("@")[0], name.rpartition("@")[2])
    rows = clips.rows_of([video])
    if not len(rows) or not frame.isdecimal():
        raise VadprobeError(
            f"the clip must be a row below {len(clips)}, VIDEO, or VIDEO@FRAME, got {name!r}; videos are "
            f"{first_few(list(clips.video_ids), 4)}."
        )
    inside = (clips.start_frames[rows] <= int(frame)) & (int(frame) < clips.stop_frames[rows])
    if not inside.any():
        last = int(clips.stop_frames[rows].max()) - 1
        raise VadprobeError(f"the frame must be from 0 to {last} of video {video!r}, got {frame}.")
    return int(rows[inside][0])


def similar_clips(
    store: FeatureStore,
    row: int,
    count: int,
    *,
    layer: int | None = None,
    heads: Sequence[tuple[int, int]] = (),
    other_videos: bool = False,
    progress: Progress | None = None,
) -> list[SimilarClip]:
    """Return the clips most similar to one clip, without itself and failed clips.

    They are sorted by descending cosine, and by row where cosines are equal. The cosine with a zero vector is 0.

    Args:
        store: the store, which must hold the layer or the heads.
        row: of the clip in question.
        count: largest number of clips.
        layer: compare hidden states of this layer, 0 the embedding; None to compare heads.
        heads: compare the outputs of these heads, as (block, head) from 0, joined to one vector.
        other_videos: leave out the clips of the same video.
        progress: called with (done, total) rows.

    Raises:
        VadprobeError: if the clip has no finite features, or if not exactly one of `layer` and `heads` is given.
    """
    if (layer is None) == (not heads):
        raise VadprobeError("features to compare must be either a layer or heads; give --layer or --heads.")

    def read(rows: np.ndarray) -> np.ndarray:
        values = store.hidden_states(rows, [layer]) if layer is not None else store.head_outputs(rows, list(heads))
        features = values.reshape(len(rows), -1).astype(np.float64)
        lengths = np.sqrt((features**2).sum(axis=1, keepdims=True))
        return np.asarray(features / np.where(lengths == 0, 1.0, lengths))

    asked = read(np.array([row]))[0]
    if not np.isfinite(asked).all():
        raise VadprobeError(f"row {row} has no features: {store.failures.get(row, 'they are not finite')}.")
    rows = np.flatnonzero(store.written & (np.arange(len(store.clips)) != row))
    if other_videos:
        rows = rows[store.clips.video_codes[rows] != store.clips.video_codes[row]]
    step = max(1, _BLOCK_BYTES // (8 * len(asked)))
    cosines = np.empty(len(rows))
    for start in range(0, len(rows), step):
        cosines[start : start + step] = read(rows[start : start + step]) @ asked
        if progress is not None:
            progress(min(start + step, len(rows)), len(rows))
    known = np.flatnonzero(np.isfinite(cosines))
    order = known[np.argsort(-cosines[known], kind="stable")][:count]
    return [SimilarClip(int(rows[place]), float(cosines[place])) for place in order]
