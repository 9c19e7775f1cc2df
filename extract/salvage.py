"""Reading with PyAV what decord cannot be trusted with: damaged files, and formats it reads wrongly or not at all.

A frame's index is its place among the packets' time stamps, so a frame that is lost leaves a gap and the frames after
the damage keep their numbers. Where the container itself is damaged whole packets are missing; then the regular step
between the stamps says how many. Without usable time stamps frames are numbered as they come out, and nothing after
the first damage is kept.
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
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

Alive = Callable[[], None]
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
        """Packets before which, in the order of the file, others are missing that they may lean on."""
        indices = [order.get(int(stamp), -1) for stamp in self.stamps]
        certain = self.certain(order)
        present = np.unique([index for index in indices if 0 <= index < certain])
        # A frame may be stored before frames shown earlier; by how many places at most:
        ahead = int((np.maximum.accumulate(indices) - indices).max())
        gaps = present[:-1][np.diff(present) > 1] + 1
        return {next(where for where, index in enumerate(indices) if index >= gap - ahead) for gap in gaps.tolist()}


def _video_stream(container: InputContainer) -> VideoStream:
    # As decord's FFmpeg chooses, so that both read the same of several: the most bits, and no cover picture.
    streams = [one for one in container.streams.video if not one.disposition & Disposition.attached_pic]
    if not streams:
        raise ValueError("the file has no video stream")
    stream = max(streams, key=lambda one: one.codec_context.bit_rate or 0)
    stream.thread_count = 1
    return stream


def _packets(container: InputContainer, stream: VideoStream) -> Iterator["Packet[VideoStream]"]:
    """Packets with data; where a read fails, what can be read after it."""
    failures = 0
    while failures < FAILURES_IN_A_ROW:
        try:
            for packet in container.demux(stream):
                if packet.size:
                    failures = 0
                    yield packet
            return
        except av.FFmpegError:
            failures += 1


@contextmanager
def _errors_logged() -> Iterator[list[Any]]:
    """What FFmpeg logs as errors meanwhile."""
    av.logging.set_level(av.logging.ERROR)
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
    places: list[tuple[int, int]] = []
    complaint = None
    with _errors_logged() as logged, av.open(path) as container:
        logged.clear()  # those at the opening are about other streams, or decide whether it opens
        stream = _video_stream(container)
        for packet in _packets(container, stream):
            rows.append((packet.pts, packet.dts, packet.is_keyframe, not packet.is_discard, packet.is_corrupt))
            if logged and complaint is None:
                complaint = len(rows) - 1
            places.append((packet.pos or 0, packet.size))
            alive()
        if logged and complaint is None:
            complaint = len(rows)
        name, declared = container.format.name, stream.frames
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


def _after_jump(places: list[tuple[int, int]]) -> int:
    """The first packet after bytes that belong to none; all of them, where the file was only cut.

    Args:
        places: first byte and size of every packet.
    """
    starts, sizes = (np.array(column, dtype=np.int64) for column in zip(*places, strict=True))
    between = starts[1:] - starts[:-1] - sizes[:-1]
    jumps = np.flatnonzero(between > 3 * np.median(between) + 64) if len(between) else between
    return int(jumps[0]) + 1 if len(jumps) else len(places)


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


class SalvageReader:
    """The good frames of one video: those decoded without an error, from packets that lean on no damaged one.

    Opening decodes the video once, because a frame may come out before the one it leans on turns out to be damaged.

    Args:
        path: the video file.
        surveyed: what :func:`survey` found in it.
        alive: called for every packet.

    Raises:
        av.FFmpegError: if the file cannot be opened.
        ValueError: if not one frame can be decoded.
    """

    def __init__(self, path: str, surveyed: Survey, alive: Alive) -> None:
        self.path, self.survey = path, surveyed
        self._order = surveyed.numbered()  # empty where frames are numbered as they come out
        good = self._good_by_time(alive) if self._order else None
        if good is None:
            self._order, good = {}, self._good_by_order(alive)
        if not good:
            raise ValueError("not one frame can be decoded")
        self._good = good
        self._frames: Iterator[tuple[int, VideoFrame]] = iter(())
        self._next = -1

    @property
    def n_frames(self) -> int:
        """Frames the file holds; some may be lost."""
        return self.survey.certain(self._order) if self._order else self.n_good

    @property
    def n_good(self) -> int:
        """Frames that can be read."""
        return len(self._good)

    def _good_by_time(self, alive: Alive) -> frozenset[int] | None:
        """Indices of the good frames; None if the packets' stamps are no presentation times (H.264 in avi)."""
        damaged = set(np.flatnonzero(self.survey.broken).tolist())
        if self.survey.is_damaged:
            damaged |= self.survey.after_gaps(self._order)
        packet_of = {int(stamp): position for position, stamp in enumerate(self.survey.stamps)}
        came_out: list[int] = []
        for position, frames, failed in self._decode(alive):
            if failed:
                damaged.add(position)
            for frame in frames:
                if frame.pts not in packet_of:
                    continue
                if frame.is_corrupt:
                    damaged.add(packet_of[frame.pts])
                if came_out and frame.pts <= came_out[-1] and not any(where <= position for where in damaged):
                    return None
                came_out.append(frame.pts)
        lost = self._leaning_on(damaged)
        certain = self.survey.certain(self._order)
        kept = (self._order[stamp] for stamp in came_out if stamp in self._order and packet_of[stamp] not in lost)
        return frozenset(index for index in kept if index < certain)

    def _good_by_order(self, alive: Alive) -> frozenset[int]:
        """Indices of the frames that come out before the first damage."""
        count = before_key = 0
        for position, frames, failed in self._decode(alive):
            beyond = self.survey.complaint is not None and position >= self.survey.complaint
            if failed or beyond or self.survey.broken[position : position + 1].any():
                break
            if self.survey.keys[position : position + 1].any():
                before_key = count
            if any(frame.is_corrupt for frame in frames):
                # Only what came out before the key frame was decoded leans on nothing after it.
                return frozenset(range(before_key))
            count += len(frames)
        return frozenset(range(count))

    def _leaning_on(self, damaged: set[int]) -> set[int]:
        """Packets that cannot be trusted when those are damaged.

        They go up to the next key frame, and to what is stored after it but shown before it.
        """
        keys, stamps = np.flatnonzero(self.survey.keys), self.survey.stamps
        starts = set(damaged) if self.survey.starts_with_key else {0, *damaged}
        lost: set[int] = set()
        for start in starts:
            following = keys[keys > start]
            key = int(following[0]) if len(following) else len(stamps)
            lost.update(range(start, key))
            end = int(following[1]) if len(following) > 1 else len(stamps)
            lost.update(where for where in range(key, end) if stamps[where] < stamps[key])
        return lost

    def _decode(self, alive: Alive) -> Iterator[tuple[int, list[VideoFrame], bool]]:
        """Every packet's position, the frames that came out after it, and whether the decoder refused it."""
        with av.open(self.path) as container:
            stream = _video_stream(container)
            position = 0
            for position, packet in enumerate(_packets(container, stream)):
                alive()
                try:
                    frames = stream.decode(packet)
                except av.FFmpegError:
                    yield position, [], True
                else:
                    yield position, list(frames), False
            try:
                frames = stream.decode(None)
            except av.FFmpegError:
                frames = []
            yield position + 1, list(frames), False

    def _in_order(self, alive: Alive) -> Iterator[tuple[int, VideoFrame]]:
        """Good frames with their indices, as they come out."""
        count = 0
        for _, frames, _ in self._decode(alive):
            for frame in frames:
                index = self._order.get(frame.pts if frame.pts is not None else -1, -1) if self._order else count
                count += 1
                if index in self._good:
                    yield index, frame

    def read(self, indices: list[int], alive: Alive) -> np.ndarray:
        """Frames of ascending, distinct indices, (n, height, width, 3) uint8, RGB, turned as they are to be seen.

        Raises:
            ValueError: if one of them is lost, or they differ in size.
        """
        lost = [index for index in indices if index not in self._good]
        if lost:
            if min(lost) >= self.n_frames:
                raise ValueError("the video ends before the frames asked for")
            what = f"frame {lost[0]} is" if len(lost) == 1 else f"the frames {name_ranges(lost)} are"
            raise ValueError(f"the file is damaged, and {what} lost")
        if indices[0] < self._next or self._next < 0:
            self._frames, self._next = self._in_order(alive), 0
        wanted, pictures = set(indices), {}
        for index, frame in self._frames:
            self._next = max(self._next, index + 1)
            if index in wanted:
                pictures[index] = picture(frame)
            if len(pictures) == len(wanted):
                break
        else:
            self._next = -1
            raise ValueError("the video ends before the frames asked for")
        if len({image.shape for image in pictures.values()}) > 1:
            raise ValueError("the frames of the clip differ in size")
        return np.stack([pictures[index] for index in indices])


def picture(frame: VideoFrame) -> np.ndarray:
    """A frame's colours, (height, width, 3) uint8, turned by the rotation its file asks for."""
    colours = frame.to_ndarray(format="rgb24")
    return np.rot90(colours, round(frame.rotation / 90))


def name_ranges(indices: list[int]) -> str:
    """Ascending numbers as text, neighbours as one range: ``3 to 5, 9``."""
    edges = np.flatnonzero(np.diff(indices) > 1)
    firsts, lasts = [indices[0], *(indices[i + 1] for i in edges)], [*(indices[i] for i in edges), indices[-1]]
    return ", ".join(f"{a} to {b}" if b > a else str(a) for a, b in zip(firsts, lasts, strict=True))
