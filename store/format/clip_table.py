"""The clip table: which frames of which video each row of a store stands for."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa

from vadprobe.store.datasets.video import Video
from vadprobe.store.errors import StoreError, VadprobeError
from vadprobe.store.files.atomic_files import write_bytes
from vadprobe.store.files.digests import digest_integers, digest_json
from vadprobe.store.files.location import StorePath
from vadprobe.store.files.object_store import ForbiddenError
from vadprobe.store.files.parquet import as_numpy, names_of, parquet_bytes, read_parquet
from vadprobe.store.format.sampling import Clip, Sampling, segment

_SCHEMA = pa.schema(
    [
        pa.field("row", pa.int64(), nullable=False),
        pa.field("video_id", pa.string(), nullable=False),
        pa.field("video_code", pa.int32(), nullable=False),
        pa.field("index", pa.int32(), nullable=False),
        pa.field("start_frame", pa.int64(), nullable=False),
        pa.field("stop_frame", pa.int64(), nullable=False),
        pa.field("frame_indices", pa.list_(pa.int64()), nullable=False),
    ]
)


@dataclass(frozen=True, eq=False)
class ClipTable:
    """Table of clips: row n of every store of a dataset and sampling has the features of row n of this table.

    A video's clips are contiguous and in order; clip n covers the frames `[start_frames[n], stop_frames[n])`.

    Attributes:
        sampling: the way the videos were cut.
        video_ids: name of each video.
        fps: (n_videos,) float64, frames per second; NaN if not known.
        fingerprints: fingerprint of the file that each video's frames were read from.
        video_codes: (n_clips,) int32, index into `video_ids`.
        indices: (n_clips,) int32, position of the clip in its video.
        start_frames: (n_clips,) int64, first frame.
        stop_frames: (n_clips,) int64, the frame after the last.
        frame_indices: (n_clips, frames_per_clip) int64, the frames that the backbone sees, ascending.
    """

    sampling: Sampling
    video_ids: tuple[str, ...]
    fps: np.ndarray
    fingerprints: tuple[str, ...]
    video_codes: np.ndarray
    indices: np.ndarray
    start_frames: np.ndarray
    stop_frames: np.ndarray
    frame_indices: np.ndarray

    @classmethod
    def build(cls, videos: Sequence[Video], fingerprints: Sequence[str], sampling: Sampling) -> "ClipTable":
        """Cut probed videos into clips in the given order; each needs the fingerprint of its file."""
        if len(fingerprints) != len(videos):
            raise VadprobeError(f"each of the {len(videos)} videos must have one fingerprint, got {len(fingerprints)}.")
        clips = [(code, clip) for code, video in enumerate(videos) for clip in segment(video, sampling)]
        return cls(
            sampling=sampling,
            video_ids=tuple(video.video_id for video in videos),
            fps=np.array([video.fps for video in videos], dtype=np.float64),
            fingerprints=tuple(fingerprints),
            video_codes=np.array([code for code, _ in clips], dtype=np.int32),
            indices=np.array([clip.index for _, clip in clips], dtype=np.int32),
            start_frames=np.array([clip.start_frame for _, clip in clips], dtype=np.int64),
            stop_frames=np.array([clip.stop_frame for _, clip in clips], dtype=np.int64),
            frame_indices=np.array([clip.frame_indices for _, clip in clips], dtype=np.int64).reshape(
                len(clips), sampling.frames_per_clip
            ),
        )

    def __len__(self) -> int:
        return len(self.video_codes)

    def clip(self, row: int) -> Clip:
        """Return the clip of one row."""
        return Clip(
            video_id=self.video_ids[self.video_codes[row]],
            index=int(self.indices[row]),
            start_frame=int(self.start_frames[row]),
            stop_frame=int(self.stop_frames[row]),
            frame_indices=tuple(self.frame_indices[row].tolist()),
        )

    def rows_of(self, video_ids: Iterable[str]) -> np.ndarray:
        """Return the rows (int64, ascending) of the named videos; names that the table lacks have none."""
        names = set(video_ids)
        codes = [code for code, video_id in enumerate(self.video_ids) if video_id in names]
        return np.flatnonzero(np.isin(self.video_codes, codes))

    def first(self, n_clips: int) -> "ClipTable":
        """Return the first `n_clips` clips and their videos, as the table was before clips were appended."""
        n_videos = int(self.video_codes[:n_clips].max(initial=-1)) + 1
        return ClipTable(
            self.sampling,
            self.video_ids[:n_videos],
            self.fps[:n_videos],
            self.fingerprints[:n_videos],
            self.video_codes[:n_clips],
            self.indices[:n_clips],
            self.start_frames[:n_clips],
            self.stop_frames[:n_clips],
            self.frame_indices[:n_clips],
        )

    def of_videos(self, codes: Sequence[int]) -> "ClipTable":
        """Return the clips of the videos `video_ids[code]`, video after video in the order of `codes`."""
        rows = np.concatenate([np.flatnonzero(self.video_codes == code) for code in codes] or [np.empty(0, np.int64)])
        places = np.full(len(self.video_ids), -1, np.int32)
        places[list(codes)] = np.arange(len(codes), dtype=np.int32)
        return ClipTable(
            self.sampling,
            tuple(self.video_ids[code] for code in codes),
            self.fps[list(codes)],
            tuple(self.fingerprints[code] for code in codes),
            places[self.video_codes[rows]],
            self.indices[rows],
            self.start_frames[rows],
            self.stop_frames[rows],
            self.frame_indices[rows],
        )

    def begins_with(self, other: "ClipTable") -> bool:
        """Return whether the other table equals the first rows and videos of this one."""
        return len(other) <= len(self) and self.first(len(other)).digest == other.digest

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the content, the same whichever library version wrote the Parquet file."""
        return digest_json(
            {
                "sampling": self.sampling.key,
                "videos": list(self.video_ids),
                "fps": [repr(value) for value in self.fps.tolist()],
                "fingerprints": list(self.fingerprints),
                "rows": digest_integers(
                    [self.video_codes, self.indices, self.start_frames, self.stop_frames, self.frame_indices]
                ),
            }
        )

    def row_digest(self, rows: slice) -> str:
        """Return a SHA-256 of video names, cuts and sampled frames of some rows; a partition's record holds it."""
        return digest_json(
            [
                [self.video_ids[code] for code in self.video_codes[rows].tolist()],
                self.start_frames[rows].tolist(),
                self.stop_frames[rows].tolist(),
                self.frame_indices[rows].tolist(),
            ]
        )

    def write(self, path: StorePath) -> None:
        """Write the table as two Parquet files, each whole or not at all; between them, the earlier table is valid."""
        path.parent.mkdir(parents=True, exist_ok=True)
        files = self.files()
        write_bytes(_videos_path(path), files["clip_videos.parquet"])
        write_bytes(path, files["clips.parquet"])

    def files(self) -> dict[str, bytes]:
        """Return the content of both Parquet files by name."""
        table = pa.table(
            {
                "row": np.arange(len(self), dtype=np.int64),
                "video_id": names_of(self.video_ids, self.video_codes),
                "video_code": self.video_codes,
                "index": self.indices,
                "start_frame": self.start_frames,
                "stop_frame": self.stop_frames,
                "frame_indices": pa.array(list(self.frame_indices), pa.list_(pa.int64())),
            },
            schema=_SCHEMA,
        )
        cut = f"{self.sampling.unit},{self.sampling.clip_length or ''},{self.sampling.frames_per_clip}"
        table = table.replace_schema_metadata({"vadprobe.sampling": cut, "vadprobe.digest": self.digest})
        videos = pa.table({"video_id": list(self.video_ids), "fps": self.fps, "fingerprint": list(self.fingerprints)})
        return {"clip_videos.parquet": parquet_bytes(videos), "clips.parquet": parquet_bytes(table)}

    @classmethod
    def read(cls, path: StorePath) -> "ClipTable":
        """Read the two files that `write` wrote.

        Raises:
            StoreError: if a file is missing or damaged, or its content is not what its digest says.
        """
        for file in (path, _videos_path(path)):
            if not file.exists():
                raise StoreError(
                    f"no clip table at {path} ({file.name} is missing); run 'vadprobe plan' for this dataset and "
                    "sampling first, or check the store's root."
                )
        try:
            return cls._from_tables(path, read_parquet(path), read_parquet(_videos_path(path)))
        except (StoreError, ForbiddenError):
            raise
        except (pa.ArrowException, OSError, LookupError, TypeError, ValueError) as error:
            raise StoreError(f"the clip table {path} cannot be read ({error}); restore it from a copy.") from error

    @classmethod
    def _from_tables(cls, path: StorePath, table: pa.Table, videos: pa.Table) -> "ClipTable":
        metadata = {key.decode(): value.decode() for key, value in (table.schema.metadata or {}).items()}
        unit, length, frames = metadata["vadprobe.sampling"].split(",")
        result = cls(
            sampling=Sampling(unit, int(length) if length else None, int(frames)),
            video_ids=tuple(videos["video_id"].to_pylist()),
            fps=as_numpy(videos["fps"]),
            fingerprints=tuple(videos["fingerprint"].to_pylist()),
            video_codes=as_numpy(table["video_code"]),
            indices=as_numpy(table["index"]),
            start_frames=as_numpy(table["start_frame"]),
            stop_frames=as_numpy(table["stop_frame"]),
            frame_indices=_rectangle(table["frame_indices"], int(frames)),
        )
        if result.digest != metadata["vadprobe.digest"]:
            result = result.first(len(result))  # without videos that were to be appended when a process was killed
        if result.digest != metadata["vadprobe.digest"]:
            raise StoreError(
                f"the clip table {path} was changed after it was written: its content has digest {result.digest[:12]}, "
                f"its own record says {metadata['vadprobe.digest'][:12]}. Restore it from a copy."
            )
        rows, names = np.arange(len(result)), [result.video_ids[code] for code in result.video_codes.tolist()]
        if not np.array_equal(as_numpy(table["row"]), rows) or table["video_id"].to_pylist() != names:
            raise StoreError(f"the columns row and video_id of {path} were changed; restore the table from a copy.")
        return result


def _rectangle(lists: pa.ChunkedArray, width: int) -> np.ndarray:
    """Return lists of equal length as the rows of an int64 matrix; ValueError if one has another length."""
    joined = lists.combine_chunks()
    edges = as_numpy(joined.offsets)  # Arrow's functions of lists say the same, and take longer to import
    if joined.null_count or not np.all(np.diff(edges) == width):
        raise ValueError(f"every list of frame_indices must have {width} frames")
    flat = joined.values.slice(int(edges[0]), len(lists) * width)
    return np.asarray(as_numpy(flat), dtype=np.int64).reshape(len(lists), width)


def _videos_path(path: StorePath) -> StorePath:
    return path.with_name("clip_videos.parquet")
