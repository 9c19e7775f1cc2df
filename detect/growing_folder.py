"""Detection in the videos of a folder that may grow: each video has its own results, so only new ones are computed."""

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import Any

from vadprobe.detect.detector import OFFLINE, Detector
from vadprobe.detect.explanations.explained import ExplainedEvent
from vadprobe.detect.online.events import Event
from vadprobe.detect.pictures.drawing import PictureOptions, draw_pictures, folder_name
from vadprobe.detect.results.folder import CURVE, EVENTS, EXPLANATIONS, PICTURES, SUMMARY, TABLE
from vadprobe.detect.results.summary import VideoSummary
from vadprobe.detect.run import Listener, Target, about_detection, detect_in
from vadprobe.detect.sources.folders import files_of
from vadprobe.detect.stream import DetectionOptions, ScoredSegment, StreamTimes
from vadprobe.store.errors import VadprobeError
from vadprobe.store.files.atomic_files import write_bytes, write_json

RECORD, VIDEOS = "record.json", "videos"
"""Name of the file that says what a video's results were made from, written last; name of the folder of all videos."""

_CURVE_ALONE = PictureOptions()


class _Texts(Listener):
    """Keeps the generated texts of a video's events by the position of the event."""

    def __init__(self) -> None:
        self.by_place: dict[int, str] = {}
        self._places: dict[int, int] = {}

    def found(self, item: ScoredSegment | Event, times: StreamTimes) -> None:
        """Note the position of an event."""
        if isinstance(item, Event):
            self._places[item.start_frame] = len(self._places)

    def explained(self, event: ExplainedEvent) -> None:
        """Keep a text."""
        if event.explanation is not None:
            self.by_place[self._places[event.event.start_frame]] = event.explanation.text


@dataclass(frozen=True)
class FoundEvent:
    """An event with a sentence: the backbone's own, marked as generated, or one made of its numbers."""

    event: Event
    sentence: str


@dataclass
class GrowingFolder:
    """The videos of a folder, and a folder of results with a record of each video that is done.

    A record holds the size and time of change of the video file, and the detector and settings. A video is pending if
    it is new, has changed, or was done with another detector or other settings.

    Attributes:
        detector: the detector; its model is loaded once for all videos.
        videos: folder of the video files, with those in its subfolders.
        out: folder of the results.
        options: smoothing, hysteresis and batch.
        explained: let the backbone say what happens in each event.
        notes: sentences on curves that could not be drawn.
    """

    detector: Detector
    videos: Path
    out: Path
    options: DetectionOptions = OFFLINE
    explained: bool = False
    notes: list[str] = field(default_factory=list)

    @cached_property
    def about(self) -> dict[str, Any]:
        """Detector and settings, as records hold them."""
        about = {**about_detection(self.detector, self.options), "explained": self.explained}
        found: dict[str, Any] = json.loads(json.dumps(about))  # with the types that reading a record gives
        return found

    @property
    def threshold(self) -> float:
        """The score above which a segment is anomalous."""
        return self.detector.fitted.locator.threshold

    def pending(self) -> list[Path]:
        """Return the pending videos, in the order of their names.

        Raises:
            VadprobeError: if there is no folder of videos.
        """
        if not self.videos.is_dir():
            raise VadprobeError(f"{self.videos} must be a folder of videos, but is not; create it, or name another.")
        return [path for path in files_of(self.videos) if self.is_pending(path)]

    def is_pending(self, path: Path) -> bool:
        """Return True if a video has no record, or one of another file, detector or setting."""
        record = self.folder_of(path) / RECORD
        try:
            return bool(json.loads(record.read_text(encoding="utf-8")) != self._record(path))
        except (OSError, ValueError):
            return True

    def name(self, path: Path) -> str:
        """Return the name of a video in all results: its path below the folder."""
        return path.relative_to(self.videos).as_posix()

    def folder_of(self, path: Path) -> Path:
        """Return the folder of a video's results."""
        return self.out / VIDEOS / folder_name(self.name(path))

    def curve_of(self, path: Path) -> Path:
        """Return the file of a video's curve."""
        return self.folder_of(path) / PICTURES / folder_name(self.name(path)) / CURVE

    def detect(self, path: Path) -> VideoSummary:
        """Detect in one video, explain its events and draw its curve; the record is written last.

        A video that cannot be read counts as done, with its reason, until its file changes.

        Raises:
            KeyboardInterrupt: if the detection was interrupted; the video stays pending.
        """
        folder, name, told = self.folder_of(path), self.name(path), _Texts()
        (folder / RECORD).unlink(missing_ok=True)
        record = self._record(path)  # taken before the detection: a file that grows meanwhile is pending again
        targets = [Target(name, path)]
        summary = detect_in(
            self.detector, targets, folder, self.options, overwrite=True, explain=self.explained, listener=told
        )
        if summary.interrupted:
            raise KeyboardInterrupt  # no record: the video is detected again
        (video,) = summary.videos
        if video.n_segments:
            try:
                draw_pictures(folder, name, path, self.threshold, _CURVE_ALONE, told.by_place)
            except VadprobeError as error:
                self.notes.append(f"{name}: the curve could not be drawn: {error}")
        write_json(folder / RECORD, record)
        return video

    def events(self) -> Iterator[FoundEvent]:
        """Yield the events of all videos that are done, sorted by the names of their folders, each with a sentence."""
        for record in sorted((self.out / VIDEOS).glob(f"*/{RECORD}")):
            folder = record.parent
            said = {(line["video"], line["start_frame"]): line["text"] for line in _lines(folder / EXPLANATIONS)[1:]}
            for line in _lines(folder / EVENTS):
                event = Event(**line)
                text = said.get((event.video, event.start_frame))
                words = self._sentence(event) if text is None else f"generated: {' '.join(text.split())}"
                yield FoundEvent(event, words)

    def summaries(self) -> Iterator[dict[str, Any]]:
        """Yield the summary of each video that is done, as `VideoSummary.to_json` gives it."""
        for record in sorted((self.out / VIDEOS).glob(f"*/{RECORD}")):
            yield from json.loads((record.parent / SUMMARY).read_text(encoding="utf-8"))["videos"]

    def unreadable(self) -> dict[str, str]:
        """Return, by name, the reason for each video that is done but was not read whole."""
        reasons = {}
        for video in self.summaries():
            if video["reason"] is not None:
                reasons[video["video"]] = str(video["reason"])
            elif video["n_unreadable"]:
                reasons[video["video"]] = f"{video['n_unreadable']} of {video['n_segments']} segments cannot be read"
        return reasons

    def write_table(self) -> Path:
        """Write the events of all videos that are done as one CSV table, atomically; return its path."""
        text = io.StringIO()
        writer = csv.DictWriter(text, [*(one.name for one in fields(Event)), "sentence"])
        writer.writeheader()
        writer.writerows({**found.event.to_json(), "sentence": found.sentence} for found in self.events())
        write_bytes(self.out / TABLE, text.getvalue().encode())
        return self.out / TABLE

    def _record(self, path: Path) -> dict[str, Any]:
        facts = path.stat()
        return {"bytes": facts.st_size, "modified_ns": facts.st_mtime_ns, "about": self.about}

    def _sentence(self, event: Event) -> str:
        peak = event.peak_frame / event.stop_frame * event.stop_second  # frames of a file are equally long
        length = event.stop_second - event.start_second
        return f"Above {self.threshold:.3g} for {length:.1f} s, highest at {peak:.1f} s."


def _lines(path: Path) -> list[dict[str, Any]]:
    """Return the objects of a file of JSON Lines; none where there is no such file."""
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
