"""A video's packets as its container lists them: which are there, which are missing, and which frames they give.

A frame's index is its place among the packets' time stamps, so a frame that is lost leaves a gap and the frames after
the damage keep their numbers. Where the container itself is damaged whole packets are missing; then the regular step
between the stamps says how many.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import av
import av.logging
import numpy as np
from av.container import InputContainer
from av.packet import Packet
from av.stream import Disposition
from av.video.stream import VideoStream

Alive = Callable[[], None]
INDEXED = ("mov,mp4,m4a,3gp,3g2,mj2", "avi")
"""Containers that list their packets, so that none vanishes unnoticed."""

FAILURES_IN_A_ROW = 10
"""After so many reads without a packet a container has nothing more to give."""


@dataclass(frozen=True)
class Survey:
    """The packets of a video in the order of the file; nothing is decoded.

    ``container`` is FFmpeg's name of the format. ``stamps`` are presentation times in units of the stream, empty where
    some are missing or repeated, and for avi, which stores none; ``keys`` says which packets can be decoded without
    others, ``shown`` which give a frame that is to be seen, ``broken`` which the container itself calls damaged.
    ``lost_tail`` is the number of last frames whose index is not certain because frames shown before them were cut off.
    ``complaint`` is the first packet after the place where the container turned out to be damaged.
    """

    container: str
    stamps: np.ndarray
    keys: np.ndarray
    shown: np.ndarray
    broken: np.ndarray
    fps: float
    deep_colour: bool
    lost_tail: int
    complaint: int | None

    @property
    def n_frames(self) -> int:
        """Frames that are to be seen, whether or not they can be decoded."""
        return int(self.shown.sum())

    @property
    def starts_with_key(self) -> bool:
        """Whether the first frame can be decoded."""
        return bool(self.keys[0]) or not self.keys.any()

    @property
    def is_damaged(self) -> bool:
        """Whether packets are missing, or may be."""
        return self.complaint is not None or bool(self.broken.any())

    def numbered(self) -> dict[int, int]:
        """Index of every time stamp that is to be seen; empty without usable stamps.

        Of a damaged container the stamps are counted in steps, so that missing packets have numbers too; where they are
        not regular, only those before the damage are numbered.
        """
        if not len(self.stamps):
            return {}
        stamps = np.sort(self.stamps[self.shown])
        if not self.is_damaged or len(stamps) < 3:
            return {int(stamp): index for index, stamp in enumerate(stamps)}
        steps = np.diff(stamps)
        single = float(steps[steps < 1.5 * np.median(steps)].mean())
        places = (stamps - stamps[0]) / single
        whole = np.round(places).astype(int)
        if np.abs(places - whole).max() > 0.4 or (np.diff(whole) < 1).any():
            where = np.flatnonzero(self.broken)[:1].tolist() + ([] if self.complaint is None else [self.complaint])
            later = self.stamps[min(where) :]
            stamps = stamps[stamps < later.min()] if len(later) else stamps
            whole = np.arange(len(stamps))
        return {int(stamp): int(index) for stamp, index in zip(stamps, whole, strict=True)}

    def certain(self, order: dict[int, int]) -> int:
        """How many frames, lost or not, have a certain index."""
        indices = sorted(order.values())
        return indices[len(indices) - 1 - self.lost_tail] + 1 if len(indices) > self.lost_tail else 0

    def after_gaps(self, order: dict[int, int]) -> set[int]:
        """Packets before which, in the order of the file, others may be missing."""
        indices = np.array([order.get(int(stamp), -1) for stamp in self.stamps])
        certain = self.certain(order)
        present = np.unique(indices[(indices >= 0) & (indices < certain)])
        # A frame may be stored before frames shown earlier; by how many places at most:
        ahead = int((np.maximum.accumulate(indices) - indices).max())
        found: set[int] = set()
        for gap in np.flatnonzero(np.diff(present) > 1):
            # So a missing frame was stored after all that are that much earlier, before all that are that much later.
            earlier, later = (
                np.flatnonzero(side) for side in (indices <= present[gap] - ahead, indices >= present[gap + 1] + ahead)
            )
            first = int(earlier[-1]) + 1 if len(earlier) else 0
            found.update(range(first, int(later[0]) + 1 if len(later) else len(indices)))
        return found


def video_stream(container: InputContainer) -> VideoStream:
    """The video of a file with several: as decord's FFmpeg chooses, the one of most bits that is no cover picture.

    Raises:
        ValueError: if there is none.
    """
    streams = [one for one in container.streams.video if not one.disposition & Disposition.attached_pic]
    if not streams:
        raise ValueError("the file has no video stream")
    stream = max(streams, key=lambda one: one.codec_context.bit_rate or 0)
    stream.thread_count = 1
    return stream


def packets(container: InputContainer, *streams: VideoStream) -> Iterator["Packet[Any]"]:
    """Packets with data, of all streams if none is named; where a read fails, what can be read after it."""
    failures = 0
    while failures < FAILURES_IN_A_ROW:
        try:
            for packet in container.demux(*streams):
                if packet.size:
                    failures = 0
                    yield packet
            return
        except av.FFmpegError:
            failures += 1


@contextmanager
def logged_messages(level: int = av.logging.ERROR) -> Iterator[list[Any]]:
    """What FFmpeg logs meanwhile, as (level, who, message)."""
    av.logging.set_level(level)
    try:
        with av.logging.Capture() as logged:
            yield logged
    finally:
        av.logging.set_level(None)


def survey(path: str, alive: Alive) -> Survey:
    """List the packets of a file's video.

    Raises:
        av.FFmpegError: if the file is no video file.
        ValueError: if it has no video stream, or the stream has no packets.
    """
    rows: list[tuple[int | None, int | None, bool, bool, bool]] = []
    places: list[tuple[int, int, bool]] = []
    complaint: int | None = None
    with logged_messages(av.logging.WARNING) as logged, av.open(path) as container:
        # To open a file its first packets are read already; other complaints are about other streams, or its header.
        name = container.format.name
        if name not in INDEXED and any(
            who == name and (level <= av.logging.ERROR or "Packet corrupt" in message) for level, who, message in logged
        ):
            complaint = 0
        logged.clear()
        av.logging.set_level(av.logging.ERROR)
        stream = video_stream(container)
        for packet in packets(container, *(() if name == "avi" else (stream,))):
            alive()
            places.append((packet.pos or 0, packet.size, packet.stream == stream))
            if packet.stream != stream:
                continue
            rows.append((packet.pts, packet.dts, packet.is_keyframe, not packet.is_discard, packet.is_corrupt))
            if logged and complaint is None:
                complaint = len(rows) - 1
        if logged and complaint is None:
            complaint = len(rows)
        declared = stream.frames
        if not rows:
            raise ValueError("the file has no video frames")
        rate = stream.average_rate or stream.guessed_rate
        form = stream.codec_context.format
        deep = form is not None and any(component.bits > 8 for component in form.components)
        duration = stream.duration
        if duration is None and container.duration is not None and stream.time_base:
            duration = int(container.duration / av.time_base / stream.time_base)
    keys, shown, broken = (np.array([row[column] for row in rows], dtype=bool) for column in (2, 3, 4))
    known = [row[0] for row in rows if row[0] is not None]
    usable = len(set(known)) == len(rows) and name != "avi"
    stamps = np.array(known if usable else [], dtype=np.int64)
    if name == "avi" and len(rows) < declared:
        complaint = _after_jump(places)
    last = rows[-1][1]
    # The duration of a transport stream is only an estimate.
    declared_end = None if name == "mpegts" else duration
    tail = _uncertain_tail(np.sort(stamps[shown]), last, declared_end) if len(stamps) and last is not None else 0
    return Survey(name, stamps, keys, shown, broken, float(rate or 0), deep, tail, complaint)


def _after_jump(places: list[tuple[int, int, bool]]) -> int:
    """The first packet of the video after bytes that belong to none; all of them, where the file was only cut.

    Args:
        places: of every packet of the file its first byte, its size, and whether it is the video's.
    """
    starts, sizes, is_video = (np.array(column, dtype=np.int64) for column in zip(*sorted(places), strict=True))
    between = starts[1:] - starts[:-1] - sizes[:-1]
    jumps = np.flatnonzero(between > 2 * np.median(between)) if len(between) else between
    return int(is_video[: jumps[0] + 1].sum()) if len(jumps) else int(is_video.sum())


def _uncertain_tail(stamps: np.ndarray, last: int, duration: int | None) -> int:
    """How many of the last frames follow a gap that a truncation left.

    Frames are stored before those they are needed for, so a truncated file may hold a frame and lack one shown before
    it. That can only be after ``last``, the decoding time of the last packet, and only in a file that ends early.
    """
    if len(stamps) < 3:
        return 0
    steps = np.diff(stamps)
    step = float(np.median(steps))
    if duration is not None and duration <= stamps[-1] - stamps[0] + 1.5 * step:
        return 0
    gaps = np.flatnonzero((steps > 1.5 * step) & (stamps[1:] > last))
    return len(stamps) - 1 - int(gaps[0]) if len(gaps) else 0
