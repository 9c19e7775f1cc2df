"""A video file as a source: every frame once, in the order of the file, as stage 1 reads it."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from vadprobe.detect.sources.frames import SourceError, TimedFrame
from vadprobe.extract.video.decoder import Decoder
from vadprobe.store.errors import VideoError

CHUNK_BYTES = 1 << 24
"""Limit in bytes of the frames that are fetched from the decoder at once; one frame always is."""

MOST_AT_ONCE = 16
"""Largest number of frames that are fetched at once."""


class FileSource:
    """The frames of a complete video file.

    Stage 1's decoder process reads the file, with a deadline, so frames and their numbers are those of a feature store:
    the right way up, and with damaged frames left out.

    Args:
        path: the video file.
        name: name of the source; by default the file's name without its suffix.
        deadline: seconds without progress after which the decoder is killed, and the source breaks off.

    Attributes:
        path: the video file.
        n_frames: number of frames that the file holds, including lost ones.

    Raises:
        SourceError: if the file cannot be read at all.
    """

    def __init__(self, path: Path, name: str | None = None, deadline: float = 60.0) -> None:
        self.path, self.name = path, name or path.stem
        self._decoder = Decoder(deadline)
        self._closed = self._is_reading = False
        self._lost = 0
        self._reason = ""
        try:
            self.n_frames, self._fps = self._decoder.probe(path)
        except VideoError as error:
            self._decoder.close()
            raise SourceError(f"{path.name}: {error}") from error

    @property
    def fps(self) -> float:
        """Average frames per second, as the file declares them."""
        return self._fps

    @property
    def notes(self) -> tuple[str, ...]:
        """A sentence with the number of frames lost so far and the first reason; none if no frame was lost."""
        if not self._lost:
            return ()
        return (f"{self._lost} frame{'s' if self._lost > 1 else ''} could not be read; the first: {self._reason}",)

    def frames(self, start: int = 0, stop: int | None = None) -> Iterator[TimedFrame]:
        """Yield the frames `[start, stop)` that can be read, by default of the whole file; lost frames leave gaps.

        Raises:
            SourceError: if the decoder hangs, crashes, or finds fewer frames than the file declares.
        """
        count, before, end = 1, start - 1, self.n_frames if stop is None else min(stop, self.n_frames)
        self._is_reading = True
        try:
            while start < end and not self._closed:
                following = min(start + count, end)
                for index, pixels in self._read(start, following):
                    yield TimedFrame(index, index / self._fps, pixels, None, index > before + 1)
                    before, count = index, max(1, min(CHUNK_BYTES // pixels.nbytes, MOST_AT_ONCE))
                start = following
        finally:
            self._is_reading = False
            if self._closed:
                self._decoder.close()

    def close(self) -> None:
        """End the decoder's process."""
        self._closed = True
        self._decoder.interrupt()
        if not self._is_reading:  # else `frames` closes it, perhaps in another thread
            self._decoder.close()

    def _read(self, start: int, stop: int) -> Iterator[tuple[int, np.ndarray]]:
        """Yield the frames `[start, stop)` that can be read; if reading all at once fails, read them one by one."""
        try:
            frames = self._decoder.read_clip(self.path, range(start, stop))
        except VideoError as error:
            if stop - start > 1:
                for index in range(start, stop):
                    yield from self._read(index, index + 1)
                return
            if self._closed:
                return
            if "lost" not in str(error):
                raise SourceError(f"{self.path.name} broke off at frame {start} of {self.n_frames}: {error}") from error
            self._lost, self._reason = self._lost + 1, self._reason or str(error)
        else:
            yield from zip(range(start, stop), frames, strict=True)
