"""Videos of several parts: every frame in the order of the file, each once, as FFmpeg gives them; seams are named."""

import re
from pathlib import Path

import pytest

from tests.support.videos.drawn import numbers_of
from tests.support.videos.joined import CASES, NO_B_FRAMES, Joined, plain_numbers, ts_packets, two
from vadprobe.extract.pipeline.probing import probe_videos, unusual
from vadprobe.extract.video.decoder import Decoder
from vadprobe.extract.video.frame_counting import count_frames
from vadprobe.store.datasets.dataset import Dataset
from vadprobe.store.datasets.video import Video
from vadprobe.store.errors import VideoError
from vadprobe.store.format.layout import DatasetLayout


def read(decoder: Decoder, path: Path, indices: list[int]) -> dict[int, int]:
    """Numbers shown by those frames, a clip of five at a time; frame by frame where a clip fails."""
    shown: dict[int, int] = {}
    for start in range(0, len(indices), 5):
        clip = indices[start : start + 5]
        for asked in (clip, *([index] for index in clip)):
            try:
                shown.update(zip(asked, numbers_of(decoder.read_clip(path, asked)), strict=True))
            except VideoError:
                continue
            if len(asked) > 1:
                break
    return shown


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_every_frame_comes_in_the_order_of_the_file(decoder: Decoder, tmp_path: Path, case: Joined) -> None:
    path = case.write(tmp_path)
    expected = plain_numbers(path)
    n_frames, fps = decoder.probe(path)
    assert (n_frames, fps) == (len(expected), pytest.approx(25.0))
    assert re.search(case.note, decoder.note) if case.note else decoder.note == ""
    assert decoder.count(path, True)[1] == n_frames - len(case.lost)
    kept = [index for index in range(n_frames) if index not in case.lost]
    step = max(1, n_frames // 60)
    for indices in (kept[::step], kept[25:40]):
        assert read(decoder, path, indices) == {index: expected[index] for index in indices}
    assert read(decoder, path, list(case.lost)) == {}
    with pytest.raises(VideoError, match="the video ends before the frames asked for"):
        decoder.read_clip(path, [n_frames])


def test_seams_are_named_by_the_plan_and_the_audit(tmp_path: Path) -> None:
    case = next(case for case in CASES if case.name == "jump.ts")
    case.write(tmp_path)
    probed, findings = count_frames(tmp_path, {"a": case.name}, decode=True)
    assert probed[0].n_frames == 54
    assert [(finding.kind, finding.changes_score) for finding in findings] == [("videos joined from parts", False)]
    assert re.search(rf"^a: .*{case.note}", findings[0].message)
    dataset = Dataset("set", tmp_path, (Video("a", case.name, split="test"),))
    facts = probe_videos(dataset, dataset.videos, DatasetLayout(tmp_path / "root", "set"), 20.0)
    assert facts[0].note == probed[0].note
    assert list(unusual(facts)) == [f"{findings[0].message}."]


def test_damage_behind_a_seam_is_told_from_the_seam(decoder: Decoder, tmp_path: Path) -> None:
    """A frame of the second part loses its second packet; only what depends on it is lost."""
    settings = {"height": 240, "width": 320, "options": NO_B_FRAMES}
    packets = list(ts_packets(b"".join(two(**settings)(tmp_path / "part.ts"))))
    place = max(place for place, number, _ in packets if number == 2)
    path = tmp_path / "damaged.ts"
    path.write_bytes(b"".join(data for *where, data in packets if where != [place, 1]))
    n_frames, _ = decoder.probe(path)
    assert (n_frames, place >= 30) == (54, True)
    shown = read(decoder, path, list(range(n_frames)))
    assert shown == {index: index for index in shown}
    assert set(range(place - 1)) <= shown.keys()
    assert place not in shown
