"""Tracks of UBnormal, and masks of all videos in one archive, as NWPU Campus has them."""

import random
from pathlib import Path

import numpy as np
import pytest

from vadprobe.store.datasets.annotations.folders.mask_archives import read_mask_archive
from vadprobe.store.datasets.annotations.folders.tracks import read_ubnormal
from vadprobe.store.datasets.annotations.names import ubnormal_name
from vadprobe.store.datasets.annotations.rows.rows import Annotation
from vadprobe.store.datasets.configuration import DatasetConfig
from vadprobe.store.datasets.sources import read_source
from vadprobe.store.errors import VadprobeError


def spans(annotation: Annotation) -> list[tuple[int, int]]:
    return [(interval.start_frame, interval.stop_frame) for interval in annotation.intervals]


def tracks(root: Path, video: str, text: str, ending: str = "tracks") -> Path:
    folder = root / f"Scene{video.split('_')[2]}" / f"{video}_annotations"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{video}_{ending}.txt").write_text(text)
    return folder


def of_the_sets_own_script(text: str, n_frames: int) -> np.ndarray:
    """The rule of the set's authors: a file of one row is a vector to NumPy, and the last frame is included."""
    truth = np.zeros(n_frames)
    for _, start, stop in np.loadtxt(text.splitlines(), delimiter=",", ndmin=2):
        truth[int(start) : int(stop) + 1] = 1
    return truth


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("1,0,9\n", [(0, 10)]),
        ("1,5,5", [(5, 6)]),
        ("1,10,20\n2,15,30\n7,40,45\n", [(10, 31), (40, 46)]),
        ("2,40,45\r\n1,10,20\r\n3,21,22\r\n", [(10, 23), (40, 46)]),
        ("1.0,10.0,20.0\n", [(10, 21)]),
        (" 1, 10 ,20 \n\n", [(10, 21)]),
    ],
)
def test_tracks_count_from_0_with_their_last_frame(tmp_path: Path, text: str, wanted: list[tuple[int, int]]) -> None:
    tracks(tmp_path, "abnormal_scene_1_scenario_2", text)
    (found,) = read_ubnormal(tmp_path).checked()
    assert (found.video_id, found.label, found.n_frames) == ("abnormal_scene_1_scenario_2", 1, None)
    assert spans(found) == wanted
    mine = np.zeros(60)
    for start, stop in spans(found):
        mine[start:stop] = 1
    np.testing.assert_array_equal(mine, of_the_sets_own_script(text.strip(), 60))


def test_a_corrected_file_stands_for_the_first_one(tmp_path: Path) -> None:
    tracks(tmp_path, "abnormal_scene_1_scenario_2", "1,0,9\n")
    tracks(tmp_path, "abnormal_scene_1_scenario_2", "1,3,4\n", "new_tracks")
    tracks(tmp_path, "abnormal_scene_2_scenario_1", "1,7,8\n")
    reading = read_ubnormal(tmp_path)
    assert [spans(entry) for entry in reading.checked()] == [[(3, 5)], [(7, 9)]]
    assert reading.notes == ("1 track files have a corrected one beside them, which is used",)


@pytest.mark.parametrize("text", ["", "\n", "1,2", "1,9,8", "1,-1,8", "a,1,2", "1,1.5,2", "1,2,3,4", f"1,0,{10**13}"])
def test_tracks_that_are_none_are_rejected_and_the_others_read(tmp_path: Path, text: str) -> None:
    tracks(tmp_path, "abnormal_scene_1_scenario_2", text)
    tracks(tmp_path, "abnormal_scene_2_scenario_1", "1,7,8\n")
    reading = read_ubnormal(tmp_path)
    assert [entry.video_id for entry in reading.entries] == ["abnormal_scene_2_scenario_1"]
    assert reading.rejected[0].got == "abnormal_scene_1_scenario_2_tracks.txt"


def test_a_folder_without_tracks_is_refused(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "none"):
        with pytest.raises(VadprobeError, match="there is no track file"):
            read_ubnormal(folder)


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("abnormal_scene_8_scenario_1_fog", 1),
        ("normal_scene_1_scenario1_9", 0),
        ("normal_scene_11_scenario_6_1", 0),
        ("abnormal_scene_4_scenario_1_fire", 1),
    ],
)
def test_names_tell_the_label(name: str, label: int) -> None:
    assert ubnormal_name(name)[0] == label


@pytest.mark.parametrize(
    "name", ["scene_1_scenario_2", "Abuse028_x264", "abnormal_scene_1", "xnormal_scene_1_scenario"]
)
def test_other_names_are_refused(name: str) -> None:
    with pytest.raises(VadprobeError, match="must be a UBnormal video name"):
        ubnormal_name(name)


def test_the_set_is_joined_with_its_six_lists(tmp_path: Path) -> None:
    tracks(tmp_path, "abnormal_scene_1_scenario_1", "1,0,9\n")
    tracks(tmp_path, "abnormal_scene_2_scenario_1", "1,3,9\n")
    tracks(tmp_path, "abnormal_scene_3_scenario_1", "1,5,9\n")
    for split, scene in (("training", 1), ("validation", 2), ("test", 3)):
        for kind in ("abnormal", "normal"):
            (tmp_path / f"{kind}_{split}_video_names.txt").write_text(f"{kind}_scene_{scene}_scenario_1\n")
    joined = read_source(DatasetConfig(name="ub", format="ubnormal", source=str(tmp_path)), Path()).joined()
    found = {video.video_id: (video.split, video.label) for video in joined.dataset.videos}
    assert found == {
        "abnormal_scene_1_scenario_1": ("train", 1), "normal_scene_1_scenario_1": ("train", 0),
        "abnormal_scene_2_scenario_1": ("validation", 1), "normal_scene_2_scenario_1": ("validation", 0),
        "abnormal_scene_3_scenario_1": ("test", 1), "normal_scene_3_scenario_1": ("test", 0),
    }  # fmt: skip
    assert joined.findings == ()


# Archives of masks


def test_masks_of_all_videos_in_one_archive(tmp_path: Path) -> None:
    masks = {"D001_03": [0, 1, 1, 0, 1], "D001_04.avi": [0, 0], "D002_01": [1]}
    np.savez(tmp_path / "gt.npz", **{name: np.array(values, dtype=np.uint8) for name, values in masks.items()})
    found = read_mask_archive(tmp_path / "gt.npz").checked()
    assert [(entry.video_id, entry.label, entry.n_frames, spans(entry)) for entry in found] == [
        ("D001_03", 1, 5, [(1, 3), (4, 5)]),
        ("D001_04", 0, 2, []),
        ("D002_01", 1, 1, [(0, 1)]),
    ]
    config = DatasetConfig(name="campus", format="masks", source=str(tmp_path / "gt.npz"))
    assert [video.label for video in read_source(config, Path()).joined().dataset.videos] == [1, 0, 1]


def test_arrays_that_are_no_masks_are_rejected_and_the_others_read(tmp_path: Path) -> None:
    np.savez(tmp_path / "gt.npz", a=np.array([0, 2]), b=np.array([0, 1]), c=np.zeros((2, 2)), d=np.array(["x"]),
             e=np.array([None]), f=np.zeros(0))  # fmt: skip
    reading = read_mask_archive(tmp_path / "gt.npz")
    assert [entry.video_id for entry in reading.entries] == ["b"]
    assert [rejection.got for rejection in reading.rejected] == ["a", "c", "d", "e", "f"]


def test_damaged_archives_are_read_or_refused(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "gt.npz", a=np.array([0, 1]), b=np.array([0, 1]))
    whole = (tmp_path / "gt.npz").read_bytes()
    draw = random.Random(5)
    for _ in range(300):
        content = bytearray(whole)
        for _ in range(draw.randint(1, 3)):
            content[draw.randrange(len(content))] = draw.randrange(256)
        (tmp_path / "gt.npz").write_bytes(bytes(content[: draw.randint(0, 2 * len(content))]))
        try:
            reading = read_mask_archive(tmp_path / "gt.npz")
        except VadprobeError:
            continue
        assert reading.n_rows == len(reading.entries) + len(reading.rejected)
    for name, content in (("none.npz", b""), ("text.npz", b"0 1 0")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(VadprobeError, match="are not readable as NPZ"):
            read_mask_archive(tmp_path / name)
    np.savez(tmp_path / "empty.npz")
    with pytest.raises(VadprobeError, match="holds no array"):
        read_mask_archive(tmp_path / "empty.npz")
