"""The child process that decodes: `python -m vadprobe.extract.video.decode_worker [MEMORY] FD`.

It reads requests from a socket and answers each with one JSON header and, for frames, their raw bytes, which are left
in memory that both processes share where its descriptor is given. It runs apart
from the main process because a decoder may hang or crash on a broken file, and nothing in the same process can stop it.
"""

import contextlib
import socket
import sys
import time
from typing import Any

import av
import numpy as np

from vadprobe.extract.video.messages import Connection
from vadprobe.extract.video.packets.scanning import Heartbeat
from vadprobe.extract.video.readers.video_reader import DECORD, FAILURES, VideoReader, plain
from vadprobe.extract.video.shared_frames import SharedFrames

HEARTBEAT_SECONDS = 1.0
"""Seconds between two messages that a long read is getting on."""


def declared_frames(path: str) -> int | None:
    """Return the number of frames that the container's header tells; None if it says nothing."""
    with av.open(path) as container:
        streams = container.streams.video
        return int(streams[0].frames) or None if streams else None


def answer(
    reader: VideoReader, request: dict[str, Any], heartbeat: Heartbeat, shared: SharedFrames | None = None
) -> tuple[dict[str, Any], bytes | memoryview]:
    """Answer a request: `{"path": ...}` probes, `"indices"` in it reads those frames, `"count"` counts them.

    `"with": "decord"` lets decord read it, where it can be trusted with the file.
    """
    path, with_decord = request["path"], request.get("with") == DECORD
    try:
        if "count" in request:
            decoded = reader.count(path, with_decord, heartbeat) if request["count"] else None
            return {"declared": declared_frames(path), "decoded": decoded}, b""
        if "indices" not in request:
            n_frames = reader.open(path, with_decord, heartbeat).n_frames
            return {"n_frames": n_frames, "fps": reader.fps, "reader": reader.name, "note": reader.note}, b""
        if shared:
            shared.use(*request["room"])
        # Readers take ascending, distinct indices, so repeated ones of a short clip are decoded once.
        indices = request["indices"]
        distinct = sorted(set(indices))
        frames = reader.read(path, distinct, with_decord, heartbeat)
        if distinct != indices:
            frames = frames[np.searchsorted(distinct, indices)]
    except FAILURES as error:
        return {"error": plain(error)}, b""
    header = {"shape": list(frames.shape), "reader": reader.name}
    if shared is None:
        return header, np.ascontiguousarray(frames).data.cast("B")
    return {**header, "shared": [shared.put(frames), frames.nbytes]}, b""


def serve(descriptor: int, memory: int | None = None) -> None:
    """Answer requests until the other side closes; frames go through shared memory where its descriptor is given."""
    av.logging.set_level(None)  # what is logged is decord's: see DecordReader.read
    shared = None if memory is None else SharedFrames(memory)
    reader = VideoReader(shared.allocate) if shared else VideoReader()
    connection = Connection(socket.socket(fileno=descriptor))
    connection.send({"ready": True})
    last_sent = time.monotonic()

    def heartbeat() -> None:
        nonlocal last_sent
        if time.monotonic() - last_sent > HEARTBEAT_SECONDS:
            last_sent = time.monotonic()
            connection.send({"heartbeat": True})

    with contextlib.suppress(EOFError, ConnectionError), contextlib.closing(connection):
        while True:
            request, _ = connection.receive()
            last_sent = time.monotonic()
            if "with" in request:
                # Sent before the file is touched: a process that hangs or dies from here on may do so because of it.
                connection.send({"heartbeat": True, "trying": request["with"]})
            connection.send(*answer(reader, request, heartbeat, shared))


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):  # Ctrl-C goes to the whole group; the parent decides what it means
        serve(int(sys.argv[-1]), *map(int, sys.argv[1:-1]))
