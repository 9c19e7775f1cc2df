"""The video itself with its score and state below every frame, written frame by frame."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from vadprobe.analyze.figures import style
from vadprobe.detect.pictures.marked import ShownSegment
from vadprobe.detect.pictures.mp4 import Mp4Writer
from vadprobe.detect.sources.frames import TimedFrame
from vadprobe.store.progress import Progress

LEAST_WIDTH = 320
"""Width in pixels that the text needs; a smaller picture is enlarged by a whole factor."""

_STATES = {"anomalous": style.DETECTED, "normal": style.SCORE, "unknown": style.MUTED}
_FRAME = 4  # pixels of the frame around an anomalous picture


def write_scored_video(
    frames: Iterable[TimedFrame],
    fps: float,
    segments: Iterable[ShownSegment],
    threshold: float,
    path: Path,
    progress: Progress | None = None,
    n_frames: int = 0,
) -> None:
    """Write a video with time, score and state below each frame; an anomalous picture has a border.

    One frame and one segment are held at a time, so `segments` may be read from a file as they are needed.

    Args:
        frames: frames of the video, ascending. In the place of a lost frame, the frame before it stays.
        fps: frames per second.
        segments: scored segments, ascending; a frame in none of them is shown as unknown.
        threshold: the locator's; a mark on the bar.
        path: the mp4; an earlier one is replaced.
        progress: called with the frames written and `n_frames`.
        n_frames: number of frames of the video, for `progress`.

    Raises:
        SourceError: if the video breaks off; then no file is left.
    """
    with Mp4Writer(path, fps) as film:
        for done, (frame, segment) in enumerate(_with_segments(frames, segments), start=1):
            film.write(draw_score(frame.pixels, frame.seconds, segment, threshold), frame.index)
            if progress is not None:
                progress(done, n_frames)


def _with_segments(
    frames: Iterable[TimedFrame], segments: Iterable[ShownSegment]
) -> Iterator[tuple[TimedFrame, ShownSegment | None]]:
    """Yield each frame with the segment that holds it, or None."""
    following = iter(segments)
    segment = next(following, None)
    for frame in frames:
        while segment is not None and segment.stop_frame <= frame.index:
            segment = next(following, None)
        yield frame, segment if segment is not None and segment.start_frame <= frame.index else None


def draw_score(pixels: np.ndarray, seconds: float, segment: ShownSegment | None, threshold: float) -> np.ndarray:
    """Return a frame with a strip below it: time, smoothed score, state, and a bar.

    The bar's pale part is the probe's score, the strong part the smoothed score, the tick the threshold.

    Args:
        pixels: (height, width, 3) uint8, RGB.
        seconds: time of the frame.
        segment: the segment that holds the frame; None if there is none.
        threshold: the locator's.

    Returns:
        (height, width, 3) uint8, RGB: the frame, enlarged if it is small, with the strip below it.
    """
    image = Image.fromarray(np.ascontiguousarray(pixels))
    scale = -(-LEAST_WIDTH // image.width)
    if scale > 1:
        image = image.resize((image.width * scale, image.height * scale), Image.Resampling.NEAREST)
    letters = max(12, image.height // 24)
    strip = 2 * letters + 4
    sheet = Image.new("RGB", (image.width, image.height + strip), "white")
    sheet.paste(image, (0, 0))
    pen = ImageDraw.Draw(sheet)
    state = "unknown" if segment is None else segment.state
    score = None if segment is None else segment.smoothed
    if state == "anomalous":
        pen.rectangle((0, 0, image.width - 1, image.height - 1), outline=style.DETECTED, width=_FRAME)
    words = f"{seconds:.1f} s   {'no score' if score is None else f'{score:.2f}'}   {state}"
    font = ImageFont.load_default(letters)
    pen.text((4, image.height + 1), words, fill=_STATES[state], font=font)
    top, bottom = image.height + strip - letters // 2 - 4, image.height + strip - 4
    pen.rectangle((0, top, image.width - 1, bottom), fill=style.LINES)
    _bar(pen, None if segment is None else segment.score, image.width, (top, bottom), style.RAW)
    _bar(pen, score, image.width, ((top + bottom) // 2, bottom), _STATES[state])
    tick = round(threshold * (image.width - 1))
    pen.line((tick, top - 2, tick, bottom), fill=style.INK, width=1)
    return np.asarray(sheet)


def _bar(pen: ImageDraw.ImageDraw, value: float | None, width: int, rows: tuple[int, int], color: str) -> None:
    if value is not None and value > 0:
        pen.rectangle((0, rows[0], round(min(value, 1.0) * (width - 1)), rows[1]), fill=color)
