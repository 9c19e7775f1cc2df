"""A detection in several videos: one model, one set of files, and a summary that is written in any case."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from vadprobe.analyze.locator.explanation_files import notice
from vadprobe.detect.detector import OFFLINE, Detector
from vadprobe.detect.explanations.explained import EventExplainer, ExplainedEvent, NoExplainer
from vadprobe.detect.explanations.file_events import FileExplainer
from vadprobe.detect.explanations.stream_events import StreamExplainer
from vadprobe.detect.online.events import Event
from vadprobe.detect.online.smoothing import OnlineSmoother
from vadprobe.detect.results.files import DetectionFiles
from vadprobe.detect.results.summary import Summary, VideoSummary
from vadprobe.detect.segments import Segment
from vadprobe.detect.sources.files import FileSource
from vadprobe.detect.sources.folders import files_of
from vadprobe.detect.sources.frames import FrameSource, SourceError
from vadprobe.detect.sources.live import LiveSource
from vadprobe.detect.sources.masking import is_url
from vadprobe.detect.sources.opening import STANDARD_INPUT, open_sources
from vadprobe.detect.sources.options import SourceOptions
from vadprobe.detect.stream import DetectionOptions, DetectionStream, ScoredSegment, StreamTimes
from vadprobe.store.errors import VideoError
from vadprobe.store.files.digests import digest_json


@dataclass(frozen=True)
class Target:
    """A video to detect in: its name in the results, and its file or source."""

    name: str
    video: Path | FrameSource


class Listener:
    """Receiver of what a detection finds, as it goes; override the methods, which do nothing by default."""

    def started(self, about: Mapping[str, object]) -> None:
        """Take the detector and settings, as in the summary; the files are open."""

    def found(self, item: ScoredSegment | Event, times: StreamTimes) -> None:
        """Take a segment or an event, and the times of its video so far."""

    def explained(self, event: ExplainedEvent) -> None:
        """Take an event with its generated text, or with the reason why there is none."""

    def finished(self, target: Target, video: VideoSummary) -> None:
        """Take the summary of a video that has ended, normally or not; its lines are written."""


def targets_in(arguments: Sequence[str], options: SourceOptions) -> Iterator[Target]:
    """Check arguments that name videos, and return an iterator that opens one video after another.

    A complete file is read as stage 1 reads it, which decodes only the sampled frames; all other videos are streams.

    Args:
        arguments: files, folders of files, URLs, or `-` for standard input.
        options: options of the sources.

    Raises:
        VadprobeError: if an argument is none of these, or a folder holds no video.
    """
    open_sources(arguments, options)  # checks them all; opens none
    return _targets(arguments, options)


def _targets(arguments: Sequence[str], options: SourceOptions) -> Iterator[Target]:
    """Yield the targets; a file that is named twice counts once, and repeated names get a number."""
    files = [] if options.follow or options.watch else [Path(argument) for argument in arguments]
    inside = {file.resolve(): file for path in files for file in (files_of(path) if path.is_dir() else [path])}
    names = Counter(file.name for file in inside.values())
    seen: Counter[str] = Counter()
    for argument in arguments:
        path = Path(argument)
        if argument == STANDARD_INPUT or is_url(argument) or not files:
            for source in open_sources([argument], replace(options, watch=options.watch and path.is_dir())):
                seen[source.name] += 1
                name = source.name if seen[source.name] == 1 else f"{source.name} ({seen[source.name]})"
                if isinstance(source, FileSource):
                    source.close()
                    yield Target(name, source.path)
                else:
                    yield Target(name, source)
            continue
        for file in files_of(path) if path.is_dir() else [path]:
            if inside.pop(file.resolve(), None) is not None:
                yield Target(file.name if names[file.name] == 1 else file.as_posix(), file)


def detect_in(
    detector: Detector,
    targets: Iterable[Target],
    folder: Path,
    options: DetectionOptions = OFFLINE,
    *,
    overwrite: bool = False,
    explain: bool = False,
    listener: Listener | None = None,
) -> Summary:
    """Detect in videos one after another, and write the files as segments and events come.

    For a video that cannot be read, or that breaks off, the summary has the reason, and the next video follows. An
    interruption (Ctrl-C) ends the detection in the same way as the end of the videos, with `interrupted` set in the
    summary: a stream without an end is usually ended like this.

    Args:
        detector: the detector.
        targets: the videos, taken one after another.
        folder: folder of the results.
        options: smoothing, hysteresis and batch.
        overwrite: replace an earlier detection's files.
        explain: let the backbone say what happens in each event.
        listener: called with all that is found, after it was written.

    Raises:
        VadprobeError: if an option does not fit the detector, or the folder holds a detection.
    """
    summary = Summary(about_detection(detector, options))
    run = _Run(detector, DetectionFiles(folder, overwrite=overwrite), options, explain, listener or Listener(), summary)
    run.listener.started(summary.about)
    try:
        _ = detector.scorer.forward  # loaded now, so that it is in no latency
        for target in targets:
            run.detect(target)
    except KeyboardInterrupt:
        summary.interrupted = True
    finally:
        run.files.close(summary.to_json())
    return summary


@dataclass(frozen=True)
class _Run:
    """Detector, files and listener that the videos of one detection share."""

    detector: Detector
    files: DetectionFiles
    options: DetectionOptions
    explain: bool
    listener: Listener
    summary: Summary

    def detect(self, target: Target) -> None:
        """Detect in one video."""
        stream, segments = self.detector.open(target.video, self.options, target.name)
        video = VideoSummary(target.name, times=stream.times)
        self.summary.videos.append(video)
        path = target.video if isinstance(target.video, Path) else None
        self.summary.notes.update(dict.fromkeys(self.detector.notes(path)))
        explainer = self._explainer(target)
        try:
            self._follow(stream, explainer.keep(segments), explainer, video)
            self._tell(explainer.finish())
        except KeyboardInterrupt:
            self._tell(explainer.give_up("the detection was interrupted"))
            raise
        finally:
            if not isinstance(target.video, Path):
                video.notes = target.video.notes
                target.video.close()
            video.notes = (*video.notes, *_rate_note(self.detector, video))
            self.listener.finished(target, video)

    def _follow(
        self, stream: DetectionStream, segments: Iterable[Segment], explainer: EventExplainer, video: VideoSummary
    ) -> None:
        """Write what is found; if the source breaks off, put the reason into the summary."""
        try:
            for item in stream.run(segments):
                self.files.write(item)
                video.count(item)
                self.listener.found(item, stream.times)
                self._tell(explainer.take(item))
        except (VideoError, SourceError) as error:
            video.reason = str(error)

    def _explainer(self, target: Target) -> EventExplainer:
        if not self.explain:
            return NoExplainer()
        if isinstance(target.video, Path):
            return FileExplainer(self.detector, target.video)
        source = target.video
        return StreamExplainer(self.detector, lambda: isinstance(source, LiveSource) and source.is_pressed)

    def _tell(self, texts: Iterable[ExplainedEvent]) -> None:
        said = notice(self.detector.fitted.features.backbone.key)
        for one in texts:
            self.files.explain(one.to_json(), said)
            self.listener.explained(one)


def _rate_note(detector: Detector, video: VideoSummary) -> tuple[str, ...]:
    """Return a note on the duration of a segment if the video's frame rate differs from those of the fit."""
    length, rates, fps = detector.fitted.features.sampling.clip_length, detector.fitted.fps, video.fps
    if length is None or rates is None or fps is None or rates[0] / 1.05 <= fps <= rates[1] * 1.05:
        return ()
    fitted = f"{rates[0]:g} to {rates[1]:g}" if rates[0] < rates[1] else f"{rates[0]:g}"
    return (
        f"the video has {fps:.3g} frames per second, but the detector was fitted on {fitted}. A segment "
        f"always has {length} frames, which last {length / fps:.3g} s here",
    )


def about_detection(detector: Detector, options: DetectionOptions) -> dict[str, object]:
    """Return the detector and the settings of a detection as plain JSON values.

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
