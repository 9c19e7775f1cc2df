"""Servers of live streams in this process: HTTP answers that break off, and RTSP over TCP."""

import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import IO


@dataclass(frozen=True)
class Answer:
    """One answer to a request for a stream.

    `content` is sent, then the connection is closed, after `holds` is set if it is given. `length` is the declared
    length, None for none. With a `status` other than 200 no content is sent.
    """

    content: bytes = b""
    length: int | None = None
    status: int = 200
    holds: threading.Event | None = None


@dataclass
class HttpStream:
    """A served stream: its `url`, and the paths and headers of the `requests` so far."""

    url: str
    requests: list[str] = field(default_factory=list)


@contextlib.contextmanager
def http_stream(answer: Callable[[int], Answer]) -> Iterator[HttpStream]:
    """Serve a stream; `answer` is called with the number of the request, from 0."""
    stream = HttpStream("")

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *arguments: object) -> None:
            pass

        def do_GET(self) -> None:
            stream.requests.append(f"{self.path}\n{self.headers}")
            found = answer(len(stream.requests) - 1)
            self.send_response(found.status)
            if found.length is not None:
                self.send_header("Content-Length", str(found.length))
            self.end_headers()
            if found.status == 200:
                with contextlib.suppress(OSError):
                    self.wfile.write(found.content)
                    self.wfile.flush()
                    if found.holds is not None:
                        found.holds.wait()

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads, server.block_on_close = True, False
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    stream.url = f"http://127.0.0.1:{server.server_address[1]}/live"
    try:
        yield stream
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


PACKETS_AT_ONCE = 7 * 188
"""Bytes of a transport stream in one packet of RTP."""


@contextlib.contextmanager
def rtsp_stream(content: Callable[[int], bytes]) -> Iterator[str]:
    """Serve a transport stream by RTSP over TCP, close the connection behind it, and yield the URL.

    `content` is called with the number of the connection that plays, from 0. Only those parts of RFC 2326 are here that
    FFmpeg uses: OPTIONS, DESCRIBE, SETUP (interleaved), PLAY.
    """
    server = socket.create_server(("127.0.0.1", 0))
    played = [0]

    def serve(client: socket.socket) -> None:
        with client, client.makefile("rwb") as file:
            while line := file.readline().decode():
                headers = {}
                while header := file.readline().decode().strip():
                    name, _, value = header.partition(":")
                    headers[name.lower()] = value.strip()
                method = line.split()[0]
                sdp = "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=test\r\nt=0 0\r\nm=video 0 RTP/AVP 33\r\na=control:one\r\n"
                more, body = {
                    "OPTIONS": ("Public: OPTIONS, DESCRIBE, SETUP, PLAY\r\n", ""),
                    "DESCRIBE": (f"Content-Type: application/sdp\r\nContent-Length: {len(sdp)}\r\n", sdp),
                    "SETUP": ("Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\nSession: 1\r\n", ""),
                }.get(method, ("Session: 1\r\n", ""))
                file.write(f"RTSP/1.0 200 OK\r\nCSeq: {headers.get('cseq', '0')}\r\n{more}\r\n{body}".encode())
                file.flush()
                if method == "PLAY":
                    played[0] += 1
                    _play(file, content(played[0] - 1))
                    return

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = server.accept()
                threading.Thread(target=_quietly, args=(serve, client), daemon=True).start()

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield f"rtsp://127.0.0.1:{server.getsockname()[1]}/live"
    finally:
        with contextlib.suppress(OSError):
            server.shutdown(socket.SHUT_RDWR)
        server.close()
        thread.join()


def _quietly(serve: Callable[[socket.socket], None], client: socket.socket) -> None:
    with contextlib.suppress(OSError, ValueError):
        serve(client)


def _play(file: IO[bytes], content: bytes) -> None:
    for number, start in enumerate(range(0, len(content), PACKETS_AT_ONCE)):
        payload = content[start : start + PACKETS_AT_ONCE]
        packet = struct.pack(">BBHII", 0x80, 33, number % 65536, number * 3000, 1) + payload
        file.write(struct.pack(">cBH", b"$", 0, len(packet)) + packet)
    file.flush()
