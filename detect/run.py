"""A detection in several videos: one model, one set of files, and a summary that is written whatever happens."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from vadprobe.detect.detector import OFFLINE, Detector
from vadprobe.detect.online.events import Event
from vadprobe.detect.online.smoothing import OnlineSmoother
from vadprobe.detect.results.files import DetectionFiles
from vadprobe.detect.results.summary import Summary, VideoSummary
from vadprobe.detect.sources.files import FileSource
from vadprobe.detect.sources.folders import files_of
from vadprobe.detect.sources.frames import FrameSource, SourceError
from vadprobe.detect.sources.masking import is_url
from vadprobe.detect.sources.opening import STANDARD_INPUT, open_sources
from vadprobe.detect.sources.options import SourceOptions
from vadprobe.detect.stream import DetectionOptions, ScoredSegment
from vadprobe.store.errors import VideoError
from vadprobe.store.files.digests import digest_json

Found = Callable[[ScoredSegment | Event], None]
"""Called with every segment and event, after it was written."""


@dataclass(frozen=True)
class Target:
    """A video to look at: its name in the results, and the file or source."""

    name: str
    video: Path | FrameSource


def targets_in(arguments: Sequence[str], options: SourceOptions) -> Iterator[Target]:
    """Check what names videos, and return an iterator that opens one after another.

    A file that is complete is read as stage 1 reads it, which decodes only what is sampled; all else is a stream.

    Args:
        arguments: files, folders of them, URLs, or `-` for standard input.
        options: of sources.

    Raises:
        VadprobeError: if an argument is none of these, or a folder holds no video.
    """
    open_sources(arguments, options)  # checks them all; opens none
    return _targets(arguments, options)


def _targets(arguments: Sequence[str], options: SourceOptions) -> Iterator[Target]:
    files = [] if options.follow or options.watch else [Path(argument) for argument in arguments]
    inside = [file for path in files for file in (files_of(path) if path.is_dir() else [path])]
    for argument in arguments:
        path = Path(argument)
        if argument == STANDARD_INPUT or is_url(argument) or not files:
            for source in open_sources([argument], replace(options, watch=options.watch and path.is_dir())):
                if isinstance(source, FileSource):
                    source.close()
                    yield Target(source.name, source.path)
                else:
                    yield Target(source.name, source)
            continue
        for file in files_of(path) if path.is_dir() else [path]:
            alone = sum(other.name == file.name for other in inside) == 1
            yield Target(file.name if alone else file.as_posix(), file)


def detect_in(
    detector: Detector,
    targets: Iterable[Target],
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
        targets: the videos, asked for one after another.
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
