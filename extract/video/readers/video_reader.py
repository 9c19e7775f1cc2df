"""One open video, read by the reader asked for, or by a more careful one where that reader cannot be trusted."""

import av
import numpy as np

from vadprobe.extract.video.packets.scanning import Heartbeat, read_packets
from vadprobe.extract.video.packets.table import PacketTable
from vadprobe.extract.video.readers.decord_reader import DecordReader
from vadprobe.extract.video.readers.orientation import first_matrices, is_mirrored
from vadprobe.extract.video.readers.pyav_reader import Allocate, DamageError, PyavReader, new_array
from vadprobe.extract.video.readers.salvage import SalvageReader

DECORD, PYAV = "decord", "PyAV"
FAILURES = (av.FFmpegError, RuntimeError, IndexError, ValueError, OSError, StopIteration)
"""Errors that say something about the file, not about this program."""

MISCOUNTED = ("mpegts",)
"""Containers whose frames decord miscounts even when it reads straight through."""

Reader = DecordReader | PyavReader | SalvageReader


def plain(error: BaseException) -> str:
    """Return an error's text on one line."""
    if isinstance(error, StopIteration):
        return "the video ends before the frames asked for"
    if isinstance(error, av.FFmpegError):
        return error.strerror or type(error).__name__
    return " ".join(str(error).split())


class VideoReader:
    """One open video.

    PyAV reads it in one pass. If its packets or frames turn out to be damaged, the video is first decoded once to find
    all frames that can be salvaged. decord, where it is asked for, reads what it can be trusted with, and PyAV the
    rest.

    Args:
        allocate: makes the array of a clip's frames, of uint8, from its shape, where PyAV reads in one pass.
    """

    def __init__(self, allocate: Allocate = new_array) -> None:
        self._allocate = allocate
        self._path: str | None = None
        self._packets: PacketTable | None = None
        self._active: Reader | None = None
        self._not_decord = ""  # reason why PyAV reads the open video although decord was asked for
        self._hopeless: tuple[str, str] | None = None  # a path that nobody can read, and the reason

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

    def open(self, path: str, with_decord: bool, heartbeat: Heartbeat) -> Reader:
        """Return the open video of that path, at whatever frame it stands.

        Args:
            path: the video file.
            with_decord: let decord read the file if it can be trusted with it.
            heartbeat: called after every step.

        Raises:
            ValueError: if neither library can read the file; the error says why.
        """
        if path == self._path and self._active is not None and (with_decord or self.name == PYAV):
            return self._active
        if self._hopeless is not None and self._hopeless[0] == path:  # one decoding found that out, not one per clip
            raise ValueError(self._hopeless[1])
        self._close()
        self._hopeless, self._not_decord, unlisted = None, "", ""
        try:
            self._packets = read_packets(path, heartbeat)
        except FAILURES as error:
            unlisted = plain(error)
        if with_decord:
            self._not_decord = _objection_to_decord(self._packets)
            if not self._not_decord and (reader := self._open_with_decord(path)):
                return reader
        if self._packets is None:
            reasons = [self._not_decord] if self._not_decord.endswith(unlisted) else [self._not_decord, unlisted]
            raise ValueError("; PyAV: ".join(reason for reason in reasons if reason))
        return self._open_with_pyav(path, self._packets, heartbeat)

    def read(self, path: str, indices: list[int], with_decord: bool, heartbeat: Heartbeat) -> np.ndarray:
        """Read frames of ascending, distinct indices, (n, height, width, 3) uint8; `with_decord` as in `open`.

        Raises:
            ValueError: if the file or one of the frames cannot be read.
        """
        opened = self.open(path, with_decord, heartbeat)
        if isinstance(opened, DecordReader):
            return self._read_with_decord(opened, indices, heartbeat)
        if isinstance(opened, PyavReader):
            try:
                return opened.read(indices, heartbeat)
            except DamageError:
                opened = self._salvage(path, opened.packets, heartbeat)
        return opened.read(indices, heartbeat)

    def count(self, path: str, with_decord: bool, heartbeat: Heartbeat) -> int:
        """Count the frames by decoding all of them; `with_decord` as in `open`.

        Raises:
            ValueError: if the file cannot be read.
        """
        opened = self.open(path, with_decord, heartbeat)
        try:
            return opened.count(heartbeat)
        except DamageError:
            assert self._packets is not None  # PyAV has listed them
            return self._salvage(path, self._packets, heartbeat).count(heartbeat)

    def _read_with_decord(self, reader: DecordReader, indices: list[int], heartbeat: Heartbeat) -> np.ndarray:
        try:
            return reader.read(indices, heartbeat)
        except FAILURES as error:
            self._not_decord = plain(error)
            past_the_end = isinstance(error, StopIteration) and indices[-1] >= reader.n_frames
            if past_the_end or self._packets is None:
                self._close()
                raise ValueError(self._not_decord) from error
        self._open_with_pyav(reader.path, self._packets, heartbeat)
        return self.read(reader.path, indices, True, heartbeat)

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

    def _open_with_pyav(self, path: str, packets: PacketTable, heartbeat: Heartbeat) -> PyavReader | SalvageReader:
        if not PyavReader.suits(packets):
            return self._salvage(path, packets, heartbeat)
        reader = PyavReader(path, packets, self._allocate)
        self._path, self._active = path, reader
        return reader

    def _salvage(self, path: str, packets: PacketTable, heartbeat: Heartbeat) -> SalvageReader:
        try:
            reader = SalvageReader(path, packets, heartbeat)
        except FAILURES as error:
            reasons = [self._not_decord, plain(error)]
            self._close()
            self._hopeless = path, "; PyAV: ".join(reason for reason in reasons if reason)
            raise ValueError(self._hopeless[1]) from error
        self._path, self._active = path, reader
        return reader


def _objection_to_decord(packets: PacketTable | None) -> str:
    """Return why decord must not read a video with these packets; "" if it may."""
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
