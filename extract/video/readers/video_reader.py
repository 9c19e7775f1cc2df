"""The choice between decord and PyAV for a video, and the change to PyAV where decord fails."""

import av
import decord
import numpy as np

from vadprobe.extract.video.packets.scanning import Heartbeat, read_packets
from vadprobe.extract.video.packets.table import PacketTable
from vadprobe.extract.video.readers.decord_reader import DecordReader
from vadprobe.extract.video.readers.orientation import first_matrices, is_mirrored
from vadprobe.extract.video.readers.salvage import SalvageReader

DECORD, PYAV = "decord", "PyAV"
FAILURES = (decord.DECORDError, av.FFmpegError, RuntimeError, IndexError, ValueError, OSError, StopIteration)
"""Errors that say something about the file, not about this program."""

MISCOUNTED = ("mpegts",)
"""Containers whose frames decord miscounts even when it reads straight through."""


def plain(error: BaseException) -> str:
    """Return an error's text on one line."""
    if isinstance(error, StopIteration):
        return "the video ends before the frames asked for"
    if isinstance(error, av.FFmpegError):
        return error.strerror or type(error).__name__
    return " ".join(str(error).split())


class VideoReader:
    """One open video, read by decord or, where decord cannot be trusted with it, by PyAV."""

    def __init__(self) -> None:
        self._path: str | None = None
        self._packets: PacketTable | None = None
        self._active: DecordReader | SalvageReader | None = None
        self._not_decord = ""  # why the open video is not, or no longer, read by decord
        self._hopeless: tuple[str, str] | None = None  # a path that neither can read, and the reason

    @property
    def name(self) -> str:
        """Library that reads the open video."""
        return DECORD if isinstance(self._active, DecordReader) else PYAV

    @property
    def fps(self) -> float:
        """Average frames per second."""
        if isinstance(self._active, DecordReader):
            return self._active.fps
        return self._packets.fps if self._packets else 0.0

    @property
    def note(self) -> str:
        """A sentence on what is unusual about the open video; "" if nothing is."""
        return self._packets.note() if self._packets else ""

    def open(self, path: str, only: str | None, heartbeat: Heartbeat) -> DecordReader | SalvageReader:
        """Return the open video of that path, at whatever frame it stands.

        Args:
            path: the video file.
            only: "PyAV" keeps decord away from the file.
            heartbeat: called after every step.

        Raises:
            ValueError: if neither library can read the file; it says why.
        """
        if path == self._path and self._active is not None and only in (None, self.name):
            return self._active
        if self._hopeless is not None and self._hopeless[0] == path:  # one decoding found that out, not one per clip
            raise ValueError(self._hopeless[1])
        self._close()
        self._hopeless, unlisted = None, ""
        try:
            self._packets = read_packets(path, heartbeat)
        except FAILURES as error:
            unlisted = plain(error)
        self._not_decord = _objection_to_decord(self._packets, only)
        if not self._not_decord and (reader := self._open_with_decord(path)):
            return reader
        if self._packets is None:
            reasons = [self._not_decord] if self._not_decord.endswith(unlisted) else [self._not_decord, unlisted]
            raise ValueError("; PyAV: ".join(reasons))
        return self._open_with_pyav(path, self._packets, heartbeat)

    def read(self, path: str, indices: list[int], only: str | None, heartbeat: Heartbeat) -> np.ndarray:
        """Read frames of ascending, distinct indices, (n, height, width, 3) uint8; `only` as in `open`.

        Raises:
            ValueError: if the file or one of the frames cannot be read.
        """
        opened = self.open(path, only, heartbeat)
        if isinstance(opened, SalvageReader):
            return opened.read(indices, heartbeat)
        try:
            return opened.read(indices, heartbeat)
        except FAILURES as error:
            self._not_decord = plain(error)
            past_the_end = isinstance(error, StopIteration) and indices[-1] >= opened.n_frames
            if past_the_end or self._packets is None:
                self._close()
                raise ValueError(self._not_decord) from error
        return self._open_with_pyav(path, self._packets, heartbeat).read(indices, heartbeat)

    def _close(self) -> None:
        self._path = self._packets = self._active = None

    def _open_with_decord(self, path: str) -> DecordReader | None:
        """Open with decord; return None, and note the reason, where PyAV must read the video."""
        try:
            reader = DecordReader(path)
            self._not_decord = reader.doubts(self._packets) or _misread_orientation(path)
        except FAILURES as error:
            self._not_decord = plain(error)
            return None
        if self._not_decord and self._packets is not None:  # without a list of packets PyAV cannot read it either
            return None
        self._path, self._active = path, reader
        return reader

    def _open_with_pyav(self, path: str, packets: PacketTable, heartbeat: Heartbeat) -> SalvageReader:
        try:
            reader = SalvageReader(path, packets, heartbeat)
        except FAILURES as error:
            self._close()
            self._hopeless = path, f"{self._not_decord}; PyAV: {plain(error)}"
            raise ValueError(self._hopeless[1]) from error
        self._path, self._active = path, reader
        return reader


def _objection_to_decord(packets: PacketTable | None, only: str | None) -> str:
    """Return why decord must not read a video with these packets; "" if it may."""
    if only == PYAV:
        return "decord hung or crashed"
    if packets is None:
        return ""
    objections = {
        "decord miscounts the frames of this container": packets.container in MISCOUNTED,
        "decord rounds colours of more than 8 bits": packets.deep_colour,
        "decord repeats frames of a stream that does not start with a key frame": not packets.starts_with_key,
        "the file is truncated or damaged": packets.lost_tail or packets.is_damaged,
    }
    return next((reason for reason, applies in objections.items() if applies), "")


def _misread_orientation(path: str) -> str:
    """Return why decord would show a file the wrong way up; "" if it would not, or PyAV cannot tell."""
    try:
        shown, within = first_matrices(path)
    except FAILURES:
        return ""
    if within is not None:
        return "decord does not see the orientation that frames carry"
    return "decord turns mirrored pictures" if shown is not None and is_mirrored(shown) else ""
