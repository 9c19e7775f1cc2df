"""Videos whose clock restarts, jumps or repeats: parts joined byte by byte, recorder gaps, wraps, repeated stamps."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av

from tests.support.videos.drawn import add_stream, number_of, output, picture

PACKET = 188
"""Bytes of a packet of a transport stream."""

NO_B_FRAMES = {"bf": "0"}
MANY_B_FRAMES = {"bf": "8", "b-pyramid": "normal"}
OPEN_GROUPS = {"bf": "3", "x264-params": "open-gop=1:keyint=12"}
HEVC = {"x265-params": "log-level=none:keyint=12"}
FRAGMENTS = {"movflags": "frag_keyframe+empty_moov+default_base_moof"}


def part(
    path: Path,
    numbers: Sequence[int],
    *,
    shift: int = 0,
    stamps: Callable[[int], int] = lambda place: place,
    height: int = 64,
    width: int = 96,
    codec: str = "libx264",
    options: Mapping[str, str] | None = None,
    container: Mapping[str, str] | None = None,
) -> bytes:
    """Encode frames that show these numbers and return the file's bytes.

    Args:
        path: a file to write and remove; its suffix names the container.
        numbers: the numbers that the frames show.
        shift: number of frames by which the clock is ahead.
        stamps: function from the place of a frame to its time, in frames.
        height: height of the pictures, in pixels.
        width: width of the pictures, in pixels.
        codec: name of the encoder.
        options: options of the encoder.
        container: options of the container.
    """
    with output(path, options=dict(container or {})) as file:
        stream = add_stream(file, height, width, options or {}, codec=codec)
        packets: list[Any] = []
        for place, number in enumerate(numbers):
            frame = av.VideoFrame.from_ndarray(picture(number, height, width), format="rgb24")
            frame.pts = place
            packets += stream.encode(frame)
        packets += stream.encode()
        for packet in packets:
            later = stamps(packet.pts) - packet.pts + shift
            packet.pts, packet.dts = packet.pts + later, packet.dts + later
            file.mux(packet)
    content = path.read_bytes()
    path.unlink()
    return content


def ts_packets(content: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Yield a transport stream's packets: their frame's place in the file, their number within it, and their bytes.

    Packets that are no video have the place -1.
    """
    place, number = -1, 0
    for start in range(0, len(content), PACKET):
        packet = content[start : start + PACKET]
        is_video = (packet[1] & 0x1F) << 8 | packet[2] == 0x100
        begins = is_video and bool(packet[1] & 0x40)
        place, number = place + begins, 0 if begins else number + is_video
        yield (place, number, packet) if is_video else (-1, 0, packet)


def without_frames(content: bytes, dropped: range) -> bytes:
    """Return a transport stream without some frames, by their place in the file."""
    return b"".join(packet for place, _, packet in ts_packets(content) if place not in dropped)


def plain_numbers(path: Path) -> list[int]:
    """Return the numbers shown by the frames that FFmpeg decodes, in the order of the file: the tests' reference."""
    with av.open(str(path)) as file:
        return [number_of(frame.to_ndarray(format="rgb24")) for frame in file.decode(video=0)]


@dataclass(frozen=True)
class Joined:
    """A video of several parts.

    Attributes:
        name: name of its file.
        parts: function that returns the bytes of its parts; its argument is the path of a file that it may write.
        note: text that the note on it must contain; "" where there is no note.
        lost: frames that depend on frames which are not in the file.
    """

    name: str
    parts: Callable[[Path], Sequence[bytes]]
    note: str
    lost: range = range(0)

    def write(self, folder: Path) -> Path:
        """Write the file and return its path."""
        path = folder / self.name
        content = b"".join(self.parts(folder / f"part.{self.name}"))
        path.write_bytes(content)
        return path


def two(first: int = 30, second: int = 24, shift: int = 0, **settings: Any) -> Callable[[Path], Sequence[bytes]]:
    """Return a maker of two parts, of which the second is `shift` frames ahead."""

    def make(path: Path) -> Sequence[bytes]:
        numbers = range(first, first + second)
        return part(path, range(first), **settings), part(path, numbers, shift=shift, **settings)

    return make


def _fragments(path: Path) -> Sequence[bytes]:
    """Return two parts, the second without the header of its file."""
    first, second = two(36, 24, container=FRAGMENTS)(path)
    return first, second[second.index(b"moof") - 4 :]


def _in_a_group(shift: int, options: Mapping[str, str] | None = None) -> Callable[[Path], Sequence[bytes]]:
    """Return a maker of two parts, of which the second begins in the middle of a group of pictures."""

    def make(path: Path) -> Sequence[bytes]:
        later = part(path, range(30, 60), shift=shift, options=options)
        return part(path, range(30)), without_frames(later, range(5))

    return make


BACK = r"joined from parts: the clock goes back by 1\.2 s at frame 30; frames are numbered in the order of the file$"
CASES = (
    Joined("restart.ts", two(options=NO_B_FRAMES), BACK),
    Joined("restart_b_frames.ts", two(), BACK),
    Joined("restart_pyramid.ts", two(options=MANY_B_FRAMES), BACK),
    Joined("restart_open_groups.ts", two(options=OPEN_GROUPS), BACK),
    Joined("restart_hevc.ts", two(codec="libx265", options=HEVC), BACK),
    Joined("restart_mpeg2.ts", two(codec="mpeg2video", options={"bf": "2"}), BACK),
    Joined("restart.mpg", two(codec="mpeg2video", options={"bf": "2"}), BACK),
    Joined("restart.mkv", two(), BACK),
    Joined("long.ts", two(1000, 500), r"goes back by 40 s at frame 1000;"),
    Joined("itself.ts", lambda path: [part(path, range(30))] * 2, BACK),
    Joined("jump.ts", two(shift=280, options=NO_B_FRAMES), r"parts: the clock jumps ahead by 10 s at frame 30;"),
    Joined("jump_b_frames.ts", two(shift=280), r"parts: the clock jumps ahead by 9\.92 s at frame 30;"),
    Joined("exact.ts", two(shift=30, options=NO_B_FRAMES), r"parts: another part follows at frame 30;"),
    Joined("exact_b_frames.ts", two(shift=32), r"parts: another part follows at frame 30;"),
    Joined("overlap.ts", two(shift=20), r"the clock goes back by 0\.48 s at frame 30;"),
    Joined("ahead_by_a_day.ts", two(shift=25 * 86_400), r"jumps ahead by .* s at frame 30;"),
    Joined(
        "five.ts",
        lambda path: [part(path, range(first, first + 10)) for first in range(0, 50, 10)],
        r"back by 0\.4 s at frame 10, .* at frame 20, .* at frame 30, and 1 more;",
    ),
    Joined("sizes.ts", lambda path: [part(path, range(30)), part(path, range(30, 54), height=128, width=160)], BACK),
    Joined(
        "cut_in_a_frame.ts",
        lambda path: [part(path, range(30), options=NO_B_FRAMES)[:-500], part(path, range(30, 54))],
        "the clock goes back",
    ),
    Joined(
        "missing_up_to_a_key.ts", lambda path: [without_frames(part(path, range(60)), range(20, 24))], "at frame 20"
    ),
    Joined("jump_in_a_group.ts", _in_a_group(280), r"jumps ahead by .* s at frame 30;", range(30, 37)),
    Joined("restart_in_a_group.ts", _in_a_group(0), r"goes back by .* s at frame 30;", range(30, 37)),
    Joined("fragments.mp4", _fragments, r"at frame 36; .* marks 12 frames as not to be shown$"),
    Joined("files.mp4", two(container=FRAGMENTS), r"at frame 30; .* marks 12 frames as not to be shown$"),
    Joined(
        "pause.ts",
        lambda path: [part(path, range(60), stamps=lambda place: place + 250 * (place >= 32), options=NO_B_FRAMES)],
        r"jumps ahead by 10 s at frame 32;",
    ),
    Joined(
        "pause_in_a_group.ts",
        lambda path: [part(path, range(60), stamps=lambda place: place + 250 * (place >= 30), options=NO_B_FRAMES)],
        "",
    ),
    Joined("wrap.ts", lambda path: [part(path, range(60), shift=2**33 // 3600 - 30)], ""),
    Joined("raw.h264", two(), ""),
)
