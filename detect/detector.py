"""A detector that is ready to be used: `for event in Detector.load("detector.json").detect("video.mp4"): ...`."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from vadprobe.analyze.detector.detector import Detector as FittedDetector
from vadprobe.detect.backbone.finding import read_detector
from vadprobe.detect.backbone.matching import MatchedBackbone, is_drawn_file, match_backbone
from vadprobe.detect.online.events import Event
from vadprobe.detect.scoring import SegmentScorer
from vadprobe.detect.segments import Segment, probe_file, segments_of_file, segments_of_source
from vadprobe.detect.sources.frames import FrameSource
from vadprobe.detect.stream import DetectionOptions, DetectionStream, ScoredSegment, ahead
from vadprobe.extract.video.decoder import Decoder
from vadprobe.store.errors import VideoError

OFFLINE = DetectionOptions()
"""The settings under which scores and events equal those of an analysis of stored features."""

FILE_BATCH = 8
"""Largest number of segments per pass in files where the options give none."""


@dataclass
class Detector:
    """A fitted detector with its backbone, whose weights are loaded when the first segment needs them.

    It serves any number of videos, one after another; the model is loaded once.

    Attributes:
        fitted: selection, probe and locator.
        matched: the backbone that the detector was fitted with.
        deadline: seconds without progress after which decoding of a video file fails.
    """

    fitted: FittedDetector
    matched: MatchedBackbone
    deadline: float = 60.0
    _decoder: Decoder | None = field(default=None, repr=False)
    _keeps: bool = field(default=False, repr=False)

    def __post_init__(self) -> None:
        self.scorer = SegmentScorer(self.fitted, self.matched)

    @classmethod
    def load(
        cls, path: str | Path, *, backbone: str | None = None, device: str = "auto", threads: int | None = None
    ) -> "Detector":
        """Read a detector's file and find its backbone.

        Args:
            path: `detector.json` of an analysis, or what `vadprobe detector build` wrote.
            backbone: the checkpoint's folder or hub id, in place of the one that the file names.
            device: 'auto' takes a GPU when there is one; else 'cpu', 'cuda:1', ...
            threads: CPU threads of the model; by default all cores but one.

        Raises:
            VadprobeError: if the file is no sound detector, if its fit saw the videos that it was measured on, or if
                the backbone is not found or not the one of the fit (revision, dtype, chat template, frame size); the
                message names the part.
        """
        path = Path(path)
        fitted = read_detector(path)
        return cls(fitted, match_backbone(fitted, path.parent, backbone, device, threads))

    def notes(self, video: Path | None = None) -> tuple[str, ...]:
        """Return the sentences that must stand beside the scores of a video: limits of the backbone and of the fit."""
        drawn = video is not None and is_drawn_file(video)
        return tuple(dict.fromkeys((*self.matched.notes(drawn), *self.fitted.notes)))

    def detect(self, video: str | Path | FrameSource, options: DetectionOptions = OFFLINE) -> Iterator[Event]:
        """Yield the anomalous events of a video, each when it has closed.

        By default they are the events that an analysis of stored features finds. Arguments and errors as of `watch`.
        """
        for found in self.watch(video, options):
            if isinstance(found, Event):
                yield found

    def watch(
        self, video: str | Path | FrameSource, options: DetectionOptions = OFFLINE
    ) -> Iterator[ScoredSegment | Event]:
        """Yield every segment once its scores are final, and every event when it has closed.

        Args:
            video: a video file, or a source of frames.
            options: smoothing, hysteresis and batch.

        Raises:
            VideoError: if the file cannot be read at all.
            SourceError: if the source breaks off; all that was found until then is yielded before.
            VadprobeError: if an option does not fit the detector.
        """
        stream, segments = self.open(video, options)
        return stream.run(segments)

    def open(
        self,
        video: str | Path | FrameSource,
        options: DetectionOptions = OFFLINE,
        name: str | None = None,
    ) -> tuple[DetectionStream, Iterator[Segment]]:
        """Return a detection stream, and the segments to give to its `run`; arguments as of `watch`."""
        if not isinstance(video, str | Path):
            stream = DetectionStream(name or video.name, self.scorer, options)
            return stream, segments_of_source(video, self.fitted.features.sampling)
        path, batch = Path(video), self.fitted.features.recipe.get("batch_clips")
        size = batch if isinstance(batch, int) and 0 < batch <= FILE_BATCH else FILE_BATCH
        stream = DetectionStream(name or path.name, self.scorer, options, size)
        return stream, self._segments(path, 2 * (options.batch or size))

    def _segments(self, path: Path, count: int) -> Iterator[Segment]:
        if not path.exists():
            raise VideoError(f"{path} does not exist")
        self._decoder = self._decoder or Decoder(self.deadline)
        resize = self.matched.description.family.resize
        try:
            facts = probe_file(path, self._decoder)
            yield from ahead(segments_of_file(facts, self.fitted.features.sampling, self._decoder, resize), count)
        finally:
            if not self._keeps:
                self.close()

    def close(self) -> None:
        """End the decoder's process; the next video starts another. In a `with` block it stays between videos."""
        if self._decoder is not None:
            self._decoder.interrupt()
            self._decoder.close()
            self._decoder = None

    def __enter__(self) -> "Detector":
        self._keeps = True
        return self

    def __exit__(self, *_: object) -> None:
        self._keeps = False
        self.close()
