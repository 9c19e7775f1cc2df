"""Features as plain files, one for each video: ``.npy`` or ``.safetensors``, with an index that says what they are.

An export goes on where it stopped: a file that is what the index says is kept. Memory holds one partition of each
array, however long a video is.
"""

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from vadprobe.store.array_files import FileContent, safetensors_block, safetensors_header, write_blocks, write_npy
from vadprobe.store.contents import Head
from vadprobe.store.digests import digest_file, digest_json
from vadprobe.store.durable import read_json, write_json
from vadprobe.store.errors import StoreError, VadprobeError
from vadprobe.store.file_names import file_names
from vadprobe.store.reader import FeatureStore
from vadprobe.store.schema import PARTITION_ROWS, feature_arrays, partition_rows, storage_dtype
from vadprobe.store.space import require_space

Format = Literal["npy", "safetensors"]
FORMATS: tuple[Format, ...] = ("npy", "safetensors")
ARRAYS = ("hidden_states", "head_outputs", "answer_logits")
INDEX = "index.json"
EXPORT_VERSION = 1
"""Version of the index."""

_SAVE_SECONDS = 5.0  # what is written in between is written again if the process is killed

Report = Callable[[int, int], None]
"""Called after each video with (done, all)."""


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
class Exported:
    """What an export came to: videos written now, kept from before, rows, failed rows, and bytes written."""

    n_written: int
    n_kept: int
    n_rows: int
    n_failed: int
    n_bytes: int
    renamed: int
    left_out: int


def export(store: FeatureStore, out: Path, choice: ExportChoice, report: Report | None = None) -> Exported:
    """Write the features of videos into a folder.

    ``npy``: ``OUT/<array>/<video>.npy``, float16 or float32. ``safetensors``: ``OUT/<video>.safetensors`` with the
    arrays as tensors, a bfloat16 store's as BF16. ``OUT/index.json`` names store, layers, heads, and for each video its
    file, rows, frames, failed rows (NaN in the files) and digests. A video whose name is none for a file gets another
    one, which the index names.

    Raises:
        StoreError: if the store is not finished or lacks what is chosen.
        VadprobeError: if the folder holds something else, or the choice contradicts itself.
    """
    return _Export.prepare(store, out, choice).run(report)


@dataclass(frozen=True)
class _Video:
    """A video's rows ``[start, stop)`` and the stem of its files."""

    video_id: str
    stem: str
    start: int
    stop: int


@dataclass
class _Export:
    store: FeatureStore
    out: Path
    format: Format
    parts: Mapping[str, tuple[Any, ...] | None]
    header: dict[str, Any]
    videos: Sequence[_Video]
    left_out: int
    index: dict[str, Any]
    cache: dict[str, tuple[int, np.ndarray]] = field(default_factory=dict)
    n_bytes: int = 0

    @classmethod
    def prepare(cls, store: FeatureStore, out: Path, choice: ExportChoice) -> "_Export":
        """Decide everything, and refuse what cannot be done, before a file is written."""
        if choice.format not in FORMATS:
            raise VadprobeError(f"format is {choice.format!r}; {' or '.join(FORMATS)} is wanted.")
        store.check_finished()
        parts = _parts(store, choice)
        videos, left_out = _videos(store, choice.videos)
        header = _header(store, choice.format, parts)
        return cls(store, out, choice.format, parts, header, videos, left_out, _index(out, header))

    def run(self, report: Report | None) -> Exported:
        """Write what is missing, the index now and then, and at the end whatever happens."""
        kept, saved = 0, time.monotonic()
        left = [video for video in self.videos if video.video_id not in self.index]
        require_space(self.out, sum(self._size(video) for video in left))
        self.out.mkdir(parents=True, exist_ok=True)
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

    def _save(self) -> None:
        write_json(self.out / INDEX, {**self.header, "videos": self.index})

    def _is_there(self, video: _Video) -> bool:
        """Whether the index speaks of these rows as the store has them now, and the files are what it says."""
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

    def _paths(self, video: _Video) -> dict[str, str]:
        """Files of a video below the folder: by array for npy, one for all for safetensors."""
        if self.format == "npy":
            return {name: f"{name}/{video.stem}.npy" for name in self.parts}
        return {"tensors": f"{video.stem}.safetensors"}

    def _entry(self, video: _Video, files: Mapping[str, FileContent]) -> dict[str, Any]:
        clips, rows = self.store.clips, slice(video.start, video.stop)
        paths = self._paths(video)
        failures = {row: self.store.failures[row] for row in range(rows.start, rows.stop) if row in self.store.failures}
        partitions = range(video.start // PARTITION_ROWS, -(-video.stop // PARTITION_ROWS))
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

    def _write(self, video: _Video) -> dict[str, FileContent]:
        """Write a video's files."""
        kind = self.store.spec.backbone.dtype
        paths = {name: self.out / path for name, path in self._paths(video).items()}
        for path in paths.values():
            if path.parent.is_symlink():
                raise VadprobeError(f"{path.parent} is a link; nothing is written outside of {self.out}. Remove it.")
        if self.format == "npy":
            files = {
                name: write_npy(path, self._shape(name, video), storage_dtype(kind), self._blocks(name, video))
                for name, path in paths.items()
            }
        else:
            tensors = {name: (kind, self._shape(name, video)) for name in self.parts}
            header = safetensors_header(tensors, {"video": video.video_id, "store": self.store.spec.digest})
            blocks = (safetensors_block(block, kind) for name in self.parts for block in self._blocks(name, video))
            files = {"tensors": write_blocks(paths["tensors"], [header], blocks)}
        self.n_bytes += sum(file.n_bytes for file in files.values())
        return files

    def _blocks(self, name: str, video: _Video) -> Iterator[np.ndarray]:
        """A video's rows of an array, as many at once as lie in one partition."""
        for number in range(video.start // PARTITION_ROWS, -(-video.stop // PARTITION_ROWS)):
            rows, values = self._partition(name, number)
            yield values[max(video.start, rows.start) - rows.start : min(video.stop, rows.stop) - rows.start]

    def _partition(self, name: str, number: int) -> tuple[slice, np.ndarray]:
        """All rows of a partition. The videos of a partition follow one another, so each one is read once."""
        rows = partition_rows(number, len(self.store.clips))
        if self.cache.get(name, (-1, None))[0] != number:
            self.cache.pop(name, None)  # not two at once
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

    def _shape(self, name: str, video: _Video) -> tuple[int, ...]:
        count, backbone, part = video.stop - video.start, self.store.spec.backbone, self.parts[name]
        if part is None:
            declared = next(a for a in feature_arrays(backbone, self.store.spec.n_clips) if a.name == name)
            return declared.rows(count)
        return (count, len(part), backbone.hidden_size if name == "hidden_states" else backbone.head_dim)

    def _size(self, video: _Video) -> int:
        values = sum(math.prod(self._shape(name, video)) for name in self.parts)
        dtype = self.store.spec.backbone.dtype
        halves = dtype == "float16" or (dtype == "bfloat16" and self.format == "safetensors")
        return values * (2 if halves else 4)


def _parts(store: FeatureStore, choice: ExportChoice) -> dict[str, tuple[Any, ...] | None]:
    """The arrays to be exported, each with its layers or heads; None for all of them."""
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


def _videos(store: FeatureStore, names: tuple[str, ...] | None) -> tuple[list[_Video], int]:
    """The videos to be exported, in the order of their rows, and how many are left out as the store lacks rows."""
    clips = store.clips
    codes, starts, counts = np.unique(clips.video_codes, return_index=True, return_counts=True)
    stems = file_names(clips.video_ids)
    held = np.concatenate([[0], np.cumsum(store.held)])
    videos: list[_Video] = []
    lacking: list[_Video] = []
    for code, start, count in zip(codes.tolist(), starts.tolist(), counts.tolist(), strict=True):
        video = _Video(clips.video_ids[code], stems[clips.video_ids[code]], start, start + count)
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


def _header(store: FeatureStore, format_name: Format, parts: Mapping[str, tuple[Any, ...] | None]) -> dict[str, Any]:
    """What all files of an export have in common; an export goes on only where this is the same."""
    spec = store.spec
    arrays = {}
    for array in feature_arrays(spec.backbone, spec.n_clips):
        if array.name not in parts:
            continue
        part = parts[array.name]
        entry: dict[str, Any] = {"dims": list(array.dims), "meaning": array.prose}
        if array.name == "hidden_states":
            entry["layers"] = list(range(spec.backbone.n_layers + 1) if part is None else part)
        elif array.name == "head_outputs" and part is not None:
            entry |= {"dims": ["clip", "head", "head_dim"], "heads": [list(head) for head in part]}
        arrays[array.name] = entry
    return {
        "vadprobe_export": EXPORT_VERSION,
        "format": format_name,
        "store": {
            "digest": spec.digest,
            "clips_digest": spec.clips_digest,
            "dataset": spec.dataset,
            "sampling": spec.sampling.key,
            "backbone": spec.backbone.key,
            "prompt": spec.prompt.key,
        },
        "values": spec.backbone.dtype,
        "stored_as": spec.backbone.dtype if format_name == "safetensors" else storage_dtype(spec.backbone.dtype).name,
        "arrays": arrays,
    }


def _index(out: Path, header: Mapping[str, Any]) -> dict[str, Any]:
    """The videos that the folder holds already.

    Raises:
        VadprobeError: if it holds something else.
    """
    if any(part.endswith((".zarr", ".records")) for part in out.absolute().parts):
        raise VadprobeError(f"{out} lies inside of a store; name a folder of its own for the export.")
    try:
        found = read_json(out / INDEX)
    except NotADirectoryError as error:
        raise VadprobeError(f"{out} is a file; a folder is wanted.") from error
    except FileNotFoundError:
        if out.exists() and any(not path.name.endswith(".partial") for path in out.rglob("*") if path.is_file()):
            raise VadprobeError(
                f"{out} has files but no {INDEX}, so it is no export; name an empty or a new folder."
            ) from None
        return {}
    if not isinstance(found, dict) or not isinstance(found.get("videos"), dict):
        raise VadprobeError(f"{out / INDEX} is not the index of an export; name an empty or a new folder.")
    differing = [name for name in header if found.get(name) != header[name]]
    if differing:
        name = differing[0]
        what = "another store" if name == "store" else f"another choice ({name} differ)"
        raise VadprobeError(f"{out} holds the export of {what}; nothing was changed. Name an empty or a new folder.")
    return dict(found["videos"])
