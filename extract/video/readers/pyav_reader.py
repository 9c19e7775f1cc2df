"""Reading a sound video with PyAV in one pass: every frame is decoded, and only those asked for become colours."""

from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import av
import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter

from vadprobe.extract.video.packets.scanning import Heartbeat, demux, logged_messages, video_stream
from vadprobe.extract.video.packets.table import PacketTable
from vadprobe.extract.video.readers.orientation import UPRIGHT, Matrix, Orientation, upright

Allocate = Callable[[tuple[int, ...]], np.ndarray]


class DamageError(Exception):
    """The video is not as sound as its packets looked, so that it must be read with more care."""


def new_array(shape: tuple[int, ...]) -> np.ndarray:
    """Return an array of uint8 whose values are not set."""
    return np.empty(shape, dtype=np.uint8)


class PyavReader:
    """One open video, read forward only; an earlier frame opens it anew.

    A frame is handed out only after the decoder has taken so many more packets that all frames it depends on have come
    out too. A frame that is not asked for is not decoded if no other depends on it.

    Args:
        path: the video file.
        packets: what `read_packets` found in it.
        allocate: makes the array that `read` returns, of uint8, from its shape.
    """

    def __init__(self, path: str, packets: PacketTable, allocate: Allocate = new_array) -> None:
        self.path, self.packets = path, packets
        self.n_frames = packets.n_frames
        self._allocate = allocate
        self._indices = packets.frame_indices()  # empty where frames are numbered as they come out
        self._starts = packets.part_starts()
        self._frames: Iterator[VideoFrame] = iter(())
        self._next, self._count = -1, 0
        self._orientation = Orientation()
        self._wanted: frozenset[int] = frozenset()
        self._last_wanted = -1
        self._logged: list[Any] = []
        self._reformatter = VideoReformatter()  # one for all frames keeps its tables

    @staticmethod
    def suits(packets: PacketTable) -> bool:
        """Return True if nothing that the packets show speaks against reading them in one pass.

        Without time stamps frames are numbered as they come out, and an avi counts them if none is reordered.
        """
        is_numbered = len(packets.stamps) > 0 or (packets.container == "avi" and not packets.reorders)
        return is_numbered and not (packets.is_damaged or packets.is_cut or packets.lost_tail)

    def read(self, indices: list[int], heartbeat: Heartbeat) -> np.ndarray:
        """Read frames of ascending, distinct indices, the way up that the file asks for.

        Returns:
            (n, height, width, 3) uint8, RGB.

        Raises:
            DamageError: if the decoder complains, or a frame is missing or comes out of order.
            ValueError: if the frames differ in size, or the video ends before them.
        """
        if indices[-1] >= self.n_frames:
            raise ValueError("the video ends before the frames asked for")
        if indices[0] < self._next or self._next < 0:
            self._begin(heartbeat)
        self._wanted, self._last_wanted = frozenset(indices), indices[-1]
        found: np.ndarray = np.empty(0, dtype=np.uint8)
        with logged_messages() as self._logged:
            for place, wanted in enumerate(indices):
                picture = upright(*self._stored_picture(wanted))
                if not place:
                    found = self._allocate((len(indices), *picture.shape))
                elif picture.shape != found.shape[1:]:
                    raise ValueError("the frames of the clip differ in size")
                found[place] = picture
        return found

    def count(self, heartbeat: Heartbeat) -> int:
        """Count the frames by decoding all of them.

        Raises:
            DamageError: as in `read`.
        """
        self._last_wanted = -1
        self._begin(heartbeat)
        with logged_messages() as self._logged:
            count = sum(1 for frame in self._frames if self._look_at(frame))
        self._next = -1
        return count

    def _begin(self, heartbeat: Heartbeat) -> None:
        """Open the file anew, before its first frame."""
        self._frames, self._next, self._count, self._orientation = self._come_out(heartbeat), 0, 0, Orientation()

    def _stored_picture(self, wanted: int) -> tuple[np.ndarray, Matrix]:
        """Go on to a frame and return its colours as stored, (height, width, 3) uint8, and its display matrix."""
        index, matrix = -1, UPRIGHT
        for frame in self._frames:
            index, matrix = self._look_at(frame)
            if index >= wanted or index < self._next:
                break
        if index != wanted:
            self._next = -1
            raise DamageError(f"frame {wanted} is not decoded in its order")
        self._next = wanted + 1
        colours = self._reformatter.reformat(frame, format="rgb24", threads=1)  # starting more takes longer
        plane: Any = colours.planes[0]
        rows = np.frombuffer(plane, np.uint8).reshape(plane.height, plane.line_size)  # they are padded
        return rows[:, : 3 * frame.width].reshape(frame.height, frame.width, 3), matrix

    def _look_at(self, frame: VideoFrame) -> tuple[int, Matrix]:
        """Return a frame's index and display matrix.

        Raises:
            DamageError: if the decoder calls it damaged.
        """
        if frame.is_corrupt:
            raise DamageError("a frame is damaged")
        stamp = frame.pts
        self._count += 1
        index = self._indices.get(stamp, -1) if self._indices and stamp is not None else self._count - 1
        return index, self._orientation.follow(frame, stamp in self._starts)

    def _come_out(self, heartbeat: Heartbeat) -> Iterator[VideoFrame]:
        """Yield each frame when as many packets have followed as the decoder reorders.

        This is the loop over all packets of a video; what it does beside decoding is paid for every frame.

        Raises:
            DamageError: if the decoder refuses a packet, or complains.
        """
        waiting: deque[tuple[int, VideoFrame]] = deque()
        find, skips = self._indices.get, False
        restamped = self.packets.stamps.tolist() if self.packets.seams else []
        with av.open(self.path) as container:
            stream = video_stream(container)
            context = stream.codec_context
            try:
                for position, packet in enumerate(demux(container, stream)):
                    heartbeat()
                    if restamped:
                        packet.pts = restamped[position]
                    stamp = packet.pts
                    index = -1 if stamp is None else find(stamp, -1)
                    # A frame between those asked for is only decoded where another depends on it.
                    if skips != (0 <= index < self._last_wanted and index not in self._wanted):
                        skips = not skips
                        context.skip_frame = "NONREF" if skips else "DEFAULT"
                    for frame in context.decode(packet):
                        waiting.append((position, frame))
                    if self._logged:  # a damaged frame is handed out as a good one, and only the log tells
                        raise DamageError("the decoder met damaged data")
                    while waiting and waiting[0][0] <= position - context.reorder_depth:
                        yield waiting.popleft()[1]
                waiting.extend((0, frame) for frame in context.decode(None))
            except av.FFmpegError as error:
                raise DamageError("the decoder refuses a packet") from error
            if self._logged:
                raise DamageError("the decoder met damaged data")
            yield from (frame for _, frame in waiting)
