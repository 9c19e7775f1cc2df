"""Film strips: a few small pictures of every test video side by side, for the time axis of a report."""

import io
from pathlib import Path

import numpy as np
from PIL import Image

from vadprobe.analyze.features.inputs import AnalysisInputs
from vadprobe.analyze.report.part import FilmStrip
from vadprobe.extract.video.decoder import Decoder
from vadprobe.flows.jobs.job import Job
from vadprobe.flows.jobs.reports.strip_files import read_film_strips, write_strips
from vadprobe.store.datasets.sources import open_dataset
from vadprobe.store.errors import VideoError
from vadprobe.store.progress import Progress

COUNT = 10
"""Number of pictures of a strip."""

MOST_BYTES = 1_200_000
"""Limit in bytes of the strips of all test videos together; in a page, base64 makes them a third larger."""

_LARGEST, _SMALLEST = 12_000, 1_500
_AREA, _LOWEST = 72 * 48, 8
_QUALITIES = (75, 60, 45, 30, 18, 8)
_SAVED_EVERY = 20


def write_film_strips(job: Job, inputs: AnalysisInputs, progress: Progress = lambda done, total: None) -> list[str]:
    """Make the strips of the scored test videos that have none yet, and write them beside the results.

    The file is written again and again during the work, and a later call makes only the strips that are missing.

    Returns:
        Sentences about the videos that have no strip, because their file is missing or cannot be read.
    """
    dataset = open_dataset(job.config.dataset, job.workspace)
    fingerprints = {video.video_id: video.fingerprint for video in inputs.probed}
    known = read_film_strips(job.out, inputs.probed)
    names = _test_videos(inputs)
    room = room_of(len(names))
    kept = {name: strip for name, strip in known.items() if len(strip.webp) <= room}
    missing = []
    with Decoder(job.config.extraction.decode_deadline) as decoder:
        for number, name in enumerate(names):
            video = dataset.by_id.get(name)
            if name not in kept and video is None:
                missing.append(f"No film strip of {name}: its file is not in the video folder.")
            elif name not in kept and video is not None:
                try:
                    frames = inputs.truth.by_id[name].n_frames or 0
                    kept[name] = _strip(decoder, dataset.folder / video.path, frames, room)
                except VideoError as error:
                    missing.append(f"No film strip of {name}: {error}")
            if number % _SAVED_EVERY == _SAVED_EVERY - 1 or number == len(names) - 1:
                write_strips(job.out, kept, fingerprints)
            progress(number + 1, len(names))
    return missing


def room_of(n_videos: int) -> int:
    """Return the limit in bytes of each of `n_videos` strips."""
    return min(_LARGEST, max(_SMALLEST, MOST_BYTES // max(1, n_videos)))


def encode_strip(frames: np.ndarray, most: int) -> bytes:
    """Return frames (n, height, width, 3) uint8 side by side as WebP of at most `most` bytes.

    Pictures keep the frames' proportions and all have the same area. Quality is lowered first, then size.
    """
    wide = frames.shape[2] / frames.shape[1]
    width, height = max(1, round((_AREA * wide) ** 0.5)), max(1, round((_AREA / wide) ** 0.5))
    sheet = Image.new("RGB", (width * len(frames), height))
    for number, frame in enumerate(frames):
        sheet.paste(Image.fromarray(frame).resize((width, height), Image.Resampling.BOX), (number * width, 0))
    for quality in _QUALITIES:
        content = _webp(sheet, quality)
        if len(content) <= most:
            return content
    while len(content) > most and sheet.height > _LOWEST:
        sheet = sheet.resize((max(1, sheet.width * 3 // 4), sheet.height * 3 // 4))
        content = _webp(sheet, _QUALITIES[-1])
    return content


def _webp(sheet: Image.Image, quality: int) -> bytes:
    content = io.BytesIO()
    sheet.save(content, "WEBP", quality=quality, method=2)
    return content.getvalue()


def _strip(decoder: Decoder, path: Path, n_frames: int, most: int) -> FilmStrip:
    """Return the strip of a video from the middle frames of equal parts of it."""
    count = min(COUNT, n_frames)
    places = ((2 * np.arange(count) + 1) * n_frames // (2 * max(1, count))).tolist()
    return FilmStrip(encode_strip(decoder.read_clip(path, places), most), count)


def _test_videos(inputs: AnalysisInputs) -> list[str]:
    clips = inputs.store.clips
    return [clips.video_ids[code] for code in np.unique(clips.video_codes[inputs.rows_of_split("test")])]
