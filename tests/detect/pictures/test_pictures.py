"""Pictures of a detection: curve, films of events, and the video with its score."""

import tracemalloc
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Literal

import av
import numpy as np
import pytest
from PIL import Image

from tests.support.videos.drawn import number_of, picture, write
from vadprobe.detect.pictures.curve import MOST_CELLS, event_curve, on_cells
from vadprobe.detect.pictures.event_films import write_event_films
from vadprobe.detect.pictures.mp4 import Mp4Writer
from vadprobe.detect.pictures.scored_video import draw_score, write_scored_video
from vadprobe.detect.sources.files import FileSource
from vadprobe.detect.sources.frames import SourceError, TimedFrame


@dataclass(frozen=True)
class Scored:
    """A segment of 8 frames at 25 frames per second."""

    number: int
    score: float | None
    state: Literal["anomalous", "normal", "unknown"] = "normal"

    @property
    def smoothed(self) -> float | None:
        return self.score

    @property
    def start_frame(self) -> int:
        return self.number * 8

    @property
    def stop_frame(self) -> int:
        return self.number * 8 + 8

    @property
    def start_second(self) -> float:
        return self.start_frame / 25

    @property
    def stop_second(self) -> float:
        return self.stop_frame / 25


@dataclass(frozen=True)
class Found:
    start_frame: int
    stop_frame: int
    peak_score: float = 0.9

    @property
    def start_second(self) -> float:
        return self.start_frame / 25

    @property
    def stop_second(self) -> float:
        return self.stop_frame / 25


def film_of(path: Path) -> list[tuple[float, np.ndarray]]:
    """Times in seconds and pixels of a film."""
    with av.open(str(path)) as file:
        return [(frame.time or 0.0, frame.to_ndarray(format="rgb24")) for frame in file.decode(video=0)]


def test_scores_are_spread_over_equal_steps_with_gaps() -> None:
    segments = [Scored(0, 0.1), Scored(1, 0.2), Scored(4, None), Scored(5, 0.5)]
    raw, smoothed, step = on_cells(segments)
    assert step == pytest.approx(8 / 25)
    np.testing.assert_array_equal(raw, [0.1, 0.2, np.nan, np.nan, np.nan, 0.5])
    np.testing.assert_array_equal(smoothed, raw)


def test_a_long_video_keeps_its_peaks_in_few_steps() -> None:
    segments = [Scored(number, 0.9 if number == 7_777 else 0.1) for number in range(20_000)]
    raw, _, step = on_cells(segments)
    assert len(raw) <= MOST_CELLS
    assert (np.nanmax(raw), np.isnan(raw).sum()) == (0.9, 0)
    assert int(np.nanargmax(raw)) * step <= 7_777 * 8 / 25 <= (int(np.nanargmax(raw)) + 1) * step


def test_the_curve_is_a_picture_that_grows_with_its_words() -> None:
    segments = [Scored(number, 0.9 if 3 <= number < 6 else 0.1) for number in range(12)]
    plain = Image.open(BytesIO(event_curve("video", segments, [], 0.5)))
    found = [Found(24, 48), *(Found(60 + n, 61 + n) for n in range(10))]
    worded = Image.open(BytesIO(event_curve("video $5", segments, found, 0.5, {0: "A car burns.\nPeople run."})))
    assert plain.width == worded.width
    assert plain.height < worded.height
    Image.open(BytesIO(event_curve("nothing", [], [], 0.5))).verify()


def test_films_hold_the_frames_of_their_events(tmp_path: Path) -> None:
    source = FileSource(write(tmp_path / "video.mp4", 100, rate=25))
    seen: list[tuple[int, int]] = []
    events = [Found(70, 80), Found(2, 6), Found(75, 99)]  # not in order, and the padding overlaps
    paths = write_event_films(
        source, events, tmp_path / "films", padding_seconds=0.2, progress=lambda *n: seen.append(n)
    )
    source.close()
    assert [path and path.name for path in paths] == ["event-1.mp4", "event-2.mp4", "event-3.mp4"]
    spans = [(65, 85), (0, 11), (70, 100)]
    for path, (start, stop) in zip(paths, spans, strict=True):
        assert path is not None
        film = film_of(path)
        assert [number_of(pixels) for _, pixels in film] == list(range(start, stop))
        assert [time for time, _ in film] == pytest.approx([number / 25 for number in range(stop - start)])
    assert seen[-1] == (46, 46)
    assert len(list((tmp_path / "films").iterdir())) == 3


def test_a_video_that_breaks_off_leaves_the_films_that_were_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = FileSource(write(tmp_path / "video.mp4", 60))
    whole = source._decoder.read_clip

    def breaks(path: Path, indices: range) -> np.ndarray:
        if max(indices) >= 40:
            raise SourceError("it broke")
        return whole(path, indices)

    monkeypatch.setattr(source._decoder, "read_clip", breaks)
    with pytest.raises(SourceError, match="it broke"):
        write_event_films(source, [Found(4, 12), Found(30, 50)], tmp_path / "films", padding_seconds=0)
    source.close()
    assert [path.name for path in (tmp_path / "films").iterdir()] == ["event-1.mp4"]


def test_lost_frames_leave_the_one_before_standing(tmp_path: Path) -> None:
    with Mp4Writer(tmp_path / "film.mp4", 10) as film:
        for position in (0, 1, 5, 6):
            film.write(picture(position, 64, 96), position)
    shown = film_of(tmp_path / "film.mp4")
    assert [time for time, _ in shown] == pytest.approx([0, 0.1, 0.5, 0.6])
    assert [number_of(pixels) for _, pixels in shown] == [0, 1, 5, 6]


def test_odd_and_changing_sizes_fit_one_film(tmp_path: Path) -> None:
    with Mp4Writer(tmp_path / "film.mp4", 29.97) as film:
        film.write(picture(1, 63, 95), 0)
        film.write(picture(2, 126, 190), 1)
    assert [pixels.shape for _, pixels in film_of(tmp_path / "film.mp4")] == [(64, 96, 3)] * 2


def frames_of(count: int) -> Iterator[TimedFrame]:
    for number in range(count):
        yield TimedFrame(number, number / 25, picture(number, 64, 96))


def test_the_scored_video_shows_every_frame_and_marks_the_anomalous(tmp_path: Path) -> None:
    segments = [Scored(0, 0.2), Scored(1, 0.95, "anomalous"), Scored(3, None, "unknown")]
    write_scored_video(frames_of(30), 25, iter(segments), 0.5, tmp_path / "scored.mp4")
    film = [pixels for _, pixels in film_of(tmp_path / "scored.mp4")]
    assert len(film) == 30
    scale = 4  # 96 pixels are fewer than the words need
    assert film[0].shape[1] == 96 * scale
    assert [number_of(pixels[: 64 * scale]) for pixels in film] == list(range(30))
    edges = np.array([pixels[: 64 * scale, :3].astype(int).mean(axis=(0, 1)) for pixels in film])
    is_red = edges[:, 0] > edges[:, 1] + 60
    assert np.flatnonzero(is_red).tolist() == list(range(8, 16))


def test_the_bar_is_as_long_as_the_score() -> None:
    low, high = (draw_score(picture(0, 240, 320), 1.0, Scored(0, value), 0.5) for value in (0.25, 0.75))
    rows = slice(-6, -4)
    changed = np.flatnonzero((low[rows] != high[rows]).any(axis=(0, 2)))
    assert (changed.min(), changed.max()) == (pytest.approx(80, abs=2), pytest.approx(239, abs=2))
    nothing = draw_score(picture(0, 240, 320), 1.0, None, 0.5)
    assert nothing.shape == low.shape


def test_the_scored_video_is_written_in_flat_memory(tmp_path: Path) -> None:
    def peak(count: int) -> int:
        tracemalloc.start()
        write_scored_video(
            frames_of(count), 25, (Scored(n, 0.3) for n in range(count // 8)), 0.5, tmp_path / "scored.mp4"
        )
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    peak(16)  # fonts are read once
    assert peak(400) < peak(100) + (1 << 20)


def test_an_error_leaves_no_film(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()

    def breaking() -> Iterator[TimedFrame]:
        yield from frames_of(3)
        raise SourceError("it broke")

    with pytest.raises(SourceError):
        write_scored_video(breaking(), 25, [], 0.5, tmp_path / "out/scored.mp4")
    assert list((tmp_path / "out").iterdir()) == []
