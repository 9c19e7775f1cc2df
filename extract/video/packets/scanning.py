"""Listing the packets of a video file, and the ways into a file that every reader shares."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import av
import av.logging
import numpy as np
from av.container import InputContainer
from av.packet import Packet
from av.stream import Disposition
from av.video.stream import VideoStream

from vadprobe.extract.video.packets.clocks import BEFORE_A_SEAM, Seam, find_seams, on_one_clock
from vadprobe.extract.video.packets.table import PacketTable

Heartbeat = Callable[[], None]
"""Called after every step of a long read, to show that it is getting on."""

INDEXED = ("mov,mp4,m4a,3gp,3g2,mj2", "avi")
"""Containers that list their packets, so that none vanishes unnoticed."""

FAILURES_IN_A_ROW = 10
"""Reads without a packet after which a container has nothing more to give."""


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
    """Yield packets with data, of all streams if none is given; continue behind places that cannot be read."""
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
    with logged_messages() as logged, av.open(path) as container:
        name = container.format.name
        # FFmpeg reads the first packets to open a file; other complaints are about other streams, or the header.
        complained_at_once = name not in INDEXED and any(who == name for _, who, _ in logged)
        logged.clear()
        stream = video_stream(container)
        rows, complaint = _list_packets(container, stream, logged, heartbeat)
        if not rows:
            raise ValueError("the file has no video frames")
        if complained_at_once:
            complaint = 0
        pts, dts, *marks = zip(*rows, strict=True)
        keys, shown, broken = (np.array(mark, dtype=bool) for mark in marks)
        stamps: np.ndarray = np.array([], dtype=np.int64)
        seams: tuple[Seam, ...] = ()
        if name != "avi" and None not in pts:  # avi stores no presentation times
            stamps, seams = _on_one_clock(np.array(pts, dtype=np.int64), keys, broken, complaint, container, stream)
        lost_tail = 0
        if len(stamps) and dts[-1] is not None:
            last = dts[-1] + int(stamps[-1]) - pts[-1]  # on the same clock as the stamps
            lost_tail = _uncertain_tail(np.sort(stamps[shown]), last, _declared_duration(container, stream))
        return PacketTable(
            container=name,
            stamps=stamps,
            keys=keys,
            shown=shown,
            broken=broken,
            fps=float(stream.average_rate or stream.guessed_rate or 0),
            deep_colour=_has_deep_colour(stream),
            lost_tail=lost_tail,
            complaint=complaint,
            seams=seams,
            reorders=stream.codec_context.has_b_frames,
        )


def _on_one_clock(
    stamps: np.ndarray,
    keys: np.ndarray,
    broken: np.ndarray,
    complaint: int | None,
    container: InputContainer,
    stream: VideoStream,
) -> tuple[np.ndarray, tuple[Seam, ...]]:
    """Return the stamps on one clock, empty where they still repeat, and the seams.

    In a transport stream the counters of packets break where another part follows. Those marks are removed from
    `broken`, in place: the decoder finds out if the packets before the seam are whole.
    """
    counted = broken if container.format.name == "mpegts" else np.zeros_like(broken)
    is_sound = complaint is None and not broken.any()
    seams = find_seams(stamps, keys, counted, is_sound, float(stream.time_base or 1))
    for seam in seams:
        counted[max(0, seam.packet - BEFORE_A_SEAM) : seam.packet] = False
    joined = on_one_clock(stamps, seams)
    return (joined if len(np.unique(joined)) == len(joined) else joined[:0]), seams


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
    """Count the last frames that may follow a gap left by a truncation.

    A frame is stored before the frames that depend on it, so a truncated file may hold a frame and lack one shown
    before it. That can only be after `last`, the decoding time of the last packet, and only in a file that ends early.
    """
    if len(stamps) < 3:
        return 0
    steps = np.diff(stamps)
    step = float(np.median(steps))
    if duration is not None and duration <= stamps[-1] - stamps[0] + 1.5 * step:
        return 0
    gaps = np.flatnonzero((steps > 1.5 * step) & (stamps[1:] > last))
    return len(stamps) - 1 - int(gaps[0]) if len(gaps) else 0
