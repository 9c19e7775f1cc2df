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

Heartbeat = Callable[[], None]
"""Called after every step of a long read, to show that it is getting on."""

INDEXED = ("mov,mp4,m4a,3gp,3g2,mj2", "avi")
"""Containers that list their packets, so that none vanishes unnoticed."""

FAILURES_IN_A_ROW = 10
"""Reads without a packet after which a container has nothing more to give."""


@dataclass(frozen=True)
class PacketTable:
    """The packets of a video in the order of the file; nothing is decoded.

    Attributes:
        container: FFmpeg's name of the format.
        stamps: presentation times in units of the stream, (packets,) int64; empty where some are missing or repeated,
            and for avi, which stores none.
        keys: packets that can be decoded without others, (packets,) bool.
        shown: packets that give a frame to be seen, (packets,) bool.
        broken: packets that the container itself calls damaged, (packets,) bool.
        fps: average frames per second; 0 where the file does not tell.
        deep_colour: colours have more than 8 bits.
        lost_tail: number of last frames whose index is uncertain because frames shown before them were cut off.
        complaint: the first packet after the place where the container turned out to be damaged; None if it is sound.
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
        """Number of frames to be seen, including those that cannot be decoded."""
        return int(self.shown.sum())

    @property
    def starts_with_key(self) -> bool:
        """True if the first frame can be decoded; also where no packet is marked as a key frame."""
        return bool(self.keys[0]) or not self.keys.any()

    @property
    def is_damaged(self) -> bool:
        """True if packets are missing, or may be."""
        return self.complaint is not None or bool(self.broken.any())

    def frame_indices(self) -> dict[int, int]:
        """Return the frame index of every time stamp to be seen; empty without usable stamps.

        In a damaged container the index is counted in steps between stamps, so that missing packets have numbers too;
        where the stamps are not regular, only those before the damage are numbered.
        """
        if not len(self.stamps):
            return {}
        stamps = np.sort(self.stamps[self.shown])
        if not self.is_damaged or len(stamps) < 3:
            return {int(stamp): index for index, stamp in enumerate(stamps)}
        steps = np.diff(stamps)
        # A step over missing frames is a multiple; the mean of the others is finer than the rounding of one stamp.
        single = float(steps[steps < 1.5 * np.median(steps)].mean())
        places = (stamps - stamps[0]) / single
        indices = np.round(places).astype(int)
        if np.abs(places - indices).max() > 0.4 or (np.diff(indices) < 1).any():  # a variable rate
            damage = np.flatnonzero(self.broken)[:1].tolist() + ([] if self.complaint is None else [self.complaint])
            later = self.stamps[min(damage) :]
            stamps = stamps[stamps < later.min()] if len(later) else stamps
            indices = np.arange(len(stamps))
        return {int(stamp): int(index) for stamp, index in zip(stamps, indices, strict=True)}

    def n_certain(self, frame_indices: dict[int, int]) -> int:
        """Return how many frames, lost or not, have a certain index."""
        indices = sorted(frame_indices.values())
        return indices[len(indices) - 1 - self.lost_tail] + 1 if len(indices) > self.lost_tail else 0

    def after_gaps(self, frame_indices: dict[int, int]) -> set[int]:
        """Return the packets before which, in the order of the file, others may be missing."""
        indices = np.array([frame_indices.get(int(stamp), -1) for stamp in self.stamps])
        present = np.unique(indices[(indices >= 0) & (indices < self.n_certain(frame_indices))])
        # A frame may be stored before frames shown earlier; by how many places at most:
        ahead = int((np.maximum.accumulate(indices) - indices).max())
        found: set[int] = set()
        for gap in np.flatnonzero(np.diff(present) > 1):
            # So a missing frame was stored after all that are that much earlier, before all that are that much later.
            earlier = np.flatnonzero(indices <= present[gap] - ahead)
            later = np.flatnonzero(indices >= present[gap + 1] + ahead)
            first = int(earlier[-1]) + 1 if len(earlier) else 0
            found.update(range(first, int(later[0]) + 1 if len(later) else len(indices)))
        return found


def video_stream(container: InputContainer) -> VideoStream:
    """Return the video stream that decord's FFmpeg chooses: the one of most bits that is no cover picture.

    It decodes in one thread.

    Raises:
        ValueError: if there is none.
    """
    streams = [one for one in container.streams.video if not one.disposition & Disposition.attached_pic]
    if not streams:
        raise ValueError("the file has no video stream")
    stream = max(streams, key=lambda one: one.codec_context.bit_rate or 0)
    stream.thread_count = 1
    return stream


def demux(container: InputContainer, *streams: VideoStream) -> Iterator["Packet[Any]"]:
    """Yield packets with data, of all streams if none is named; go on behind places that cannot be read."""
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
    """Collect what FFmpeg logs meanwhile, as (level, who, message)."""
    av.logging.set_level(level)
    # A message equal to the last one counts too: the same file may be opened again.
    av.logging.set_skip_repeated(False)
    try:
        with av.logging.Capture() as logged:
            yield logged
    finally:
        av.logging.set_skip_repeated(True)
        av.logging.set_level(None)


def read_packets(path: str, heartbeat: Heartbeat) -> PacketTable:
    """List the packets of a file's video.

    Raises:
        av.FFmpegError: if the file is no video file.
        ValueError: if it has no video stream, or the stream has no packets.
    """
    with logged_messages(av.logging.WARNING) as logged, av.open(path) as container:
        name = container.format.name
        # FFmpeg reads the first packets to open a file; other complaints are about other streams, or the header.
        complained_at_once = name not in INDEXED and any(
            who == name and (level <= av.logging.ERROR or "Packet corrupt" in message) for level, who, message in logged
        )
        logged.clear()
        av.logging.set_level(av.logging.ERROR)
        stream = video_stream(container)
        rows, complaint = _list_packets(container, stream, logged, heartbeat)
        if not rows:
            raise ValueError("the file has no video frames")
        pts, dts, keys, shown, broken = zip(*rows, strict=True)
        # avi stores no presentation times.
        usable = name != "avi" and None not in pts and len(set(pts)) == len(pts)
        stamps = np.array(pts if usable else [], dtype=np.int64)
        is_shown = np.array(shown, dtype=bool)
        lost_tail = 0
        if usable and dts[-1] is not None:
            lost_tail = _uncertain_tail(np.sort(stamps[is_shown]), dts[-1], _declared_duration(container, stream))
        return PacketTable(
            container=name,
            stamps=stamps,
            keys=np.array(keys, dtype=bool),
            shown=is_shown,
            broken=np.array(broken, dtype=bool),
            fps=float(stream.average_rate or stream.guessed_rate or 0),
            deep_colour=_has_deep_colour(stream),
            lost_tail=lost_tail,
            complaint=0 if complained_at_once else complaint,
        )


_Row = tuple[int | None, int | None, bool, bool, bool]
"""A packet: presentation time, decoding time, and whether it is a key frame, to be seen, and broken."""


def _list_packets(
    container: InputContainer, stream: VideoStream, logged: list[Any], heartbeat: Heartbeat
) -> tuple[list[_Row], int | None]:
    """Read all packets of a stream, and find the first one after a complaint, or after a jump in an avi."""
    is_avi = container.format.name == "avi"
    rows: list[_Row] = []
    places: list[tuple[int, int, bool]] = []
    complaint: int | None = None
    for packet in demux(container, *(() if is_avi else (stream,))):
        heartbeat()
        places.append((packet.pos or 0, packet.size, packet.stream == stream))
        if packet.stream != stream:
            continue
        rows.append((packet.pts, packet.dts, packet.is_keyframe, not packet.is_discard, packet.is_corrupt))
        if logged and complaint is None:
            complaint = len(rows) - 1
    if logged and complaint is None:
        complaint = len(rows)
    # An avi that holds fewer packets than it declares was cut or has a hole, of which FFmpeg says nothing.
    if is_avi and rows and len(rows) < stream.frames:
        complaint = _after_jump(places)
    return rows, complaint


def _has_deep_colour(stream: VideoStream) -> bool:
    form = stream.codec_context.format
    return form is not None and any(component.bits > 8 for component in form.components)


def _declared_duration(container: InputContainer, stream: VideoStream) -> int | None:
    """Return the duration in units of the stream; None for transport streams, which only estimate it."""
    if container.format.name == "mpegts":
        return None
    if stream.duration is None and container.duration is not None and stream.time_base:
        return int(container.duration / av.time_base / stream.time_base)
    return stream.duration


def _after_jump(places: list[tuple[int, int, bool]]) -> int:
    """Return the first packet of the video after bytes that belong to none; their number if the file was only cut.

    Args:
        places: of every packet of the file its first byte, its size, and whether it is the video's.
    """
    starts, sizes, is_video = (np.array(column, dtype=np.int64) for column in zip(*sorted(places), strict=True))
    between = starts[1:] - starts[:-1] - sizes[:-1]
    jumps = np.flatnonzero(between > 2 * np.median(between)) if len(between) else between
    return int(is_video[: jumps[0] + 1].sum()) if len(jumps) else int(is_video.sum())


def _uncertain_tail(stamps: np.ndarray, last: int, duration: int | None) -> int:
    """Count the last frames that follow a gap which a truncation left.

    Frames are stored before those they are needed for, so a truncated file may hold a frame and lack one shown before
    it. That can only be after `last`, the decoding time of the last packet, and only in a file that ends early.
    """
    if len(stamps) < 3:
        return 0
    steps = np.diff(stamps)
    step = float(np.median(steps))
    if duration is not None and duration <= stamps[-1] - stamps[0] + 1.5 * step:
        return 0
    gaps = np.flatnonzero((steps > 1.5 * step) & (stamps[1:] > last))
    return len(stamps) - 1 - int(gaps[0]) if len(gaps) else 0
