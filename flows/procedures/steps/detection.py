"""Steps of a detection in a folder as tasks: batches of videos, and what is published of them."""

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from prefect.artifacts import create_image_artifact, create_table_artifact

from vadprobe.flows.procedures.parameters import DetectionSettings
from vadprobe.flows.runs.artifacts.pictures import data_url
from vadprobe.flows.runs.faults import step, without_server
from vadprobe.flows.runs.labels import artifact_key, set_label
from vadprobe.flows.runs.loading import run_folder
from vadprobe.store.files.text import counted

if TYPE_CHECKING:
    from vadprobe.detect.growing_folder import GrowingFolder

BATCH_SECONDS = 180.0
"""Seconds that a batch of videos is to take."""

MOST_ROWS, MOST_PICTURES = 500, 3
"""Rows of a table and pictures of a run; the folder of results holds all."""

RUNNING, PATIENCE = ".running", 86400.0
"""Name of the lock file of a folder of results, and the seconds that another run of it is waited for."""

_LOGGER = logging.getLogger(__name__)


class VideoBatch(list[Path]):
    """Videos of one task, with words for its name."""

    @property
    def name(self) -> str:
        """The video, or how many and the first."""
        return self[0].name if len(self) == 1 else f"{len(self)} videos from {self[0].name}"


@contextmanager
def open_folder(videos: str, detector: str, out: str | None, settings: DetectionSettings) -> "Iterator[GrowingFolder]":
    """Load a detector for a folder of videos, and give it to one run at a time; another run of its results waits.

    Raises:
        VadprobeError: if the folder or the detector is not there, or the backbone is not the detector's.
    """
    from vadprobe.detect.detector import Detector
    from vadprobe.detect.growing_folder import GrowingFolder
    from vadprobe.detect.stream import DetectionOptions
    from vadprobe.store.files.locks import exclusive

    folder = run_folder() / videos
    results = run_folder() / out if out else folder.with_name(f"{folder.name}-detected")
    options = DetectionOptions(settings.look_ahead, settings.stay_above, settings.batch)
    backbone = settings.backbone
    if backbone is not None and (run_folder() / backbone).is_dir():
        backbone = str(run_folder() / backbone)
    loading = Detector.load(
        run_folder() / detector, backbone=backbone, device=settings.device, threads=settings.threads
    )
    with loading as loaded:
        found = GrowingFolder(loaded, folder, results, options, settings.explain)
        found.pending()  # a folder that is not there is told before anything is written
        busy = f"another run has been writing into {results} for a day; end it, or name another folder as 'out'."
        with exclusive(results, RUNNING, busy, PATIENCE):
            yield found


def label_detection(folder: "GrowingFolder") -> None:
    """Name the current run after the folder and the detector's digest, and tag it."""
    fitted = folder.detector.fitted
    tags = {"dataset": fitted.provenance.get("dataset"), "backbone": fitted.features.backbone.key}
    tags["method"] = fitted.preset
    digest = str(folder.about["detector"]["digest"])
    set_label(f"{folder.videos.name} {digest[:8]}", [f"{name}:{value}" for name, value in tags.items() if value])


def batches(
    folder: "GrowingFolder", watch_seconds: float | None, seconds: float = BATCH_SECONDS
) -> Iterator[VideoBatch]:
    """Yield the pending videos in batches, each cut by the pace so far, then every new one when it has come.

    Args:
        folder: the videos.
        watch_seconds: look for new videos until none has come for so long; None: not at all.
        seconds: that a batch is to take; the first is one video.
    """
    from vadprobe.detect.sources.folders import WatchedFolder
    from vadprobe.detect.sources.options import SourceOptions

    left, done, begun = folder.pending(), 0, time.monotonic()
    _LOGGER.info("%s: %d videos are to be looked at.", folder.videos, len(left))
    while left:
        count = max(1, int(seconds * done / (time.monotonic() - begun)))
        batch, left = VideoBatch(left[:count]), left[count:]
        yield batch
        done += len(batch)
    if watch_seconds is not None:
        for path in WatchedFolder(folder.videos, SourceOptions(watch=True, watch_seconds=watch_seconds)).paths():
            if folder.is_pending(path):
                yield VideoBatch([path])


def detect(folder: "GrowingFolder", batch: VideoBatch) -> int:
    """Detect in those of a batch that are there and still pending; return how many."""
    pending = [path for path in batch if path.exists() and folder.is_pending(path)]
    for path in pending:
        _LOGGER.info(folder.detect(path).line())
    return len(pending)


def publish(folder: "GrowingFolder", computed: Sequence[Path]) -> list[str]:
    """Publish the events of the folder, what cannot be read, and pictures of what this run has found.

    Returns:
        Sentences: what was done, the notes, and where the results are.
    """
    events = sorted(folder.events(), key=lambda one: -one.event.peak_score)
    name, videos = folder.videos.name, list(folder.summaries())
    rows = [
        {
            "video": one.event.video,
            "start": f"{one.event.start_second:.1f} s",
            "end": f"{one.event.stop_second:.1f} s",
            "peak": f"{one.event.peak_score:.3f}",
            "sentence": one.sentence,
        }
        for one in events[:MOST_ROWS]
    ]
    table = folder.write_table()
    about = (
        f"{counted(len(events), 'event')} in {counted(len(videos), 'video')}, the highest first; all of them: `{table}`"
    )
    unreadable = [{"video": video, "reason": reason} for video, reason in folder.unreadable().items()]
    with without_server():
        create_table_artifact(rows, key=artifact_key("events", name), description=about)
        if unreadable:
            about = f"{len(unreadable)} of {counted(len(videos), 'video')} could not be read whole."
            create_table_artifact(unreadable[:MOST_ROWS], key=artifact_key("not-readable", name), description=about)
        _publish_pictures(folder, computed, [one.event.video for one in events])
    looked = f"{len(computed)} of {counted(len(videos), 'video')}"
    first = f"Looked at {looked}; {counted(len(events), 'event is', 'events are')} in the results."
    return [first, *folder.detector.notes(), *folder.notes, f"Results: {folder.out}"]


def _publish_pictures(folder: "GrowingFolder", computed: Sequence[Path], ranked: Sequence[str]) -> None:
    """Publish the curves of the computed videos with the highest events."""
    files = {folder.name(path): folder.curve_of(path) for path in computed}
    shown = [name for name in dict.fromkeys(ranked) if name in files and files[name].exists()]
    for place, name in enumerate(shown[:MOST_PICTURES], start=1):
        about = f"{name}: score and events."
        create_image_artifact(
            data_url(files[name].read_bytes()),
            key=artifact_key("curve", folder.videos.name, str(place)),
            description=about,
        )


detect_task = step(detect, "detect", "detect {batch.name}")
publish_task = step(publish, "publish", "publish {folder.videos.name}")
