"""Export of features as plain files, one for each video: `.npy` or `.safetensors`, with an index that describes them.

An interrupted export continues where it stopped: files that agree with the index are kept. Memory holds one partition
of each array, however long a video is.
"""

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from vadprobe.store.errors import VadprobeError
from vadprobe.store.exchange.array_files import (
    FileContent,
    safetensors_block,
    safetensors_header,
    write_blocks,
    write_npy,
)
from vadprobe.store.exchange.export_choice import (
    FORMATS,
    ExportChoice,
    ExportedVideo,
    Format,
    Parts,
    chosen_parts,
    chosen_videos,
)
from vadprobe.store.exchange.export_folder import INDEX, export_header, sole_exporter, stored_index
from vadprobe.store.files.atomic_files import write_json
from vadprobe.store.files.digests import digest_file, digest_json
from vadprobe.store.format.schema import feature_arrays, storage_dtype
from vadprobe.store.progress import Progress
from vadprobe.store.reading.feature_store import FeatureStore
from vadprobe.store.writing.disk_space import require_space

_SAVE_SECONDS = 5.0  # seconds between two writings of the index; files not in it are written again after a kill


@dataclass(frozen=True)
class Exported:
    """Summary of an export.

    Attributes:
        n_written: videos written now.
        n_kept: videos kept from an earlier call.
        n_rows: rows of all videos.
        n_failed: rows that are NaN.
        n_bytes: bytes written now.
        renamed: videos whose name is no safe file name.
        left_out: videos that are not exported because the store lacks rows of them.
    """

    n_written: int
    n_kept: int
    n_rows: int
    n_failed: int
    n_bytes: int
    renamed: int
    left_out: int


def export(store: FeatureStore, out: Path, choice: ExportChoice, report: Progress | None = None) -> Exported:
    """Write the features of videos into a folder.

    `npy`: `OUT/<array>/<video>.npy`, float16 or float32. `safetensors`: `OUT/<video>.safetensors` with the arrays as
    tensors, a bfloat16 store's as BF16. `OUT/index.json` names store, layers, heads, and for each video its file, rows,
    frames, failed rows (NaN in the files) and digests. A video whose name is no safe file name gets another one, which
    the index has.

    Raises:
        StoreError: if the store is not finished or lacks what is chosen.
        VadprobeError: if the folder holds something else, or the choice contradicts itself.
    """
    return _Export.prepare(store, out, choice).run(report)


@dataclass
class _Export:
    store: FeatureStore
    out: Path
    format: Format
    parts: Parts
    header: dict[str, Any]
    videos: Sequence[ExportedVideo]
    left_out: int
    index: dict[str, Any]
    cache: dict[str, tuple[int, np.ndarray]] = field(default_factory=dict)
    n_bytes: int = 0

    @classmethod
    def prepare(cls, store: FeatureStore, out: Path, choice: ExportChoice) -> "_Export":
        """Return the export with all its choices made; refuse impossible choices before any file is written."""
        if choice.format not in FORMATS:
            raise VadprobeError(f"format must be {' or '.join(FORMATS)}, got {choice.format!r}.")
        store.check_finished()
        parts = chosen_parts(store, choice)
        videos, left_out = chosen_videos(store, choice.videos)
        header = export_header(store, choice.format, parts)
        return cls(store, out, choice.format, parts, header, videos, left_out, stored_index(out, header))

    def run(self, report: Progress | None) -> Exported:
        """Write the videos that are missing in the folder."""
        left = [video for video in self.videos if video.video_id not in self.index]
        require_space(self.out, sum(self._size(video) for video in left))
        with sole_exporter(self.out):
            kept = self._write_missing(report)
        wanted = {video.video_id for video in self.videos}
        return Exported(
            n_written=len(self.videos) - kept,
            n_kept=kept,
            n_rows=sum(video.stop - video.start for video in self.videos),
            n_failed=sum(len(entry["failed"]) for name, entry in self.index.items() if name in wanted),
            n_bytes=self.n_bytes,
            renamed=sum(video.stem != video.video_id for video in self.videos),
            left_out=self.left_out,
        )

    def _write_missing(self, report: Progress | None) -> int:
        """Write the missing videos, and the index at intervals and at the end; return how many videos were there."""
        kept, saved = 0, time.monotonic()
        self._save()  # before any file, so that the folder of a killed export is recognised
        try:
            for number, video in enumerate(self.videos):
                if self._is_there(video):
                    kept += 1
                else:
                    self.index[video.video_id] = self._entry(video, self._write(video))
                if report:
                    report(number + 1, len(self.videos))
                if time.monotonic() - saved > _SAVE_SECONDS:
                    self._save()
                    saved = time.monotonic()
        finally:
            self._save()
        return kept

    def _save(self) -> None:
        write_json(self.out / INDEX, {**self.header, "videos": self.index})

    def _is_there(self, video: ExportedVideo) -> bool:
        """Return whether the index describes these rows as the store has them, and the files have its digests."""
        entry = self.index.get(video.video_id)
        if entry is None:
            return False
        try:
            files = {name: FileContent(file["sha256"], file["bytes"]) for name, file in entry["files"].items()}
            if entry != self._entry(video, files) or files.keys() != self._paths(video).keys():
                return False
            found = {name: self.out / path for name, path in self._paths(video).items()}
        except (KeyError, TypeError, AttributeError):
            return False
        return all(
            path.is_file() and path.stat().st_size == files[name].n_bytes and digest_file(path) == files[name].sha256
            for name, path in found.items()
        )

    def _paths(self, video: ExportedVideo) -> dict[str, str]:
        """Return the paths of a video's files below the folder: one per array for npy, one in all for safetensors."""
        if self.format == "npy":
            return {name: f"{name}/{video.stem}.npy" for name in self.parts}
        return {"tensors": f"{video.stem}.safetensors"}

    def _entry(self, video: ExportedVideo, files: Mapping[str, FileContent]) -> dict[str, Any]:
        clips, rows = self.store.clips, slice(video.start, video.stop)
        paths = self._paths(video)
        failures = {row: self.store.failures[row] for row in range(rows.start, rows.stop) if row in self.store.failures}
        partitions = self._partitions(video)
        return {
            "rows": [rows.start, rows.stop],
            "start_frames": clips.start_frames[rows].tolist(),
            "stop_frames": clips.stop_frames[rows].tolist(),
            "failed": {str(row - rows.start): reason for row, reason in failures.items()},
            "records_digest": digest_json([self.store.records[number]["digest"] for number in partitions]),
            "files": {
                name: {"path": paths.get(name, ""), "sha256": file.sha256, "bytes": file.n_bytes}
                for name, file in files.items()
            },
        }

    def _write(self, video: ExportedVideo) -> dict[str, FileContent]:
        """Write a video's files."""
        kind = self.store.spec.backbone.dtype
        paths = {name: self.out / path for name, path in self._paths(video).items()}
        for path in paths.values():
            if path.parent.is_symlink():
                raise VadprobeError(
                    f"{path.parent} is a link, and nothing is written outside of {self.out}; remove the link."
                )
        if self.format == "npy":
            files = {
                name: write_npy(path, self._shape(name, video), storage_dtype(kind), self._blocks(name, video))
                for name, path in paths.items()
            }
        else:
            tensors = {name: (kind, self._shape(name, video)) for name in self.parts}
            header = safetensors_header(tensors, {"video": video.video_id, "store": self.store.spec.digest})
            blocks = (safetensors_block(block, kind) for name in self.parts for block in self._blocks(name, video))
            files = {"tensors": write_blocks(paths["tensors"], header, blocks)}
        self.n_bytes += sum(file.n_bytes for file in files.values())
        return files

    def _blocks(self, name: str, video: ExportedVideo) -> Iterator[np.ndarray]:
        """Yield a video's rows of an array in blocks, one for each partition that they lie in."""
        for number in self._partitions(video):
            rows, values = self._partition(name, number)
            yield values[max(video.start, rows.start) - rows.start : min(video.stop, rows.stop) - rows.start]

    def _partitions(self, video: ExportedVideo) -> range:
        """Return the partitions that a video's rows lie in."""
        per = self.store.contents.partition_rows
        return range(video.start // per, -(-video.stop // per))

    def _partition(self, name: str, number: int) -> tuple[slice, np.ndarray]:
        """Return rows and values of a partition; the latest is kept, so that following videos do not read it again."""
        rows = self.store.contents.rows(number, len(self.store.clips))
        if self.cache.get(name, (-1, None))[0] != number:
            self.cache.pop(name, None)  # free the previous one before the next is read
            self.cache[name] = (number, self._read(name, np.arange(rows.start, rows.stop)))
        return rows, self.cache[name][1]

    def _read(self, name: str, rows: np.ndarray) -> np.ndarray:
        if name == "answer_logits":
            return self.store.answer_logits(rows)
        part = self.parts[name]
        backbone = self.store.spec.backbone
        if name == "hidden_states":
            return self.store.hidden_states(rows, range(backbone.n_layers + 1) if part is None else part)
        return (
            self.store.blocks(rows, range(backbone.n_layers)) if part is None else self.store.head_outputs(rows, part)
        )

    def _shape(self, name: str, video: ExportedVideo) -> tuple[int, ...]:
        count, backbone, part = video.stop - video.start, self.store.spec.backbone, self.parts[name]
        if part is None:
            declared = next(a for a in feature_arrays(backbone, self.store.spec.n_clips) if a.name == name)
            return declared.rows(count)
        if name == "hidden_states":
            return (count, len(part), backbone.hidden_size)
        return (count, len(part), max(backbone.head_shapes[block][1] for block, _ in part))

    def _size(self, video: ExportedVideo) -> int:
        values = sum(math.prod(self._shape(name, video)) for name in self.parts)
        dtype = self.store.spec.backbone.dtype
        halves = dtype == "float16" or (dtype == "bfloat16" and self.format == "safetensors")
        return values * (2 if halves else 4)
