"""Real video files, where they are at hand: clips, truth and features of a UCF-Crime and an XD-Violence test video."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from tests.support.paths import SHARED
from vadprobe.flows.jobs.extract_job import extract, prepare
from vadprobe.flows.jobs.job import load_job
from vadprobe.store.reading.feature_store import FeatureStore
from vadprobe.store.verification.verify import verify

pytestmark = pytest.mark.skipif(
    not (SHARED / "videos").is_dir(), reason="the real videos (../shared/data/videos) are not here"
)
JOB = """\
workspace = "."
prompts = ["coarse", "question"]
[dataset]
name = "real"
videos = "{videos}"
annotations = [
  {{format = "ucf-crime", path = "{data}/ucf-crime/Temporal_Anomaly_Annotation_for_Testing_Videos.txt"}},
  {{format = "xd-violence", path = "{data}/xd-violence/annotations.txt"}},
]
[store]
root = "features"
[[sampling]]
unit = "segment"
clip_length = {length}
frames_per_clip = {frames}
[backbone]
key = "tiny"
path = "{backbone}"
dtype = "float32"
frame_size = [56, 56]
[extraction]
threads = 1
"""
ROBBERY, GOLDENEYE = "Robbery102_x264", "GoldenEye.1995__#00-10-00_00-10-40_label_G-0-0"


def job(folder: Path, backbone: Path, videos: str, length: int, frames: int) -> Path:
    path = folder / "job.toml"
    path.write_text(JOB.format(videos=SHARED / videos, data=SHARED, length=length, frames=frames, backbone=backbone))
    return path


@pytest.mark.parametrize(("length", "frames", "robbery", "goldeneye"), [(24, 8, 77, 41), (48, 16, 39, 21)])
def test_every_frame_of_both_videos_is_in_exactly_one_clip(
    tmp_path: Path, tiny_backbones: Mapping[str, Path], length: int, frames: int, robbery: int, goldeneye: int
) -> None:
    extractor = prepare(load_job(job(tmp_path, tiny_backbones["qwen2_5_vl"], "videos", length, frames)))
    table = extractor.plan.samplings[0].clips
    for video, n_clips, n_frames in ((ROBBERY, robbery, 1827), (GOLDENEYE, goldeneye, 961)):
        rows = table.rows_of([video])
        assert len(rows) == n_clips
        covered = np.concatenate([np.arange(table.start_frames[r], table.stop_frames[r]) for r in rows])
        assert np.array_equal(covered, np.arange(n_frames))
    truth = extractor.dataset.truth(ROBBERY, 1827)
    assert (np.flatnonzero(truth)[[0, -1]] == (1080, 1559)).all()
    assert len(extractor.plan.videos) == 20  # a file that cannot be read is a row too


def test_features_of_a_real_video_differ_between_clips_and_prompts(
    tmp_path: Path, tiny_backbones: Mapping[str, Path]
) -> None:
    path = job(tmp_path, tiny_backbones["qwen2_5_vl"], "videos/ucf-crime", 48, 4)
    # This folder holds no XD-Violence video, and an annotation that joins nothing is refused.
    path.write_text("".join(line for line in path.read_text().splitlines(True) if "xd-violence" not in line))
    loaded = load_job(path)
    extract(loaded)
    assert not any(verify(store).problems for store in loaded.stores)
    first, second = (FeatureStore.open(store) for store in loaded.stores)
    rows = np.arange(39)
    ones, others = (store.hidden_states(rows, [3])[:, 0] for store in (first, second))
    assert len(np.unique(ones, axis=0)) == 39
    assert (np.abs(ones - others).max(axis=1) > 1e-3).all()
