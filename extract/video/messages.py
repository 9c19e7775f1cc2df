"""Messages between the main process and the decoder: a JSON header and a block of bytes, each with its length."""

import json
import socket
import struct
from typing import Any

_LENGTH = struct.Struct("<Q")


def send(connection: socket.socket, header: dict[str, Any], payload: bytes | memoryview = b"") -> None:
    """Send a header and a block of bytes."""
    text = json.dumps(header).encode()
    connection.sendall(_LENGTH.pack(len(text)) + text + _LENGTH.pack(len(payload)))
    if payload:  # sending nothing fails, too, once the other side has died of the message
        connection.sendall(payload)


def receive(connection: socket.socket) -> tuple[dict[str, Any], bytearray]:
    """Receive what ``send`` sent.

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
