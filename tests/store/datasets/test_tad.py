"""TAD's annotation in the two forms that people have: the set's own lines, and UMIL's lists."""

from pathlib import Path

import numpy as np
import pytest

from vadprobe.store.datasets.annotations.split_lists import Listed, read_tad_list
from vadprobe.store.datasets.annotations.text_files import read_tad
from vadprobe.store.datasets.configuration import DatasetConfig
from vadprobe.store.datasets.sources import read_source
from vadprobe.store.errors import VadprobeError

OWN = (
    "01_Accident_004.mp4 190 53 118\n"
    "05_else_026.mp4 147 0 20 40 140\n"
    "07_RoadSpills_003.mp4 397 0 398\n"
    "Normal_012.mp4 70 -1 -1\n"
)
UMIL = (
    "frames/abnormal/01_Accident_004.mp4 190 1 53 118\n"
    "frames/abnormal/05_else_026.mp4 147 5 0 20 40 140\n"
    "frames/abnormal/07_RoadSpills_003.mp4 397 7 0 398\n"
    "frames/normal/Normal_012.mp4 70 0 0 70\n"
)
SHOWN = {
    "01_Accident_004": (1, "Accident", 190, [(53, 118)]),
    "05_else_026": (1, "else", 147, [(0, 20), (40, 140)]),
    "07_RoadSpills_003": (1, "RoadSpills", 397, [(0, 398)]),
    "Normal_012": (0, "Normal", 70, []),
}


def written(folder: Path, text: str, name: str = "TAD_test.txt") -> Path:
    (folder / name).write_bytes(text.encode())
    return folder / name


@pytest.mark.parametrize("text", [OWN, UMIL, UMIL.replace("\n", "\r\n"), OWN.replace(".mp4", "")])
def test_both_forms_tell_the_same(tmp_path: Path, text: str) -> None:
    entries = read_tad(written(tmp_path, text)).checked()
    shown = {
        entry.video_id: (
            entry.label, entry.category, entry.n_frames, [(i.start_frame, i.stop_frame) for i in entry.intervals],
        )
        for entry in entries
    }  # fmt: skip
    assert shown == SHOWN


def test_frames_are_those_of_a_slice_cut_at_the_end(tmp_path: Path) -> None:
    """The set's evaluators write `truth[start:stop] = 1`, which forgives a stop behind the last frame."""
    written(tmp_path, UMIL)
    written(
        tmp_path, "frames/abnormal/05_else_001.mp4 0 304 5\nframes/normal/Normal_001.mp4 0 141 0\n", "TAD_train.txt"
    )
    joined = read_source(DatasetConfig(name="tad", format="tad", source=str(tmp_path)), Path()).joined()
    dataset = joined.dataset
    for line in UMIL.splitlines():
        name, n_frames, group, *pairs = line.split()
        wanted = np.zeros(int(n_frames), bool)
        for start, stop in zip(pairs[::2], pairs[1::2], strict=True):
            wanted[int(start) : int(stop)] |= group != "0"
        found = np.zeros(int(n_frames), bool)
        for interval in dataset.intervals_of(Path(name).stem):
            found[interval.start_frame : interval.stop_frame] = True
        np.testing.assert_array_equal(found, wanted)
    told = {video.video_id: (video.split, video.label, video.n_frames) for video in dataset.videos}
    assert told["05_else_001"] == ("train", 1, 304)
    assert told["Normal_001"] == ("train", 0, 141)
    assert told["Normal_012"] == ("test", 0, 70)
    assert [finding.kind for finding in joined.findings] == ["interval past the end"]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("01_Accident_004.mp4 190", "pairs of frame numbers"),
        ("01_Accident_004.mp4 190 -1 -1", "an interval for an anomalous video"),
        ("01_Accident_004.mp4 0 5 9", "a number of frames above 0"),
        ("01_Accident_004.mp4 x 5 9", "a number of frames above 0"),
        ("01_Accident_004.mp4 190 2 5 9", "the class that the name begins with"),
        ("Normal_012.mp4 70 1 5 9", "the class that the name begins with"),
        ("Normal_012.mp4 70 5 9", "-1 -1 for a normal video"),
        ("01_Accident_004.mp4 190 9 5", "with s before e"),
        ("08_Flood_001.mp4 190 5 9", "a TAD video name"),
        ("Abuse028_x264.mp4 Abuse 165 240", "a TAD video name"),
    ],
)
def test_malformed_lines_are_rejected_and_the_others_read(tmp_path: Path, line: str, words: str) -> None:
    reading = read_tad(written(tmp_path, f"Normal_001.mp4 141 -1 -1\n{line}\n"))
    assert [entry.video_id for entry in reading.entries] == ["Normal_001"]
    with pytest.raises(VadprobeError, match=words):
        reading.checked()


def test_lists_count_frames_where_those_of_msad_name_the_last_one(tmp_path: Path) -> None:
    text = "frames/abnormal/05_else_001.mp4 0 304 5\nframes/normal/Normal_001.mp4 0 141 0\nNormal_002\n"
    assert read_tad_list(written(tmp_path, text)).checked() == (
        Listed("05_else_001", "frames/abnormal", 1, 304), Listed("Normal_001", "frames/normal", 0, 141),
        Listed("Normal_002"),
    )  # fmt: skip
    reading = read_tad_list(
        written(tmp_path, "Normal_001 0 141 8\nNormal_002 1 5 0\nNormal_003 0 0 0\nNormal_004 0 5\n")
    )
    assert len(reading.rejected) == 4
