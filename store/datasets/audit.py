"""Auditing a dataset before anything is computed on it: what was found, what is wrong, what would change a score."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from vadprobe.store.datasets.annotations.conventions import DEFAULT_CONVENTION
from vadprobe.store.datasets.annotations.names import classes_of
from vadprobe.store.datasets.annotations.published import ALTERED_UCF_CRIME, LENGTH_TOTALS, changed_lines
from vadprobe.store.datasets.configuration import DatasetConfig
from vadprobe.store.datasets.dataset import Dataset
from vadprobe.store.datasets.joining import NAMED, Finding, naming
from vadprobe.store.datasets.probed_videos import ProbedVideo
from vadprobe.store.datasets.sources import read_source
from vadprobe.store.datasets.validation_split import source_of
from vadprobe.store.datasets.video import SPLITS
from vadprobe.store.errors import VadprobeError
from vadprobe.store.files.location import StorePath


@dataclass(frozen=True)
class FileRead:
    """One file of the dataset: its rows, how many were read, how many rejected, and what else was seen."""

    path: StorePath
    n_rows: int
    n_read: int
    n_rejected: int
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Audit:
    """What is known of a dataset, and every finding; those that change a score come first."""

    config: DatasetConfig
    dataset: Dataset
    files: tuple[FileRead, ...]
    findings: tuple[Finding, ...]

    @property
    def changes_score(self) -> bool:
        """Whether a finding changes scores."""
        return any(finding.changes_score for finding in self.findings)

    @property
    def counts(self) -> dict[str, dict[str, int]]:
        """Numbers of each split that has videos."""
        found: dict[str, dict[str, int]] = {}
        for split in SPLITS:
            videos = self.dataset.of_split(split)
            if videos:
                found[split] = {
                    "videos": len(videos),
                    "normal": sum(video.label == 0 for video in videos),
                    "anomalous": sum(video.label == 1 for video in videos),
                    "unlabelled": sum(video.label is None for video in videos),
                    "intervals": sum(len(self.dataset.intervals_of(video.video_id)) for video in videos),
                    "with_frame_count": sum(video.n_frames is not None for video in videos),
                    "frames": sum(video.n_frames or 0 for video in videos),
                    "anomalous_frames": sum(anomalous_frames(self.dataset, video.video_id) for video in videos),
                }
        return found

    @property
    def classes(self) -> dict[str, dict[str, int]]:
        """Videos of each class by split; a video of several XD-Violence codes counts for each."""
        found: dict[str, Counter[str]] = {}
        for video in self.dataset.videos:
            for name in classes_of(video.category) or ("unknown",):
                found.setdefault(name, Counter())[video.split] += 1
        return {name: dict(found[name]) for name in sorted(found)}

    def to_json(self) -> dict[str, Any]:
        """The audit as plain JSON values."""
        return {
            "dataset": self.dataset.name,
            "format": self.config.format,
            "intervals": self.config.intervals,
            "ground_truth_digest": self.dataset.truth_digest,
            "files": [
                {
                    "path": str(f.path),
                    "rows": f.n_rows,
                    "read": f.n_read,
                    "rejected": f.n_rejected,
                    "notes": list(f.notes),
                }
                for f in self.files
            ],
            "splits": self.counts,
            "classes": self.classes,
            "findings": [
                {"kind": f.kind, "message": f.message, "changes_score": f.changes_score, "videos": list(f.videos)}
                for f in self.findings
            ],
            "changes_score": self.changes_score,
        }

    def lines(self) -> list[str]:
        """The audit as lines of text."""
        lines = [f"{self.dataset.name} ({self.config.format}, intervals {self.config.intervals})"]
        for file in self.files:
            rejected = f", {file.n_rejected} rejected" if file.n_rejected else ""
            notes = "".join(f"; {note}" for note in file.notes)
            lines.append(f"  {file.path}: {file.n_rows} rows, {file.n_read} read{rejected}{notes}")
        lines.append(f"  ground truth {self.dataset.truth_digest}")
        for split, counts in self.counts.items():
            known = counts["with_frame_count"]
            frames = (
                f", {counts['frames']} frames, {counts['anomalous_frames']} of them anomalous"
                if known == counts["videos"]
                else f", frame counts of {known}"
            )
            unlabelled = f", {counts['unlabelled']} without label" if counts["unlabelled"] else ""
            lines.append(
                f"  {split:10} {counts['videos']:6} videos: {counts['normal']} normal, {counts['anomalous']} anomalous"
                f"{unlabelled}, {counts['intervals']} intervals{frames}"
            )
        classes = ", ".join(f"{name} {sum(by_split.values())}" for name, by_split in self.classes.items())
        lines.append(f"  classes: {classes}")
        for finding in self.findings:
            mark = "CHANGES SCORES" if finding.changes_score else "notice"
            names = f" ({len(finding.videos)}: {naming(finding.videos)})" if finding.videos else ""
            lines.append(f"  {mark}: {finding.kind}: {finding.message}{names}")
        if not self.findings:
            lines.append("  nothing is wrong")
        return lines


def audit(config: DatasetConfig, workspace: Path, probed: Sequence[ProbedVideo] | None = None) -> Audit:
    """Read a dataset and look for everything that does not fit.

    Args:
        config: the section of a job file, or one made of command line options.
        workspace: where its relative paths begin.
        probed: what opening the video files has found, if they were opened.

    Raises:
        VadprobeError: if a file or folder is missing or is not what it should be as a whole.
    """
    source = read_source(config, workspace)
    findings = list(source.findings)
    if probed is not None:
        counts = {v.video_id: (v.n_frames, v.fps) for v in probed if v.n_frames is not None}
        source = replace(source, parts=replace(source.parts, counts={"the video files": counts, **source.parts.counts}))
        findings += _unreadable(probed)
    joined = source.joined()
    findings += joined.findings[len(source.findings) :]
    findings += _published(config, workspace)
    findings += _lengths(config, joined.dataset)
    findings += _shared_sources(joined.dataset)
    files = tuple(
        FileRead(r.path, r.n_rows, r.n_rows - len(r.rejected), len(r.rejected), r.notes) for r in source.readings
    )
    findings.sort(key=lambda finding: not finding.changes_score)
    return Audit(config, joined.dataset, files, tuple(findings))


def anomalous_frames(dataset: Dataset, video_id: str) -> int:
    """Frames of a video inside of its intervals, each counted once; intervals are not cut at the end here."""
    total, reached = 0, 0
    for interval in dataset.intervals_of(video_id):
        total += max(interval.stop_frame - max(interval.start_frame, reached), 0)
        reached = max(reached, interval.stop_frame)
    return total


def _unreadable(probed: Sequence[ProbedVideo]) -> list[Finding]:
    reasons: Mapping[str, str] = {video.video_id: video.reason for video in probed if video.reason is not None}
    if not reasons:
        return []
    first = "; ".join(f"{name}: {reason}" for name, reason in list(reasons.items())[:NAMED])
    return [Finding("unreadable files", first, True, tuple(reasons))]


def _published(config: DatasetConfig, workspace: Path) -> list[Finding]:
    """Lines that are not those of the published annotation; the convention of the reading does not matter."""
    plain = config.model_copy(update={"intervals": DEFAULT_CONVENTION, "videos": None, "validation": None})
    try:
        annotations = read_source(plain, workspace).parts.annotations
    except VadprobeError:
        return []
    compared = changed_lines(config.format, annotations)
    if compared is None:
        return []
    changed, n_absent = compared
    if not changed and not n_absent:
        return [Finding("published truth", f"every line is that of the published {config.format} annotation", False)]
    findings = []
    if changed:
        stems = {name.removesuffix("_x264") for name in changed}
        message = "these lines are not those of the published annotation; results are not comparable with others'"
        if config.format == "ucf-crime" and stems <= ALTERED_UCF_CRIME:
            message = (
                f"{len(stems)} of the 14 test videos whose labels UMIL, VAD-LLaMA and VERA altered differ from the "
                "published annotation; results compare with theirs only"
            )
        findings.append(Finding("altered truth", message, True, changed))
    if n_absent > len(changed):
        message = f"{n_absent - len(changed)} videos of the published annotation are not in this one"
        findings.append(Finding("incomplete truth", message, True))
    return findings


def _lengths(config: DatasetConfig, dataset: Dataset) -> list[Finding]:
    """Conventions of frame counts, recognised by their sum or by every count being a multiple of 16."""
    measured = [video for video in dataset.videos if video.split != "train"]
    counts = [video.n_frames for video in measured if video.n_frames is not None]
    without = tuple(video.video_id for video in measured if video.n_frames is None)
    findings = []
    if without:
        message = "scores of these videos cannot be measured; give the video files or a frame count file"
        findings.append(Finding("no frame count", message, True, without))
    known = LENGTH_TOTALS.get(config.format, {}).get(sum(counts))
    own = "the videos' own lengths"
    if known is not None and not without:
        message = f"test frame counts sum to {sum(counts)}, which is {known}"
        findings.append(Finding("length convention", message, known != own))
    elif len(counts) > 1 and all(count % 16 == 0 for count in counts):
        message = f"every one of the {len(counts)} test frame counts is a multiple of 16: lengths are rounded"
        findings.append(Finding("length convention", message, True))
    return findings


def _shared_sources(dataset: Dataset) -> list[Finding]:
    train = {source_of(video.video_id) for video in dataset.of_split("train")}
    test = {source_of(video.video_id) for video in dataset.videos if video.split != "train"}
    shared = sorted(train & test)
    if not shared:
        return []
    message = (
        f"{len(shared)} of {len(test)} sources of test videos also have training videos: this split is by clip, not by "
        "source, as published; what is fitted on the training videos has seen these sources"
    )
    return [Finding("sources shared by train and test", message, False, tuple(shared))]
