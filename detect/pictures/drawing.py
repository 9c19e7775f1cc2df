"""All pictures of one video of a detection, from the files that the detection wrote."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from vadprobe.detect.pictures.curve import event_curve
from vadprobe.detect.pictures.event_films import write_event_films
from vadprobe.detect.pictures.scored_video import write_scored_video
from vadprobe.detect.pictures.stored import read_events, read_segments
from vadprobe.detect.results.folder import CURVE, EVENTS, PICTURES, SCORED, SCORES
from vadprobe.detect.sources.files import FileSource
from vadprobe.store.errors import VadprobeError
from vadprobe.store.files.atomic_files import write_bytes
from vadprobe.store.files.digests import digest_json
from vadprobe.store.progress import Progress


@dataclass(frozen=True)
class PictureOptions:
    """Settings of the pictures besides the curve, which is always drawn.

    Attributes:
        films: write an mp4 of each event.
        scored_video: write the whole video with its score below each frame.
        padding_seconds: seconds of the video before and after an event in its film.
    """

    films: bool = False
    scored_video: bool = False
    padding_seconds: float = 2.0

    def __post_init__(self) -> None:
        if not (math.isfinite(self.padding_seconds) and self.padding_seconds >= 0):
            raise VadprobeError(f"padding_seconds must be 0 or more, got {self.padding_seconds}.")


def draw_pictures(
    detection: Path,
    video: str,
    file: Path | None,
    threshold: float,
    options: PictureOptions,
    texts: Mapping[int, str] | None = None,
    progress: Progress | None = None,
) -> Path:
    """Draw the pictures of one video of a detection.

    Args:
        detection: folder with `scores.jsonl` and `events.jsonl`.
        video: name of the video in those files.
        file: the video file; None for a stream, of which only the curve can be drawn.
        threshold: the locator's.
        options: pictures besides the curve.
        texts: generated sentences about events, by the event's position.
        progress: called while the films, and the scored video, are written.

    Returns:
        The folder of the pictures.

    Raises:
        VadprobeError: if the detection lacks these files, or films of a stream are asked for.
        SourceError: if the video cannot be read, or breaks off.
    """
    if file is None and (options.films or options.scored_video):
        raise VadprobeError(f"films are cut from a video file, and {video!r} is a stream; record it to have both.")
    segments = list(read_segments(detection / SCORES, video))
    events = list(read_events(detection / EVENTS, video))
    folder = detection / PICTURES / folder_name(video)
    folder.mkdir(parents=True, exist_ok=True)
    write_bytes(folder / CURVE, event_curve(video, segments, events, threshold, texts))
    if file is None or not (options.films or options.scored_video):
        return folder
    source = FileSource(file)
    try:
        if options.films:
            write_event_films(source, events, folder, options.padding_seconds, progress)
        if options.scored_video:
            write_scored_video(
                *(source.frames(), source.fps, segments, threshold, folder / SCORED, progress, source.n_frames)
            )
    finally:
        source.close()
    return folder


def folder_name(video: str) -> str:
    """Return the name of the folder for a video.

    Where the video's name cannot be used as it is, a digest of it is added, so that no two videos share a folder.
    """
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", video).strip("-.")[:100]
    return plain if plain == video else f"{plain or 'video'}-{digest_json(video)[:8]}"
