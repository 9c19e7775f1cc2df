"""All pictures of one video, from the files of a detection."""

import json
from pathlib import Path

import av
import pytest

from tests.support.videos.drawn import number_of, write
from vadprobe.detect.pictures.drawing import PictureOptions, draw_pictures, folder_name
from vadprobe.detect.pictures.stored import read_segments
from vadprobe.store.errors import VadprobeError


def place(start: int, stop: int) -> dict[str, object]:
    return {
        "video": "video",
        "start_frame": start,
        "stop_frame": stop,
        "start_second": start / 25,
        "stop_second": stop / 25,
    }


@pytest.fixture
def detection(tmp_path: Path) -> Path:
    folder = tmp_path / "detection"
    folder.mkdir()
    scores = [
        {**place(0, 8), "score": 0.1, "smoothed": 0.2, "state": "normal", "segment": 0},
        {**place(0, 8), "video": "other", "score": None, "smoothed": None, "state": "unknown", "segment": 0},
        {**place(8, 16), "score": 0.9, "smoothed": 0.8, "state": "anomalous", "segment": 1},
        {**place(16, 20), "score": None, "smoothed": None, "state": "unknown", "segment": 2},
    ]
    events = [{**place(8, 16), "peak_score": 0.8, "peak_frame": 12, "mean_score": 0.8}]
    for name, lines in (("scores", scores), ("events", events)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


def test_all_pictures_of_a_video(detection: Path, tmp_path: Path) -> None:
    video = write(tmp_path / "video.mp4", 20)
    options = PictureOptions(films=True, scored_video=True, padding_seconds=0.08)
    folder = draw_pictures(detection, "video", video, 0.5, options, {0: "A lorry stops."})
    assert sorted(path.name for path in folder.iterdir()) == ["curve.png", "event-1.mp4", "scored.mp4"]
    with av.open(str(folder / "event-1.mp4")) as film:
        shown = [number_of(frame.to_ndarray(format="rgb24")) for frame in film.decode(video=0)]
    assert shown == list(range(6, 18))
    with av.open(str(folder / "scored.mp4")) as film:
        assert sum(1 for _ in film.decode(video=0)) == 20


def test_a_stream_has_a_curve_and_no_films(detection: Path) -> None:
    folder = draw_pictures(detection, "video", None, 0.5, PictureOptions())
    assert [path.name for path in folder.iterdir()] == ["curve.png"]
    with pytest.raises(VadprobeError, match="is a stream"):
        draw_pictures(detection, "video", None, 0.5, PictureOptions(films=True))


def test_lines_that_are_no_segments_are_sentences(detection: Path, tmp_path: Path) -> None:
    scores = detection / "scores.jsonl"
    assert len(list(read_segments(scores, "video"))) == 3
    scores.write_text(scores.read_text() + "{broken")
    with pytest.raises(VadprobeError, match=r"line 5 of scores\.jsonl cannot be read"):
        list(read_segments(scores, "video"))
    with pytest.raises(VadprobeError, match=r"must be the results of a detection, but has no scores\.jsonl"):
        list(read_segments(tmp_path / "scores.jsonl", "video"))
    with pytest.raises(VadprobeError, match="padding_seconds must be 0 or more"):
        PictureOptions(padding_seconds=-1)


def test_names_of_folders_keep_videos_apart() -> None:
    assert folder_name("Abuse028_x264.mp4") == "Abuse028_x264.mp4"
    names = {folder_name(name) for name in ("a/b", "a-b", "/a/b", "..", "a b")}
    assert len(names) == 5
    assert not any("/" in name or name.startswith(".") for name in names)
