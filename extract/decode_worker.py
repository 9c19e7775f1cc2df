"""The child process that decodes: ``python -m vadprobe.extract.decode_worker FD``.

It reads requests from a socket and answers each with one JSON header and, for frames, their raw bytes. It runs apart
from the main process because a decoder may hang or crash on a broken file, and nothing in the same process can stop it.
"""

import contextlib
import json
import socket
import struct
import sys
from typing import Any

import decord
import numpy as np

_LENGTH = struct.Struct("<Q")


def send(connection: socket.socket, header: dict[str, Any], payload: bytes | memoryview = b"") -> None:
    """Send a JSON header and a block of bytes, each with its length in front."""
    text = json.dumps(header).encode()
    connection.sendall(_LENGTH.pack(len(text)) + text + _LENGTH.pack(len(payload)))
    connection.sendall(payload)


def receive(connection: socket.socket) -> tuple[dict[str, Any], bytearray]:
    """Receive what :func:`send` sent.

    Raises:
        EOFError: if the other side has closed.
        TimeoutError: if the socket has a timeout and nothing came in time.
    """
    header = json.loads(bytes(_receive_block(connection)))
    return header, _receive_block(connection)


def _receive_block(connection: socket.socket) -> bytearray:
    (length,) = _LENGTH.unpack(_receive_exactly(connection, _LENGTH.size))
    return _receive_exactly(connection, length)


def _receive_exactly(connection: socket.socket, length: int) -> bytearray:
    block = bytearray(length)
    view = memoryview(block)
    while view:
        count = connection.recv_into(view)
        if count == 0:
            raise EOFError("the other side closed the connection")
        view = view[count:]
    return block


class _Reader:
    """One open video; clips of a video come in order, so the reader is kept until another path is asked for."""

    def __init__(self) -> None:
        self.path: str | None = None
        self.video: Any = None

    def open(self, path: str) -> Any:
        if path != self.path:
            self.path = self.video = None
            self.video = decord.VideoReader(path, ctx=decord.cpu(0), num_threads=1)
            self.path = path
        return self.video


def answer(reader: _Reader, request: dict[str, Any]) -> tuple[dict[str, Any], bytes | memoryview]:
    """Answer a request: ``{"path": ...}`` probes, with ``"indices"`` it reads those frames."""
    try:
        video = reader.open(request["path"])
        if "indices" not in request:
            return {"n_frames": len(video), "fps": float(video.get_avg_fps())}, b""
        # Repeated indices of a short clip are decoded once.
        wanted, positions = np.unique(request["indices"], return_inverse=True)
        frames = video.get_batch(wanted.tolist()).asnumpy()[positions]
    except (decord.DECORDError, RuntimeError, IndexError, ValueError, OSError) as error:
        reader.path = reader.video = None
        return {"error": " ".join(str(error).split())}, b""
    return {"shape": list(frames.shape)}, np.ascontiguousarray(frames).data.cast("B")


def serve(descriptor: int) -> None:
    """Answer requests until the other side closes."""
    decord.logging.set_level(decord.logging.QUIET)
    reader = _Reader()
    with socket.socket(fileno=descriptor) as connection:
        send(connection, {"ready": True})
        with contextlib.suppress(EOFError, ConnectionError):
            while True:
                request, _ = receive(connection)
                header, payload = answer(reader, request)
                send(connection, header, payload)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):  # Ctrl-C goes to the whole group; the parent decides what it means
        serve(int(sys.argv[1]))
