"""A corpus of broken and unusual videos: how each is made, and which frames must come back.

All videos are encoded here, and broken afterwards byte by byte.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np

from tests.support.videos.drawn import add_stream, cut, output, packets_of, picture, write


def damage(path: Path, positions: range, first: int, fill: Callable[[int], bytes]) -> Path:
    """Replace the bytes of the packets at `positions`, each from its byte `first` on; return the path."""
    content = bytearray(path.read_bytes())
    for start, size in (packets_of(path)[position] for position in positions):
        content[start + first : start + size] = fill(size - first)
    path.write_bytes(content)
    return path


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
    """Erase packets with their headers, so that they vanish; frames after them must keep their own numbers."""
    write(path, **settings)
    places = packets_of(path)
    content = bytearray(path.read_bytes())
    start, stop = places[first][0] - 8, sum(places[last])
    content[start:stop] = bytes(stop - start)
    path.write_bytes(content)


CLUSTERS = {"cluster_time_limit": "500"}
"""Short clusters: after a hole, reading of Matroska resumes at the next cluster, by default of five seconds."""


def _cut_with_sound(path: Path) -> None:
    """Cut an avi with sound, in which a cut differs from a hole only by the sound between the pictures."""
    with output(path) as file:
        pictures, sound = add_stream(file, 64, 96, {}, codec="mpeg4"), file.add_stream("mp2", rate=44100)
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
    with output(path) as file:
        stream = file.add_stream("aac", rate=44100)
        for _ in range(3):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
            frame.sample_rate = 44100
            file.mux(stream.encode(frame))
        file.mux(stream.encode())


def _two_streams(path: Path) -> None:
    with output(path) as file:
        streams = [add_stream(file, 32, 48, {}), add_stream(file, 64, 96, {})]
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
    """End the sample table of a faststart file in the middle."""
    write(path, container={"movflags": "+faststart"})
    content = path.read_bytes()
    cut(path, content.index(b"stsz") + 40)


@dataclass(frozen=True)
class Case:
    """One file of the corpus.

    Attributes:
        name: name of the case.
        make: writes the file.
        n_frames: number of frames that the video has; 0 if the file cannot be opened.
        kept: frames that must come back.
        reason: pattern of the reason why the file cannot be opened, or why other frames are lost.
        reader: library that must read the file in the end; None if that is not certain.
        size: height and width of the pictures.
        shows: number that frame `index` shows; by default its own.
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
    """Return the indices of half-open spans."""
    return frozenset(index for start, stop in spans for index in range(start, stop))


def whole(name: str, make: Callable[[Path], object], count: int, reader: str | None = None, **more: Any) -> Case:
    """Return the case of a file all of whose frames come back."""
    return Case(name, make, count, frames((0, count)), reader=reader, **more)


def damaged(name: str, make: Callable[[Path], object], count: int, *kept: tuple[int, int], **more: Any) -> Case:
    """Return the case of a file that PyAV reads, without the frames that depend on the damage."""
    lost = "the file is damaged, and (frame|the frames) .* lost"
    return Case(name, make, count, frames(*kept), lost, "PyAV", **more)


CASES = (
    Case("empty.mp4", lambda path: path.touch(), reason=r"the file is empty \(0 bytes\)"),
    Case(
        "text.mp4", lambda path: path.write_bytes(b"This is not a video.\n" * 50), reason="Error reading|Invalid data"
    ),
    Case("audio_only.mp4", _audio_only, reason="no video stream"),
    Case("index_lost.mp4", _index_lost, reason="Invalid data|no video stream|Error"),
    Case("index_cut.mp4", _cut_index, reason="Invalid data|no video|Error"),
    Case("no_whole_frame.mp4", _no_frames, reason="not one frame can be decoded|no video frames"),
    Case("folder.mp4", lambda path: path.mkdir(), reason="the path is a folder, where a video"),
    Case("broken_link.mp4", lambda path: path.symlink_to(path.parent / "gone"), reason="the file does not exist"),
    Case("no_permission.mp4", _unreadable, reason="Permission denied"),
    Case("cut_faststart.mp4", _faststart_cut, 30, frames((0, 29)), reader="PyAV", reason="frame 29 is lost"),
    Case("cut.mkv", _mkv_cut, 22, frames((0, 22)), reader="PyAV", reason="the last frame"),
    whole("cut_with_sound.avi", _cut_with_sound, 31, "PyAV"),
    damaged("hole.mkv", lambda path: _hole(path, 26, 29, container=CLUSTERS), 60, (0, 20), (44, 60)),
    damaged("hole_behind_a_key_frame.mkv", lambda path: _hole(path, 13, 13, container=CLUSTERS), 60, (0, 8), (32, 60)),
    damaged("hole_at_the_start.mkv", lambda path: _hole(path, 1, 1, container=CLUSTERS), 60, (24, 60)),
    damaged("hole.flv", lambda path: _hole(path, 4, 4), 60, (12, 60)),
    Case("hole.avi", lambda path: _hole(path, 19, 21, options={"bf": "0"}), 19, frames((0, 19)), reader="PyAV"),
    damaged("zeroed_packets.mp4", lambda path: damage(write(path), range(15, 20), 0, bytes), 60, (0, 13), (24, 60)),
    damaged(
        "noise_in_key_frame.mp4",
        lambda path: damage(write(path), range(12, 13), 10, np.random.default_rng(0).bytes),
        60,
        (0, 12),
        (24, 60),
    ),
    damaged(
        "noise_in_between.mp4",
        lambda path: damage(write(path, options={"bf": "0"}), range(30, 31), 12, np.random.default_rng(1).bytes),
        60,
        (0, 30),
        (36, 60),
    ),
    *(
        damaged(
            f"no_key_frame_first.{ending}",
            lambda path: write(path, keep=lambda position: position > 0),
            59,
            (11, 59),
            shows=lambda index: index + 1,
        )
        for ending in ("mp4", "mkv")
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
    """The files of the corpus, each made at its first use. Tests must not change them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(exist_ok=True)
        self._made: dict[str, Path] = {}

    def __getitem__(self, case: Case) -> Path:
        if case.name not in self._made:
            case.make(self.folder / case.name)
        return self._made.setdefault(case.name, self.folder / case.name)
