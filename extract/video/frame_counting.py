"""Counting the frames of video files in three ways: by header, by index, and by decoding."""

from collections.abc import Mapping
from pathlib import Path

from vadprobe.extract.video.decoder import Decoder
from vadprobe.store.datasets.joining import Finding
from vadprobe.store.datasets.probed_videos import VideoFacts
from vadprobe.store.errors import VideoError
from vadprobe.store.files.digests import fingerprint_file
from vadprobe.store.progress import Progress


def count_frames(
    folder: Path, files: Mapping[str, str], *, decode: bool, progress: Progress | None = None
) -> tuple[tuple[VideoFacts, ...], tuple[Finding, ...]]:
    """Open every file and count its frames.

    The count of the decoder that stage 1 uses decides, because its frames are the ones that are scored. It is compared
    with the count that the container declares and, with `decode`, with the number of decoded frames.

    Args:
        folder: folder that the paths are relative to.
        files: relative paths by video name.
        decode: decode every frame, which takes as long as an extraction's decoding.
        progress: called after each file.

    Returns:
        One row per file, readable or not, and findings if counts of one file disagree or files are joined from parts.
    """
    probed = []
    differing: dict[str, str] = {}
    with Decoder() as decoder:
        for number, (name, path) in enumerate(files.items(), start=1):
            try:
                fingerprint = fingerprint_file(folder / path)
                n_frames, fps = decoder.probe(folder / path)
                note = decoder.note
                declared, decoded = decoder.count(folder / path, decode)
            except (VideoError, OSError) as error:
                probed.append(VideoFacts(name, "test", None, None, "", str(error), note=""))
            else:
                facts = VideoFacts(name, "test", n_frames, fps, fingerprint, reader=decoder.reader, note=note)
                probed.append(facts)
                others = {"its container declares": declared, "decoding gives": decoded}
                wrong = [f"{what} {count}" for what, count in others.items() if count not in (None, n_frames)]
                if wrong:
                    differing[name] = f"{name}: the decoder counts {n_frames} frames, {' and '.join(wrong)}"
            if progress:
                progress(number, len(files))
    notes = {video.video_id: f"{video.video_id}: {video.note}" for video in probed if video.note}
    found = (
        Finding("frame counts of one file disagree", "; ".join(list(differing.values())[:3]), True, tuple(differing)),
        Finding("videos joined from parts", "; ".join(list(notes.values())[:3]), False, tuple(notes)),
    )
    return tuple(probed), tuple(finding for finding in found if finding.videos)
