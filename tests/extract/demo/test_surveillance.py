"""The generated set: the same for the same seed, true to its own truth, split by camera, and without give-aways."""

import shutil
from pathlib import Path

import av
import numpy as np
import pytest

from tests.support.profiles import LONG, some
from vadprobe.extract.demo.scripts import write_scripts
from vadprobe.extract.demo.surveillance import dataset_of, make_surveillance_set
from vadprobe.extract.video.decoder import Decoder
from vadprobe.store.datasets.annotations.text_files import read_ucf_crime
from vadprobe.store.datasets.configuration import AnnotationConfig, DatasetConfig
from vadprobe.store.datasets.dataset import Dataset
from vadprobe.store.datasets.sources import open_dataset
from vadprobe.store.errors import VadprobeError, VideoError

SECONDS = (0.3, 0.7) if LONG else (0.3, 0.4)
"""Shorter than any real set; the truncated video alone has more than 100 frames."""


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Dataset]:
    folder = tmp_path_factory.mktemp("set")
    return folder, make_surveillance_set(folder, n_videos=16, seconds=SECONDS, workers=1)


def test_every_whole_file_decodes_to_its_frame_count_in_h264(small: tuple[Path, Dataset]) -> None:
    folder, dataset = small
    for video in dataset.videos:
        if video.video_id.startswith("truncated"):
            continue
        with av.open(str(folder / "videos" / video.path)) as file:
            stream = file.streams.video[0]
            assert (stream.codec_context.name, stream.width, stream.height) == ("h264", 320, 240)
            assert sum(1 for _ in file.decode(video=0)) == video.n_frames


def test_the_truncated_file_claims_its_frames_but_is_only_read_to_where_it_was_cut(small: tuple[Path, Dataset]) -> None:
    folder, dataset = small
    video = dataset.by_id["truncated_00_4"]
    assert video.split == "train"
    path = folder / "videos" / video.path
    with av.open(str(path)) as file:
        assert file.streams.video[0].frames == video.n_frames
    with Decoder(120) as decoder:
        n_frames, _ = decoder.probe(path)
        assert 0 < n_frames < (video.n_frames or 0)
        assert len(decoder.read_clip(path, [0, n_frames - 2])) == 2
        with pytest.raises(VideoError, match="the video ends before the frames asked for"):
            decoder.read_clip(path, [n_frames])


def test_the_text_truth_is_the_manifest_of_the_test_videos(small: tuple[Path, Dataset]) -> None:
    folder, dataset = small
    text = AnnotationConfig(format="ucf-crime", path="ucf-crime/Temporal_Anomaly_Annotation_for_Testing_Videos.txt")
    lines = read_ucf_crime(folder / text.path).checked()
    assert {line.video_id for line in lines} == {video.video_id for video in dataset.of_split("test")}
    annotated = open_dataset(DatasetConfig(name="again", videos="videos", annotations=(text,)), folder)
    for video in dataset.of_split("test"):
        assert annotated.by_id[video.video_id].label == video.label
        n_frames = video.n_frames or 0
        assert np.array_equal(annotated.truth(video.video_id, n_frames), dataset.truth(video.video_id, n_frames))


def test_a_finished_set_is_left_alone_and_a_lost_file_is_made_again_byte_for_byte(
    small: tuple[Path, Dataset], tmp_path: Path
) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(small[0], folder)
    path = folder / "videos" / small[1].videos[1].path
    kept = folder / "videos" / small[1].videos[2].path
    before, stamp = path.read_bytes(), kept.stat().st_mtime_ns
    path.unlink()
    assert make_surveillance_set(folder, n_videos=16, seconds=SECONDS, workers=1).truth_digest == small[1].truth_digest
    assert path.read_bytes() == before
    assert kept.stat().st_mtime_ns == stamp


@pytest.mark.parametrize(("workers", "filling"), [(2, "85"), (1, "170")])
def test_bytes_depend_neither_on_the_workers_nor_on_what_their_memory_held_before(
    small: tuple[Path, Dataset], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: int, filling: str
) -> None:
    # glibc then fills new memory with the complement of this byte, so an encoder that reads what it never wrote is
    # found out; fresh memory is otherwise mostly zero, and such a fault seldom shows.
    monkeypatch.setenv("MALLOC_PERTURB_", filling)
    again = tmp_path / "again"
    shutil.copytree(small[0], again)
    lost = some(sorted(path.name for path in (again / "videos").iterdir()), 3, seed=workers)
    for name in lost:
        (again / "videos" / name).unlink()
    make_surveillance_set(again, n_videos=16, seconds=SECONDS, workers=workers)
    assert [name for name in lost if _content(again, name) != _content(small[0], name)] == []


def _content(folder: Path, name: str) -> bytes:
    return (folder / "videos" / name).read_bytes()


def test_the_encoder_runs_without_what_makes_its_bytes_vary(small: tuple[Path, Dataset]) -> None:
    # The test above sees the fault on processors with AVX-512 only; x264 writes its settings into every file.
    for path in (small[0] / "videos").iterdir():
        settings = path.read_bytes().partition(b" - options: ")[2].split(b"\0")[0].split()
        assert {b"threads=1", b"lookahead_threads=1", b"sliced_threads=0", b"mbtree=0"} <= set(settings), path.name


def test_a_set_of_another_seed_in_the_same_folder_is_refused(small: tuple[Path, Dataset]) -> None:
    with pytest.raises(VadprobeError, match="holds another surveillance set"):
        make_surveillance_set(small[0], seed=5, n_videos=16, seconds=SECONDS)


def test_the_dataset_says_what_the_scripts_show() -> None:
    scripts = write_scripts(0, 16)
    dataset = dataset_of(scripts, Path("videos"))
    for script in scripts:
        assert np.array_equal(dataset.truth(script.video_id, script.shot.n_frames), script.shot.truth)
