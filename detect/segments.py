"""Segments of a video in order, with the frames that the backbone sees: of a file, or of a stream of frames."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from vadprobe.detect.online.events import Span
from vadprobe.detect.sources.frames import FrameSource, TimedFrame
from vadprobe.extract.families.pixels import Frames
from vadprobe.extract.video.decoder import Decoder
from vadprobe.store.datasets.video import Video
from vadprobe.store.errors import VideoError
from vadprobe.store.files.text import counted
from vadprobe.store.format.sampling import Sampling, sample_frames, segment


@dataclass(frozen=True, eq=False)
class Segment:
    """Frames `[start_frame, stop_frame)` of a video, number `index`.

    Attributes:
        index: number of the segment from 0.
        span: its stretch of the video, in frames and seconds.
        frames: the sampled frames, (frames, height, width, 3) uint8 or as a family's `resize` left them; None if they
            could not be read.
        reason: why there are no frames.
        follows_gap: True if frames before it are missing; then nothing is smoothed or joined across its beginning.
        wall: times of day of its first and last frame, seconds since 1970; None for recorded video.
    """

    index: int
    span: Span
    frames: Frames | None
    reason: str = ""
    follows_gap: bool = False
    wall: tuple[float, float] | None = None

    @property
    def seconds(self) -> float:
        """Duration in seconds."""
        return self.span.stop_second - self.span.start_second


@dataclass(frozen=True)
class FileFacts:
    """Frames and frame rate of a video file."""

    path: Path
    n_frames: int
    fps: float


def probe_file(path: Path, decoder: Decoder) -> FileFacts:
    """Return the number of frames and the frame rate of a file, as stage 1 finds them.

    Raises:
        VideoError: if it cannot be read.
    """
    return FileFacts(path, *decoder.probe(path))


def segments_of_file(
    facts: FileFacts, sampling: Sampling, decoder: Decoder, prepare: Callable[[np.ndarray], Frames]
) -> Iterator[Segment]:
    """Yield the segments of a file with the frames that stage 1 samples, the short last segment included.

    The file is decoded once, forward, in the decoder's process. A segment that cannot be read has a reason.

    Args:
        facts: the result of `probe_file`.
        sampling: the detector's.
        decoder: decoder that reads the file.
        prepare: a family's `resize`.
    """
    for clip in segment(Video("video", "video.mp4", facts.n_frames, facts.fps), sampling):
        start, stop = clip.start_frame, clip.stop_frame
        span = Span(start, stop, start / facts.fps, stop / facts.fps)
        try:
            yield Segment(clip.index, span, prepare(decoder.read_clip(facts.path, clip.frame_indices)))
        except VideoError as error:
            yield Segment(clip.index, span, None, str(error))


def segments_of_source(source: FrameSource, sampling: Sampling) -> Iterator[Segment]:
    """Cut a stream of frames into segments; the frames of one segment at a time are held.

    A segment is yielded as soon as its last frame is there; the last segment may be short. A segment with missing
    frames is yielded without frames. A segment of which all frames are missing is left out, and the next one has
    `follows_gap`.

    Raises:
        SourceError: if the source breaks off; complete segments were yielded before.
    """
    length = sampling.clip_length or 1
    held: list[TimedFrame] = []
    expected, gap = 0, False
    for frame in source.frames():
        number = frame.index // length
        if held and number != held[0].index // length:  # frames at the end of the segment before are missing
            yield _broken(held, length, source, gap)
            held, gap = [], True
        if not held:
            gap = gap or number != expected or frame.follows_gap
        held.append(frame)
        if frame.index % length == length - 1:
            yield replace(_cut(held, length, sampling, source, whole=True), follows_gap=gap)
            held, gap, expected = [], False, number + 1
    if held:
        yield replace(_cut(held, length, sampling, source, whole=False), follows_gap=gap)


def _cut(held: list[TimedFrame], length: int, sampling: Sampling, source: FrameSource, *, whole: bool) -> Segment:
    number = held[0].index // length
    start, stop = number * length, held[-1].index + 1
    if len(held) != stop - start or any(frame.follows_gap for frame in held[1:]):
        return _broken(held, length, source, False)
    chosen = sample_frames(start, stop, sampling.frames_per_clip)
    pixels = [held[index - start].pixels for index in chosen]
    if len({frame.shape for frame in pixels}) > 1:
        return replace(_broken(held, length, source, False), reason="the size of the picture changes within it")
    return Segment(number, _span(held, start, stop, source), np.stack(pixels), wall=_wall(held))


def _broken(held: list[TimedFrame], length: int, source: FrameSource, gap: bool) -> Segment:
    """Return a segment of which frames are missing."""
    number = held[0].index // length
    start, stop = number * length, held[-1].index + 1
    missing = stop - start - len(held)
    reason = f"it lacks {counted(missing, 'frame')}" if missing else "frames are missing within it"
    return Segment(number, _span(held, start, stop, source), None, reason, gap, _wall(held))


def _span(held: list[TimedFrame], start: int, stop: int, source: FrameSource) -> Span:
    """Return frames `[start, stop)` as a span, with seconds by the source's clock and its mean duration of a frame."""
    first, last = held[0], held[-1]
    if source.fps:
        step = 1 / source.fps
    else:
        step = (last.seconds - first.seconds) / (last.index - first.index) if last.index > first.index else 0.04
    begin = first.seconds - (first.index - start) * step
    return Span(start, stop, begin, begin + (stop - start) * step)


def _wall(held: list[TimedFrame]) -> tuple[float, float] | None:
    first, last = held[0].wall, held[-1].wall
    return None if first is None or last is None else (first, last)
