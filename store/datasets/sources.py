"""From a ``[dataset]`` section to a ``Dataset``: which files are read, and what they say, joined by name."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from vadprobe.store.datasets.annotations.conventions import IntervalConvention
from vadprobe.store.datasets.annotations.frame_counts import FrameCount, read_frame_counts
from vadprobe.store.datasets.annotations.hivau import read_hivau
from vadprobe.store.datasets.annotations.masks import read_masks
from vadprobe.store.datasets.annotations.names import (
    VIDEO_SUFFIXES,
    NameRule,
    msad_name,
    ucf_crime_name,
    video_name,
    xd_violence_name,
)
from vadprobe.store.datasets.annotations.rows.rows import Annotation, Reading, RowError, check_visible, visible
from vadprobe.store.datasets.annotations.split_lists import Listed, read_split_list
from vadprobe.store.datasets.annotations.tables import TABLE_SUFFIXES, read_table
from vadprobe.store.datasets.annotations.text_files import read_ucf_crime, read_xd_violence
from vadprobe.store.datasets.configuration import DatasetConfig
from vadprobe.store.datasets.dataset import Dataset, read_manifest
from vadprobe.store.datasets.joining import Finding, Joined, Parts, join, naming
from vadprobe.store.datasets.probed_videos import ProbedVideo
from vadprobe.store.datasets.validation_split import hold_out
from vadprobe.store.datasets.video import Split
from vadprobe.store.errors import VadprobeError

_NAME_RULES: dict[str, NameRule] = {"ucf-crime": ucf_crime_name, "xd-violence": xd_violence_name, "msad": msad_name}
_USUAL_NAMES: dict[str, dict[str, tuple[str, ...]]] = {
    "ucf-crime": {
        "annotation": ("Temporal_Anomaly_Annotation*.txt",),
        "train": ("Anomaly_Train*.txt",),
        "test": ("Anomaly_Test*.txt",),
    },
    "xd-violence": {
        "annotation": ("annotations.txt",),
        "train": ("train_videos.txt", "*train*.list"),
        "test": ("test_videos.txt", "*test*.list"),
    },
    "msad": {
        "annotation": ("Temporal_Anomaly_Annotation*.txt",),
        "train": ("anomaly_train*.txt",),
        "test": ("anomaly_test*.txt",),
    },
    "hivau": {"annotation": ("*_database_*.json",)},
}
_COUNT_NAMES = ("*frame_counts*.csv", "*frame_count*.csv")
_PROBED, _COUNTED, _SAID = "the video files", "the frame count file", "the annotation"


@dataclass(frozen=True)
class Source:
    """What was read of a dataset: every file with its rows, and the parts to join."""

    config: DatasetConfig
    readings: tuple[Reading[Any], ...]
    parts: Parts
    findings: tuple[Finding, ...] = ()

    def joined(self) -> Joined:
        """The dataset with all findings: of reading, of joining, and the validation split taken out."""
        joined = join(self.parts)
        dataset, validation = joined.dataset, self.config.validation
        if validation is not None:
            dataset = hold_out(dataset, validation.videos, validation.fraction, validation.seed)
        return Joined(dataset, self.findings + joined.findings)


@dataclass
class _Files:
    """The files that belong to a dataset, found by their usual names or given."""

    annotation: list[Path] = field(default_factory=list)
    lists: dict[Split, Path] = field(default_factory=dict)
    counts: Path | None = None


def read_source(config: DatasetConfig, workspace: Path, probed: Sequence[ProbedVideo] | None = None) -> Source:
    """Read every file of a dataset; rows that cannot be read become findings.

    Args:
        config: the section.
        workspace: where its relative paths begin.
        probed: what stage 1 found in the video files; then no video folder is looked at.

    Raises:
        VadprobeError: if a file or folder is missing or is not what it should be as a whole.
    """
    folder = workspace / config.videos if config.videos is not None else workspace
    if probed is None and config.videos is not None and not _is(Path.is_dir, folder):
        raise VadprobeError(
            f"the video folder {folder} does not exist; set 'videos' in [dataset], or --videos, to the folder that "
            "holds the files."
        )
    readings: list[Reading[Any]] = []
    if config.format == "folder":
        annotations: tuple[Annotation, ...] = ()
    elif config.format == "manifest":
        annotations = _manifest(config, workspace, folder, readings)
    else:
        files = _find_files(config, workspace)
        annotations = _annotations(config, files, readings)
    lists: dict[Split, tuple[Listed, ...]] = {}
    counts: dict[str, Mapping[str, tuple[int, float | None]]] = {}
    if probed is not None:
        counts[_PROBED] = {v.video_id: (v.n_frames, v.fps) for v in probed if v.n_frames is not None}
    if config.format not in ("folder", "manifest"):
        for split, path in files.lists.items():
            listed = read_split_list(path)
            readings.append(listed)
            lists[split] = listed.entries
    count_file = (
        files.counts if config.format not in ("folder", "manifest") else _given("frame_counts", config, workspace)
    )
    if count_file is not None:
        counted: Reading[FrameCount] = read_frame_counts(count_file)
        readings.append(counted)
        counts[_COUNTED] = {count.video_id: (count.n_frames, None) for count in counted.entries}
    counts[_SAID] = {a.video_id: (a.n_frames, a.fps) for a in annotations if a.n_frames is not None}
    counts["the split list"] = {i.video_id: (i.n_frames, None) for part in lists.values() for i in part if i.n_frames}
    found, repeated = (
        (None, ())
        if probed is not None or config.videos is None
        else scan_videos(
            folder, {a.video_id for a in annotations} | {i.video_id for part in lists.values() for i in part}
        )
    )
    parts = Parts(
        name=config.name,
        folder=folder,
        annotations=annotations,
        lists=lists,
        counts=counts,
        files=found,
        name_rule=_NAME_RULES.get(config.format),
        is_complete=config.format != "xd-violence",
    )
    if config.format == "folder":
        names = [v.video_id for v in probed] if probed is not None else list(found or ())
        parts = replace(parts, annotations=tuple(Annotation(name, None) for name in names))
    parts, unmatched = _overlaid(parts, config, workspace, readings)
    return Source(config, tuple(readings), parts, (*_rejections(readings), *repeated, *unmatched))


def open_dataset(config: DatasetConfig, workspace: Path) -> Dataset:
    """The dataset with its video files, for stage 1; relative paths begin at ``workspace``.

    Videos without a file are left out and named in ``missing``.

    Raises:
        VadprobeError: if a file is missing or malformed, a row could not be read, labels, splits or file names
            contradict each other, or no video has a file.
    """
    if config.videos is None:
        raise VadprobeError("[dataset] has no 'videos'; features are extracted from the files in that folder.")
    joined = read_source(config, workspace).joined()
    refuse(joined)
    dataset = joined.dataset
    present = tuple(video for video in dataset.videos if video.video_id not in set(dataset.missing))
    if not present:
        raise VadprobeError(
            f"the video folder {dataset.folder} holds none of the {len(dataset.videos)} videos of {dataset.name!r} "
            f"({naming([video.video_id for video in dataset.videos])}); check 'videos' in [dataset]."
            if dataset.videos
            else f"the video folder {dataset.folder} holds no video file ({', '.join(sorted(VIDEO_SUFFIXES))}); "
            "check 'videos' in [dataset]."
        )
    names = {video.video_id for video in present}
    kept = tuple(interval for interval in dataset.intervals if interval.video_id in names)
    return replace(dataset, videos=present, intervals=kept)


def open_truth(config: DatasetConfig, workspace: Path, probed: Sequence[ProbedVideo]) -> Dataset:
    """The dataset with its truth, for stage 2: no video file is needed, frame counts are those found by stage 1.

    Raises:
        VadprobeError: if a file is missing or malformed, a row could not be read, or labels or splits contradict.
    """
    joined = read_source(config, workspace, probed).joined()
    refuse(joined)
    return joined.dataset


REFUSED = (
    "rows not read",
    "in two splits",
    "labels differ",
    "two files of one name",
    "unreadable file names",
    "interval after the end",
)


def refuse(joined: Joined) -> None:
    """Raise ``VadprobeError`` if files contradict each other, so that no dataset can be made of them."""
    for finding in joined.findings:
        if finding.kind in REFUSED:
            named = f" ({naming(finding.videos)})" if finding.videos else ""
            raise VadprobeError(
                f"dataset {joined.dataset.name!r}: {finding.kind}: {finding.message}{named}. Correct it; "
                "'vadprobe dataset audit' lists everything."
            )


def _rejections(readings: Sequence[Reading[Any]]) -> list[Finding]:
    return [
        Finding("rows not read", rejection.sentence.rstrip("."), True)
        for reading in readings
        for rejection in reading.rejected
    ]


def scan_videos(folder: Path, names: set[str]) -> tuple[dict[str, str], tuple[Finding, ...]]:
    """Relative paths of the video files below a folder, by video name.

    A file counts if it has a video extension, or if its whole name is one of ``names``; hidden files (such as the "._"
    companions some systems leave beside a copy) do not. Of two files of one name the first in path order counts. Names
    that are not UTF-8, or hold invisible characters, cannot be written to a table and do not count either.
    """
    found: dict[str, str] = {}
    repeated = []
    for path in sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()):
        file = path.rsplit("/", 1)[-1]
        is_video = f".{file.rpartition('.')[2].lower()}" in VIDEO_SUFFIXES or file in names
        if file.startswith(".") or not is_video:
            continue
        name = video_name(file)
        try:
            check_visible("a file name", path)
        except RowError as error:
            said = f"wanted {error.wanted}; rename the file or folder"
            repeated.append(Finding("unreadable file names", said, True, (visible(name),)))
            continue
        if found.setdefault(name, path) != path:
            message = f"scores are joined by name, so one of them has to be renamed, such as {found[name]} and {path}"
            repeated.append(Finding("two files of one name", message, True, (name,)))
    return found, tuple(repeated)


def _given(
    key: Literal["train_list", "test_list", "frame_counts"], config: DatasetConfig, workspace: Path
) -> Path | None:
    given: str | None = getattr(config, key)
    if given is None:
        return None
    path = workspace / given
    if not _is(Path.exists, path):
        raise VadprobeError(f"there is no file {path}; check {key!r} in [dataset], or --{key.replace('_', '-')}.")
    return path


def _is(kind: Callable[[Path], bool], path: Path) -> bool:
    """Whether a path exists and is of a kind; one that cannot be looked at (too long a name, no permission) is not."""
    try:
        return kind(path)
    except OSError:
        return False


def _find_files(config: DatasetConfig, workspace: Path) -> _Files:
    assert config.source is not None
    source = workspace / config.source
    if not _is(Path.exists, source):
        raise VadprobeError(
            f"there is no annotation file or folder {source}; check 'source' in [dataset], or --annotations."
        )
    folder = source if source.is_dir() else source.parent
    usual = _USUAL_NAMES.get(config.format, {})
    files = _Files()
    if config.format == "masks" or source.is_file():
        files.annotation = [source]
    else:
        files.annotation = _matching(folder, usual["annotation"])
        if not files.annotation:
            raise VadprobeError(
                f"the folder {folder} holds no annotation of format {config.format!r} "
                f"({' or '.join(usual['annotation'])}); name the file itself, or check the format."
            )
        if config.format != "hivau" and len(files.annotation) > 1:
            names = ", ".join(path.name for path in files.annotation)
            raise VadprobeError(f"the folder {folder} holds several annotations ({names}); name the one that counts.")
    train = _given("train_list", config, workspace) or next(iter(_matching(folder, usual.get("train", ()))), None)
    test = _given("test_list", config, workspace) or next(iter(_matching(folder, usual.get("test", ()))), None)
    if train is not None:
        files.lists["train"] = train
    if test is not None:
        files.lists["test"] = test
    files.counts = _given("frame_counts", config, workspace) or next(iter(_matching(folder, _COUNT_NAMES)), None)
    return files


def _matching(folder: Path, patterns: Sequence[str]) -> list[Path]:
    for pattern in patterns:
        found = sorted(path for path in folder.glob(pattern) if path.is_file())
        if found:
            return found
    return []


_TEXT_READERS: dict[str, Callable[..., Reading[Annotation]]] = {
    "ucf-crime": read_ucf_crime,
    "msad": read_ucf_crime,
    "xd-violence": read_xd_violence,
}


def read_annotation(format_name: str, path: Path, convention: IntervalConvention) -> Reading[Annotation]:
    """Read one annotation file of a known format."""
    if format_name in _TEXT_READERS:
        return _TEXT_READERS[format_name](path, convention=convention)
    return read_masks(path) if format_name == "masks" else read_hivau(path)


def _annotations(config: DatasetConfig, files: _Files, readings: list[Reading[Any]]) -> tuple[Annotation, ...]:
    found: dict[str, Annotation] = {}
    for path in files.annotation:
        reading = read_annotation(config.format, path, config.intervals)
        readings.append(reading)
        for entry in reading.entries:
            if entry.video_id in found:
                raise VadprobeError(
                    f"{path} names the video {entry.video_id!r}, and so does an earlier file; name one in 'source'."
                )
            found[entry.video_id] = entry
    return tuple(found.values())


def _manifest(
    config: DatasetConfig, workspace: Path, folder: Path, readings: list[Reading[Any]]
) -> tuple[Annotation, ...]:
    assert config.manifest is not None
    path = workspace / config.manifest
    if _is(Path.is_file, path) or path.suffix.lower() in TABLE_SUFFIXES:
        reading = read_table(path)
        readings.append(reading)
        return reading.entries
    dataset = read_manifest(config.name, folder, path)
    return tuple(
        Annotation(
            v.video_id,
            v.label,
            v.category,
            dataset.intervals_of(v.video_id),
            v.n_frames,
            v.fps,
            v.split,
            v.path or None,
        )
        for v in dataset.videos
    )


def _overlaid(
    parts: Parts, config: DatasetConfig, workspace: Path, readings: list[Reading[Any]]
) -> tuple[Parts, list[Finding]]:
    """Annotation files laid over a folder or a manifest: a video with a line gets the line's label and intervals.

    Lines of videos the dataset has not become a finding.
    """
    findings = []
    own = {annotation.video_id: annotation for annotation in parts.annotations}
    for overlay in config.annotations:
        path = workspace / overlay.path
        if not _is(Path.is_file, path):
            raise VadprobeError(f"the annotation file {path} does not exist; check 'annotations' in [dataset].")
        if overlay.label_by_name and overlay.format in _NAME_RULES:
            for name, annotation in own.items():
                label, category = _NAME_RULES[overlay.format](name)
                own[name] = replace(annotation, label=label, category=category)
        reading = read_annotation(overlay.format, path, overlay.intervals)
        readings.append(reading)
        lines = {line.video_id: line for line in reading.entries if line.video_id in own}
        if reading.entries and not lines:
            raise VadprobeError(
                f"none of the {len(reading.entries)} annotated names of {path} is among the {len(own)} videos of "
                f"dataset {config.name!r}: the annotation has {reading.entries[0].video_id!r}, the dataset has "
                f"{list(own)[:1]}. Check that both are of the same dataset."
            )
        for name, line in lines.items():
            own[name] = replace(own[name], label=line.label, category=line.category, intervals=line.intervals)
        without = tuple(line.video_id for line in reading.entries if line.video_id not in own)
        if without:
            findings.append(Finding("annotated, no video", f"lines of {path.name}; not used", False, without))
    return replace(parts, annotations=tuple(own.values())), findings
