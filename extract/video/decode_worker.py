"""The child process that decodes: ``python -m vadprobe.extract.video.decode_worker FD``.

It reads requests from a socket and answers each with one JSON header and, for frames, their raw bytes. It runs apart
from the main process because a decoder may hang or crash on a broken file, and nothing in the same process can stop it.
"""

import contextlib
import os
import socket
import sys
import time
from bisect import bisect_right
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import decord
import numpy as np

from vadprobe.extract.video.messages import receive, send
from vadprobe.extract.video.packets import Survey, survey
from vadprobe.extract.video.salvage import SalvageReader

ALIVE_SECONDS = 1.0
"""How often a long read says that it is getting on."""


MISCOUNTED = ("mpegts",)
"""Containers whose frames decord miscounts even when it reads straight through."""

MOST_BYTES_AHEAD = 1 << 30
"""By so much this process may grow while decord reads a video. On a busy machine decord decodes ever further ahead of
what it is asked for, up to the whole video; what grows beyond this is read by PyAV, which never does."""

DECORD, PYAV = "decord", "PyAV"
FAILURES = (decord.DECORDError, av.FFmpegError, RuntimeError, IndexError, ValueError, OSError, StopIteration)


def plain(error: BaseException) -> str:
    """An error's text on one line."""
    if isinstance(error, StopIteration):
        return "the video ends before the frames asked for"
    if isinstance(error, av.FFmpegError):
        return error.strerror or type(error).__name__
    return " ".join(str(error).split())


def _complaints() -> int:
    """Bytes that FFmpeg has written to the log: decord hands out a damaged frame as a good one and only logs it."""
    return os.fstat(2).st_size


def _resident_bytes() -> int:
    """Memory this process holds; 0 where the system does not tell."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


class DecordReader:
    """One open video, read forward only.

    decord's seek counts from key frames and returns other frames than asked for in many containers (open groups of
    pictures, B-frames in avi and mpg), so frames are decoded one after the other, and an earlier frame opens the file
    anew. Clips of a video come in order, so each frame is decoded once. Frames in between are skipped, which saves
    turning them into colours, but never past a key frame, because decord would seek to it.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._log = _complaints()
        self._resident_at_start = _resident_bytes()
        self._open()
        self.n_frames, self.fps = len(self._video), float(self._video.get_avg_fps())

    def _open(self) -> None:
        self._video: Any = decord.VideoReader(self.path, ctx=decord.cpu(0), num_threads=1)
        self._keys = [int(index) for index in self._video.get_key_indices()]
        self._next = 0

    def doubts(self, surveyed: Survey | None) -> str | None:
        """Why the frames decord returns may be others than those asked for, or None."""
        if self.n_frames and (np.diff(self._video.get_frame_timestamp(range(self.n_frames))[:, 0]) <= 0).any():
            return "decord's time stamps do not ascend"
        if surveyed is not None and surveyed.n_frames != self.n_frames:
            return f"decord counts {self.n_frames} frames, the container holds {surveyed.n_frames}"
        return None

    def read(self, indices: list[int], alive: Callable[[], None]) -> np.ndarray:
        """Frames of ascending, distinct indices, (n, height, width, 3) uint8.

        Raises:
            ValueError: if FFmpeg has logged that something is wrong with the file, the pictures are not RGB, or decord
                has decoded too far ahead.
        """
        if indices[0] < self._next:
            self._open()
        frames: np.ndarray = np.empty(0, dtype=np.uint8)
        for place, index in enumerate(indices):
            self._skip_to(index, alive)
            frame = self._video.next().asnumpy()
            self._next += 1
            alive()
            if not place:
                frames = np.empty((len(indices), *frame.shape), dtype=np.uint8)
            frames[place] = frame
        if frames.shape[3] != 3:  # padded rows of narrow pictures are taken for colours
            raise ValueError(f"decord returns pictures of {frames.shape[3]} colours")
        if _complaints() > self._log:
            raise ValueError("decord met damaged data")
        if _resident_bytes() - self._resident_at_start > MOST_BYTES_AHEAD + frames.nbytes:
            raise ValueError("decord decodes too far ahead")
        return frames

    def _skip_to(self, index: int, alive: Callable[[], None]) -> None:
        """Decode what comes before a frame."""
        while self._next < index:
            later = bisect_right(self._keys, self._next)
            stop = min(index, self._keys[later] - 1) if later < len(self._keys) else index
            if stop > self._next and index < self.n_frames:
                self._video.skip_frames(stop - self._next)
                self._next = stop
            else:
                self._video.next()
                self._next += 1
            alive()


class Reader:
    """One open video, read by decord or, where decord cannot be trusted with it, by PyAV."""

    def __init__(self) -> None:
        self.path: str | None = None
        self._survey: Survey | None = None
        self._active: DecordReader | SalvageReader | None = None
        self._why = ""
        self._hopeless: tuple[str, str] | None = None

    def close(self) -> None:
        """Forget the video."""
        self.path = self._survey = self._active = None

    @property
    def name(self) -> str:
        """Which of the two reads the open video."""
        return DECORD if isinstance(self._active, DecordReader) else PYAV

    @property
    def fps(self) -> float:
        """Average frames per second."""
        if isinstance(self._active, DecordReader):
            return self._active.fps
        return self._survey.fps if self._survey else 0.0

    def open(self, path: str, only: str | None, alive: Callable[[], None]) -> DecordReader | SalvageReader:
        """The open video of that path, at whatever frame it stands; ``only`` ``"PyAV"`` keeps decord away from it."""
        if path == self.path and self._active is not None and only in (None, self.name):
            return self._active
        if self._hopeless is not None and self._hopeless[0] == path:  # one decoding found that out, not one per clip
            raise ValueError(self._hopeless[1])
        self.close()
        self._hopeless = None
        unreadable = ""
        try:
            self._survey = survey(path, alive)
        except FAILURES as error:
            unreadable = plain(error)
        found, self._why = self._survey, ""
        if only == PYAV:
            self._why = "decord hung or crashed"
        elif found is not None and found.container in MISCOUNTED:
            self._why = "decord miscounts the frames of this container"
        elif found is not None and found.deep_colour:
            self._why = "decord rounds colours of more than 8 bits"
        elif found is not None and not found.starts_with_key:
            self._why = "decord repeats frames of a stream that does not start with a key frame"
        elif found is not None and (found.lost_tail or found.is_damaged):
            self._why = "the file is truncated or damaged"
        if not self._why:
            try:
                opened = DecordReader(path)
                self._why = opened.doubts(found) or ""
                if found is None or not self._why:
                    self.path, self._active = path, opened
                    return opened
            except FAILURES as error:
                self._why = plain(error)
        if found is None:
            self.close()
            raise ValueError(self._why if self._why.endswith(unreadable) else f"{self._why}; PyAV: {unreadable}")
        return self._salvage(path, alive)

    def _salvage(self, path: str, alive: Callable[[], None]) -> SalvageReader:
        assert self._survey is not None
        try:
            reader = SalvageReader(path, self._survey, alive)
        except FAILURES as error:
            self.close()
            self._hopeless = path, f"{self._why}; PyAV: {plain(error)}"
            raise ValueError(self._hopeless[1]) from error
        self.path, self._active = path, reader
        return reader

    def read(self, path: str, indices: list[int], only: str | None, alive: Callable[[], None]) -> np.ndarray:
        """Frames of ascending, distinct indices, (n, height, width, 3) uint8."""
        opened = self.open(path, only, alive)
        if isinstance(opened, SalvageReader):
            return opened.read(indices, alive)
        try:
            return opened.read(indices, alive)
        except FAILURES as error:
            self._why = plain(error)
            past_the_end = isinstance(error, StopIteration) and indices[-1] >= opened.n_frames
            if past_the_end or self._survey is None:
                self.close()
                raise ValueError(self._why) from error
        return self._salvage(path, alive).read(indices, alive)


def count(
    reader: Reader, path: str, decode: bool, only: str | None, alive: Callable[[], None]
) -> dict[str, int | None]:
    """Frames of a video by its container's header (None if it says nothing) and, with ``decode``, one by one."""
    with av.open(path) as container:
        streams = container.streams.video
        declared = int(streams[0].frames) or None if streams else None
    if not decode:
        return {"declared": declared, "decoded": None}
    opened = reader.open(path, only, alive)
    if isinstance(opened, SalvageReader):
        return {"declared": declared, "decoded": opened.n_good}
    video = decord.VideoReader(path, ctx=decord.cpu(0), num_threads=1)
    decoded = 0
    # A broken file may repeat its last frame for ever.
    while decoded <= 2 * max(opened.n_frames, declared or 0):
        try:
            video.next()
        except StopIteration:
            break
        decoded += 1
        alive()
    return {"declared": declared, "decoded": decoded}


def answer(
    reader: Reader, request: dict[str, Any], alive: Callable[[], None]
) -> tuple[dict[str, Any], bytes | memoryview]:
    """Answer a request: ``{"path": ...}`` probes, ``"indices"`` in it reads those frames, ``"count"`` counts them.

    ``"only": "PyAV"`` keeps decord away from the file, because it hung or crashed on it.
    """
    path, only = request["path"], request.get("only")
    try:
        if "count" in request:
            return dict(count(reader, path, request["count"], only, alive)), b""
        if "indices" not in request:
            n_frames = reader.open(path, only, alive).n_frames
            return {"n_frames": n_frames, "fps": reader.fps, "reader": reader.name}, b""
        # Repeated indices of a short clip are decoded once.
        wanted, positions = np.unique(request["indices"], return_inverse=True)
        frames = reader.read(path, wanted.tolist(), only, alive)
        if len(positions) > len(wanted) or (np.diff(positions) < 0).any():
            frames = frames[positions]
    except FAILURES as error:
        return {"error": plain(error)}, b""
    return {"shape": list(frames.shape), "reader": reader.name}, np.ascontiguousarray(frames).data.cast("B")


def serve(descriptor: int) -> None:
    """Answer requests until the other side closes."""
    decord.logging.set_level(decord.logging.ERROR)
    av.logging.set_level(None)  # only decord's complaints are looked at
    reader = Reader()
    with socket.socket(fileno=descriptor) as connection:
        send(connection, {"ready": True})
        said = time.monotonic()

        def alive() -> None:
            nonlocal said
            if time.monotonic() - said > ALIVE_SECONDS:
                said = time.monotonic()
                send(connection, {"alive": True})

        with contextlib.suppress(EOFError, ConnectionError):
            while True:
                request, _ = receive(connection)
                said = time.monotonic()
                send(connection, {"alive": True, "trying": request.get("only") or DECORD})
                header, payload = answer(reader, request, alive)
                send(connection, header, payload)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):  # Ctrl-C goes to the whole group; the parent decides what it means
        serve(int(sys.argv[1]))
