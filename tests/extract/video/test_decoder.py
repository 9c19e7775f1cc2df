"""Decoding: the frames asked for, a reason for every file that cannot be read, and a decoder that may hang or die."""

import contextlib
import os
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Container, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.paths import SHARED
from tests.support.processes.process_state import state_of
from tests.support.profiles import LONG
from vadprobe.extract.video import decoder as decoding
from vadprobe.extract.video.decoder import Decoder, shorten
from vadprobe.store.errors import VideoError

REAL_VIDEOS = SHARED / "videos"
PATIENCE = 120.0
"""Seconds without progress that no busy machine needs, so that only a decoder that hangs is killed."""

WriteVideo = Callable[..., Path]
FrameNumbers = Callable[[np.ndarray], list[int]]


@pytest.fixture(scope="module")
def decoder() -> Iterator[Decoder]:
    """One for all tests, as one serves a whole extraction: whatever a test did to it, the next request must work."""
    with Decoder(PATIENCE) as opened:
        yield opened


@pytest.fixture(scope="module")
def numbered(tmp_path_factory: pytest.TempPathFactory, write_video: WriteVideo) -> Path:
    """100 numbered frames with B-frames and a key frame every 12."""
    return write_video(tmp_path_factory.mktemp("decoding") / "numbered.mp4", 100, height=64, width=96)


def child_of(decoder: Decoder) -> int:
    assert decoder._process is not None
    return decoder._process.pid


def suspend(process: int) -> None:
    """Suspend a process, and wait until it is."""
    os.kill(process, signal.SIGSTOP)
    end = time.monotonic() + PATIENCE
    while state_of(process) != "T":
        assert time.monotonic() < end
        time.sleep(0.001)


def clip_indices(n_frames: int) -> Iterator[Sequence[int]]:
    """Sampled frames of consecutive clips of 24, as the extraction asks for them."""
    for start in range(0, n_frames, 24):
        length = min(24, n_frames - start)
        yield [start + (2 * part + 1) * length // 16 for part in range(8)]


def test_probe_counts_frames_and_rate(decoder: Decoder, numbered: Path) -> None:
    assert decoder.probe(numbered) == (100, pytest.approx(25.0))


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
def test_frames_are_those_asked_for(
    decoder: Decoder, numbered: Path, frame_numbers: FrameNumbers, indices: list[int]
) -> None:
    frames = decoder.read_clip(numbered, indices)
    assert frames.shape == (len(indices), 64, 96, 3)
    assert frames.dtype == np.uint8
    assert frame_numbers(frames) == indices


def test_clips_of_two_videos_in_turn(
    decoder: Decoder, numbered: Path, tmp_path: Path, write_video: WriteVideo, frame_numbers: FrameNumbers
) -> None:
    other = write_video(tmp_path / "other.mp4", 30, height=32, width=32)
    for start in (0, 20, 8):
        assert frame_numbers(decoder.read_clip(numbered, [start + 60, start + 70])) == [start + 60, start + 70]
        assert frame_numbers(decoder.read_clip(other, [start, start + 1])) == [start, start + 1]


def test_colours_are_red_green_blue(decoder: Decoder, tmp_path: Path) -> None:
    import av

    path, colour = tmp_path / "orange.mp4", np.array([220, 120, 20], dtype=np.uint8)
    with av.open(str(path), "w") as file:
        stream = file.add_stream("libx264", rate=25)
        stream.height, stream.width, stream.pix_fmt = 64, 64, "yuv420p"
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
    decoder: Decoder,
    tmp_path: Path,
    write_video: WriteVideo,
    frame_numbers: FrameNumbers,
    name: str,
    codec: str,
    options: dict[str, str],
) -> None:
    import av

    if codec not in av.codecs_available:
        pytest.skip(f"this PyAV has no encoder {codec}")
    path = write_video(tmp_path / name, 100, codec=codec, options=options)
    assert decoder.probe(path)[0] == 100
    wrong = {}
    for indices in clip_indices(100):
        found = frame_numbers(decoder.read_clip(path, indices))
        wrong.update({asked: got for asked, got in zip(indices, found, strict=True) if asked != got})
    assert wrong == {}


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("missing.mp4", None, "does not exist"),
        ("empty.mp4", b"", r"is empty \(0 bytes\)"),
        ("text.mp4", b"This is not a video.\n" * 50, "Error reading"),
    ],
)
def test_files_that_are_no_videos(
    decoder: Decoder, numbered: Path, tmp_path: Path, name: str, content: bytes | None, reason: str
) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(VideoError, match=reason):
        decoder.probe(path)
    with pytest.raises(VideoError):
        decoder.read_clip(path, [0])
    assert decoder.probe(numbered)[0] == 100


def test_a_folder_named_as_a_video(decoder: Decoder, tmp_path: Path) -> None:
    (tmp_path / "folder.mp4").mkdir()
    with pytest.raises(VideoError, match="does not exist"):
        decoder.probe(tmp_path / "folder.mp4")


def test_a_truncated_file_whose_index_was_at_its_end(decoder: Decoder, tmp_path: Path, write_video: WriteVideo) -> None:
    whole = write_video(tmp_path / "whole.mp4", 60)
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size * 6 // 10])
    with pytest.raises(VideoError, match="no video stream"):
        decoder.probe(cut)


def test_a_file_without_a_picture_is_refused(decoder: Decoder, tmp_path: Path) -> None:
    import av

    path = tmp_path / "sound.mp4"
    with av.open(str(path), "w") as file:
        stream = file.add_stream("aac", rate=44100)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 44100
        file.mux(stream.encode(frame))
        file.mux(stream.encode())
    with pytest.raises(VideoError, match="cannot find video stream"):
        decoder.probe(path)


@pytest.mark.parametrize("index", [100, 5000])
def test_an_index_past_the_end(decoder: Decoder, numbered: Path, index: int) -> None:
    with pytest.raises(VideoError, match="the video ends before the frames asked for"):
        decoder.read_clip(numbered, [0, index])


def test_a_negative_index_is_refused(decoder: Decoder, numbered: Path) -> None:
    with pytest.raises(VideoError):
        decoder.read_clip(numbered, [-1])


def test_no_indices_do_not_kill_the_decoder(decoder: Decoder, numbered: Path) -> None:
    decoder.probe(numbered)
    process = child_of(decoder)
    with pytest.raises(VideoError):
        decoder.read_clip(numbered, [])
    assert child_of(decoder) == process


def test_a_hanging_decoder_is_killed_at_the_deadline(numbered: Path, frame_numbers: FrameNumbers) -> None:
    with Decoder(PATIENCE) as decoder:
        decoder.probe(numbered)
        process = child_of(decoder)
        suspend(process)
        decoder.deadline = 0.2
        with pytest.raises(VideoError, match=r"made no progress for 0\.2 s; the decoder was killed"):
            decoder.read_clip(numbered, [1])
        assert state_of(process) == "Z"
        decoder.deadline = PATIENCE
        assert frame_numbers(decoder.read_clip(numbered, [1])) == [1]


@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGSEGV])
def test_a_crashed_decoder_is_replaced(
    decoder: Decoder, numbered: Path, frame_numbers: FrameNumbers, sent: signal.Signals
) -> None:
    decoder.probe(numbered)
    process = child_of(decoder)
    os.kill(process, sent)
    with pytest.raises(VideoError, match=f"ended with signal {sent.name}"):
        decoder.read_clip(numbered, [1])
    assert frame_numbers(decoder.read_clip(numbered, [2])) == [2]
    assert child_of(decoder) != process


def test_a_crash_while_the_answer_is_awaited(decoder: Decoder, numbered: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    decoder.probe(numbered)
    process, receive, awaited = child_of(decoder), decoding.receive, []
    suspend(process)

    def kill_and_receive(connection: socket.socket) -> tuple[dict[str, Any], bytearray]:
        if not awaited:  # the request is sent, and a suspended process has not answered it
            os.kill(process, signal.SIGKILL)
        awaited.append(True)
        return receive(connection)

    monkeypatch.setattr(decoding, "receive", kill_and_receive)
    with pytest.raises(VideoError, match="ended with signal SIGKILL"):
        decoder.read_clip(numbered, [1])
    assert awaited
    assert decoder.probe(numbered)[0] == 100


def stand_in(folder: Path, body: str) -> str:
    """A program that takes the decoder's place."""
    script = folder / "stand_in"
    script.write_text(f"#!{sys.executable}\n{body}\n")
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    return str(script)


def test_a_decoder_that_never_starts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, numbered: Path) -> None:
    monkeypatch.setattr(sys, "executable", stand_in(tmp_path, "import signal; signal.pause()"))
    monkeypatch.setattr(decoding, "START_SECONDS", 0.2)
    with Decoder() as decoder, pytest.raises(RuntimeError, match=r"did not start within 0\.2 s"):
        decoder.probe(numbered)


def test_a_decoder_that_fails_at_its_start_says_why(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, numbered: Path
) -> None:
    script = stand_in(tmp_path, "import sys; sys.exit('libdecord.so cannot be opened')")
    monkeypatch.setattr(sys, "executable", script)
    with Decoder() as decoder, pytest.raises(RuntimeError, match=r"exit code 1: libdecord\.so cannot be opened"):
        decoder.probe(numbered)


def test_a_decoder_that_answers_with_too_few_frames(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, numbered: Path
) -> None:
    body = "\n".join(
        [
            "import socket, sys",
            "from vadprobe.extract.video.decode_worker import receive, send",
            "with socket.socket(fileno=int(sys.argv[-1])) as connection:",
            "    send(connection, {'ready': True})",
            "    receive(connection)",
            "    send(connection, {'shape': [1, 2, 2, 3]}, bytes(12))",
            "    receive(connection)",
        ]
    )
    monkeypatch.setattr(sys, "executable", stand_in(tmp_path, body))
    with Decoder() as decoder, pytest.raises(VideoError, match="3 frames were asked for, the decoder returned 1"):
        decoder.read_clip(numbered, [0, 1, 2])


@pytest.mark.parametrize("end", ["signal.pause()", "os.kill(os.getpid(), signal.SIGSEGV)"], ids=["hangs", "crashes"])
def test_what_decord_hangs_or_dies_on_is_read_by_pyav(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, numbered: Path, frame_numbers: FrameNumbers, end: str
) -> None:
    body = "\n".join(
        [
            "import os, signal, sys",
            "import decord",
            f"decord.VideoReader = lambda *_, **__: {end}",
            "from vadprobe.extract.video.decode_worker import serve",
            "serve(int(sys.argv[-1]))",
        ]
    )
    monkeypatch.setattr(sys, "executable", stand_in(tmp_path, body))
    receive = decoding.receive

    def receive_impatiently(connection: socket.socket) -> tuple[dict[str, Any], bytearray]:
        """Leave little time to decord where it hangs, and as much as it may need to PyAV."""
        header, payload = receive(connection)
        hangs = "pause" in end and header.get("trying") == "decord"
        connection.settimeout(0.2 if hangs else PATIENCE)
        return header, payload

    monkeypatch.setattr(decoding, "receive", receive_impatiently)
    with Decoder(PATIENCE) as decoder:
        assert frame_numbers(decoder.read_clip(numbered, [3, 50])) == [3, 50]
        assert decoder.reader == "PyAV"
        process = child_of(decoder)
        assert decoder.probe(numbered) == (100, pytest.approx(25.0))
        assert decoder.count(numbered, True) == (100, 100)
        assert frame_numbers(decoder.read_clip(numbered, [7])) == [7]
        assert child_of(decoder) == process  # decord is not asked about that file again


def test_closing_ends_the_child_and_may_be_repeated(numbered: Path) -> None:
    decoder = Decoder()
    decoder.close()
    decoder.probe(numbered)
    process = child_of(decoder)
    decoder.close()
    decoder.close()
    assert state_of(process) == "Z"


def test_one_child_serves_many_requests(decoder: Decoder, numbered: Path, tmp_path: Path) -> None:
    decoder.probe(numbered)
    process = child_of(decoder)
    for index in range(5):
        decoder.read_clip(numbered, [index])
        with pytest.raises(VideoError):
            decoder.probe(tmp_path / "missing.mp4")
    assert child_of(decoder) == process


def test_the_main_process_does_not_load_the_decoder() -> None:
    code = "import sys, vadprobe.extract.video.decoder; sys.exit('decord' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_messages_lose_time_stamps_and_source_paths() -> None:
    message = "[12:34:56] /github/workspace/src/video/reader.cc:270: [12:34:57] /io/x.cc:1: Failed to seek"
    assert shorten(message) == "Failed to seek"
    assert shorten("a" * 500, limit=20) == "a" * 19 + "…"


needs_real_videos = pytest.mark.skipif(not REAL_VIDEOS.is_dir(), reason=f"the real videos are not at {REAL_VIDEOS}")


@needs_real_videos
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("bt709_full_range.mp4", (30, 30.0, 720, 1280)),
        ("h264_10bits.mp4", (30, 30.0, 200, 200)),
        ("h265_10bits.mp4", (30, 30.0, 200, 200)),
        ("h265_video.mp4", (10, 10.0, 128, 128)),
        ("unordered.mov", (4, 32.0, 50, 50)),
        ("video_0.mov", (3, 30.0, 320, 568)),
        ("video_90.mov", (3, 30.0, 568, 320)),
        ("video_180.mov", (3, 30.0, 320, 568)),
        ("video_270.mov", (3, 30.0, 568, 320)),
    ],
)
def test_odd_real_files_are_read(decoder: Decoder, name: str, expected: tuple[int, float, int, int]) -> None:
    n_frames, fps, height, width = expected
    path = REAL_VIDEOS / "odd" / name
    assert decoder.probe(path) == (n_frames, pytest.approx(fps))
    frames = decoder.read_clip(path, range(n_frames))
    assert frames.shape == (n_frames, height, width, 3)


@needs_real_videos
def test_the_good_frames_of_a_corrupted_real_file_are_kept(decoder: Decoder) -> None:
    corrupted = REAL_VIDEOS / "odd" / "corrupted.mp4"
    assert decoder.probe(corrupted)[0] == 50
    with pytest.raises(VideoError, match="the file is damaged, and the frames 29 to 49 are lost"):
        decoder.read_clip(corrupted, range(50))
    assert decoder.read_clip(corrupted, range(29)).shape == (29, 720, 1280, 3)
    assert decoder.reader == "PyAV"
    assert decoder.probe(REAL_VIDEOS / "odd" / "video_0.mov")[0] == 3
    assert decoder.reader == "decord"


@needs_real_videos
@pytest.mark.parametrize(
    "name",
    [
        "real/holmes_car_accident.mp4",
        "real/v_GGSY1Qvo990.mp4",
        "real/flipping_a_pancake.mkv",
        "odd/h265_video.mp4",
    ],
)
def test_clips_of_real_files_equal_reading_from_the_start(decoder: Decoder, name: str) -> None:
    path = REAL_VIDEOS / name
    n_frames, _ = decoder.probe(path)
    straight = decoder.read_clip(path, range(n_frames))
    for start in (n_frames // 3, n_frames // 2, 2 * n_frames // 3):
        indices = [start, min(start + 2, n_frames - 1)]
        assert np.array_equal(decoder.read_clip(path, indices), straight[indices]), indices


def pyav_frames(path: Path, wanted: Container[int]) -> tuple[int, dict[int, np.ndarray]]:
    """Decode with PyAV: how many frames it gives until it fails, and those wanted, turned as the file asks, RGB.

    Both libraries round colours, each in its own way: such frames are compared within 2 of 255 levels.
    """
    import av

    count, shown = 0, {}
    with av.open(str(path)) as file, contextlib.suppress(av.FFmpegError):
        for frame in file.decode(file.streams.best("video")):
            if count in wanted:
                shown[count] = np.rot90(frame.to_ndarray(format="rgb24"), round(frame.rotation / 90))
            count += 1
    return count, shown


@needs_real_videos
@pytest.mark.parametrize(
    "name",
    [
        "av1_video.mkv",
        "bt709_full_range.mp4",
        "corrupted.mp4",
        "h264_10bits.mp4",
        "h265_10bits.mp4",
        "h265_video.mp4",
        "unordered.mov",
        "video_0.mov",
        "video_90.mov",
        "video_180.mov",
        "video_270.mov",
    ],
)
def test_every_frame_of_odd_real_files_equals_pyavs(decoder: Decoder, name: str) -> None:
    path = REAL_VIDEOS / "odd" / name
    n_frames, _ = decoder.probe(path)
    count, expected = pyav_frames(path, range(n_frames))
    assert n_frames == count or name == "corrupted.mp4"
    for index, frame in expected.items():
        found = decoder.read_clip(path, [index])[0]
        assert found.shape == frame.shape
        assert np.abs(found.astype(int) - frame).max() <= 2, index


@needs_real_videos
@pytest.mark.parametrize(
    "name",
    [
        "ucf-crime/Robbery/Robbery102_x264.mp4",
        "xd-violence/GoldenEye.1995__#00-10-00_00-10-40_label_G-0-0.mp4",
        "real/holmes_car_accident.mp4",
        "real/holmes_earthquake.mp4",
        "real/nasa_13013.mp4",
        "real/v_GGSY1Qvo990.mp4",
        "real/v_ZNVhz7ctTq0.mp4",
        "real/flipping_a_pancake.mkv",
    ],
)
def test_clips_of_real_files_equal_pyavs(decoder: Decoder, name: str) -> None:
    path = REAL_VIDEOS / name
    n_frames, _ = decoder.probe(path)
    clips = list(clip_indices(n_frames))[:: 4 if LONG else 12]
    count, expected = pyav_frames(path, {index for indices in clips for index in indices})
    assert n_frames == count
    for indices in clips:
        found = decoder.read_clip(path, indices)
        assert np.abs(found.astype(int) - np.stack([expected[index] for index in indices])).max() <= 2, indices
