"""Live sources: whole segments, gaps, reconnecting, dropping, bounded memory."""

import logging
import os
import threading
import tracemalloc
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest

from tests.support.processes.streams import Answer, http_stream, rtsp_stream
from tests.support.processes.waiting import wait_until
from tests.support.videos.drawn import number_of, picture, write
from vadprobe.detect.sources.byte_readers import PipeReader
from vadprobe.detect.sources.frames import SourceError, TimedFrame
from vadprobe.detect.sources.live import LiveSource
from vadprobe.detect.sources.opening import open_source
from vadprobe.detect.sources.options import SourceOptions

LENGTH = 8
QUICK = SourceOptions(
    segment_frames=LENGTH, first_delay=0.01, longest_delay=0.02, reconnect_attempts=2, timeout_seconds=60, drop=False
)


@pytest.fixture(scope="session")
def transport_stream(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., bytes]:
    """A transport stream of 60 frames."""

    def make(rate: int = 25) -> bytes:
        return write(tmp_path_factory.mktemp("stream") / "stream.ts", 60, rate=rate).read_bytes()

    return make


def live(url: str, options: SourceOptions = QUICK) -> LiveSource:
    source = open_source(url, options)
    assert isinstance(source, LiveSource)
    return source


def read(source: LiveSource) -> tuple[list[TimedFrame], str]:
    """The frames of a source, and the reason it broke off for."""
    frames: list[TimedFrame] = []
    try:
        frames.extend(source.frames())
    except SourceError as error:
        return frames, str(error)
    return frames, ""


def numbers(frames: list[TimedFrame]) -> list[int]:
    return [number_of(frame.pixels) for frame in frames]


@pytest.mark.parametrize("rate", [2, 25, 60])
def test_a_stream_of_known_length_ends_and_gives_every_frame(transport_stream: Callable[..., bytes], rate: int) -> None:
    content = transport_stream(rate)
    with http_stream(lambda _: Answer(content, len(content))) as stream:
        source = live(stream.url)
        assert source.fps is None
        frames, reason = read(source)
    assert [frame.index for frame in frames] == numbers(frames) == list(range(60))
    assert [frame.seconds for frame in frames] == pytest.approx([index / rate for index in range(60)])
    assert (reason, source.notes, source.fps, len(stream.requests)) == ("", (), rate, 1)
    walls = [frame.wall for frame in frames if frame.wall is not None]
    assert len(walls) == 60
    assert walls == sorted(walls)
    assert not any(frame.follows_gap for frame in frames)


def test_a_cut_stream_of_known_length_is_read_on_without_a_gap(transport_stream: Callable[..., bytes]) -> None:
    content = transport_stream()
    with http_stream(lambda n: Answer(content[: 12000 if n == 0 else None], len(content))) as stream:
        source = live(stream.url)
        frames, reason = read(source)
    assert [frame.index for frame in frames] == numbers(frames) == list(range(60))
    assert [frame.seconds for frame in frames] == pytest.approx([index / 25 for index in range(60)])
    assert reason == ""
    assert source.notes == (
        "the stream broke off 1 time, the last time because of: the connection was cut (1 attempt to reach it again)",
    )


def check_two_parts(frames: list[TimedFrame]) -> None:
    """Two parts of the same 60 frames, each cut to whole segments, with one gap between them."""
    behind = [place for place, frame in enumerate(frames) if frame.follows_gap]
    assert len(behind) == 1
    first, second = frames[: behind[0]], frames[behind[0] :]
    for part in (first, second):
        assert part[0].index % LENGTH == 0
        assert len(part) % LENGTH == 0
        assert len(part) > 40
        assert numbers(part) == list(range(len(part)))
        assert [frame.index - part[0].index for frame in part] == list(range(len(part)))
    assert second[0].index > first[-1].index
    assert all(after.seconds > before.seconds for before, after in pairwise(frames))


def test_an_endless_http_stream_is_reached_again_behind_a_gap(
    transport_stream: Callable[..., bytes], caplog: pytest.LogCaptureFixture
) -> None:
    content = transport_stream()
    with (
        caplog.at_level(logging.WARNING),
        http_stream(lambda n: Answer(content) if n < 2 else Answer(status=404)) as stream,
    ):
        source = live(stream.url.replace("//", "//someone:secret@") + "?token=hidden")
        frames, reason = read(source)
    check_two_parts(frames)
    assert len(stream.requests) == 4
    assert (source.n_breaks, source.n_attempts) == (2, 3)
    assert "broke off after" in reason
    assert reason.endswith("2 attempts to reach it again failed, the last: Server returned 404 Not Found.")
    said = " ".join([reason, caplog.text, source.name, *source.notes])
    assert "Attempt 2 of 2 to reach it again in 0.02 s" in said
    assert not any(secret in said for secret in ("someone", "secret", "hidden"))


def test_rtsp_is_reached_again_behind_a_gap(transport_stream: Callable[..., bytes]) -> None:
    content = transport_stream()
    with rtsp_stream(lambda n: content if n < 2 else b"") as url:
        frames, reason = read(live(url))
    check_two_parts(frames)
    assert "2 attempts to reach it again failed" in reason


def test_what_never_opens_is_a_sentence_at_once() -> None:
    with http_stream(lambda _: Answer(status=404)) as stream:
        frames, reason = read(live(stream.url.replace("//", "//user:pass@")))
    assert frames == []
    assert len(stream.requests) == 1
    assert reason.startswith("http://***@127.0.0.1:")
    assert reason.endswith("/live cannot be opened: Server returned 404 Not Found.")


def test_a_silent_stream_breaks_by_its_time_out(transport_stream: Callable[..., bytes]) -> None:
    content, release = transport_stream(), threading.Event()
    options = SourceOptions(segment_frames=LENGTH, timeout_seconds=0.5, reconnect_attempts=0, drop=False)
    with http_stream(lambda _: Answer(content, holds=release)) as stream:
        frames, reason = read(live(stream.url, options))
        release.set()
    assert len(frames) > 40
    assert "no data for 0.5 s" in reason


def test_a_late_consumer_loses_whole_segments_and_is_told(transport_stream: Callable[..., bytes]) -> None:
    content = transport_stream()
    options = SourceOptions(segment_frames=4, queue_segments=2, drop=True)
    with http_stream(lambda _: Answer(content, len(content))) as stream:
        source = live(stream.url, options)
        iterator = source.frames()
        frames = [next(iterator)]
        wait_until(lambda: not source._thread.is_alive())  # all was read while the consumer was busy
        assert source.is_pressed
        frames += iterator
    assert numbers(frames) == [frame.index for frame in frames]
    segments = [frames[start : start + 4] for start in range(0, len(frames), 4)]
    for segment in segments:
        assert segment[0].index % 4 == 0
        assert [frame.index - segment[0].index for frame in segment] == [0, 1, 2, 3]
    n_dropped = 60 // 4 - len(segments)
    assert n_dropped >= 15 - 4
    assert any(note.startswith(f"{n_dropped} segments were dropped") for note in source.notes)
    for before, after in pairwise(segments):
        assert after[0].follows_gap == (after[0].index > before[-1].index + 1)


def test_closing_ends_frames_and_thread(transport_stream: Callable[..., bytes]) -> None:
    content, release = transport_stream(), threading.Event()
    with http_stream(lambda _: Answer(content, holds=release)) as stream:
        source = live(stream.url, SourceOptions(segment_frames=LENGTH, queue_segments=1, drop=False))
        iterator = source.frames()
        next(iterator)
        assert not source.is_pressed, "it waits for its consumer"
        source.close()
        release.set()
        assert len(list(iterator)) < LENGTH
        wait_until(lambda: not source._thread.is_alive())


def test_memory_stays_flat_over_a_long_stream() -> None:
    """2,000 frames of 18 KB through a queue of two segments: never more than a handful of segments at once."""
    n_frames, height, width = 2000, 64, 96
    ends = os.pipe()
    reader, writer = os.fdopen(ends[0], "rb"), os.fdopen(ends[1], "wb")

    def encode() -> None:
        with writer, av.open(writer, "w", format="mpegts") as file:
            stream = file.add_stream("mpeg2video", rate=25)
            stream.height, stream.width, stream.pix_fmt = height, width, "yuv420p"
            for number in range(n_frames):
                drawn = av.VideoFrame.from_ndarray(picture(number, height, width), format="rgb24")
                file.mux(stream.encode(drawn))
            file.mux(stream.encode())

    thread = threading.Thread(target=encode, daemon=True)
    thread.start()
    options = SourceOptions(segment_frames=LENGTH, queue_segments=2)
    source = LiveSource(
        *("pipe", "a pipe", lambda is_closed: PipeReader(reader.fileno(), 60, is_closed), options),
        reconnects=False,
        endless=False,
        drops=False,
    )
    peaks, count = [], 0
    tracemalloc.start()
    try:
        for count, frame in enumerate(source.frames(), start=1):
            assert frame.index == count - 1
            if count % 500 == 0:
                peaks.append(tracemalloc.get_traced_memory()[1])
    finally:
        tracemalloc.stop()
    thread.join()
    reader.close()
    assert count == n_frames
    segment = LENGTH * height * width * 3
    assert max(peaks) < 6 * segment + (1 << 20)
    assert peaks[-1] < peaks[0] + 2 * segment


def test_a_damaged_stretch_is_left_out_up_to_the_next_key_frame(transport_stream: Callable[..., bytes]) -> None:
    content = bytearray(transport_stream())
    half = len(content) // 2 // 188 * 188
    del content[half : half + 3 * 188]  # packets of the transport that are lost
    with http_stream(lambda _: Answer(bytes(content), len(content))) as stream:
        source = live(stream.url)
        frames, reason = read(source)
    assert reason == ""
    assert len(frames) < 60
    # Frames that the decoder refuses have no number, but the clock goes on.
    assert [frame.seconds for frame in frames] == pytest.approx([number / 25 for number in numbers(frames)])
    assert numbers(frames)[:16] == list(range(16))
    assert numbers(frames)[-1] == 59
    assert any("damaged" in note for note in source.notes)
    assert sum(frame.follows_gap for frame in frames) == 1


def test_frames_hold_their_own_pixels(transport_stream: Callable[..., bytes]) -> None:
    """A frame that is kept does not change while others are decoded."""
    content = transport_stream()
    with http_stream(lambda _: Answer(content, len(content))) as stream:
        frames, _ = read(live(stream.url))
    assert all(isinstance(frame.pixels, np.ndarray) and frame.pixels.dtype == np.uint8 for frame in frames)
    assert len({number_of(frame.pixels) for frame in frames}) == 60


def test_a_stream_without_video_is_refused(tmp_path: Path) -> None:
    (tmp_path / "words").write_bytes(b"no video " * 1000)
    content = (tmp_path / "words").read_bytes()
    with http_stream(lambda _: Answer(content, len(content))) as stream:
        _, reason = read(live(stream.url))
    assert reason.endswith("cannot be opened: the data is not a video that FFmpeg can read from its beginning.")
