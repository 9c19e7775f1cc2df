"""Lines and a bar on the terminal while a detection goes on, and the pictures of each video when it has ended."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vadprobe.detect.explanations.explained import ExplainedEvent
from vadprobe.detect.online.events import Event
from vadprobe.detect.pictures.curve import MOST_LINES
from vadprobe.detect.pictures.drawing import PictureOptions, draw_pictures
from vadprobe.detect.results.summary import VideoSummary
from vadprobe.detect.run import Listener, Target
from vadprobe.detect.stream import ScoredSegment, StreamTimes
from vadprobe.flows.jobs.progress import POSTFIX_SECONDS, say
from vadprobe.store.errors import VadprobeError

if TYPE_CHECKING:
    from tqdm import tqdm


@dataclass
class TerminalReport(Listener):
    """Prints events and texts as they come, moves a bar, and draws the pictures of each video.

    Attributes:
        bar: counts segments; beside it stand the real-time factor and the latencies.
        out: folder of the results.
        threshold: the locator's.
        pictures: settings of the pictures.
        silent: print nothing but the bar, because a program reads the output.
    """

    bar: "tqdm[Any]"
    out: Path
    threshold: float
    pictures: PictureOptions
    silent: bool = False
    _places: dict[int, int] = field(default_factory=dict)
    _texts: dict[int, str] = field(default_factory=dict)
    _n_events: int = 0
    _said: float = -POSTFIX_SECONDS

    def started(self, about: Mapping[str, object]) -> None:
        """Print the form of smoothing."""
        delay = about["delay_segments"]
        self._tell(
            f"Smoothing: {about['smoothing']}; a score is final {delay} segment{'' if delay == 1 else 's'} later."
        )

    def found(self, item: ScoredSegment | Event, times: StreamTimes) -> None:
        """Print an event, or count a segment."""
        if isinstance(item, Event):
            if self._n_events < MOST_LINES:  # the curve describes no more
                self._places[item.start_frame] = self._n_events
            self._n_events += 1
            self._tell(event_line(item))
            return
        if time.monotonic() - self._said >= POSTFIX_SECONDS:
            self._said = time.monotonic()
            self.bar.set_postfix_str(times.words(), refresh=False)
        self.bar.update()

    def explained(self, event: ExplainedEvent) -> None:
        """Print a text, and keep it for the curve."""
        one, place = event.event, self._places.get(event.event.start_frame)
        self._tell(f"{one.video}, {one.start_second:.1f} s to {one.stop_second:.1f} s, {event.line()}")
        if event.explanation is not None and place is not None:
            self._texts[place] = event.explanation.text

    def finished(self, target: Target, video: VideoSummary) -> None:
        """Draw the pictures of a video; print a sentence about each that cannot be drawn."""
        file = target.video if isinstance(target.video, Path) else None
        options = self.pictures
        if file is None and (options.films or options.scored_video):
            self._tell(f"{target.name}: films are cut from video files, and this is a stream; only its curve is drawn.")
            options = PictureOptions()
        try:
            if video.n_segments:
                draw_pictures(self.out, target.name, file, self.threshold, options, self._texts)
        except VadprobeError as error:
            self._tell(f"{target.name}: not all pictures could be drawn: {error}")
        self._places, self._texts, self._n_events = {}, {}, 0

    def _tell(self, line: str) -> None:
        if not self.silent:
            say(line)


def event_line(event: Event) -> str:
    """Return an event in one line."""
    return (
        f"{event.video}: event from {event.start_second:.1f} s to {event.stop_second:.1f} s (frames "
        f"{event.start_frame}-{event.stop_frame - 1}), peak {event.peak_score:.3f}, mean {event.mean_score:.3f}"
    )
