"""The way up that a video asks for: eight orientations, declared by the container or within the frames.

A display matrix says where the stored axes go on the screen. The container's belongs to every frame. One within the
frames (H.264 and HEVC) comes with a frame and holds until another comes, or another part of the file begins, as players
have it.
"""

from typing import Any, cast

import av
import numpy as np
from av.codec.context import CodecContext
from av.sidedata.sidedata import SideDataContainer, Type
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame

from vadprobe.extract.video.packets.scanning import demux, video_stream

UPRIGHT = (1, 0, 0, 1)
"""Right on the screen is right in the picture, down is down: (right to right, right to down, down to right, down)."""

Matrix = tuple[int, int, int, int]
"""The signs and relative sizes of a display matrix."""


def declared_matrix(frame: VideoFrame) -> Matrix | None:
    """Return the display matrix that comes with a frame; None if none does."""
    # `frame.side_data` would keep a container that refers to the frame: such a circle, and with it the picture, is only
    # freed when Python looks for circles, hundreds of frames later.
    container = cast(Any, SideDataContainer)(frame)
    data = container.get(Type.DISPLAYMATRIX.name) if len(container) else None
    if data is None:
        return None
    values = np.frombuffer(memoryview(cast(Any, data)), dtype=np.int32)
    return int(values[0]), int(values[1]), int(values[3]), int(values[4])


def is_mirrored(matrix: Matrix) -> bool:
    """Return True if a matrix shows the picture as in a mirror, turned or not."""
    right, right_down, down_right, down = matrix
    return right * down - right_down * down_right < 0


def upright(picture: np.ndarray, matrix: Matrix) -> np.ndarray:
    """Return a picture (height, width, ...) as its matrix shows it, by the nearest of the eight orientations."""
    right, right_down, down_right, down = matrix
    if abs(right) + abs(down) < abs(right_down) + abs(down_right):
        picture, right, down = np.swapaxes(picture, 0, 1), down_right, right_down
    if right < 0:
        picture = picture[:, ::-1]
    return picture[::-1] if down < 0 else picture


class Orientation:
    """The display matrix that holds, frame after frame in the order shown."""

    def __init__(self) -> None:
        self._matrix: Matrix = UPRIGHT

    def follow(self, frame: VideoFrame, begins_part: bool = False) -> Matrix:
        """Return the matrix that holds from this frame on; that of an earlier part does not."""
        declared = declared_matrix(frame)
        if declared is not None or begins_part:
            self._matrix = declared or UPRIGHT
        return self._matrix


def first_matrices(path: str) -> tuple[Matrix | None, Matrix | None]:
    """Return the display matrix that holds for a file's first frame, and the one within the frame itself.

    Raises:
        av.FFmpegError: if the file cannot be read or decoded.
    """
    with av.open(path) as container:
        stream = video_stream(container)
        # A decoder of its own knows nothing of what the container declares.
        alone = cast(VideoCodecContext, CodecContext.create(stream.codec_context.codec.name, "r"))
        alone.extradata = stream.codec_context.extradata
        whole: list[VideoFrame] = []
        bare: list[VideoFrame] = []
        for packet in demux(container, stream):
            whole += stream.decode(packet)
            bare += alone.decode(packet)
            if whole and bare:
                return declared_matrix(whole[0]), declared_matrix(bare[0])
    return None, None
