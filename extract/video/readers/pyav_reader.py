"""Reading a sound video with PyAV in one pass: every frame is decoded, and only those asked for become colours."""

from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import av
import numpy as np
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter

from vadprobe.extract.video.packets.scanning import Heartbeat, demux, logged_messages, video_stream
from vadprobe.extract.video.packets.table import PacketTable
from vadprobe.extract.video.readers.orientation import Matrix, Orientation, upright

Allocate = Callable[[tuple[int, ...]], np.ndarray]


class DamageError(Exception):
    """The video is not as sound as its packets looked, so that it must be read with more care."""


def new_array(shape: tuple[int, ...]) -> np.ndarray:
    """Return an array of uint8 whose values are not set."""
    return np.empty(shape, dtype=np.uint8)


class PyavReader:
    """One open video, read forward only; an earlier frame opens it anew.

    A frame is handed out once the decoder has been fed so much more that all it depends on has come out as well. Frames
    that are not asked for are not even decoded where no other depends on them.

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
        self._frames: Iterator[tuple[int, VideoFrame, Matrix]] = iter(())
        self._next = -1
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
            self._frames, self._next = self._in_order(heartbeat), 0
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
        self._last_wanted, self._next = -1, -1
        with logged_messages() as self._logged:
            return sum(1 for _ in self._in_order(heartbeat))

    def _stored_picture(self, wanted: int) -> tuple[np.ndarray, Matrix]:
        """Go on to a frame and return its colours as stored, (height, width, 3) uint8, and its display matrix."""
        found = next((one for one in self._frames if one[0] >= wanted or one[0] < self._next), None)
        if found is None or found[0] != wanted:
            self._next = -1
            raise DamageError(f"frame {wanted} does not come out in its turn")
        _, frame, matrix = found
        self._next = wanted + 1
        colours = self._reformatter.reformat(frame, format="rgb24")
        plane = colours.planes[0]
        rows = np.frombuffer(plane, np.uint8).reshape(plane.height, plane.line_size)  # they are padded
        return rows[:, : 3 * frame.width].reshape(frame.height, frame.width, 3), matrix

    def _in_order(self, heartbeat: Heartbeat) -> Iterator[tuple[int, VideoFrame, Matrix]]:
        """Yield the frames with their indices and display matrices, as they come out."""
        orientation, find, starts = Orientation(), self._indices.get, self._starts
        for count, frame in enumerate(self._settled(heartbeat)):
            if frame.is_corrupt:
                raise DamageError("a frame is damaged")
            stamp = frame.pts
            index = count if not self._indices else -1 if stamp is None else find(stamp, -1)
            yield index, frame, orientation.follow(frame, stamp in starts)

    def _settled(self, heartbeat: Heartbeat) -> Iterator[VideoFrame]:
        """Yield each frame when as many packets have followed as the decoder reorders."""
        waiting: deque[tuple[int, VideoFrame]] = deque()
        restamped = self.packets.stamps if self.packets.seams else None
        with av.open(self.path) as container:
            stream = video_stream(container)
            context, skips = stream.codec_context, False
            for position, packet in enumerate(demux(container, stream)):
                heartbeat()
                if restamped is not None and len(restamped):
                    packet.pts = int(restamped[position])
                if skips != self._is_unwanted(packet):
                    skips = not skips
                    context.skip_frame = "NONREF" if skips else "DEFAULT"
                for frame in self._decoded(context, packet):
                    waiting.append((position, frame))
                while waiting and waiting[0][0] <= position - context.reorder_depth:
                    yield waiting.popleft()[1]
            yield from (frame for _, frame in waiting)
            yield from self._decoded(context, None)

    def _is_unwanted(self, packet: "Packet[Any]") -> bool:
        """Return True if a packet's frame is known, and lies between those asked for."""
        index = self._indices.get(packet.pts) if packet.pts is not None else None
        return index is not None and index < self._last_wanted and index not in self._wanted

    def _decoded(self, context: Any, packet: "Packet[Any] | None") -> list[VideoFrame]:
        try:
            frames: list[VideoFrame] = context.decode(packet)
        except av.FFmpegError as error:
            raise DamageError("the decoder refuses a packet") from error
        if self._logged:  # a damaged frame is handed out as a good one, and only the log tells
            raise DamageError("the decoder met damaged data")
        return frames
