"""A film of each event, cut from its video with some seconds before and after."""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

from vadprobe.detect.pictures.marked import ShownEvent
from vadprobe.detect.pictures.mp4 import Mp4Writer
from vadprobe.detect.results.folder import FILM
from vadprobe.detect.sources.files import FileSource
from vadprobe.detect.sources.frames import TimedFrame
from vadprobe.store.progress import Progress


def write_event_films(
    source: FileSource,
    events: Sequence[ShownEvent],
    folder: Path,
    padding_seconds: float = 2.0,
    progress: Progress | None = None,
) -> list[Path | None]:
    """Cut each event from a video file; the file is decoded once, and frames are encoded anew.

    A film has the event's frames at the mean rate of the file. In the place of a lost frame, the frame before it stays.

    Args:
        source: the video; it is not closed.
        events: events in any order; films are numbered in this order from 1.
        folder: folder for `event-1.mp4`, `event-2.mp4`, ...
        padding_seconds: seconds of the video before and after an event, as far as the video has them.
        progress: called with the number of frames that were read, and of all to read.

    Returns:
        The paths, in the order of the events; None for an event of which no frame can be read.

    Raises:
        SourceError: if the video breaks off; films that were complete before stay.
    """
    padding = round(padding_seconds * source.fps)
    spans = [(max(0, e.start_frame - padding), min(e.stop_frame + padding, source.n_frames)) for e in events]
    digits = len(str(len(events)))
    paths = [folder / FILM.format(f"{number:0{digits}d}") for number in range(1, len(events) + 1)]
    for path in paths:
        path.unlink(missing_ok=True)  # one of an earlier detection
    _write_spans(_read_spans(source, spans, progress), source.fps, spans, paths)
    return [path if path.exists() else None for path in paths]


def _read_spans(
    source: FileSource, spans: Sequence[tuple[int, int]], progress: Progress | None
) -> Iterator[TimedFrame]:
    """Yield the frames that are in at least one span, ascending, each once."""
    joined: list[tuple[int, int]] = []
    for start, stop in sorted(spans):
        if joined and start <= joined[-1][1]:
            joined[-1] = joined[-1][0], max(stop, joined[-1][1])
        else:
            joined.append((start, stop))
    count = sum(stop - start for start, stop in joined)
    frames = (frame for start, stop in joined for frame in source.frames(start, stop))
    for done, frame in enumerate(frames, start=1):
        yield frame
        if progress is not None:
            progress(done, count)


def _write_spans(
    frames: Iterable[TimedFrame], fps: float, spans: Sequence[tuple[int, int]], paths: Sequence[Path]
) -> None:
    """Write frames into the film of every span that holds them; spans may overlap."""
    waiting = deque(sorted(zip(spans, paths, strict=True)))
    with ExitStack() as failing:  # an error reaches every film that is not whole
        films: list[tuple[int, int, ExitStack, Mp4Writer]] = []
        for frame in frames:
            while waiting and waiting[0][0][0] <= frame.index:
                (start, stop), path = waiting.popleft()
                scope = failing.enter_context(ExitStack())
                films.append((start, stop, scope, scope.enter_context(Mp4Writer(path, fps))))
            for start, stop, scope, film in list(films):
                if frame.index < stop:
                    film.write(frame.pixels, frame.index - start)
                if frame.index >= stop - 1:  # whole at once: what breaks off later does not concern it
                    scope.close()
                    films.remove((start, stop, scope, film))
