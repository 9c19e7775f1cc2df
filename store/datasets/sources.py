"""Reading a dataset as its `[dataset]` section describes it: all its files, joined by the names of videos."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from vadprobe.store.datasets.annotations.frame_counts import FrameCount, read_frame_counts
from vadprobe.store.datasets.annotations.known_sets import KNOWN_SETS
from vadprobe.store.datasets.annotations.names import VIDEO_SUFFIXES
from vadprobe.store.datasets.annotations.rows.rows import Annotation, Reading
from vadprobe.store.datasets.annotations.split_lists import Listed, read_split_list
from vadprobe.store.datasets.annotations.tables import TABLE_SUFFIXES, read_table
from vadprobe.store.datasets.configuration import DatasetConfig
from vadprobe.store.datasets.dataset import Dataset, read_manifest
from vadprobe.store.datasets.joining import Finding, Joined, Parts, join, naming
from vadprobe.store.datasets.probed_videos import VideoFacts
from vadprobe.store.datasets.source_files import exists, find_files, scan_videos
from vadprobe.store.datasets.validation_split import hold_out
from vadprobe.store.errors import VadprobeError

REFUSED = (
    "rows not read",
    "in two splits",
    "labels differ",
    "two files of one name",
    "unreadable file names",
    "interval after the end",
)
"""Kinds of findings that make it impossible to make a dataset."""


@dataclass(frozen=True)
class Source:
    """Files of a dataset after reading: the rows of each file, and the parts to join."""

    config: DatasetConfig
    readings: tuple[Reading[Any], ...]
    parts: Parts
    findings: tuple[Finding, ...] = ()

    def measured(self, probed: Sequence[VideoFacts]) -> "Source":
        """Return the source with the frame counts of opened video files, which take precedence over all others."""
        counts = {v.video_id: (v.n_frames, v.fps) for v in probed if v.n_frames is not None}
        return replace(self, parts=replace(self.parts, counts={"the video files": counts, **self.parts.counts}))

    def joined(self) -> Joined:
        """Return the dataset, its validation videos moved out of the test split, with all findings."""
        joined = join(self.parts)
        dataset, validation = joined.dataset, self.config.validation
        if validation is not None:
            dataset = hold_out(dataset, validation.videos, validation.fraction, validation.seed)
        return Joined(dataset, self.findings + joined.findings)


def read_source(config: DatasetConfig, workspace: Path, probed: Sequence[VideoFacts] | None = None) -> Source:
    """Read every file of a dataset; rows that cannot be read become findings.

    Args:
        config: the section.
        workspace: folder that the section's relative paths start from.
        probed: facts that stage 1 found in the video files; then no video folder is read. None to read it.

    Raises:
        VadprobeError: if a file or folder is missing, or a file is of another kind than expected.
    """
    folder = workspace / config.videos if config.videos is not None else workspace
    looks_for_videos = probed is None and config.videos is not None
    if looks_for_videos and not exists(folder, Path.is_dir):
        fault = "is a file" if exists(folder, Path.is_file) else "does not exist"
        raise VadprobeError(
            f"the video folder {folder} {fault}; set 'videos' in [dataset], or --videos, to the folder that holds the "
            "files."
        )
    files = find_files(config, workspace)
    annotated = [_read_annotation(config, folder, path) for path in files.annotations]
    known = KNOWN_SETS.get(config.format)
    read_list = known.read_list if known else read_split_list
    listed = {split: [read_list(path) for path in paths] for split, paths in files.lists.items()}
    counted = [] if files.frame_counts is None else [read_frame_counts(files.frame_counts)]
    annotations = _by_name(annotated)
    lists = {split: tuple(item for one in readings for item in one.entries) for split, readings in listed.items()}
    items = [item for found in lists.values() for item in found]
    counts = _frame_counts(counted, annotations, items)
    named = {*annotations, *(item.video_id for item in items)}
    found, misnamed = scan_videos(folder, named) if looks_for_videos else (None, ())
    if config.format == "folder":
        names = list(found or ()) if probed is None else [video.video_id for video in probed]
        annotations = {name: Annotation(name, None) for name in names}
    overlays, unmatched = _lay_over(annotations, config, workspace)
    parts = Parts(
        config.name,
        folder,
        tuple(annotations.values()),
        lists,
        counts,
        found,
        known.name_rule if known else None,
        known is None or known.names_normal_videos,
        known is not None and known.annotates_all_splits,
    )
    of_lists = [reading for split in listed.values() for reading in split]
    readings: tuple[Reading[Any], ...] = (*annotated, *of_lists, *counted, *overlays)
    source = Source(config, readings, parts, (*_rejections(readings), *misnamed, *unmatched))
    return source if probed is None else source.measured(probed)


def open_dataset(config: DatasetConfig, workspace: Path) -> Dataset:
    """Open a dataset with its video files, for stage 1; relative paths start from `workspace`.

    Videos without a file are left out and named in `missing`.

    Raises:
        VadprobeError: if a file is missing or malformed, a row could not be read, labels, splits or file names
            contradict each other, or no video has a file.
    """
    if config.videos is None:
        raise VadprobeError("[dataset] has no 'videos'; features are extracted from the files in that folder.")
    joined = read_source(config, workspace).joined()
    refuse(joined)
    dataset = joined.dataset
    missing = set(dataset.missing)
    present = tuple(video for video in dataset.videos if video.video_id not in missing)
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


def open_truth(config: DatasetConfig, workspace: Path, probed: Sequence[VideoFacts]) -> Dataset:
    """Open a dataset with its ground truth, for stage 2, with the frame counts that stage 1 found; needs no video file.

    Raises:
        VadprobeError: if a file is missing or malformed, a row could not be read, or labels or splits contradict.
    """
    joined = read_source(config, workspace, probed).joined()
    refuse(joined)
    return joined.dataset


def refuse(joined: Joined) -> None:
    """Raise `VadprobeError` if a finding is one of `REFUSED`, for example if files contradict each other."""
    for finding in joined.findings:
        if finding.kind in REFUSED:
            named = f" ({naming(finding.videos)})" if finding.videos else ""
            raise VadprobeError(
                f"dataset {joined.dataset.name!r}: {finding.kind}: {finding.message}{named}. Correct it; "
                "'vadprobe dataset audit' lists everything."
            )


def _read_annotation(config: DatasetConfig, folder: Path, path: Path) -> Reading[Annotation]:
    if config.format != "manifest":
        return KNOWN_SETS[config.format].read(path, config.intervals)
    if exists(path, Path.is_file) or path.suffix.lower() in TABLE_SUFFIXES:
        return read_table(path)
    dataset = read_manifest(config.name, folder, path)
    intervals = dataset.intervals_of
    entries = tuple(
        Annotation(v.video_id, v.label, v.category, intervals(v.video_id), v.n_frames, v.fps, v.split, v.path or None)
        for v in dataset.videos
    )
    return Reading(path, len(entries), entries)


def _by_name(readings: Sequence[Reading[Annotation]]) -> dict[str, Annotation]:
    found: dict[str, Annotation] = {}
    for reading in readings:
        for entry in reading.entries:
            if found.setdefault(entry.video_id, entry) is not entry:
                raise VadprobeError(
                    f"{reading.path} names the video {entry.video_id!r}, and so does an earlier file; name "
                    "only one of them in 'source'."
                )
    return found


def _frame_counts(
    counted: Sequence[Reading[FrameCount]], annotations: Mapping[str, Annotation], items: Sequence[Listed]
) -> dict[str, Mapping[str, tuple[int, float | None]]]:
    """Return frame counts and rates by source, in order of trust."""
    return {
        "the frame count file": {count.video_id: (count.n_frames, None) for r in counted for count in r.entries},
        "the annotation": {name: (a.n_frames, a.fps) for name, a in annotations.items() if a.n_frames is not None},
        "the split list": {item.video_id: (item.n_frames, None) for item in items if item.n_frames},
    }


def _rejections(readings: Sequence[Reading[Any]]) -> list[Finding]:
    rejected = [rejection for reading in readings for rejection in reading.rejected]
    return [Finding("rows not read", rejection.sentence.rstrip("."), True) for rejection in rejected]


def _lay_over(
    annotations: dict[str, Annotation], config: DatasetConfig, workspace: Path
) -> tuple[list[Reading[Annotation]], list[Finding]]:
    """Replace labels and intervals in `annotations` by those in the section's own annotation files.

    Lines about videos that are not in the dataset become a finding.
    """
    readings, findings = [], []
    for overlay in config.annotations:
        path = workspace / overlay.path
        if not exists(path, Path.is_file):
            raise VadprobeError(f"the annotation file {path} does not exist; check 'annotations' in [dataset].")
        known = KNOWN_SETS[overlay.format]
        if overlay.label_by_name and known.name_rule is not None:
            for name, annotation in annotations.items():
                label, category = known.name_rule(name)
                annotations[name] = replace(annotation, label=label, category=category)
        reading = known.read(path, overlay.intervals)
        readings.append(reading)
        lines = [line for line in reading.entries if line.video_id in annotations]
        if reading.entries and not lines:
            raise VadprobeError(
                f"none of the {len(reading.entries)} annotated names of {path} is among the {len(annotations)} videos "
                f"of dataset {config.name!r}: the annotation has {reading.entries[0].video_id!r}, the dataset has "
                f"{list(annotations)[:1]}. Check that both are of the same dataset."
            )
        for line in lines:
            annotations[line.video_id] = replace(
                annotations[line.video_id], label=line.label, category=line.category, intervals=line.intervals
            )
        without = tuple(line.video_id for line in reading.entries if line.video_id not in annotations)
        if without:
            findings.append(Finding("annotated, no video", f"lines of {path.name}; not used", False, without))
    return readings, findings
