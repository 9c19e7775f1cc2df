"""A folder that is watched: each new video file once it is complete."""

import logging
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from vadprobe.detect.sources.files import FileSource
from vadprobe.detect.sources.frames import FrameSource, SourceError, TimedFrame
from vadprobe.detect.sources.options import SourceOptions
from vadprobe.store.datasets.annotations.names import VIDEO_SUFFIXES
from vadprobe.store.errors import VadprobeError

LOG = logging.getLogger(__name__)


class UnreadableSource:
    """A file that cannot be read; asking for its frames raises the reason."""

    fps = None
    notes: tuple[str, ...] = ()

    def __init__(self, name: str, reason: SourceError) -> None:
        self.name, self._reason = name, reason

    def frames(self) -> Iterator[TimedFrame]:
        """Raise the reason.

        Raises:
            SourceError: always.
        """
        raise self._reason

    def close(self) -> None:
        """Do nothing."""


def files_of(folder: Path) -> list[Path]:
    """Return the video files of a folder and its subfolders, in the order of their names; hidden ones are left out."""
    found = (path for path in folder.rglob("*") if path.suffix.lower() in VIDEO_SUFFIXES and path.is_file())
    return sorted(path for path in found if not any(part[0] == "." for part in path.relative_to(folder).parts))


def source_of(path: Path, folder: Path, options: SourceOptions) -> FrameSource:
    """Return the source of a file below a folder, named by its path there; an `UnreadableSource` if that fails."""
    name = path.relative_to(folder).with_suffix("").as_posix()
    try:
        return FileSource(path, name, options.decode_seconds)
    except SourceError as error:
        return UnreadableSource(name, error)


class WatchedFolder:
    """Sources of the files of a folder: those that exist, then each new file once its size no longer changes.

    Args:
        folder: the folder; subfolders are watched too.
        options: how long a file must keep its size, and when watching ends.
    """

    def __init__(self, folder: Path, options: SourceOptions) -> None:
        if not folder.is_dir():
            raise VadprobeError(f"a watched folder must exist, {folder.name!r} does not; create it first.")
        self._folder, self._options = folder, options
        self._closed = threading.Event()

    def __iter__(self) -> Iterator[FrameSource]:
        """Yield a source for each file; see `paths`."""
        for path in self.paths():
            yield source_of(path, self._folder, self._options)

    def paths(self) -> Iterator[Path]:
        """Yield each complete file once; end when no new file has come for `watch_seconds`, or after `close`."""
        done: set[Path] = set()
        seen: dict[Path, tuple[int, int, float]] = {}  # size, time of the last change, and since when
        settle, patience = self._options.settle_seconds, self._options.watch_seconds
        last_new = time.monotonic()
        while not self._closed.is_set():
            for path in files_of(self._folder):
                if path not in done and self._is_complete(path, seen):
                    done.add(path)
                    seen.pop(path, None)
                    yield path
                    last_new = time.monotonic()
                    if self._closed.is_set():
                        return
            if seen:
                last_new = time.monotonic()
            if patience is not None and time.monotonic() - last_new > patience:
                return
            self._closed.wait(settle / 4)

    def close(self) -> None:
        """End watching; another thread may call this."""
        self._closed.set()

    def _is_complete(self, path: Path, seen: dict[Path, tuple[int, int, float]]) -> bool:
        """Return True if a file has kept its size and its time of change for long enough."""
        try:
            facts = path.stat()
        except OSError:  # removed meanwhile
            seen.pop(path, None)
            return False
        now = time.monotonic()
        size, changed, since = seen.get(path, (-1, -1, now))
        if (size, changed) != (facts.st_size, facts.st_mtime_ns):
            seen[path] = facts.st_size, facts.st_mtime_ns, now
            return False
        return facts.st_size > 0 and now - since >= self._options.settle_seconds
