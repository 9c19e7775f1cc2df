"""A detection in several videos: one model, one set of files, and a summary that is written whatever happens."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from vadprobe.detect.detector import OFFLINE, Detector
from vadprobe.detect.online.events import Event
from vadprobe.detect.online.smoothing import OnlineSmoother
from vadprobe.detect.results.files import DetectionFiles
from vadprobe.detect.results.summary import Summary, VideoSummary
from vadprobe.detect.sources.frames import FrameSource, SourceError
from vadprobe.detect.stream import DetectionOptions, ScoredSegment
from vadprobe.store.datasets.annotations.names import VIDEO_SUFFIXES
from vadprobe.store.errors import VadprobeError, VideoError
from vadprobe.store.files.digests import digest_json

Found = Callable[[ScoredSegment | Event], None]
"""Called with every segment and event, after it was written."""


@dataclass(frozen=True)
class Target:
    """A video to look at: its name in the results, and the file or source."""

    name: str
    video: Path | FrameSource


def targets_in(paths: Sequence[Path]) -> list[Target]:
    """Return the video files that are named, and those in the folders that are, by their names.

    Raises:
        VadprobeError: if a path does not exist, or a folder holds no video.
    """
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            inside = sorted(file for file in path.rglob("*") if file.suffix.lower() in VIDEO_SUFFIXES)
            if not inside:
                raise VadprobeError(f"the folder {path} holds no video file ({', '.join(sorted(VIDEO_SUFFIXES))}).")
            found += inside
        elif path.exists():
            found.append(path)
        else:
            raise VadprobeError(f"there is no video {path}; name video files, or folders of them.")
    files = list(dict.fromkeys(found))
    names = [path.name for path in files]
    return [Target(path.name if names.count(path.name) == 1 else path.as_posix(), path) for path in files]


def detect_in(
    detector: Detector,
    targets: Sequence[Target],
    folder: Path,
    options: DetectionOptions = OFFLINE,
    *,
    overwrite: bool = False,
    found: Found = lambda item: None,
) -> Summary:
    """Detect in videos one after another and write the files as it goes.

    A video that cannot be read, or that breaks off, has its reason in the summary, and the next one goes on.

    Args:
        detector: loaded.
        targets: the videos.
        folder: of the results.
        options: smoothing, hysteresis and batch.
        overwrite: replace an earlier detection's files.
        found: called with every segment and event.

    Raises:
        VadprobeError: if an option does not fit the detector, or the folder holds a detection.
        KeyboardInterrupt: when interrupted; table and summary are written before.
    """
    summary = Summary(about_detection(detector, options))
    files = DetectionFiles(folder, overwrite=overwrite)
    try:
        _ = detector.scorer.forward  # loaded now, so that it is in no latency
        for target in targets:
            _detect_one(detector, target, files, options, summary, found)
    except KeyboardInterrupt:
        summary.interrupted = True
        raise
    finally:
        files.close(summary.to_json())
    return summary


def _detect_one(
    detector: Detector,
    target: Target,
    files: DetectionFiles,
    options: DetectionOptions,
    summary: Summary,
    found: Found,
) -> None:
    stream, segments = detector.open(target.video, options, target.name)
    video = VideoSummary(target.name, times=stream.times)
    summary.videos.append(video)
    path = target.video if isinstance(target.video, Path) else None
    summary.notes.update(dict.fromkeys(detector.notes(path)))
    try:
        for item in stream.run(segments):
            files.write(item)
            video.count(item)
            found(item)
    except (VideoError, SourceError) as error:
        video.reason = str(error)
    finally:
        if not isinstance(target.video, Path):
            video.notes = target.video.notes
            target.video.close()


def about_detection(detector: Detector, options: DetectionOptions) -> dict[str, object]:
    """Return what a detection was made with, as plain JSON values.

    Raises:
        VadprobeError: if the look-ahead does not fit the detector.
    """
    fitted = detector.fitted
    smoother = OnlineSmoother(fitted.locator, options.look_ahead)
    return {
        "version": 1,
        "detector": {"preset": fitted.preset, "digest": digest_json(fitted.to_json())},
        "backbone": fitted.features.backbone.source,
        "revision": fitted.features.backbone.revision,
        "locator": fitted.locator.to_json(),
        "smoothing": "offline" if smoother.is_offline else "causal",
        "delay_segments": smoother.delay,
        "stays_above": fitted.locator.threshold if options.stays is None else options.stays,
        "segment_frames": fitted.features.sampling.clip_length,
    }
