"""The child process that decodes: ``python -m vadprobe.extract.decode_worker FD``.

It reads requests from a socket and answers each with one JSON header and, for frames, their raw bytes. It runs apart
from the main process because a decoder may hang or crash on a broken file, and nothing in the same process can stop it.
"""

import contextlib
import socket
import sys
import time
from collections.abc import Callable
from typing import Any

import av
import decord
import numpy as np

from vadprobe.extract.framing import receive, send

ALIVE_SECONDS = 1.0
"""How often a long read says that it is getting on."""


class Reader:
    """One open video, read forward only.

    decord's seek counts from key frames and returns other frames than asked for in many containers (open groups of
    pictures, B-frames in avi and mpg), so frames are decoded one after the other, and an earlier frame opens the file
    anew. Clips of a video come in order, so each frame is decoded once.
    """

    def __init__(self) -> None:
        self.path: str | None = None
        self._video: Any = None
        self._next = 0

    def open(self, path: str) -> Any:
        """The open video of that path, at whatever frame it stands."""
        if path != self.path:
            self.close()
            self._video = decord.VideoReader(path, ctx=decord.cpu(0), num_threads=1)
            self.path, self._next = path, 0
        return self._video

    def close(self) -> None:
        """Forget the video."""
        self.path = self._video = None

    def read(self, path: str, indices: np.ndarray, alive: Callable[[], None]) -> np.ndarray:
        """Frames of ascending, distinct indices, (n, height, width, 3) uint8."""
        if path == self.path and indices[0] < self._next:
            self.close()
        video = self.open(path)
        frames = []
        for index in indices.tolist():
            while self._next <= index:
                frame = video.next()
                self._next += 1
                alive()
            frames.append(frame.asnumpy())
        return np.stack(frames)


def count(path: str, decode: bool, alive: Callable[[], None]) -> dict[str, Any]:
    """Frames of a video by its container's header (None if it says nothing) and, with ``decode``, one by one."""
    with av.open(path) as container:
        streams = container.streams.video
        declared = int(streams[0].frames) or None if streams else None
    decoded = None
    if decode:
        video = decord.VideoReader(path, ctx=decord.cpu(0), num_threads=1)
        decoded = 0
        # A broken file may repeat its last frame for ever.
        while decoded <= 2 * max(len(video), declared or 0):
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
    """Answer a request: ``{"path": ...}`` probes, ``"indices"`` in it reads those frames, ``"count"`` counts them."""
    try:
        if "count" in request:
            return count(request["path"], request["count"], alive), b""
        if "indices" not in request:
            video = reader.open(request["path"])
            return {"n_frames": len(video), "fps": float(video.get_avg_fps())}, b""
        # Repeated indices of a short clip are decoded once.
        wanted, positions = np.unique(request["indices"], return_inverse=True)
        frames = reader.read(request["path"], wanted, alive)[positions]
    except StopIteration:
        reader.close()
        return {"error": "the video ends before the frames asked for"}, b""
    except (decord.DECORDError, av.FFmpegError, RuntimeError, IndexError, ValueError, OSError) as error:
        reader.close()
        return {"error": " ".join(str(error).split())}, b""
    return {"shape": list(frames.shape)}, np.ascontiguousarray(frames).data.cast("B")


def serve(descriptor: int) -> None:
    """Answer requests until the other side closes."""
    decord.logging.set_level(decord.logging.QUIET)
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
                header, payload = answer(reader, request, alive)
                send(connection, header, payload)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):  # Ctrl-C goes to the whole group; the parent decides what it means
        serve(int(sys.argv[1]))
