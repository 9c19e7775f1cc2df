"""Videos whose frames show their numbers, so that a test knows which frames came back."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

BLOCKS = 4
"""A frame's number is 16 bits, drawn as 4 x 4 black and white blocks."""


def picture(number: int, height: int, width: int) -> np.ndarray:
    """Draw frame `number`, (height, width, 3) uint8; pixels beyond whole blocks are grey."""
    bits = np.array([number >> bit & 1 for bit in range(BLOCKS**2)], dtype=np.uint8).reshape(BLOCKS, BLOCKS)
    grey = np.full((height, width), 128, dtype=np.uint8)
    block = np.ones((height // BLOCKS, width // BLOCKS), dtype=np.uint8)
    drawn = np.kron(bits * 255, block)
    grey[: drawn.shape[0], : drawn.shape[1]] = drawn
    return np.stack([grey] * 3, axis=-1)


def number_of(frame: np.ndarray) -> int:
    """Read the number that a frame (height, width, 3) shows."""
    height, width = (size // BLOCKS for size in frame.shape[:2])
    blocks = frame[: height * BLOCKS, : width * BLOCKS].reshape(BLOCKS, height, BLOCKS, width, 3).mean(axis=(1, 3, 4))
    return int((blocks.reshape(-1) > 127) @ (1 << np.arange(BLOCKS**2)))


def numbers_of(frames: np.ndarray) -> list[int]:
    """Read the numbers that frames (frames, height, width, 3) show."""
    return [number_of(frame) for frame in frames]


@contextmanager
def output(path: Path, **settings: Any) -> Iterator[Any]:
    """Open a video file to be written."""
    with closing(av.open(str(path), "w", **settings)) as file:
        yield file


def add_stream(
    file: Any,
    height: int,
    width: int,
    options: Mapping[str, str],
    pixels: str = "yuv420p",
    codec: str = "libx264",
    rate: int = 25,
) -> Any:
    """Add a stream of video to a file, with a key frame every 12."""
    stream = file.add_stream(codec, rate=rate)
    stream.height, stream.width, stream.pix_fmt = height, width, pixels
    # One thread, so that the packets, some of which are broken later, do not depend on the number of cores.
    stream.options = {"g": "12", "crf": "18", "threads": "1", **options}
    return stream


def write(
    path: Path,
    n_frames: int = 60,
    *,
    height: int = 64,
    width: int = 96,
    codec: str = "libx264",
    rate: int = 25,
    options: Mapping[str, str] | None = None,
    pixels: str = "yuv420p",
    container: Mapping[str, str] | None = None,
    form: str | None = None,
    times: Callable[[int], int] | None = None,
    keep: Callable[[int], bool] = lambda position: True,
    turn: int = 0,
) -> Path:
    """Write numbered frames with a key frame every 12.

    Args:
        path: the file to write.
        n_frames: number of frames that are encoded.
        height: height of the stored pictures, in pixels.
        width: width of the stored pictures, in pixels.
        codec: name of the encoder.
        rate: frames per second.
        options: options of the encoder.
        pixels: the pixel format.
        container: options of the container.
        form: name of the container, where the file's suffix does not name it.
        times: function from the number of a frame to its time stamp in ticks of 1/1000 s; by default every 40.
        keep: function that returns True for the packets to write, by their place in the file.
        turn: quarter turns counter-clockwise that a player must make; pictures are stored turned back.
    """
    with output(path, options=dict(container or {}), format=form) as file:
        stream = add_stream(file, height, width, options or {}, pixels, codec, rate)
        if times:
            stream.codec_context.time_base = Fraction(1, 1000)
        packets = []
        for number in range(n_frames):
            shown = (width, height) if turn % 2 else (height, width)
            drawn = np.ascontiguousarray(np.rot90(picture(number, *shown), -turn))
            frame = av.VideoFrame.from_ndarray(drawn, format="rgb24")
            if times:
                frame.pts, frame.time_base = times(number), Fraction(1, 1000)
            packets += stream.encode(frame)
        packets += stream.encode()
        for position, packet in enumerate(packets):
            if keep(position):
                file.mux(packet)
    if turn:
        _declare_turn(path, turn)
    return path


def _declare_turn(path: Path, turn: int) -> None:
    """Write a rotation into the track header of an mp4; players apply it."""
    one, content = 1 << 16, bytearray(path.read_bytes())
    # Clockwise matrices of ISO 14496-12; the last row is 0, 0, 1 in 2.30 fixed point.
    cosine, sine = {1: (0, -1), 2: (-1, 0), 3: (0, 1)}[turn % 4]
    matrix = [cosine * one, sine * one, 0, -sine * one, cosine * one, 0, 0, 0, 1 << 30]
    plain = b"".join(value.to_bytes(4, "big", signed=True) for value in (one, 0, 0, 0, one, 0, 0, 0, 1 << 30))
    start = content.index(plain, content.index(b"tkhd"))
    content[start : start + 36] = b"".join(value.to_bytes(4, "big", signed=True) for value in matrix)
    path.write_bytes(content)


def cut(path: Path, end: int) -> Path:
    """Keep only the first bytes."""
    path.write_bytes(path.read_bytes()[:end])
    return path


def packets_of(path: Path) -> list[tuple[int, int]]:
    """List the place and size in bytes of every packet of an mp4."""
    with av.open(str(path)) as file:
        return [(packet.pos, packet.size) for packet in file.demux(video=0) if packet.size and packet.pos is not None]
