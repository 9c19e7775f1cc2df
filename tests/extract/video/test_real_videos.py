"""Real video files: every frame is the one PyAV gives."""

import contextlib
from collections.abc import Container, Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.support.paths import SHARED
from tests.support.processes.waiting import PATIENCE
from tests.support.profiles import LONG
from tests.support.videos.sampled import clip_indices
from vadprobe.extract.video.decoder import Decoder
from vadprobe.store.errors import VideoError

REAL_VIDEOS = SHARED / "videos"
pytestmark = pytest.mark.skipif(not REAL_VIDEOS.is_dir(), reason=f"the real videos are not at {REAL_VIDEOS}")


def test_the_good_frames_of_a_corrupted_real_file_are_kept(decoder: Decoder) -> None:
    corrupted = REAL_VIDEOS / "odd" / "corrupted.mp4"
    assert decoder.probe(corrupted)[0] == 50
    with pytest.raises(VideoError, match="the file is damaged, and the frames 29 to 49 are lost"):
        decoder.read_clip(corrupted, range(50))
    assert decoder.read_clip(corrupted, range(29)).shape == (29, 720, 1280, 3)
    assert decoder.probe(REAL_VIDEOS / "odd" / "video_0.mov")[0] == 3


@pytest.fixture(scope="module", params=["auto", "decord"])
def decoder(request: pytest.FixtureRequest) -> Iterator[Decoder]:
    with Decoder(PATIENCE, request.param) as opened:
        yield opened


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


@pytest.mark.parametrize(
    ("name", "rate"),
    [
        ("av1_video.mkv", 25.0),
        ("bt709_full_range.mp4", 30.0),
        ("corrupted.mp4", 10.0),
        ("h264_10bits.mp4", 30.0),
        ("h265_10bits.mp4", 30.0),
        ("h265_video.mp4", 10.0),
        ("unordered.mov", 32.0),
        *((f"video_{turn}.mov", 30.0) for turn in (0, 90, 180, 270)),
    ],
)
def test_every_frame_of_odd_real_files_equals_pyavs(decoder: Decoder, name: str, rate: float) -> None:
    path = REAL_VIDEOS / "odd" / name
    n_frames, fps = decoder.probe(path)
    assert fps == pytest.approx(rate)
    count, expected = pyav_frames(path, range(n_frames))
    assert n_frames == count or name == "corrupted.mp4"
    for index, frame in expected.items():
        found = decoder.read_clip(path, [index])[0]
        assert found.shape == frame.shape
        assert np.abs(found.astype(int) - frame).max() <= 2, index


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
