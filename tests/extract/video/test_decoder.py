"""Decoding: the frames asked for, of every codec and container."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest

from tests.support.processes.waiting import PATIENCE
from tests.support.videos.drawn import add_stream, numbers_of, output
from tests.support.videos.sampled import clip_indices
from vadprobe.extract.video import decoder as decoder_module
from vadprobe.extract.video.decoder import Decoder, shorten
from vadprobe.store.errors import VadprobeError, VideoError

WriteVideo = Callable[..., Path]


@pytest.mark.parametrize(
    "indices",
    [
        pytest.param([0], id="first"),
        pytest.param([99], id="last"),
        pytest.param([3, 3, 3, 4, 4, 98, 98], id="repeated"),
        pytest.param([50, 7, 99, 0, 7], id="any order"),
        pytest.param(list(range(100)), id="all"),
        pytest.param([11, 12, 13, 23, 24, 25], id="around key frames"),
    ],
)
def test_frames_are_those_asked_for(decoder: Decoder, numbered: Path, indices: list[int]) -> None:
    frames = decoder.read_clip(numbered, indices)
    assert frames.shape == (len(indices), 64, 96, 3)
    assert frames.dtype == np.uint8
    assert numbers_of(frames) == indices


def test_clips_of_two_videos_in_turn(decoder: Decoder, numbered: Path, tmp_path: Path, write_video: WriteVideo) -> None:
    other = write_video(tmp_path / "other.mp4", 30, height=32, width=32)
    for start in (0, 20, 8):
        assert numbers_of(decoder.read_clip(numbered, [start + 60, start + 70])) == [start + 60, start + 70]
        assert numbers_of(decoder.read_clip(other, [start, start + 1])) == [start, start + 1]


def test_colours_are_red_green_blue(decoder: Decoder, tmp_path: Path) -> None:
    path, colour = tmp_path / "orange.mp4", np.array([220, 120, 20], dtype=np.uint8)
    with output(path) as file:
        stream = add_stream(file, 64, 64, {})
        picture = np.broadcast_to(colour, (64, 64, 3)).copy()
        for _ in range(3):
            file.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        file.mux(stream.encode())
    found = decoder.read_clip(path, [1]).mean(axis=(0, 1, 2))
    assert np.abs(found - colour).max() < 12


@pytest.mark.parametrize(
    ("name", "codec", "options"),
    [
        ("closed.mp4", "libx264", {"g": "12", "crf": "18"}),
        ("no_b_frames.mp4", "libx264", {"g": "12", "crf": "18", "bf": "0"}),
        ("closed.mkv", "libx264", {"g": "12", "crf": "18"}),
        ("closed.mov", "libx264", {"g": "12", "crf": "18"}),
        ("mpeg4.avi", "mpeg4", {"g": "12", "qscale": "2"}),
        ("mpeg4.mp4", "mpeg4", {"g": "12", "qscale": "2"}),
        ("open_gop.mp4", "libx264", {"crf": "18", "bf": "3", "x264-params": "open-gop=1:keyint=12"}),
        ("hevc.mp4", "libx265", {"crf": "18", "x265-params": "log-level=none:keyint=12"}),
        ("b_frames.avi", "libx264", {"g": "12", "crf": "18"}),
        ("xvid.avi", "mpeg4", {"g": "12", "qscale": "2", "bf": "2"}),
        ("mpeg2.mpg", "mpeg2video", {"g": "12", "qscale": "2"}),
        ("wmv.wmv", "wmv2", {"g": "12", "b": "2000000"}),
    ],
)
def test_clips_of_other_codecs_and_containers(
    decoder: Decoder, tmp_path: Path, write_video: WriteVideo, name: str, codec: str, options: dict[str, str]
) -> None:
    if codec not in av.codecs_available:
        pytest.skip(f"this PyAV has no encoder {codec}")
    path = write_video(tmp_path / name, 100, codec=codec, options=options)
    assert decoder.probe(path) == (100, pytest.approx(25.0))
    wrong = {}
    for indices in clip_indices(100):
        found = numbers_of(decoder.read_clip(path, indices))
        wrong.update({asked: got for asked, got in zip(indices, found, strict=True) if asked != got})
    assert wrong == {}


@pytest.mark.parametrize(
    ("name", "codec", "options", "pixels"),
    [
        ("video.mp4", "libx264", {"bf": "3"}, "yuv420p"),
        ("hevc.mp4", "libx265", {"x265-params": "log-level=none:keyint=12"}, "yuv420p"),
        ("every_colour.mp4", "libx264", {}, "yuv444p"),
        ("full_range.mp4", "libx264", {}, "yuvj420p"),
        ("xvid.avi", "mpeg4", {"qscale": "2"}, "yuv420p"),
        ("film.mpg", "mpeg2video", {"qscale": "2"}, "yuv420p"),
        ("web.webm", "libvpx-vp9", {"deadline": "realtime"}, "yuv420p"),
    ],
)
def test_every_reader_gives_the_same_frames(
    tmp_path: Path, write_video: WriteVideo, name: str, codec: str, options: dict[str, str], pixels: str
) -> None:
    path = write_video(tmp_path / name, 40, codec=codec, options=options, pixels=pixels)
    found = []
    for reader in ("auto", "pyav", "decord"):
        with Decoder(PATIENCE, reader) as decoder:
            found.append(np.stack([decoder.read_clip(path, indices) for indices in ([0, 7, 9], [11, 12, 30])]))
    assert np.array_equal(found[0], found[1])
    assert np.abs(found[0].astype(int) - found[2]).max() <= 2  # each rounds colours in its own way


def test_a_reader_that_is_not_installed_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(decoder_module, "find_spec", lambda name: None)
    with pytest.raises(VadprobeError, match=r"reader = 'decord' needs decord, .*pip install decord"):
        Decoder(reader="decord")
    Decoder(reader="pyav").close()


def test_pyav_alone_reads_without_loading_decord(numbered: Path) -> None:
    code = (
        "import sys; sys.modules['decord'] = None\n"
        "from vadprobe.extract.video.readers.video_reader import VideoReader\n"
        f"frames = VideoReader().read({str(numbered)!r}, [3, 50], False, lambda: None)\n"
        "sys.exit(frames.shape != (2, 64, 96, 3))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_an_index_past_the_end(decoder: Decoder, numbered: Path) -> None:
    with pytest.raises(VideoError, match="the video ends before the frames asked for"):
        decoder.read_clip(numbered, [0, 5000])


def test_messages_lose_time_stamps_and_source_paths() -> None:
    message = "[12:34:56] /github/workspace/src/video/reader.cc:270: [12:34:57] /io/x.cc:1: Failed to seek"
    assert shorten(message) == "Failed to seek"
    assert shorten("a" * 500, limit=20) == "a" * 19 + "…"


def test_a_pointer_in_the_place_of_a_video_is_named(tmp_path: Path) -> None:
    path = tmp_path / "Abuse001_x264.mp4"
    path.write_text(f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize 4700000\n")
    with (
        Decoder() as decoder,
        pytest.raises(VideoError, match=r"^the file is a Git LFS pointer: .*4\.70 MB"),
    ):
        decoder.probe(path)
