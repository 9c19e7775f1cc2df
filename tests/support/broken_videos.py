"""A corpus of broken and odd videos: how each is made, and what is to become of it.

Frames show their number (``picture``), so a test can say which of them came back. Everything is encoded here, and
broken afterwards byte by byte.
"""

import os
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

BLOCKS = 4
"""A frame's number is 16 bits, drawn as 4 x 4 black and white blocks."""


def picture(number: int, height: int, width: int) -> np.ndarray:
    """Frame ``number``, (height, width, 3) uint8; pixels beyond whole blocks are grey."""
    bits = np.array([number >> bit & 1 for bit in range(BLOCKS**2)], dtype=np.uint8).reshape(BLOCKS, BLOCKS)
    grey = np.full((height, width), 128, dtype=np.uint8)
    block = np.ones((height // BLOCKS, width // BLOCKS), dtype=np.uint8)
    drawn = np.kron(bits * 255, block)
    grey[: drawn.shape[0], : drawn.shape[1]] = drawn
    return np.stack([grey] * 3, axis=-1)


def number_of(frame: np.ndarray) -> int:
    """The number that a frame (height, width, 3) shows."""
    height, width = (size // BLOCKS for size in frame.shape[:2])
    blocks = frame[: height * BLOCKS, : width * BLOCKS].reshape(BLOCKS, height, BLOCKS, width, 3).mean(axis=(1, 3, 4))
    return int((blocks.reshape(-1) > 127) @ (1 << np.arange(BLOCKS**2)))


@contextmanager
def _output(path: Path, **settings: Any) -> Iterator[Any]:
    with closing(av.open(str(path), "w", **settings)) as file:
        yield file


def _stream(file: Any, height: int, width: int, options: Mapping[str, str], pixels: str, codec: str = "libx264") -> Any:
    stream = file.add_stream(codec, rate=25)
    stream.height, stream.width, stream.pix_fmt = height, width, pixels
    # One thread, so that the packets to be broken are the same however many cores there are.
    stream.options = {"g": "12", "crf": "18", "threads": "1", **options}
    return stream


def write(
    path: Path,
    n_frames: int = 60,
    *,
    height: int = 64,
    width: int = 96,
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
        n_frames: how many frames are encoded.
        height: of the stored pictures, in pixels.
        width: of the stored pictures, in pixels.
        options: for the encoder.
        pixels: the pixel format.
        container: options of the container.
        form: the container, where the file's ending does not say it.
        times: time stamp of a frame in ticks of 1/1000 s; every 40 without it.
        keep: which packets are written, by their place in the file.
        turn: quarter turns counter-clockwise that a player is to make; pictures are stored turned back.
    """
    with _output(path, options=dict(container or {}), format=form) as file:
        stream = _stream(file, height, width, options or {}, pixels)
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
    """Place and size in bytes of every packet of an mp4."""
    with av.open(str(path)) as file:
        return [(packet.pos, packet.size) for packet in file.demux(video=0) if packet.size and packet.pos is not None]


def damage(path: Path, positions: range, first: int, fill: Callable[[int], bytes]) -> Path:
    """Replace the bytes of packets from their byte ``first`` on."""
    content = bytearray(path.read_bytes())
    for start, size in (packets_of(path)[position] for position in positions):
        content[start + first : start + size] = fill(size - first)
    path.write_bytes(content)
    return path


def _text(path: Path) -> None:
    path.write_bytes(b"This is not a video.\n" * 50)


def _faststart_cut(path: Path) -> None:
    write(path, container={"movflags": "+faststart"})
    start, size = packets_of(path)[30]
    cut(path, start + size // 2)


def _index_lost(path: Path) -> None:
    write(path)
    cut(path, packets_of(path)[40][0])


def _mkv_cut(path: Path) -> None:
    write(path)
    cut(path, path.stat().st_size * 6 // 10)


def _hole(path: Path, first: int, last: int, **settings: Any) -> None:
    """Packets lose their headers too, so they vanish, and no frame after them may take their numbers."""
    write(path, **settings)
    places = packets_of(path)
    content = bytearray(path.read_bytes())
    start, stop = places[first][0] - 8, sum(places[last])
    content[start:stop] = bytes(stop - start)
    path.write_bytes(content)


CLUSTERS = {"cluster_time_limit": "500"}
"""Matroska is taken up again at the next cluster after a hole; by default one holds five seconds."""


def _zeroed(path: Path) -> None:
    damage(write(path), range(15, 20), 0, bytes)


def _noise(path: Path) -> None:
    damage(write(path), range(12, 13), 10, np.random.default_rng(0).bytes)


def _noise_between(path: Path) -> None:
    damage(write(path, options={"bf": "0"}), range(30, 31), 12, np.random.default_rng(1).bytes)


def _audio(file: Any, count: int) -> None:
    stream = file.add_stream("aac", rate=44100)
    for _ in range(count):
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 44100
        file.mux(stream.encode(frame))
    file.mux(stream.encode())


def _cut_with_sound(path: Path) -> None:
    """Where a cut avi ends is told from a hole in it only if the sound between its pictures is known."""
    with _output(path) as file:
        pictures, sound = _stream(file, 64, 96, {}, "yuv420p", "mpeg4"), file.add_stream("mp2", rate=44100)
        for number in range(60):
            file.mux(pictures.encode(av.VideoFrame.from_ndarray(picture(number, 64, 96), format="rgb24")))
            samples = np.zeros((1, 2 * 1152), np.int16)
            frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="stereo")
            frame.sample_rate = 44100
            file.mux(sound.encode(frame))
        file.mux(pictures.encode())
        file.mux(sound.encode())
    start, size = packets_of(path)[30]
    cut(path, start + size)


def _audio_only(path: Path) -> None:
    with _output(path) as file:
        _audio(file, 3)


def _two_streams(path: Path) -> None:
    with _output(path) as file:
        streams = [_stream(file, 32, 48, {}, "yuv420p"), _stream(file, 64, 96, {}, "yuv420p")]
        for number in range(30):
            for stream, shown in zip(streams, (0, number), strict=True):
                drawn = picture(shown, stream.height, stream.width)
                file.mux(stream.encode(av.VideoFrame.from_ndarray(drawn, format="rgb24")))
        for stream in streams:
            file.mux(stream.encode())


def _unreadable(path: Path) -> None:
    write(path)
    path.chmod(0)


def _no_frames(path: Path) -> None:
    write(path, container={"movflags": "+faststart"})
    cut(path, packets_of(path)[0][0] + 5)


def _behind_junk(path: Path) -> None:
    write(path)
    path.write_bytes(path.read_bytes() + b"\xff" * 10_000)


def _cut_index(path: Path) -> None:
    """The sample table of a faststart file ends in the middle."""
    write(path, container={"movflags": "+faststart"})
    content = path.read_bytes()
    cut(path, content.index(b"stsz") + 40)


@dataclass(frozen=True)
class Case:
    """One file of the corpus.

    ``kept`` are the frames that must come back, each showing its own number or ``shows(index)``, of ``n_frames`` the
    video has. No frames mean that the file cannot be opened, for a reason that matches ``reason``; it also explains
    frames that are not kept. ``reader`` is the library that must end up reading the file, if that is certain.
    """

    name: str
    make: Callable[[Path], object]
    n_frames: int = 0
    kept: frozenset[int] = frozenset()
    reason: str = ""
    reader: str | None = None
    size: tuple[int, int] | None = (64, 96)
    shows: Callable[[int], int] = lambda index: index


def frames(*spans: tuple[int, int]) -> frozenset[int]:
    """Indices of half-open spans."""
    return frozenset(index for start, stop in spans for index in range(start, stop))


def whole(name: str, make: Callable[[Path], object], count: int, reader: str | None = None, **more: Any) -> Case:
    """A file all of whose frames come back."""
    return Case(name, make, count, frames((0, count)), reader=reader, **more)


CASES = (
    Case("empty.mp4", lambda path: path.touch(), reason=r"the file is empty \(0 bytes\)"),
    Case("text.mp4", _text, reason="Error reading|Invalid data"),
    Case("audio_only.mp4", _audio_only, reason="no video stream"),
    Case("index_lost.mp4", _index_lost, reason="Invalid data|no video stream|Error"),
    Case("index_cut.mp4", _cut_index, reason="Invalid data|no video|Error"),
    Case("no_whole_frame.mp4", _no_frames, reason="not one frame can be decoded|no video frames"),
    Case("folder.mp4", lambda path: path.mkdir(), reason="what bears its name is a folder"),
    Case("broken_link.mp4", lambda path: path.symlink_to(path.parent / "gone"), reason="the file does not exist"),
    Case("no_permission.mp4", _unreadable, reason="Permission denied"),
    Case("cut_faststart.mp4", _faststart_cut, 30, frames((0, 29)), reader="PyAV", reason="frame 29 is lost"),
    Case("cut.mkv", _mkv_cut, 22, frames((0, 22)), reader="PyAV", reason="the last frame"),
    whole("cut_with_sound.avi", _cut_with_sound, 31, "PyAV"),
    Case(
        "hole.mkv",
        lambda path: _hole(path, 26, 29, container=CLUSTERS),
        60,
        frames((0, 20), (44, 60)),
        "the file is damaged, and (frame|the frames) .* lost",
        "PyAV",
    ),
    Case(
        "hole_behind_a_key_frame.mkv",
        lambda path: _hole(path, 13, 13, container=CLUSTERS),
        60,
        frames((0, 8), (32, 60)),
        "the file is damaged, and (frame|the frames) .* lost",
        "PyAV",
    ),
    Case(
        "hole_at_the_start.mkv",
        lambda path: _hole(path, 1, 1, container=CLUSTERS),
        60,
        frames((24, 60)),
        "the file is damaged, and (frame|the frames) .* lost",
        "PyAV",
    ),
    Case(
        "hole.flv",
        lambda path: _hole(path, 4, 4),
        60,
        frames((12, 60)),
        "the file is damaged, and (frame|the frames) .* lost",
        "PyAV",
    ),
    Case("hole.avi", lambda path: _hole(path, 19, 21, options={"bf": "0"}), 19, frames((0, 19)), reader="PyAV"),
    Case(
        "zeroed_packets.mp4",
        _zeroed,
        60,
        frames((0, 13), (24, 60)),
        "the file is damaged, and (frame|the frames) .* lost",
        "PyAV",
    ),
    Case(
        "noise_in_key_frame.mp4",
        _noise,
        60,
        frames((0, 12), (24, 60)),
        "the file is damaged, and (frame|the frames) .* lost",
        "PyAV",
    ),
    Case(
        "noise_in_between.mp4",
        _noise_between,
        60,
        frames((0, 30), (36, 60)),
        "the file is damaged, and (frame|the frames) .* lost",
        "PyAV",
    ),
    Case(
        "no_key_frame_first.mp4",
        lambda path: write(path, keep=lambda position: position > 0),
        59,
        frames((11, 59)),
        "the file is damaged, and (frame|the frames) .* lost",
        "PyAV",
        shows=lambda index: index + 1,
    ),
    Case(
        "no_key_frame_first.mkv",
        lambda path: write(path, keep=lambda position: position > 0),
        59,
        frames((11, 59)),
        "the file is damaged, and (frame|the frames) .* lost",
        "PyAV",
        shows=lambda index: index + 1,
    ),
    whole("one_frame.mp4", lambda path: write(path, 1), 1),
    whole("variable_rate.mp4", lambda path: write(path, times=lambda number: 10 * number**2), 60, "decord"),
    whole("turned_90.mp4", lambda path: write(path, 20, turn=1), 20, size=(96, 64)),
    whole("turned_180.mp4", lambda path: write(path, 20, turn=2), 20),
    whole("turned_270.mp4", lambda path: write(path, 20, turn=3), 20, size=(96, 64)),
    whole("matroska_named.mp4", lambda path: write(path, form="matroska"), 60, "decord"),
    whole("b_frames.mp4", lambda path: write(path, options={"bf": "8", "b-pyramid": "normal"}), 60, "decord"),
    whole("b_frames.avi", lambda path: write(path, options={"bf": "3"}), 60),
    whole("transport.ts", write, 60, "PyAV"),
    whole("ten_bits.mp4", lambda path: write(path, pixels="yuv420p10le"), 60, "PyAV"),
    whole("full_range.mp4", lambda path: write(path, pixels="yuvj420p"), 60, "decord"),
    whole("one_key_frame.mp4", lambda path: write(path, 400, options={"g": "9999"}), 400, "decord"),
    whole("two_streams.mp4", _two_streams, 30, "decord"),
    whole("junk_at_the_end.mp4", _behind_junk, 60),
    whole(
        "huge.mp4",
        lambda path: write(path, 4, height=2304, width=4096, options={"preset": "ultrafast"}),
        4,
        "decord",
        size=(2304, 4096),
    ),
    whole("odd_size.mp4", lambda path: write(path, 30, height=57, width=101, pixels="yuv444p"), 30, size=(57, 101)),
    whole("sixteen_pixels.mp4", lambda path: write(path, 20, height=16, width=16), 20, "PyAV", size=(16, 16)),
    whole("forty_eight_pixels.mp4", lambda path: write(path, 20, height=48, width=48), 20, "PyAV", size=(48, 48)),
)


class Corpus:
    """The files of the corpus, each made once, when it is first asked for. Nothing may change them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(exist_ok=True)
        self._made: dict[str, Path] = {}

    def __getitem__(self, case: Case) -> Path:
        if case.name not in self._made:
            case.make(self.folder / case.name)
        return self._made.setdefault(case.name, self.folder / case.name)


def decoder_without_rights(folder: Path) -> str:
    """Write a program that takes the place of ``sys.executable`` for decoders, which may read what everybody may.

    Root may read every file: its decoder gives up its rights once it has loaded everything. Where root is mapped to a
    user who can become nobody else, as in some containers, the test is skipped.
    """
    become = [sys.executable, "-c", "import os; os.setgroups([]); os.setgid(65534); os.setuid(65534)"]
    if os.geteuid() == 0 and subprocess.run(become, capture_output=True, check=False).returncode:
        pytest.skip("root cannot give up its rights here")
    script = folder / "without_rights"
    lines = [
        f"#!{sys.executable}",
        "import os, sys",
        "from vadprobe.extract.video.decode_worker import serve",
        "if os.geteuid() == 0:",
        "    os.setgroups([])",
        "    os.setgid(65534)",
        "    os.setuid(65534)",
        "serve(int(sys.argv[-1]))",
    ]
    script.write_text("\n".join(lines) + "\n")
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    return str(script)
