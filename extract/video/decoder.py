"""Decoding the sampled frames of clips, in a child process with a deadline."""

import os
import re
import signal
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np

from vadprobe.extract.video.messages import Connection
from vadprobe.extract.video.shared_frames import SharedFrames
from vadprobe.store.errors import VadprobeError, VideoError
from vadprobe.store.files.stand_ins import stand_in

START_SECONDS = 60.0
"""Seconds that a fresh decoder process may take to answer for the first time."""

MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(2**25), "MALLOC_TRIM_THRESHOLD_": str(2**27)}
"""Settings of glibc's allocator in a decoder process: memory of a frame is kept for the next one. Without them the
system takes back and clears the memory of every large frame, which takes three times as long as its conversion."""

ReaderName = Literal["auto", "pyav", "decord"]

NO_PROGRESS, CRASHED = "decoding made no progress", "the decoder process ended"
"""Beginnings of reasons that may be the machine's fault and not the file's; such a video is tried again."""


def check_reader(reader: ReaderName) -> None:
    """Check that a reader is installed.

    Raises:
        VadprobeError: if it is missing; the error says how to install it, and that PyAV reads the same frames.
    """
    if reader == "decord" and find_spec("decord") is None:
        raise VadprobeError(
            "reader = 'decord' needs decord, which is not installed: pip install decord (it has wheels for 64-bit "
            "Linux and Windows on x86 alone). Without the setting, PyAV reads the same frames."
        )


class Decoder:
    """Reads videos in a child process that is killed when it exceeds its deadline, and started again when needed.

    Args:
        deadline: seconds without progress (opening a file, decoding one frame) after which the process is killed and
            the clip counts as failed.
        reader: library that reads. "auto" and "pyav" stand for PyAV, which reads everything. With "decord", PyAV reads
            the files that decord refuses or would read wrongly. If the process hangs or crashes while decord reads a
            file, PyAV reads that file from then on, with a new deadline. Both give the same frames.

    Attributes:
        reader: library that answered the last request for a file or its frames, "decord" or "PyAV".
        note: a sentence on what is unusual about the file that was probed last; "" if nothing is.
    """

    def __init__(self, deadline: float = 60.0, reader: ReaderName = "auto") -> None:
        check_reader(reader)
        self.deadline = deadline
        self._with_decord = reader == "decord"
        self.reader: str | None = None
        self.note = ""
        self._interrupted = False
        self._without_decord: set[str] = set()
        self._reading_with: str | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: Connection | None = None
        self._errors: IO[bytes] | None = None
        self._shared: SharedFrames | None = None

    def probe(self, path: Path) -> tuple[int, float]:
        """Return the number of frames and the average frames per second of a video file.

        Raises:
            VideoError: if the file is missing, empty, a pointer to a video, not a video, has no frames, or the decoder
                hangs or crashes.
        """
        _check_file(path)
        header, _ = self._ask({"path": str(path)}, "the file cannot be opened")
        n_frames, fps, self.note = int(header["n_frames"]), float(header["fps"]), header.get("note", "")
        if n_frames < 1:
            raise VideoError("the file has no video frames")
        if not (np.isfinite(fps) and fps > 0):
            raise VideoError(f"the file declares an impossible frame rate ({fps})")
        return n_frames, fps

    def count(self, path: Path, decode: bool) -> tuple[int | None, int | None]:
        """Count frames by the container's header, and with `decode` by decoding all of them; None where not known.

        Raises:
            VideoError: if the file cannot be opened or decoded, or the decoder hangs or crashes.
        """
        header, _ = self._ask({"path": str(path), "count": decode}, "the frames cannot be counted")
        return header["declared"], header["decoded"]

    def read_clip(self, path: Path, frame_indices: Sequence[int]) -> np.ndarray:
        """Decode the frames asked for.

        Returns:
            (frames, height, width, 3) uint8, RGB.

        Raises:
            VideoError: if a frame cannot be decoded or does not exist, or the decoder hangs or crashes.
        """
        if len(frame_indices) == 0 or min(frame_indices) < 0:
            raise VideoError(f"frame indices must be one or more numbers from 0, got {list(frame_indices)}")
        request = {"path": str(path), "indices": [int(index) for index in frame_indices]}
        header, payload = self._ask(request, "these frames cannot be decoded")
        frames: np.ndarray = np.frombuffer(payload, dtype=np.uint8)
        if "shared" in header and self._shared is not None:
            frames = self._shared.take(*header["shared"])
        frames = frames.reshape(header["shape"])
        if len(frames) != len(frame_indices):
            raise VideoError(f"{len(frame_indices)} frames were asked for, the decoder returned {len(frames)}")
        return frames

    def _ask(self, request: dict[str, Any], failure: str) -> tuple[dict[str, Any], bytearray]:
        """Ask, and once more without decord if the process hung or died while decord was reading.

        Raises:
            VideoError: beginning with `failure` if the file is to blame.
        """
        path = request["path"]
        try:
            header, payload = self._ask_once(request)
        except VideoError:
            if self._interrupted or self._reading_with != "decord":
                raise
            self._without_decord.add(path)
            header, payload = self._ask_once(request)
        if "error" in header:
            reason = header["error"].replace(path, Path(path).name)
            raise VideoError(f"{failure}: {shorten(reason)}")
        self.reader = header.get("reader", self.reader)
        return header, payload

    def _ask_once(self, request: dict[str, Any]) -> tuple[dict[str, Any], bytearray]:
        connection = self._connection or self._start()
        # The process says when decord begins: one that was dead or stopped before tells nothing of the file.
        self._reading_with = None
        if self._with_decord and request["path"] not in self._without_decord:
            request = {**request, "with": "decord"}
        if self._shared is not None:
            request = {**request, "room": self._shared.room()}
        try:
            connection.set_timeout(self.deadline)
            connection.send(request)
            header, payload = connection.receive()
            while "heartbeat" in header:
                self._reading_with = header.get("trying", self._reading_with)
                header, payload = connection.receive()
        except TimeoutError as error:
            self.close()
            raise VideoError(f"{NO_PROGRESS} for {self.deadline:g} s; the decoder was killed") from error
        except (EOFError, ConnectionError) as error:
            raise VideoError(self._died()) from error
        return header, payload

    def _start(self) -> Connection:
        if self._interrupted:
            raise VideoError("decoding was interrupted")
        ours, theirs = socket.socketpair()
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 -- closed with the process
        self._shared = SharedFrames() if SharedFrames.is_possible() else None
        passed = [*([self._shared.descriptor] if self._shared else []), theirs.fileno()]
        command = [sys.executable, "-m", "vadprobe.extract.video.decode_worker", *map(str, passed)]
        self._process = subprocess.Popen(
            command, pass_fds=passed, stdin=subprocess.DEVNULL, stderr=self._errors, env={**MEMORY, **os.environ}
        )
        theirs.close()
        self._connection = Connection(ours)
        try:
            self._connection.set_timeout(START_SECONDS)
            self._connection.receive()
        except TimeoutError as error:
            self.close()
            raise RuntimeError(f"the decoder process did not start within {START_SECONDS:g} s") from error
        except (EOFError, ConnectionError) as error:
            raise RuntimeError(f"the decoder process did not start: {self._died()}") from error
        return self._connection

    def _died(self) -> str:
        """Return a sentence on how the process ended, and clean up after it."""
        assert self._process is not None
        assert self._errors is not None
        try:
            code = self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            code = -signal.SIGKILL
        self._errors.seek(0)
        last = self._errors.read().decode(errors="replace").strip().splitlines()[-1:]
        self.close()
        how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        return f"{CRASHED} with " + ": ".join([how, *last])

    def interrupt(self) -> None:
        """End a read in progress, which then fails, and refuse further reads. Another thread may call this."""
        self._interrupted = True
        process = self._process
        if process is not None:
            process.kill()

    def close(self) -> None:
        """Kill the process, if there is one. The next request starts another."""
        if self._connection is not None:
            self._connection.close()
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        if self._errors is not None:
            self._errors.close()
        if self._shared is not None:
            self._shared.close()
        self._connection = self._process = self._errors = self._shared = None

    def __enter__(self) -> "Decoder":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _check_file(path: Path) -> None:
    try:
        facts = path.stat()
    except FileNotFoundError as error:
        raise VideoError("the file does not exist") from error
    except OSError as error:
        raise VideoError(f"the file cannot be opened: {error.strerror}") from error
    if not stat.S_ISREG(facts.st_mode):
        what = "a folder" if stat.S_ISDIR(facts.st_mode) else "not a regular file"
        raise VideoError(f"the path is {what}, where a video file is expected")
    if facts.st_size == 0:
        raise VideoError("the file is empty (0 bytes)")
    if instead := stand_in(path):
        raise VideoError(f"the file {instead}")


def shorten(message: str, limit: int = 200) -> str:
    """Return a decoder's message without its time stamps and source paths, at most `limit` characters."""
    plain = re.sub(r"\[\d\d:\d\d:\d\d\] \S+?:\d+: ", "", message)
    return plain if len(plain) <= limit else plain[: limit - 1] + "…"
