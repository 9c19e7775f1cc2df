"""A job's dataset section becomes a dataset, with files for stage 1 and from the store's probes alone for stage 2."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.planted import planted_dataset
from tests.support.strategies import COUNT_LINE, LIST_LINE, UCF_LINE, XD_LINE, files_of, many_files
from vadprobe.store.datasets.configuration import AnnotationConfig, DatasetConfig
from vadprobe.store.datasets.dataset import write_manifest
from vadprobe.store.datasets.probed_videos import VideoFacts
from vadprobe.store.datasets.sources import open_dataset, open_truth
from vadprobe.store.errors import VadprobeError

UCF = "Robbery102_x264.mp4  Robbery  2  6  -1  -1  \nNormal_Videos_003_x264.mp4  Normal  -1  -1  -1  -1  \n"
PROBED = (
    VideoFacts("Robbery102_x264", "test", 10, 30.0, "a"),
    VideoFacts("Normal_Videos_003_x264", "test", 8, 25.0, "b"),
    VideoFacts("Normal_Videos_010_x264", "test", None, None, "c", "the file is empty (0 bytes)"),
)


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    (tmp_path / "videos" / "Robbery").mkdir(parents=True)
    for name in ("Robbery/Robbery102_x264.mp4", "Normal_Videos_003_x264.MP4", "notes.txt"):
        (tmp_path / "videos" / name).write_bytes(b"")
    (tmp_path / "truth.txt").write_text(UCF)
    return tmp_path


def section(label_by_name: bool = False) -> DatasetConfig:
    annotation = AnnotationConfig(format="ucf-crime", path="truth.txt", label_by_name=label_by_name)
    return DatasetConfig(name="set", videos="videos", annotations=(annotation,))


def test_a_folder_is_joined_with_its_annotation_by_name(workspace: Path) -> None:
    dataset = open_dataset(section(), workspace)
    assert {video.video_id: video.label for video in dataset.videos} == {
        "Robbery102_x264": 1,
        "Normal_Videos_003_x264": 0,
    }
    assert [(i.start_frame, i.stop_frame) for i in dataset.intervals_of("Robbery102_x264")] == [(2, 6)]


def test_stage_two_needs_no_video_file(workspace: Path) -> None:
    for path in (workspace / "videos").rglob("*.*"):
        path.unlink()
    truth = open_truth(section(), workspace, PROBED)
    assert truth.by_id["Robbery102_x264"].n_frames == 10
    assert truth.by_id["Robbery102_x264"].fps == 30.0
    assert truth.by_id["Normal_Videos_010_x264"].n_frames is None
    assert truth.truth("Robbery102_x264", 10).sum() == 4


def test_labels_by_name_reach_the_videos_that_no_annotation_names(workspace: Path) -> None:
    assert open_truth(section(), workspace, PROBED).by_id["Normal_Videos_010_x264"].label is None
    assert open_truth(section(label_by_name=True), workspace, PROBED).by_id["Normal_Videos_010_x264"].label == 0


def test_the_manifest_keeps_splits_and_takes_the_probed_frame_counts(tmp_path: Path) -> None:
    dataset = planted_dataset()
    write_manifest(dataset, tmp_path / "manifest")
    config = DatasetConfig(name="planted", format="manifest", videos="videos", manifest="manifest")
    probed = tuple(VideoFacts(v.video_id, v.split, (v.n_frames or 0) - 1, v.fps, "f") for v in dataset.videos)
    truth = open_truth(config, tmp_path, probed)
    assert [video.split for video in truth.videos] == [video.split for video in dataset.videos]
    assert [video.n_frames for video in truth.videos] == [video.n_frames for video in probed]
    with pytest.raises(VadprobeError, match="set 'videos' in"):
        open_dataset(config, tmp_path)


def test_a_missing_annotation_file_is_named(workspace: Path) -> None:
    (workspace / "truth.txt").unlink()
    with pytest.raises(VadprobeError, match=r"truth\.txt does not exist; check 'annotations'"):
        open_dataset(section(), workspace)


SETS = {
    "ucf-crime": ("Temporal_Anomaly_Annotation.txt", UCF_LINE, "Anomaly_Test.txt", "Abuse/Abuse028_x264.mp4"),
    "xd-violence": ("annotations.txt", XD_LINE, "test_videos.txt", XD_LINE.split(" ", 1)[0]),
    "msad": ("Temporal_Anomaly_Annotation.txt", "Assault_2.mp4 Assault 3 9 -1 -1", "anomaly_test.txt", LIST_LINE),
    "hivau": ("ucf_database_test.json", '{"Abuse028_x264": {"n_frames": 9, "fps": 30, "label": [], "events": []}}',
              "x.txt", "x"),
}  # fmt: skip


@many_files(500)
@given(
    which=st.sampled_from(sorted(SETS)),
    data=st.data(),
    counts=st.none() | files_of(COUNT_LINE, "video,frames"),
    n_frames=st.none() | st.integers(0, 1000),
)
def test_opening_a_damaged_dataset(
    tmp_path_factory: pytest.TempPathFactory,
    which: str,
    data: st.DataObject,
    counts: bytes | None,
    n_frames: int | None,
) -> None:
    """Truth and dataset are there or refused in a sentence; nothing else is ever raised."""
    folder = tmp_path_factory.mktemp("set")
    annotation, line, listing, listed = SETS[which]
    (folder / annotation).write_bytes(data.draw(st.just(line.encode()) | files_of(line)))
    if data.draw(st.booleans()):
        (folder / listing).write_bytes(data.draw(st.just(listed.encode()) | files_of(listed)))
    if counts is not None:
        (folder / "test_frame_counts.csv").write_bytes(counts)
    (folder / "Abuse028_x264.mp4").touch()
    config = DatasetConfig(name="d", format=which, source=".", videos=".")
    probed = (VideoFacts("Abuse028_x264", "test", n_frames, 25.0, "f"),)
    for opened in (lambda: open_dataset(config, folder), lambda: open_truth(config, folder, probed)):
        try:
            dataset = opened()
        except VadprobeError as error:
            assert str(error).endswith((".", "?"))  # noqa: PT017 - either way is right
        else:
            assert len(dataset.truth_digest) == 64
            assert all(video.video_id for video in dataset.videos)
