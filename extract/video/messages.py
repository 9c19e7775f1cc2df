"""Messages between the main process and a decoder: a line of JSON, then the bytes that it announces."""

import json
import socket
from typing import Any


class Connection:
    """One end of a socket over which JSON headers travel, each with a block of bytes.

    A timeout bounds every single read and write, so a process that stops in the middle of a message is noticed too.
    `multiprocessing.connection.Connection` has no such bound, and takes about 1.5 times as long for a clip's frames.
    """

    def __init__(self, end: socket.socket) -> None:
        self._socket, self._reader = end, end.makefile("rb")

    def set_timeout(self, seconds: float) -> None:
        """Set how long a read or write may wait, in seconds."""
        self._socket.settimeout(seconds)

    def send(self, header: dict[str, Any], payload: bytes | memoryview = b"") -> None:
        """Send a header and a block of bytes.

        Raises:
            TimeoutError: if the other side took nothing for as long as the timeout.
            ConnectionError: if the other side has closed.
        """
        self._socket.sendall(json.dumps({**header, "n_bytes": len(payload)}).encode() + b"\n")
        if payload:  # even sending nothing fails once the other side has died of the header
            self._socket.sendall(payload)

    def receive(self) -> tuple[dict[str, Any], bytearray]:
        """Receive a header and its block of bytes.

        Raises:
            TimeoutError: if nothing came for as long as the timeout.
            EOFError: if the other side has closed.
        """
        line = self._reader.readline()
        if not line.endswith(b"\n"):
            raise EOFError("the other side closed the connection")
        header = json.loads(line)
        payload = bytearray(header.pop("n_bytes"))
        if self._reader.readinto(payload) < len(payload):
            raise EOFError("the other side closed the connection")
        return header, payload

    def close(self) -> None:
        """Close this end."""
        self._reader.close()
        self._socket.close()
