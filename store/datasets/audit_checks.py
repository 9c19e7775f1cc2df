"""Checks of an audit: unreadable files, lines unlike the published ones, rounded lengths, sources in two splits."""

from collections.abc import Sequence
from pathlib import Path

from vadprobe.store.datasets.annotations.conventions import DEFAULT_CONVENTION
from vadprobe.store.datasets.annotations.published import ALTERED_UCF_CRIME, LENGTH_TOTALS, changed_lines
from vadprobe.store.datasets.configuration import DatasetConfig
from vadprobe.store.datasets.dataset import Dataset
from vadprobe.store.datasets.joining import NAMED, Finding
from vadprobe.store.datasets.probed_videos import VideoFacts
from vadprobe.store.datasets.sources import read_source
from vadprobe.store.datasets.validation_split import source_of
from vadprobe.store.errors import VadprobeError
from vadprobe.store.files.text import counted

_OWN_LENGTHS = "the videos' own lengths"


def unreadable_files(probed: Sequence[VideoFacts]) -> list[Finding]:
    """Name the video files that could not be read."""
    reasons = {video.video_id: video.reason for video in probed if video.reason is not None}
    if not reasons:
        return []
    first = "; ".join(f"{name}: {reason}" for name, reason in list(reasons.items())[:NAMED])
    return [Finding("unreadable files", first, True, tuple(reasons))]


def published_truth(config: DatasetConfig, workspace: Path) -> list[Finding]:
    """Compare the annotation with the published one, line by line, whatever convention the section names."""
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
        message = (
            "these lines are not those of the published annotation; results cannot be compared with published ones"
        )
        if config.format == "ucf-crime" and stems <= ALTERED_UCF_CRIME:
            message = (
                f"{len(stems)} of the 14 test videos whose labels UMIL, VAD-LLaMA and VERA altered differ "
                "from the published annotation; results can be compared only with those of these three"
            )
        findings.append(Finding("altered truth", message, True, changed))
    if n_absent > len(changed):
        message = f"this annotation lacks {counted(n_absent - len(changed), 'video')} of the published one"
        findings.append(Finding("incomplete truth", message, True))
    return findings


def length_conventions(config: DatasetConfig, dataset: Dataset) -> list[Finding]:
    """Recognise conventions of frame counts, by their sum or by every count being a multiple of 16."""
    measured = [video for video in dataset.videos if video.split != "train"]
    counts = [video.n_frames for video in measured if video.n_frames is not None]
    without = tuple(video.video_id for video in measured if video.n_frames is None)
    findings = []
    if without:
        message = "scores of these videos cannot be measured; give the video files or a frame count file"
        findings.append(Finding("no frame count", message, True, without))
    known = LENGTH_TOTALS.get(config.format, {}).get(sum(counts))
    if known is not None and not without:
        message = f"test frame counts sum to {sum(counts)}, which is {known}"
        findings.append(Finding("length convention", message, known != _OWN_LENGTHS))
    elif len(counts) > 1 and all(count % 16 == 0 for count in counts):
        message = f"every one of the {len(counts)} test frame counts is a multiple of 16: lengths are rounded"
        findings.append(Finding("length convention", message, True))
    return findings


def shared_sources(dataset: Dataset) -> list[Finding]:
    """Find films with clips both in the training split and in another one."""
    train = {source_of(video.video_id) for video in dataset.of_split("train")}
    test = {source_of(video.video_id) for video in dataset.videos if video.split != "train"}
    shared = sorted(train & test)
    if not shared:
        return []
    message = (
        f"{len(shared)} of {len(test)} sources of test videos also have training videos: the published "
        "split is by clip, not by source, so whatever is fitted on the training videos has seen these "
        "sources"
    )
    return [Finding("sources shared by train and test", message, False, tuple(shared))]
