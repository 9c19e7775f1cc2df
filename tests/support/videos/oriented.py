"""Videos that must be shown turned or mirrored: by the track header of an mp4, or by a message within the frames."""

from collections.abc import Mapping
from pathlib import Path

import av
import numpy as np

from tests.support.videos.drawn import add_stream, output

Flat = tuple[int, int, int, int]
"""The upper left 2 x 2 part of a display matrix, row by row, as `Matrix` of the reader."""

HEIGHT, WIDTH = 64, 96
EIGHT: Mapping[str, tuple[Flat, tuple[bool, bool, int]]] = {
    "as_stored": ((1, 0, 0, 1), (False, False, 0)),
    "left_right": ((-1, 0, 0, 1), (True, False, 0)),
    "up_down": ((1, 0, 0, -1), (False, True, 0)),
    "turned_180": ((-1, 0, 0, -1), (False, False, 180)),
    "turned_left": ((0, -1, 1, 0), (False, False, 90)),
    "turned_right": ((0, 1, -1, 0), (False, False, 270)),
    "transposed": ((0, 1, 1, 0), (True, False, 90)),
    "transposed_back": ((0, -1, -1, 0), (True, False, 270)),
}
"""By name the display matrix, and what the standards of H.264 and HEVC call it: flips left-right and up-down, then
degrees anticlockwise."""


def corners(number: int) -> np.ndarray:
    """Draw a picture whose corners differ, (height, width, 3) uint8; its middle differs from frame to frame."""
    drawn = np.full((HEIGHT, WIDTH, 3), 8 * (number % 16), dtype=np.uint8)
    half, third = HEIGHT // 2, WIDTH // 3
    drawn[: half - 8, :third], drawn[: half - 8, -third:] = 255, 170
    drawn[half + 8 :, :third], drawn[half + 8 :, -third:] = 90, 0
    return drawn


def shown(stored: np.ndarray, matrix: Flat) -> np.ndarray:
    """Return the picture on the screen, pixel by pixel as ISO 14496-12 defines the matrix."""
    right, right_down, down_right, down = matrix
    height, width = stored.shape[:2]
    rows, columns = np.mgrid[:height, :width]
    x, y = right * columns + down_right * rows, right_down * columns + down * rows
    screen = np.empty((np.ptp(y) + 1, np.ptp(x) + 1, 3), dtype=np.uint8)
    screen[y - y.min(), x - x.min()] = stored
    return screen


def in_track_header(path: Path, matrix: Flat) -> None:
    """Replace the identity in an mp4's track header."""
    content = bytearray(path.read_bytes())

    def fixed(right: int, right_down: int, down_right: int, down: int) -> bytes:
        rows = (right << 16, right_down << 16, 0, down_right << 16, down << 16, 0, 0, 0, 1 << 30)
        return b"".join(value.to_bytes(4, "big", signed=True) for value in rows)

    start = content.index(fixed(1, 0, 0, 1), content.index(b"tkhd"))
    content[start : start + 36] = fixed(*matrix)
    path.write_bytes(content)


def message(codec: str, left_right: bool, up_down: bool, degrees: int) -> bytes:
    """Return the display orientation message of H.264 (D.1.27) or HEVC (D.2.17) as a unit of a byte stream."""
    bits = f"0{left_right:b}{up_down:b}{degrees * (1 << 16) // 360:016b}"
    bits += "0100" if codec == "libx264" else "1"  # the message holds until the next one; no extension
    bits += "1"
    content = int(bits.ljust(24, "0"), 2).to_bytes(3, "big")
    head = b"\x06" if codec == "libx264" else b"\x4e\x01"
    return b"\0\0\0\1" + head + b"\x2f\x03" + content + b"\x80"


def write_oriented(path: Path, codec: str, n_frames: int = 30, messages: Mapping[int, bytes] | None = None) -> None:
    """Write frames of `corners`, with `messages` before the packets at their places in the file."""
    options = {"bf": "0", "x265-params": "log-level=none:keyint=12:bframes=0"} if codec == "libx265" else {"bf": "0"}
    with output(path) as file:
        stream = add_stream(file, HEIGHT, WIDTH, options, codec=codec)
        packets = []
        for number in range(n_frames):
            packets += stream.encode(av.VideoFrame.from_ndarray(corners(number), format="rgb24"))
        packets += stream.encode()
        for place, packet in enumerate(packets):
            told = packet
            if messages and place in messages:
                told = av.Packet(messages[place] + bytes(packet))
                told.pts, told.dts, told.time_base, told.stream = packet.pts, packet.dts, packet.time_base, stream
                told.is_keyframe, told.duration = packet.is_keyframe, packet.duration
            file.mux(told)
