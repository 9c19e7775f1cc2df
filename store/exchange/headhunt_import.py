"""Import of HeadHunt-VAD's pickles as a feature store with all heads, no hidden states and no answer logits."""

import csv
import io
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from vadprobe.store.datasets.annotations.tables import read_table
from vadprobe.store.datasets.video import Video
from vadprobe.store.errors import VadprobeError
from vadprobe.store.exchange.headhunt_files import (
    UNREADABLE,
    HeadHuntVideo,
    Layout,
    describe_file,
    headhunt_files,
    is_anomalous,
    read_file,
    reason_of,
)
from vadprobe.store.files.atomic_files import write_bytes
from vadprobe.store.files.digests import digest_json
from vadprobe.store.files.location import StorePath
from vadprobe.store.format.clip_table import ClipTable
from vadprobe.store.format.layout import DatasetLayout
from vadprobe.store.format.prompts import Prompt
from vadprobe.store.format.sampling import Sampling
from vadprobe.store.format.schema import partition_rows, storage_dtype
from vadprobe.store.format.specification import BackboneSpec, FeatureSpec
from vadprobe.store.format.stored_parts import StoredParts
from vadprobe.store.progress import Progress
from vadprobe.store.writing.disk_space import require_space, stored_bytes
from vadprobe.store.writing.partition_data import PartitionData
from vadprobe.store.writing.writer import StoreWriter, plan

LABELS = "labels.csv"
UNKNOWN = "unknown"
"""Value that a specification has for facts that the pickles do not contain."""


@dataclass(frozen=True)
class HeadHuntImport:
    """Settings of an import that the pickles do not contain.

    `sampling` has the unit "video" for one vector per video, as the method's code computes it, or "segment".
    `frame_counts` are frames by video name; a file whose video they lack gives no row. If `frame_counts` is None, a
    video is given `clip_length` frames for each of its clips, or `frames_per_clip` for the unit "video", and the
    store's recipe says that its frames are unknown.
    """

    dataset: str
    backbone: str
    prompt: Prompt
    sampling: Sampling
    layout: Layout
    source: str = UNKNOWN
    revision: str = UNKNOWN
    hidden_size: int | None = None
    frame_counts: Mapping[str, int] | None = None
    normal_labels: tuple[str, ...] = ()


@dataclass(frozen=True)
class Imported:
    """Result of an import: the store, its labels, files that became failed rows, and files that gave no row."""

    store: StorePath
    labels: StorePath
    n_videos: int
    n_rows: int
    failed: tuple[str, ...]
    left_out: tuple[str, ...]


def import_headhunt(
    folder: Path,
    root: StorePath,
    settings: HeadHuntImport,
    described: Progress | None = None,
    written: Progress | None = None,
) -> Imported:
    """Read every pickle of a folder and write the store; partitions that were written before are kept.

    A file that cannot be read becomes a failed row with the reason, if its number of rows is known.

    Args:
        folder: holds the files.
        root: where the store goes.
        settings: facts that the files do not contain.
        described, written: called with (done, total) after each file that was examined, and after each partition.

    Raises:
        VadprobeError: if no file can be read, or two are of one video.
        StoreError: if a store of another specification is in the way.
    """
    paths = headhunt_files(folder)
    videos = []
    for number, path in enumerate(paths):
        videos.append(describe_file(path, settings.layout))
        if described:
            described(number + 1, len(paths))
    videos.sort(key=lambda found: found.video_id)  # sorted by video, so that all prompts get the same rows
    videos, shape = _alike(videos)
    _check_names(videos)
    counted, left_out = _counted(videos, settings)
    # The video files are not here. A pickle's digest is no substitute, since the prompts share one clip table.
    clips = ClipTable.build([video for video, _ in counted], [""] * len(counted), settings.sampling)
    spec = _specification(settings, clips, shape, [found for _, found in counted])
    layout = DatasetLayout(root, settings.dataset)
    labels = _labels(layout.folder / LABELS, videos, settings.normal_labels)
    writer = plan_heads_only(layout.store(settings.sampling, settings.backbone, settings.prompt.key), spec, clips)
    write_bytes(layout.folder / LABELS, labels)
    files = {video.video_id: (found.path, found.reason) for video, found in counted}
    _write(writer, files, settings.layout, written)
    failures = writer.commit()
    return Imported(
        store=writer.path,
        labels=layout.folder / LABELS,
        n_videos=len(counted),
        n_rows=len(clips),
        failed=tuple(dict.fromkeys(failures.values())),
        left_out=left_out,
    )


def plan_heads_only(path: StorePath, spec: FeatureSpec, clips: ClipTable) -> StoreWriter:
    """Plan a store of all heads and nothing else."""
    contents = StoredParts.of(spec.backbone, spec.n_clips, layers=(), answers=False)
    require_space(path.parent, stored_bytes(spec, contents, contents.partition_numbers(spec.n_clips)))
    return plan(path, spec, clips, contents)


def _alike(videos: Sequence[HeadHuntVideo]) -> tuple[list[HeadHuntVideo], tuple[int, ...]]:
    """Return the videos and their most frequent shape (blocks, heads, head_dim); all others get a reason."""
    shapes = Counter(video.shape[1:] for video in videos if video.reason is None)
    if not shapes:
        reasons = "; ".join(str(video.reason) for video in videos[:3])
        raise VadprobeError(f"none of the {len(videos)} files can be read: {reasons}.")
    shape = shapes.most_common(1)[0][0]
    checked = []
    for video in videos:
        if video.reason is None and video.shape[1:] != shape:
            reason = f"{video.file}: its shape is {video.shape[1:]}, most files have {shape} (blocks, heads, head_dim)"
            checked.append(replace(video, shape=(), dtype="", reason=reason))
        else:
            checked.append(video)
    return checked, shape


def _check_names(videos: Sequence[HeadHuntVideo]) -> None:
    first: dict[str, str] = {}
    for video in videos:
        other = first.setdefault(video.video_id, video.file)
        if other != video.file:
            raise VadprobeError(
                f"{other} and {video.file} are both of video {video.video_id!r}; a video must have one file. Import "
                "each prompt's folder on its own."
            )


def _counted(
    videos: Sequence[HeadHuntVideo], settings: HeadHuntImport
) -> tuple[list[tuple[Video, HeadHuntVideo]], tuple[str, ...]]:
    """Return the videos that get rows, each with its frames, and sentences about the files that get none."""
    counted, left_out = [], []
    for found in videos:
        n_frames = (settings.frame_counts or {}).get(found.video_id)
        n_segments = found.shape[0] if found.reason is None else None
        length = settings.sampling.clip_length
        if n_frames is None and settings.frame_counts is not None:
            reason = f"{found.file}: the frame counts do not name {found.video_id!r}"
            left_out.append(found.reason or reason)
            continue
        if n_frames is None:
            if length is not None and n_segments is None:
                left_out.append(str(found.reason))
                continue
            n_frames = settings.sampling.frames_per_clip if length is None else length * (n_segments or 0)
        rows = 1 if length is None else -(-n_frames // length)
        if n_segments is not None and n_segments != rows:
            reason = f"{found.file}: it holds {n_segments} segments, but {n_frames} frames make {rows}"
            found = replace(found, shape=(), dtype="", reason=reason)  # noqa: PLW2901
        counted.append((Video(found.video_id, "", n_frames), found))
    if not any(found.reason is None for _, found in counted):
        raise VadprobeError(f"no file gives a row: {'; '.join(left_out[:3]) or counted[0][1].reason}.")
    return counted, tuple(left_out)


def _specification(
    settings: HeadHuntImport, clips: ClipTable, shape: tuple[int, ...], videos: Sequence[HeadHuntVideo]
) -> FeatureSpec:
    blocks, heads, head_dim = shape
    kinds = {video.dtype for video in videos if video.reason is None}
    dtype = kinds.pop() if len(kinds) == 1 else "float32"
    backbone = BackboneSpec(
        key=settings.backbone,
        family=UNKNOWN,
        source=settings.source,
        revision=settings.revision,
        dtype="bfloat16" if dtype == "bfloat16" else "float16" if dtype == "float16" else "float32",
        attention=UNKNOWN,
        n_layers=blocks,
        n_heads=heads,
        head_dim=head_dim,
        hidden_size=settings.hidden_size or heads * head_dim,
    )
    return FeatureSpec(
        dataset=settings.dataset,
        clips_digest=clips.digest,
        n_clips=len(clips),
        sampling=settings.sampling,
        backbone=backbone,
        prompt=settings.prompt,
        recipe={
            "imported_from": "HeadHunt-VAD pickles",
            "files_digest": digest_json([[found.file, found.fingerprint] for found in videos]),
            "frames": "counted" if settings.frame_counts is not None else UNKNOWN,
            "hidden_size": "given" if settings.hidden_size else "heads x head_dim",
        },
    )


def _write(
    writer: StoreWriter, files: Mapping[str, tuple[Path, str | None]], layout: Layout, written: Progress | None
) -> None:
    """Write the missing partitions; a video's file is read once for each partition in which it has rows."""
    missing = writer.missing()
    for done, partition in enumerate(missing):
        rows = partition_rows(partition, len(writer.clips))
        spec, clips = writer.spec, writer.clips
        backbone = spec.backbone
        shape = (rows.stop - rows.start, backbone.n_layers, backbone.n_heads, backbone.head_dim)
        heads: np.ndarray = np.full(shape, np.nan, storage_dtype(backbone.dtype))
        failures: dict[int, str] = {}
        codes = clips.video_codes[rows]
        for code in dict.fromkeys(codes.tolist()):
            path, reason = files[clips.video_ids[code]]
            inside = np.flatnonzero(codes == code)
            if reason is None:
                try:
                    heads[inside] = read_file(path, layout)[clips.indices[rows][inside]]
                except UNREADABLE as error:
                    reason = reason_of(path, error)
            if reason is not None:
                failures |= {rows.start + int(row): reason for row in inside}
        nothing: np.ndarray = np.empty(0, heads.dtype)
        writer.write_partition(partition, PartitionData(nothing, heads, nothing, failures))
        if written:
            written(done + 1, len(missing))


def _labels(path: StorePath, videos: Sequence[HeadHuntVideo], normal: Sequence[str]) -> bytes:
    """Return the annotation table, joined with that of an earlier import of another prompt.

    Raises:
        VadprobeError: if the two contradict each other.
    """
    rows = {found.video_id: (_label_word(found, normal), found.label or "") for found in videos}
    for earlier in read_table(path).checked() if path.exists() else ():
        known = ("" if earlier.label is None else str(earlier.label), earlier.category or "")
        mine = rows.get(earlier.video_id, ("", ""))
        if known != ("", "") and mine not in (("", ""), known):
            raise VadprobeError(
                f"{path} says label {known[0] or 'unknown'} ({known[1]!r}) of {earlier.video_id!r}, these files say "
                f"{mine[0] or 'unknown'} ({mine[1]!r}); nothing was changed. Move it away, or use another --dataset."
            )
        rows[earlier.video_id] = mine if known == ("", "") else known
    text = io.StringIO(newline="")
    table = csv.writer(text, lineterminator="\n")
    table.writerow(("video_id", "label", "category"))
    table.writerows((name, *rows[name]) for name in sorted(rows))
    return text.getvalue().encode()


def _label_word(found: HeadHuntVideo, normal: Sequence[str]) -> str:
    label = is_anomalous(found.label, normal)
    return "" if label is None else str(label)
