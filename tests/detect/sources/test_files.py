"""A file as a source gives the frames of stage 1, each once and in order."""

from itertools import pairwise
from pathlib import Path

import pytest

from tests.support.videos.drawn import cut, number_of, packets_of, write
from vadprobe.detect.sources.files import FileSource
from vadprobe.detect.sources.frames import SourceError, TimedFrame, utc_text


def read(path: Path) -> tuple[list[TimedFrame], FileSource]:
    source = FileSource(path)
    frames = list(source.frames())
    source.close()
    return frames, source


def test_every_frame_comes_once_in_order_with_its_time(tmp_path: Path) -> None:
    frames, source = read(write(tmp_path / "plain.mp4", 40, rate=10))
    assert [frame.index for frame in frames] == [number_of(frame.pixels) for frame in frames] == list(range(40))
    assert [frame.seconds for frame in frames] == pytest.approx([index / 10 for index in range(40)])
    assert (source.name, source.fps, source.n_frames, source.notes) == ("plain", 10, 40, ())
    assert not any(frame.follows_gap or frame.wall for frame in frames)


@pytest.mark.parametrize("rate", [2, 60])
def test_slow_and_fast_files(tmp_path: Path, rate: int) -> None:
    frames, source = read(write(tmp_path / "rate.mp4", 9, rate=rate))
    assert [number_of(frame.pixels) for frame in frames] == list(range(9))
    assert source.fps == rate
    assert frames[-1].seconds == pytest.approx(8 / rate)


def test_a_turned_file_is_turned(tmp_path: Path) -> None:
    frames, _ = read(write(tmp_path / "turned.mp4", 3, height=64, width=96, turn=1))
    assert frames[0].pixels.shape == (96, 64, 3)
    assert [number_of(frame.pixels) for frame in frames] == [0, 1, 2]


def test_a_variable_rate_gives_every_frame(tmp_path: Path) -> None:
    frames, _ = read(write(tmp_path / "variable.mp4", 20, times=lambda number: 40 * number + (number % 3) * 7))
    assert [number_of(frame.pixels) for frame in frames] == list(range(20))


def test_lost_frames_leave_their_numbers_out(tmp_path: Path) -> None:
    path = write(tmp_path / "hole.mp4", 60)
    place, size = packets_of(path)[14]
    content = bytearray(path.read_bytes())
    content[place + 4 : place + size] = b"\xff" * (size - 4)
    path.write_bytes(content)
    frames, source = read(path)
    indices = [frame.index for frame in frames]
    assert indices == [number_of(frame.pixels) for frame in frames]
    assert indices[:12] == list(range(12))
    assert indices[-24:] == list(range(36, 60))
    assert len(indices) < 60
    jumps = [after for before, after in pairwise(indices) if after > before + 1]
    assert jumps == [frame.index for frame in frames if frame.follows_gap] != []
    assert f"{60 - len(indices)} frames could not be read" in source.notes[0]


def test_a_cut_end_gives_what_is_there(tmp_path: Path) -> None:
    path = write(tmp_path / "cut.mkv", 60)
    cut(path, path.stat().st_size * 6 // 10)
    frames, _ = read(path)
    assert 10 < len(frames) < 60
    assert [number_of(frame.pixels) for frame in frames] == list(range(len(frames)))


def test_what_is_no_video_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("no video")
    with pytest.raises(SourceError, match=r"^text\.mp4: the file cannot be opened"):
        FileSource(tmp_path / "text.mp4")


def test_closing_ends_the_frames(tmp_path: Path) -> None:
    source = FileSource(write(tmp_path / "closed.mp4", 60))
    frames = source.frames()
    next(frames)
    source.close()
    assert len(list(frames)) < 59


def test_wall_clock_as_text() -> None:
    assert utc_text(1_700_000_000.04) == "2023-11-14T22:13:20.040Z"
