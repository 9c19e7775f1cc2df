"""Reading a video with decord, forward only, and noticing where its frames cannot be trusted."""

import importlib
import os
from bisect import bisect_right
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from vadprobe.extract.video.packets.scanning import Heartbeat
from vadprobe.extract.video.packets.table import PacketTable

MOST_BYTES_AHEAD = 1 << 30
"""Bytes by which this process may grow while decord reads a video. On a busy machine decord decodes ever further ahead
of what it is asked for, up to the whole video; PyAV, which never does, then reads the rest."""


class DecordReader:
    """One open video, read forward only.

    decord's seek counts from key frames and returns other frames than asked for in many containers (open groups of
    pictures, B-frames in avi and mpg), so frames are decoded one after the other, and an earlier frame opens the file
    anew. Clips of a video come in order, so each frame is decoded once. Frames in between are skipped, which saves
    turning them into colours, but never past a key frame, because decord would seek to it.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._decord: Any = importlib.import_module("decord")  # only where a job asks for it; it has few wheels
        self._decord.logging.set_level(self._decord.logging.ERROR)
        self._log_size = _ffmpeg_log_size()
        self._resident_at_start = _resident_bytes()
        with self._plain_errors():
            self._open()
        self.n_frames, self.fps = len(self._video), float(self._video.get_avg_fps())

    def _open(self) -> None:
        self._video = self._decoded_from_the_start()
        self._keys = [int(index) for index in self._video.get_key_indices()]
        self._next = 0

    def _decoded_from_the_start(self) -> Any:
        return self._decord.VideoReader(self.path, ctx=self._decord.cpu(0), num_threads=1)

    @contextmanager
    def _plain_errors(self) -> Iterator[None]:
        """Turn decord's own errors into ValueError, which callers can catch without decord."""
        try:
            yield
        except self._decord.DECORDError as error:
            raise ValueError(str(error)) from error

    def count(self, heartbeat: Heartbeat) -> int:
        """Count the frames by decoding all of them.

        Raises:
            ValueError: if decord cannot read the file.
        """
        decoded = 0
        with self._plain_errors():
            video = self._decoded_from_the_start()
            while decoded <= 2 * self.n_frames:  # a broken file may repeat its last frame for ever
                try:
                    video.next()
                except StopIteration:
                    break
                decoded += 1
                heartbeat()
        return decoded

    def doubts(self, packets: PacketTable | None) -> str:
        """Return why decord's frames may be others than those asked for; "" if nothing speaks against them."""
        if self.n_frames and (np.diff(self._video.get_frame_timestamp(range(self.n_frames))[:, 0]) <= 0).any():
            return "decord's time stamps do not ascend"
        if packets is not None and packets.n_frames != self.n_frames:
            return f"decord counts {self.n_frames} frames, the container holds {packets.n_frames}"
        return ""

    def read(self, indices: list[int], heartbeat: Heartbeat) -> np.ndarray:
        """Decode frames of ascending, distinct indices.

        Returns:
            (n, height, width, 3) uint8, RGB.

        Raises:
            ValueError: if FFmpeg has logged that something is wrong with the file, the pictures are not RGB, or decord
                has decoded too far ahead.
        """
        frames: np.ndarray = np.empty(0, dtype=np.uint8)
        with self._plain_errors():
            if indices[0] < self._next:
                self._open()
            for position, index in enumerate(indices):
                self._skip_to(index, heartbeat)
                frame = self._video.next().asnumpy()
                self._next += 1
                heartbeat()
                if position == 0:
                    frames = np.empty((len(indices), *frame.shape), dtype=np.uint8)
                frames[position] = frame
        if frames.shape[3] != 3:  # decord takes the padding of narrow pictures' rows for colours
            raise ValueError(f"decord returns pictures of {frames.shape[3]} colours")
        if _ffmpeg_log_size() > self._log_size:  # decord hands out a damaged frame as a good one and only logs it
            raise ValueError("decord met damaged data")
        if _resident_bytes() - self._resident_at_start > MOST_BYTES_AHEAD + frames.nbytes:
            raise ValueError("decord decodes too far ahead")
        return frames

    def _skip_to(self, index: int, heartbeat: Heartbeat) -> None:
        """Move to a frame: skip up to just before each key frame, and decode the frame before it."""
        while self._next < index:
            later = bisect_right(self._keys, self._next)
            stop = min(index, self._keys[later] - 1) if later < len(self._keys) else index
            if stop > self._next and index < self.n_frames:
                self._video.skip_frames(stop - self._next)
                self._next = stop
            else:
                self._video.next()
                self._next += 1
            heartbeat()


def _ffmpeg_log_size() -> int:
    """Return how many bytes FFmpeg has logged: standard error of the decoder process is a file."""
    return os.fstat(2).st_size


def _resident_bytes() -> int:
    """Return the memory this process holds; 0 where the system does not tell."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0
