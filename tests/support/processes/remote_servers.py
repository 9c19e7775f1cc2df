"""An S3 server and a web server in this process, which count requests, and whose answers can be made to fail."""

import contextlib
import http.client
import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote

import pytest

from vadprobe.store.files import object_store

BUCKET = "features"


@dataclass
class Faults:
    """Faults of a server.

    `rule` is called for every request with its method, its path and its number among equal requests, from 1. It names a
    fault, or returns None for a normal answer. Faults are `"503"`, `"cut"` (the connection ends in the middle of the
    body), `"short"` (the body is short, and its length says so), `"slow"` (a tenth of a second late), `"lost"` (no such
    object) and `"forbidden"`.
    """

    rule: Callable[[str, str, int], str | None] = lambda method, path, number: None
    requests: list[tuple[str, str, str]] = field(default_factory=list)
    n_faults: int = 0
    n_bytes: int = 0
    latency: float = 0.0
    _counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def fault(self, method: str, path: str, range_: str) -> str | None:
        with self._lock:
            self.requests.append((method, path, range_))
            self._counts[method, path] += 1
            found = self.rule(method, path, self._counts[method, path])
            self.n_faults += found is not None
            return found

    def reset(self) -> None:
        """Remove all faults, and forget the counted requests."""
        with self._lock:
            self.rule = lambda method, path, number: None
            self.requests, self.n_faults, self.n_bytes = [], 0, 0
            self._counts.clear()

    def sent(self, n_bytes: int) -> None:
        """Count bytes of bodies."""
        with self._lock:
            self.n_bytes += n_bytes

    def count(self, word: str, method: str = "GET") -> int:
        """Count the requests whose path holds a word."""
        return sum(one == method and word in path for one, path, _ in self.requests)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # otherwise every answer waits for the acknowledgement of its head
    faults: Faults

    def log_message(self, *arguments: object) -> None:
        pass

    def answer(self, status: int, headers: dict[str, str], body: bytes) -> None:
        fault = self.fault
        if fault in ("cut", "short") and (len(body) < 2 or self.command == "HEAD"):
            fault = None
        declared = len(body) // 2 if fault == "short" else len(body)
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if "Content-Length" not in headers:
            self.send_header("Content-Length", str(declared))
        self.end_headers()
        if self.command != "HEAD":
            self.faults.sent(len(body))
            with contextlib.suppress(OSError):
                self.wfile.write(body[: len(body) // 2] if fault in ("cut", "short") else body)
        if fault == "cut":
            self.close_connection = True

    def do(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        self.body = self.rfile.read(length) if length else b""
        self.fault = self.faults.fault(self.command, unquote(self.path), self.headers.get("Range") or "")
        time.sleep(self.faults.latency)
        if self.fault == "503":
            self.answer(503, {}, b"slow down")
        elif self.fault == "forbidden":
            self.answer(403, {}, b"<Error><Code>AccessDenied</Code></Error>")
        elif self.fault == "lost":
            self.answer(404, {}, b"<Error><Code>NoSuchKey</Code></Error>")
        else:
            if self.fault == "slow":
                time.sleep(0.1)
            self.serve()

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = do  # noqa: N815 - the names that http.server looks for

    def serve(self) -> None:
        raise NotImplementedError


class _Proxy(_Handler):
    """Passes requests on to another server."""

    port: int

    def serve(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=300)
        connection.request(self.command, self.path, self.body, dict(self.headers))
        found = connection.getresponse()
        body = found.read()
        skipped = {"connection", "transfer-encoding", "date", "server"}
        if self.command != "HEAD":
            skipped.add("content-length")
        self.answer(found.status, {k: v for k, v in found.getheaders() if k.lower() not in skipped}, body)
        connection.close()


class _Files(_Handler):
    """A plain web server of a folder, without listings, and with ranges if `knows_ranges`."""

    folder: Path
    knows_ranges: bool

    def serve(self) -> None:
        path = self.folder / unquote(self.path).lstrip("/")
        if self.command not in ("GET", "HEAD"):
            self.answer(405, {}, b"")
            return
        if not path.is_file():
            self.answer(404, {}, b"")
            return
        found = path.stat()
        stamp = {"Last-Modified": self.date_time_string(int(found.st_mtime)), "ETag": f'"{found.st_mtime_ns:x}"'}
        wanted = (self.headers.get("Range") or "").removeprefix("bytes=")
        if not wanted or not self.knows_ranges:
            size = {"Content-Length": str(found.st_size)} if self.command == "HEAD" else {}
            self.answer(200, {**stamp, **size}, b"" if size else path.read_bytes())
            return
        first, _, last = wanted.partition("-")
        start = int(first) if first else max(0, found.st_size - int(last))
        stop = min(found.st_size, int(last) + 1) if first and last else found.st_size
        with path.open("rb") as file:
            file.seek(start)
            content = file.read(stop - start)
        self.answer(206, {**stamp, "Content-Range": f"bytes {start}-{stop - 1}/{found.st_size}"}, content)


@contextlib.contextmanager
def _serving(handler: type[_Handler]) -> Iterator[int]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextlib.contextmanager
def web_server(folder: Path, faults: Faults, knows_ranges: bool = True) -> Iterator[str]:
    """Serve a folder, and yield its URL."""
    parts = {"folder": folder, "faults": faults, "knows_ranges": knows_ranges}
    with _serving(type("Files", (_Files,), parts)) as port:
        yield f"http://127.0.0.1:{port}"


@contextlib.contextmanager
def bucket_at_hand(faults: Faults, secret: str = "testing") -> Iterator[str]:
    """Yield the URL of an empty bucket, with credentials in the environment of this process and its children."""
    names = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": secret, "AWS_REGION": "us-east-1"}
    with s3_server(faults) as endpoint, pytest.MonkeyPatch.context() as patch:
        for name, value in {**names, "AWS_ENDPOINT_URL": endpoint}.items():
            patch.setenv(name, value)
        object_store.connection.cache_clear()
        yield f"s3://{BUCKET}"
        object_store.connection.cache_clear()


@contextlib.contextmanager
def s3_server(faults: Faults) -> Iterator[str]:
    """Run an S3 server with an empty bucket `BUCKET`, and yield its endpoint."""
    import boto3
    from moto.moto_server.werkzeug_app import MotoRequestHandler, create_backend_app
    from werkzeug.serving import make_server

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    # moto's own server serves all of AWS; a third of its time goes to finding the service of each request.
    application = create_backend_app("s3")
    server = make_server("127.0.0.1", 0, application, threaded=True, request_handler=MotoRequestHandler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        client = boto3.client(
            "s3", endpoint_url=f"http://127.0.0.1:{server.port}", aws_access_key_id="testing",
            aws_secret_access_key="testing", region_name="us-east-1",
        )  # fmt: skip
        client.create_bucket(Bucket=BUCKET)
        client.close()
        with _serving(type("Proxy", (_Proxy,), {"port": server.port, "faults": faults})) as proxy:
            yield f"http://127.0.0.1:{proxy}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
