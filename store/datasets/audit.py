"""Audit of a dataset before anything is computed on it: its contents, and findings that may change a score."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from vadprobe.store.datasets.annotations.names import classes_of
from vadprobe.store.datasets.annotations.rows.rows import Reading
from vadprobe.store.datasets.audit_checks import length_conventions, published_truth, shared_sources, unreadable_files
from vadprobe.store.datasets.configuration import DatasetConfig
from vadprobe.store.datasets.dataset import Dataset
from vadprobe.store.datasets.joining import Finding, naming
from vadprobe.store.datasets.probed_videos import VideoFacts
from vadprobe.store.datasets.sources import read_source
from vadprobe.store.datasets.video import SPLITS
from vadprobe.store.files.text import counted, table

SPLIT_HEAD = ("split", "videos", "normal", "anomalous", "without label", "intervals", "frames", "anomalous frames")
"""Columns of the table of splits; all but the first hold numbers."""


@dataclass(frozen=True)
class Audit:
    """A dataset with the files it was read from, and every finding; those that change a score come first."""

    config: DatasetConfig
    dataset: Dataset
    files: tuple[Reading[Any], ...]
    findings: tuple[Finding, ...]

    @property
    def changes_score(self) -> bool:
        """True if a finding changes scores."""
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

    @property
    def split_rows(self) -> list[tuple[object, ...]]:
        """Rows of the table of splits, below `SPLIT_HEAD`."""
        rows: list[tuple[object, ...]] = []
        for split, counts in self.counts.items():
            whole = counts["with_frame_count"] == counts["videos"]
            frames = counts["frames"] if whole else f"unknown (known of {counted(counts['with_frame_count'], 'video')})"
            positive = counts["anomalous_frames"] if whole or not counts["intervals"] else "unknown"
            numbers = [counts[name] for name in ("videos", "normal", "anomalous", "unlabelled", "intervals")]
            rows.append((split, *numbers, frames, positive))
        return rows

    def to_json(self) -> dict[str, Any]:
        """Return the audit as plain JSON values."""
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
            "findings": [asdict(finding) | {"videos": list(finding.videos)} for finding in self.findings],
            "changes_score": self.changes_score,
        }

    def lines(self) -> list[str]:
        """Return the audit as lines of text."""
        lines = [f"{self.dataset.name} ({self.config.format}, intervals {self.config.intervals})"]
        for file in self.files:
            rejected = f", {file.n_rejected} rejected" if file.n_rejected else ""
            notes = "".join(f"; {note}" for note in file.notes)
            lines.append(f"  {file.path}: {counted(file.n_rows, 'row')}, {file.n_read} read{rejected}{notes}")
        lines.append(f"  ground truth {self.dataset.truth_digest}")
        lines += [f"  {line}" for line in table(SPLIT_HEAD, self.split_rows, right=SPLIT_HEAD[1:])]
        classes = ", ".join(f"{name} {sum(by_split.values())}" for name, by_split in self.classes.items())
        lines.append(f"  classes: {classes}")
        for finding in self.findings:
            mark = "CHANGES SCORES" if finding.changes_score else "notice"
            names = f" ({len(finding.videos)}: {naming(finding.videos)})" if finding.videos else ""
            lines.append(f"  {mark}: {finding.kind}: {finding.message}{names}")
        if not self.findings:
            lines.append("  nothing is wrong")
        return lines


def audit(config: DatasetConfig, workspace: Path, probed: Sequence[VideoFacts] | None = None) -> Audit:
    """Read a dataset and check all its files against each other.

    Args:
        config: the section of a job file, or one made from command line options.
        workspace: folder that the section's relative paths start from.
        probed: facts of the opened video files; None if they were not opened.

    Raises:
        VadprobeError: if a file or folder is missing, or a file is of another kind than expected.
    """
    source = read_source(config, workspace)
    unreadable: list[Finding] = []
    if probed is not None:
        source, unreadable = source.measured(probed), unreadable_files(probed)
    joined = source.joined()
    n_reading = len(source.findings)
    findings = [
        *joined.findings[:n_reading],
        *unreadable,
        *joined.findings[n_reading:],
        *published_truth(config, workspace),
        *length_conventions(config, joined.dataset),
        *shared_sources(joined.dataset),
    ]
    findings.sort(key=lambda finding: not finding.changes_score)
    return Audit(config, joined.dataset, source.readings, tuple(findings))


def anomalous_frames(dataset: Dataset, video_id: str) -> int:
    """Count the frames in a video's intervals, each frame once; also those behind the video's end."""
    total, reached = 0, 0
    for interval in dataset.intervals_of(video_id):
        total += max(interval.stop_frame - max(interval.start_frame, reached), 0)
        reached = max(reached, interval.stop_frame)
    return total
