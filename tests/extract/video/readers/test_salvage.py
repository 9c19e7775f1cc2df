"""Salvage: which frames a damaged video's packets leave, and what they are numbered."""

from pathlib import Path

import numpy as np
import pytest

from tests.support.videos.broken import CASES, Case
from tests.support.videos.drawn import number_of, write
from vadprobe.extract.video.packets.scanning import read_packets
from vadprobe.extract.video.packets.table import PacketTable
from vadprobe.extract.video.readers import decord_reader
from vadprobe.extract.video.readers.salvage import SalvageReader, name_ranges
from vadprobe.extract.video.readers.video_reader import VideoReader


def quiet() -> None:
    """Nobody waits."""


def listed(stamps: list[int], **changes: object) -> PacketTable:
    """A sound table of packets with these stamps, all of them key frames."""
    count = len(stamps)
    settings: dict[str, object] = {
        "container": "mp4",
        "stamps": np.array(stamps, dtype=np.int64),
        "keys": np.ones(count, dtype=bool),
        "shown": np.ones(count, dtype=bool),
        "broken": np.zeros(count, dtype=bool),
        "fps": 25.0,
        "deep_colour": False,
        "lost_tail": 0,
        "complaint": None,
        **changes,
    }
    return PacketTable(**settings)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("indices", "text"), [([3], "3"), ([3, 4, 5], "3 to 5"), ([0, 2, 3, 9], "0, 2 to 3, 9"), ([1, 3], "1, 3")]
)
def test_ranges_are_named(indices: list[int], text: str) -> None:
    assert name_ranges(indices) == text


def test_frames_are_numbered_in_the_order_shown() -> None:
    assert listed([0, 120, 40, 80]).frame_indices() == {0: 0, 40: 1, 80: 2, 120: 3}


def test_a_sound_file_of_variable_rate_has_no_gaps() -> None:
    assert list(listed([0, 40, 80, 400, 440]).frame_indices().values()) == [0, 1, 2, 3, 4]


def test_missing_packets_of_a_damaged_container_have_numbers() -> None:
    # Milliseconds of 30 frames a second, as Matroska rounds them.
    stamps = [round(1000 * index / 30) for index in range(200) if index not in range(50, 60)]
    found = listed(stamps, complaint=50).frame_indices()
    assert list(found.values()) == [*range(50), *range(60, 200)]


def test_irregular_stamps_of_a_damaged_container_count_up_to_the_damage() -> None:
    stamps = [0, 40, 95, 120, 300, 317, 380, 400]
    assert list(listed(stamps, complaint=4).frame_indices()) == stamps[:4]


def test_a_gap_may_be_anywhere_where_its_frames_may_have_been_stored() -> None:
    # Stored as 0 3 1 2 | 9 7 8, the frames 4 to 6 are gone; frame 3 was stored two places early.
    damaged = listed([0, 120, 40, 80, 360, 280, 320], complaint=4)
    order = damaged.frame_indices()
    assert sorted(order.values()) == [0, 1, 2, 3, 7, 8, 9]
    assert damaged.after_gaps(order) == {3, 4}


@pytest.mark.parametrize("case", [case for case in CASES if case.kept and not case.reason], ids=lambda case: case.name)
def test_pyav_alone_reads_every_sound_video(tmp_path: Path, case: Case) -> None:
    path = tmp_path / case.name
    case.make(path)
    reader = SalvageReader(str(path), read_packets(str(path), quiet), quiet)
    assert reader.n_frames == reader.n_good == case.n_frames
    indices = list(range(0, case.n_frames, 7))
    shown = reader.read(indices, quiet)
    assert [number_of(frame) for frame in shown] == indices
    assert shown.shape[1:3] == case.size


def test_clips_may_go_back(tmp_path: Path) -> None:
    path = str(write(tmp_path / "video.mp4"))
    reader = SalvageReader(path, read_packets(path, quiet), quiet)
    for indices in ([50, 59], [10, 11], [11], [12], [0]):
        assert [number_of(frame) for frame in reader.read(indices, quiet)] == indices


def test_a_video_that_decord_decodes_too_far_ahead_goes_on_with_pyav(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, reader = str(write(tmp_path / "video.mp4")), VideoReader()
    assert [number_of(frame) for frame in reader.read(path, [3, 20], True, quiet)] == [3, 20]
    assert reader.name == "decord"
    monkeypatch.setattr(decord_reader, "MOST_BYTES_AHEAD", -(1 << 60))
    for indices in ([21, 40], [41, 59]):
        assert [number_of(frame) for frame in reader.read(path, indices, True, quiet)] == indices
        assert reader.name == "PyAV"
