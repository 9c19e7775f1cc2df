"""Join of annotations, split lists, frame counts and video files to one dataset, always by the names of videos.

Nothing is dropped silently: whatever does not fit becomes a `Finding`.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from vadprobe.store.datasets.annotations.conventions import length_rule
from vadprobe.store.datasets.annotations.names import NameRule
from vadprobe.store.datasets.annotations.rows.rows import Annotation
from vadprobe.store.datasets.annotations.split_lists import Listed
from vadprobe.store.datasets.dataset import Dataset
from vadprobe.store.datasets.video import Interval, Split, Video
from vadprobe.store.errors import VadprobeError
from vadprobe.store.files.text import counted, first_few

NAMED = 5
"""Largest number of names in a message."""


@dataclass(frozen=True)
class Finding:
    """Something that does not fit. `changes_score`: results differ from those on the published set."""

    kind: str
    message: str
    changes_score: bool
    videos: tuple[str, ...] = ()


@dataclass(frozen=True)
class Parts:
    """Everything that was read about one dataset.

    Attributes:
        name: of the dataset.
        folder: folder that paths of videos are relative to.
        annotations: one for each annotated video.
        lists: lines of the split lists.
        counts: frame count and rate of videos by source, in order of trust: the first that knows a video decides.
        files: relative paths of video files by video; None where no video folder was given.
        name_rule: gives label and category by the name of a video; None without such a rule.
        is_complete: the annotation names normal videos too.
        is_of_all_splits: the annotation covers training videos too, so a training list does not contradict it.
    """

    name: str
    folder: Path
    annotations: tuple[Annotation, ...] = ()
    lists: Mapping[Split, tuple[Listed, ...]] = field(default_factory=dict)
    counts: Mapping[str, Mapping[str, tuple[int, float | None]]] = field(default_factory=dict)
    files: Mapping[str, str] | None = None
    name_rule: NameRule | None = None
    is_complete: bool = True
    is_of_all_splits: bool = False


@dataclass(frozen=True)
class Joined:
    """A dataset, and the findings about what did not fit."""

    dataset: Dataset
    findings: tuple[Finding, ...]


def naming(videos: Sequence[str]) -> str:
    """List the first names of videos, as part of a message."""
    return first_few(videos, NAMED)


def join(parts: Parts) -> Joined:
    """Make a dataset of everything that was read, with one finding per kind of misfit.

    A video belongs to the dataset if a list or the annotation names it. Without a test list, a video also belongs to it
    if it has a frame count and the set's name rule knows its name. The split comes from the lists, else from the
    annotation, else it is "test". The label comes from the annotation, else from the list, else from the name, else it
    is unknown. Intervals are cut at the end of a video whose frame count is known.
    """
    findings: list[Finding] = []
    splits = _splits(parts, findings)
    annotated = {annotation.video_id: annotation for annotation in parts.annotations}
    listed = {item.video_id: item for items in parts.lists.values() for item in items}
    counts = _counts(parts, findings)
    videos = []
    for name, split in splits.items():
        label, category = _label(parts, name, annotated.get(name), listed.get(name), findings)
        path = (parts.files or {}).get(name) or (annotated[name].path if name in annotated else None) or ""
        n_frames, fps = counts.get(name, (None, None))
        videos.append(Video(name, path, n_frames, fps, split, label, category))
    intervals = _intervals(parts, {video.video_id: video for video in videos}, findings)
    missing = _files(parts, splits, findings)
    _unannotated(parts, videos, annotated, findings)
    return Joined(Dataset(parts.name, parts.folder, tuple(videos), intervals, missing), _grouped(findings))


def _splits(parts: Parts, findings: list[Finding]) -> dict[str, Split]:
    """Return the split of every video of the dataset."""
    splits: dict[str, Split] = {}
    listed = [(item.video_id, split) for split, items in parts.lists.items() for item in items]
    for name, split in listed:
        other = splits.setdefault(name, split)
        if other != split:
            findings.append(Finding("in two splits", f"listed for {other} and for {split}", True, (name,)))
    for annotation in parts.annotations:
        name, split = annotation.video_id, annotation.split or "test"
        other = splits.setdefault(name, split)
        # An annotation that names no split is of test videos, so that only a training list contradicts it.
        if other != split and (annotation.split or (other == "train" and not parts.is_of_all_splits)):
            findings.append(Finding("in two splits", f"annotated for {split}, listed for {other}", True, (name,)))
    if "test" not in parts.lists:
        counted = [name for counts in parts.counts.values() for name in counts]
        return splits | {name: "test" for name in counted if name not in splits and _label_by_name(parts, name)}
    every = dict(listed)
    extra = tuple(annotation.video_id for annotation in parts.annotations if annotation.video_id not in every)
    if extra:
        findings.append(Finding("not listed", "annotated, but in no split list", True, extra))
    return splits


def _label_by_name(parts: Parts, name: str) -> tuple[int, str] | None:
    """Return label and category by the set's name rule; None for a name that does not follow it."""
    if parts.name_rule is None:
        return None
    try:
        return parts.name_rule(name)
    except VadprobeError:
        return None


def _counts(parts: Parts, findings: list[Finding]) -> dict[str, tuple[int, float | None]]:
    counts: dict[str, tuple[int, float | None]] = {}
    trusted: str | None = None  # the first source that knows a video
    for source, found in parts.counts.items():
        known = {name: n for name, (n, _) in counts.items()}
        differing = tuple(name for name, (n, _) in found.items() if known.get(name, n) != n)
        if differing:
            rule = length_rule({name: found[name][0] for name in found}, known)
            first = differing[0]
            said = f"; all follow the rule {rule!r}" if rule else f": {found[first][0]} and {known[first]}"
            message = f"{source} and {trusted} give other frame counts{said}"
            findings.append(Finding("lengths differ", message, True, differing))
        for name, count in found.items():
            counts.setdefault(name, count)
        trusted = trusted or (source if found else None)
    return counts


def _label(
    parts: Parts, name: str, annotation: Annotation | None, listed: Listed | None, findings: list[Finding]
) -> tuple[int | None, str | None]:
    said: list[tuple[int | None, str | None] | None] = [
        (annotation.label, annotation.category) if annotation else None,
        (listed.label, None) if listed else None,
        _label_by_name(parts, name),
    ]
    labels = [label for label, _ in filter(None, said) if label is not None]
    if len(set(labels)) > 1:
        findings.append(Finding("labels differ", "annotation, list and name do not agree on the label", True, (name,)))
    categories = [category for _, category in filter(None, said) if category is not None]
    return next(iter(labels), None), next(iter(categories), None)


def _intervals(parts: Parts, videos: Mapping[str, Video], findings: list[Finding]) -> tuple[Interval, ...]:
    kept = []
    for annotation in parts.annotations:
        n_frames = videos[annotation.video_id].n_frames
        for interval in annotation.intervals:
            if n_frames is None or interval.stop_frame <= n_frames:
                kept.append(interval)
                continue
            frames = f"[{interval.start_frame}, {interval.stop_frame}) of {n_frames} frames"
            name = (annotation.video_id,)
            if interval.start_frame >= n_frames:
                findings.append(Finding("interval after the end", f"left out, such as {frames}", True, name))
            else:
                findings.append(Finding("interval past the end", f"cut at the end, such as {frames}", False, name))
                kept.append(replace(interval, stop_frame=n_frames))
    return tuple(kept)


def _files(parts: Parts, splits: Mapping[str, Split], findings: list[Finding]) -> tuple[str, ...]:
    if parts.files is None:
        return ()
    missing = tuple(name for name in splits if name not in parts.files)
    for split in dict.fromkeys(splits.values()):
        names = tuple(name for name in missing if splits[name] == split)
        if names:
            findings.append(Finding(f"missing {split} videos", "listed, but there is no such file", True, names))
    extra = tuple(name for name in parts.files if name not in splits)
    if extra:
        findings.append(Finding("extra videos", "files that no list or annotation names; not used", False, extra))
    return missing


def _unannotated(
    parts: Parts, videos: Sequence[Video], annotated: Mapping[str, Annotation], findings: list[Finding]
) -> None:
    test = [video for video in videos if video.split == "test" and video.video_id not in annotated]
    names = tuple(video.video_id for video in test if parts.is_complete or video.label != 0)
    if names and parts.annotations:
        findings.append(Finding("test videos without annotation", "their frames count as normal", True, names))
    if not parts.is_complete and not any(video.label == 0 for video in videos if video.split == "test"):
        message = "the annotation lists anomalous videos only; give a test list or frame counts of the others too"
        findings.append(Finding("no normal test videos", message, True))


def _grouped(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """Return one finding per kind, with all its videos and the message of the first."""
    groups: dict[str, Finding] = {}
    for finding in findings:
        first = groups.get(finding.kind, finding)
        videos = tuple(dict.fromkeys(first.videos + finding.videos))
        changes_score = first.changes_score or finding.changes_score
        groups[finding.kind] = replace(first, videos=videos, changes_score=changes_score)
    return tuple(groups.values())


def missing_lines(missing: Sequence[str]) -> Iterator[str]:
    """Yield a sentence about videos of the dataset that have no file; nothing if all have one."""
    if missing:
        yield (
            f"{counted(len(missing), 'video')} of the dataset without a file, left out: {naming(missing)}; "
            "'vadprobe dataset audit' names them all."
        )
