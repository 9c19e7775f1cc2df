"""Opening the videos of a dataset: frame counts and rates, or the reason why a file cannot be read."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from vadprobe.extract.video.decoder import CRASHED, NO_PROGRESS, Decoder, ReaderName
from vadprobe.store.datasets.dataset import Dataset
from vadprobe.store.datasets.probed_videos import VideoFacts, read_video_facts, write_video_facts
from vadprobe.store.datasets.video import Video
from vadprobe.store.errors import VideoError
from vadprobe.store.files.digests import fingerprint_file
from vadprobe.store.files.text import first_few
from vadprobe.store.format.layout import DatasetLayout
from vadprobe.store.progress import Progress


def probe_videos(
    dataset: Dataset,
    videos: Sequence[Video],
    layout: DatasetLayout,
    deadline: float,
    progress: Progress | None = None,
    reader: ReaderName = "auto",
) -> tuple[VideoFacts, ...]:
    """Find out frame counts and rates of the videos, or the reason why one cannot be read.

    A video whose file has not changed since an earlier plan is not opened again. It is tried again if the decoder was
    too slow or crashed then, or if a version of vadprobe that made no notes could not read it.
    """
    known = {(video.video_id, video.fingerprint): video for video in read_video_facts(layout.videos)}
    probes = []
    with Decoder(deadline, reader) as decoder:
        for number, video in enumerate(videos):
            probes.append(_probe(dataset.folder / video.path, video, known, decoder))
            if progress:
                progress(number + 1, len(videos))
    return tuple(probes)


def _probe(path: Path, video: Video, known: dict[tuple[str, str], VideoFacts], decoder: Decoder) -> VideoFacts:
    try:
        fingerprint = fingerprint_file(path)
    except OSError as error:
        return VideoFacts(video.video_id, video.split, None, None, "", f"the file cannot be opened: {error.strerror}")
    before = known.get((video.video_id, fingerprint))
    if before is not None and not _may_be_readable_now(before):
        return replace(before, split=video.split)
    try:
        n_frames, fps = decoder.probe(path)
    except VideoError as error:
        return VideoFacts(video.video_id, video.split, None, None, fingerprint, str(error), note="")
    return VideoFacts(video.video_id, video.split, n_frames, fps, fingerprint, reader=decoder.reader, note=decoder.note)


def _may_be_readable_now(video: VideoFacts) -> bool:
    if video.reason is None:
        return False
    return video.note is None or video.reason.startswith((NO_PROGRESS, CRASHED))


def keep_probes(probes: Sequence[VideoFacts], layout: DatasetLayout) -> None:
    """Add this job's videos to those that jobs on other splits have probed before; write only if something changed."""
    names, known = {probe.video_id for probe in probes}, read_video_facts(layout.videos)
    news = [*probes, *(probe for probe in known if probe.video_id not in names)]
    if tuple(news) != known:
        write_video_facts(news, layout.videos)


def unusual(probes: Sequence[VideoFacts]) -> Iterator[str]:
    """Yield a sentence that names the videos with something unusual in their files, if there are any."""
    notes = [f"{probe.video_id}: {probe.note}" for probe in probes if probe.note]
    if notes:
        yield f"{first_few(notes)}."
