"""Feature stores with a planted signal: one head and one layer tell anomalous clips apart, the rest is noise.

The real writer writes them, so stage 2 runs on them as on extracted features.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vadprobe.store.datasets.dataset import Dataset, write_manifest
from vadprobe.store.datasets.probed_videos import VideoFacts, write_video_facts
from vadprobe.store.datasets.video import Interval, Split, Video
from vadprobe.store.format.clip_table import ClipTable
from vadprobe.store.format.layout import DatasetLayout
from vadprobe.store.format.prompts import SHIPPED
from vadprobe.store.format.sampling import Sampling
from vadprobe.store.format.schema import partition_rows
from vadprobe.store.format.specification import BackboneSpec, FeatureSpec
from vadprobe.store.writing.writer import PartitionData, plan

BACKBONE = BackboneSpec("tiny", "qwen2_5_vl", "tiny", "sha256:0", "float32", "sdpa", 3, 4, 8, 16)
LAYER, HEAD = 2, (1, 3)
SEGMENT, WHOLE = Sampling("segment", 24, 8), Sampling("video", None, 8)
PROMPTS = ("coarse", "detailed", "question")
JOB = """\
workspace = "."
prompts = ["coarse", "detailed", "question"]
[dataset]
name = "{name}"
format = "manifest"
videos = "videos"
manifest = "manifest"
[store]
root = "features"
[[sampling]]
unit = "segment"
clip_length = 24
frames_per_clip = 8
[[sampling]]
unit = "video"
frames_per_clip = 8
splits = ["train"]
[backbone]
key = "tiny"
path = "backbone"
dtype = "float32"
[analysis]
preset = "{method}"
method = "{method}"
out = "out-{method}"
top_heads = 1
workers = 0
calibration = {{unit = "video", fraction = 1.0}}
locator = {locator}
"""
LOCATORS = {
    "hiprobe": '{sigmas = [0.4], threshold = "adaptive"}',
    "headhunt": '{sigmas = [0.0, 1.0], threshold = "grid"}',
}


@dataclass(frozen=True)
class Planted:
    """A workspace with a manifest, stores of both samplings and a job file per method."""

    folder: Path
    dataset: Dataset

    def job(self, method: str) -> Path:
        return self.folder / f"{method}.toml"


def planted_dataset(other_test: bool = False, kinds: Sequence[str] = ("planted",), name: str = "planted") -> Dataset:
    """Return 16 training, 6 validation and 6 test videos, every other one with an anomaly of 96 frames.

    With `other_test` the labels of the test videos are exchanged. Anomalous videos take the kinds in turn.
    """
    videos, intervals = [], []
    splits: list[Split] = ["train"] * 16 + ["validation"] * 6 + ["test"] * 6
    for number, split in enumerate(splits):
        video_id, label = f"video{number:02d}", (number + (other_test and split == "test")) % 2
        kind = kinds[number // 2 % len(kinds)] if label else None
        videos.append(Video(video_id, f"{video_id}.mp4", 400 + 7 * number, 25.0, split, label, kind))
        if label:
            start = 48 + 24 * (number % 5)
            intervals.append(Interval(video_id, start, start + 96, kind))
    return Dataset(name, Path(), tuple(videos), tuple(intervals))


def write_planted(
    folder: Path,
    strength: float = 6.0,
    seed: int = 0,
    failed_row: int | None = None,
    other_test: bool = False,
    recipe: Mapping[str, Any] | None = None,
    kinds: Sequence[str] = ("planted",),
    name: str = "planted",
    backbone: BackboneSpec = BACKBONE,
) -> Planted:
    """Write everything that stage 2 reads.

    Args:
        folder: the workspace.
        strength: distance of the classes in deviations of the noise.
        seed: seed of the noise.
        failed_row: row of the segment table that is written as failed; None for none.
        other_test: give the test videos other features and labels; everything else stays bit for bit.
        recipe: recipe of the stores.
        kinds: categories of the anomalous videos, in turn.
        name: name of the dataset.
        backbone: a backbone that has layer `LAYER`, and `HEAD` if it has heads.
    """
    dataset = planted_dataset(other_test, kinds, name)
    write_manifest(dataset, folder / "manifest")
    layout = DatasetLayout(folder / "features", dataset.name)
    probes = [VideoFacts(v.video_id, v.split, v.n_frames, v.fps, "f" + v.video_id) for v in dataset.videos]
    broken = VideoFacts("broken", "train", None, None, "x", "the file is empty (0 bytes)")
    write_video_facts([*probes, broken], layout.videos)
    rng = np.random.default_rng(seed)
    for sampling in (SEGMENT, WHOLE):
        videos = [video for video in dataset.videos if sampling is SEGMENT or video.split == "train"]
        clips = ClipTable.build(videos, ["f" + video.video_id for video in videos], sampling)
        positive = np.array([_is_positive(dataset, clips, row) for row in range(len(clips))])
        mirrored = np.zeros(len(clips), dtype=bool)
        if other_test:
            mirrored[clips.rows_of(video.video_id for video in dataset.of_split("test"))] = True
        for prompt in PROMPTS:
            place = (dataset.name, clips.digest, len(clips), sampling, backbone, SHIPPED[prompt])
            spec = FeatureSpec(*place, recipe=dict(recipe or {}))
            writer = plan(layout.store(sampling, backbone.key, prompt), spec, clips)
            for partition in writer.missing():
                rows = partition_rows(partition, len(clips))
                failed = failed_row if sampling is SEGMENT else None
                signal = positive[rows] * strength
                writer.write_partition(partition, _partition(spec, rows, signal, mirrored[rows], rng, failed))
            writer.commit()
    for method, locator in LOCATORS.items():
        (folder / f"{method}.toml").write_text(JOB.format(name=name, method=method, locator=locator))
    return Planted(folder, dataset)


def _is_positive(dataset: Dataset, clips: ClipTable, row: int) -> bool:
    clip = clips.clip(row)
    truth = dataset.truth(clip.video_id, clip.stop_frame)
    if clips.sampling.unit == "video":
        return bool(truth.any())
    return bool(truth[clip.start_frame :].mean() >= 0.5)


def _partition(
    spec: FeatureSpec,
    rows: slice,
    signal: np.ndarray,
    mirrored: np.ndarray,
    rng: np.random.Generator,
    failed_row: int | None,
) -> PartitionData:
    count = rows.stop - rows.start
    data = PartitionData.empty(spec, count)
    for values in (data.hidden_states, data.head_outputs, data.answer_logits):
        values[:] = rng.standard_normal(values.shape, dtype=np.float32)
        values[mirrored] *= -1
    data.hidden_states[:, LAYER] += signal[:, None]
    if spec.backbone.heads:
        data.head_outputs[:, HEAD[0], HEAD[1]] += signal[:, None]
    for block, (_, width) in enumerate(spec.backbone.head_shapes):
        data.head_outputs[:, block, :, width:] = 0
    if failed_row is None or not rows.start <= failed_row < rows.stop:
        return data
    for values in (data.hidden_states, data.head_outputs, data.answer_logits):
        values[failed_row - rows.start] = np.nan
    failures = {failed_row: "decord cannot decode these frames"}
    return PartitionData(data.hidden_states, data.head_outputs, data.answer_logits, failures)


@contextmanager
def blank_pictures() -> Iterator[None]:
    """Draw no pictures inside: they take nine tenths of the time of a small analysis."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("vadprobe.analyze.figures.style.png", lambda *given, **named: b"\x89PNG")
        yield
