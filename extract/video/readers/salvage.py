"""Reading with PyAV what decord cannot be trusted with: damaged files, and formats it reads wrongly or not at all.

Frames have the indices that the packets' time stamps give them. Without usable stamps they are numbered as they come
out, and nothing after the first damage is kept.
"""

from collections.abc import Iterator
from typing import Any

import av
import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter

from vadprobe.extract.video.packets.scanning import Heartbeat, demux, logged_messages, video_stream
from vadprobe.extract.video.packets.table import PacketTable
from vadprobe.extract.video.readers.orientation import Matrix, Orientation, upright

Step = tuple[int, list[VideoFrame], bool]
"""A packet's position, the frames that came out after it, and whether the decoder refused it."""


class SalvageReader:
    """The good frames of one video: those decoded without an error, from packets that depend on no damaged one.

    Opening decodes the video once, because a frame may come out before the one it depends on turns out to be damaged.

    Args:
        path: the video file.
        packets: what `read_packets` found in it.
        heartbeat: called for every packet.

    Raises:
        av.FFmpegError: if the file cannot be opened.
        ValueError: if not one frame can be decoded.
    """

    def __init__(self, path: str, packets: PacketTable, heartbeat: Heartbeat) -> None:
        self.path, self.packets = path, packets
        self._indices = packets.frame_indices()  # empty where frames are numbered as they come out
        good = self._good_by_time(heartbeat) if self._indices else None
        if good is None:
            self._indices, good = {}, self._good_by_order(heartbeat)
        if not good:
            raise ValueError("not one frame can be decoded")
        self._good = good
        self._starts = packets.part_starts()
        self._frames: Iterator[tuple[int, VideoFrame, Matrix]] = iter(())
        self._next = -1
        self._reformatter = VideoReformatter()

    @property
    def n_frames(self) -> int:
        """Number of frames the file holds; some may be lost."""
        return self.packets.n_certain(self._indices) if self._indices else self.n_good

    @property
    def n_good(self) -> int:
        """Number of frames that can be read."""
        return len(self._good)

    def count(self, heartbeat: Heartbeat) -> int:
        """Count the frames that can be read; all of them were decoded when the file was opened."""
        return self.n_good

    def _good_by_time(self, heartbeat: Heartbeat) -> frozenset[int] | None:
        """Return the indices of the good frames; None if the stamps are no presentation times (H.264 in avi).

        Decode the whole video, note each packet that the decoder refuses or conceals, and drop every frame that depends
        on one of them or on a missing packet.
        """
        damaged = set(np.flatnonzero(self.packets.broken).tolist())
        gaps = self.packets.joints | (self.packets.after_gaps(self._indices) if self.packets.is_damaged else set())
        packet_of = {int(stamp): position for position, stamp in enumerate(self.packets.stamps)}
        came_out: list[int] = []
        for position, frames, failed in self._decode_watched(heartbeat):
            if failed:
                damaged.add(position)
            for frame in frames:
                if frame.pts not in packet_of:
                    continue
                if frame.is_corrupt:
                    damaged.add(packet_of[frame.pts])
                out_of_order = came_out and frame.pts <= came_out[-1]
                if out_of_order and not any(where <= position for where in damaged | gaps):
                    return None  # a sound video comes out in the order of its presentation times
                came_out.append(frame.pts)
        lost = self._dependent_on(damaged, gaps)
        certain = self.packets.n_certain(self._indices)
        kept = (self._indices[stamp] for stamp in came_out if stamp in self._indices and packet_of[stamp] not in lost)
        return frozenset(index for index in kept if index < certain)

    def _good_by_order(self, heartbeat: Heartbeat) -> frozenset[int]:
        """Return the indices of the frames that come out before the first damage."""
        count = before_key = 0
        cuts = [seam.packet for seam in self.packets.seams if seam.is_joint and not seam.is_key]
        complaint = self.packets.complaint
        damage = min([*cuts, len(self.packets.keys) + 1 if complaint is None else complaint])
        for position, frames, failed in self._decode_watched(heartbeat):
            beyond = position >= damage
            if failed or beyond or self.packets.broken[position : position + 1].any():
                break
            if self.packets.keys[position : position + 1].any():
                before_key = count
            if any(frame.is_corrupt for frame in frames):
                # Only what came out before the key frame was decoded depends on nothing after it.
                return frozenset(range(before_key))
            count += len(frames)
        return frozenset(range(count))

    def _dependent_on(self, damaged: set[int], gaps: set[int]) -> set[int]:
        """Return the packets that cannot be trusted when some are damaged, and some are missing before others.

        They reach up to the next key frame, and include what is stored after it but shown before it.
        """
        keys, stamps = np.flatnonzero(self.packets.keys), self.packets.stamps
        # A damaged key frame itself is lost, one behind a gap is not.
        starts = {(start, True) for start in damaged} | {(start, False) for start in gaps}
        if not self.packets.starts_with_key:
            starts.add((0, False))
        lost: set[int] = set()
        for start, is_damaged in starts:
            following = keys[keys > start] if is_damaged else keys[keys >= start]
            key = int(following[0]) if len(following) else len(stamps)
            lost.update(range(start, key))
            end = int(following[1]) if len(following) > 1 else len(stamps)
            lost.update(where for where in range(key, end) if stamps[where] < stamps[key])
        return lost

    def _decode(self, heartbeat: Heartbeat, logged: list[Any] | None = None) -> Iterator[Step]:
        """Decode packet by packet, and last what the decoder still holds."""
        with av.open(self.path) as container:
            stream = video_stream(container)
            if logged is not None:
                logged.clear()  # opening decodes packets too
            position = 0
            for position, packet in enumerate(demux(container, stream)):
                heartbeat()
                if self.packets.seams and len(self.packets.stamps):
                    packet.pts = int(self.packets.stamps[position])
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

    def _decode_watched(self, heartbeat: Heartbeat) -> Iterator[Step]:
        """Decode; a packet also counts as refused if the decoder logs an error and hands out a patched frame."""
        with logged_messages() as logged:
            for position, frames, failed in self._decode(heartbeat, logged):
                yield position, frames, failed or bool(logged)
                logged.clear()

    def _in_order(self, heartbeat: Heartbeat) -> Iterator[tuple[int, VideoFrame, Matrix]]:
        """Yield the good frames with their indices and display matrices, as they come out."""
        count, orientation = 0, Orientation()
        for _, frames, _ in self._decode(heartbeat):
            for frame in frames:
                matrix = orientation.follow(frame, frame.pts in self._starts)
                index = self._indices.get(frame.pts if frame.pts is not None else -1, -1) if self._indices else count
                count += 1
                if index in self._good:
                    yield index, frame, matrix

    def read(self, indices: list[int], heartbeat: Heartbeat) -> np.ndarray:
        """Read frames of ascending, distinct indices, the way up that the file asks for.

        Returns:
            (n, height, width, 3) uint8, RGB.

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
            self._frames, self._next = self._in_order(heartbeat), 0
        wanted, pictures = set(indices), {}
        for index, frame, matrix in self._frames:
            self._next = max(self._next, index + 1)
            if index in wanted:
                pictures[index] = upright(self._picture(frame), matrix)
            if len(pictures) == len(wanted):
                break
        else:
            self._next = -1
            raise ValueError("the video ends before the frames asked for")
        if len({image.shape for image in pictures.values()}) > 1:
            raise ValueError("the frames of the clip differ in size")
        return np.stack([pictures[index] for index in indices])

    def _picture(self, frame: VideoFrame) -> np.ndarray:
        """Return a frame's colours as stored, (height, width, 3) uint8."""
        # One for all frames keeps its tables; VideoFrame.to_ndarray makes them anew for each.
        return self._reformatter.reformat(frame, format="rgb24", threads=1).to_ndarray()


def name_ranges(indices: list[int]) -> str:
    """Write ascending numbers as text, neighbours as one range: `3 to 5, 9`."""
    edges = np.flatnonzero(np.diff(indices) > 1)
    firsts, lasts = [indices[0], *(indices[i + 1] for i in edges)], [*(indices[i] for i in edges), indices[-1]]
    return ", ".join(f"{a} to {b}" if b > a else str(a) for a, b in zip(firsts, lasts, strict=True))
