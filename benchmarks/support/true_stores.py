"""Workspaces with planted stores for a data set of any size: calibration videos whole, segments whole or in parts.

Calibration videos are stored under five prompts. Segments of 24 frames are stored under the first prompt, whole or with
only the planted heads and layers; under further prompts, where asked for, with only the planted heads.
"""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.support.planted_signal import Head, PlantedSignal, Planting
from vadprobe.store.datasets.dataset import Dataset, write_manifest
from vadprobe.store.datasets.probed_videos import VideoFacts, write_video_facts
from vadprobe.store.format.clip_table import ClipTable
from vadprobe.store.format.layout import DatasetLayout
from vadprobe.store.format.prompts import SHIPPED
from vadprobe.store.format.sampling import Sampling
from vadprobe.store.format.schema import PARTITION_ROWS
from vadprobe.store.format.specification import BackboneSpec, FeatureSpec
from vadprobe.store.format.stored_parts import StoredParts
from vadprobe.store.writing.partition_data import PartitionData
from vadprobe.store.writing.writer import plan

SEGMENT, WHOLE = Sampling("segment", 24, 8), Sampling("video", None, 8)
PROMPTS = ("coarse", "detailed", "question", "guided", "role")
JOB = """\
workspace = "."
prompts = {prompts}
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
splits = ["validation", "test"]
[[sampling]]
unit = "video"
frames_per_clip = 8
splits = ["train"]
[backbone]
key = "planted"
path = "backbone"
[analysis]
preset = "{method}"
method = "{method}"
out = "{method}"
calibration = {{unit = "video", fraction = {fraction}}}
locator = {locator}
evaluation = {{resamples = {resamples}}}
"""
LOCATORS = {
    "headhunt": '{sigmas = [0.0, 0.4, 0.5, 1.0, 1.5, 2.0], threshold = "grid"}',
    "hiprobe": '{sigmas = [0.4], threshold = "adaptive"}',
}


def write_case(folder: Path, dataset: Dataset, planting: Planting, whole: bool = False, prompts: int = 1) -> int:
    """Write manifest and stores of a set, and return the number of segments.

    Args:
        folder: the workspace.
        dataset: its videos, all of them with frame counts.
        planting: what is planted; its prompts are `PROMPTS`.
        whole: store every head and layer of the segments under the first prompt.
        prompts: number of prompts under which segments are stored.
    """
    write_manifest(dataset, folder / "manifest")
    signal = PlantedSignal(planting)
    facts = [VideoFacts(v.video_id, v.split, v.n_frames, v.fps, f"{n:0>64}") for n, v in enumerate(dataset.videos)]
    write_video_facts(facts, DatasetLayout(folder / "features", dataset.name).videos)
    count = 0
    for sampling in (WHOLE, SEGMENT):
        videos = [video for video in dataset.videos if (video.split == "train") == (sampling is WHOLE)]
        clips = ClipTable.build(videos, [f"{dataset.videos.index(video):0>64}" for video in videos], sampling)
        count = len(clips)
        for number in range(len(PROMPTS) if sampling is WHOLE else prompts):
            is_full = sampling is WHOLE or (whole and number == 0)
            chosen = (None, None) if is_full else (planting.layers, _informative(signal, number))
            _write_store(folder, dataset, clips, number, chosen, signal)
    return count


def _informative(signal: PlantedSignal, number: int) -> tuple[Head, ...]:
    """Return the robust heads, and for a prompt other than the first also its unstable heads."""
    alone = signal.truth.unstable[PROMPTS[number]] if number else ()
    return tuple(sorted({*signal.truth.robust, *alone}))


def _write_store(
    folder: Path,
    dataset: Dataset,
    clips: ClipTable,
    number: int,
    chosen: tuple[Sequence[int] | None, Sequence[Head] | None],
    signal: PlantedSignal,
) -> None:
    """Write the store of one sampling and one prompt, with these layers and heads, or all where they are None."""
    planting, sampling = signal.planting, clips.sampling
    shape = planting.n_layers, planting.n_heads, planting.head_dim, planting.hidden_size
    backbone = BackboneSpec("planted", "planted", "planted", "sha256:0", "bfloat16", "sdpa", *shape)
    parts = StoredParts.of(backbone, len(clips), *chosen)
    prompt = PROMPTS[number]
    spec = FeatureSpec(dataset.name, clips.digest, len(clips), sampling, backbone, SHIPPED[prompt])
    place = DatasetLayout(folder / "features", dataset.name).store(sampling, backbone.key, prompt)
    writer, positive = plan(place, spec, clips, parts), _positive(dataset, clips)
    draw = _Drawing(signal, number, spec, parts)
    for partition in writer.missing():
        rows = parts.rows(partition, len(clips))
        writer.write_partition(partition, draw.partition(partition, positive[rows], clips.video_codes[rows]))
    writer.commit()


def write_job(folder: Path, name: str, method: str, fraction: float, resamples: int) -> Path:
    """Write the job file of a method that is fitted on a fraction of the training videos, and return its path."""
    values = {"prompts": json.dumps(PROMPTS), "name": name, "method": method, "locator": LOCATORS[method]}
    path = folder / f"{method}.toml"
    path.write_text(JOB.format(**values, fraction=fraction, resamples=resamples))
    return path


def _positive(dataset: Dataset, clips: ClipTable) -> np.ndarray:
    """Return (n,) bool: clips with at least half of their frames in an anomalous interval; whole videos with one."""
    found = np.zeros(len(clips), dtype=bool)
    for row in range(len(clips)):
        clip = clips.clip(row)
        if clips.sampling.unit == "video":
            found[row] = dataset.by_id[clip.video_id].label == 1
            continue
        spans = [(i.start_frame, i.stop_frame) for i in dataset.intervals_of(clip.video_id)]
        inside = sum(max(0, min(stop, clip.stop_frame) - max(start, clip.start_frame)) for start, stop in spans)
        found[row] = 2 * inside >= clip.stop_frame - clip.start_frame
    return found


class _Drawing:
    """Draws partitions of one store into the same arrays; all have the noise of one partition, in other orders."""

    def __init__(self, signal: PlantedSignal, prompt: int, spec: FeatureSpec, parts: StoredParts) -> None:
        planting = signal.planting
        self._signal, self._prompt = signal, prompt
        self._layers = list(range(planting.n_layers + 1)) if parts.layers is None else list(parts.layers)
        self._blocks = sorted({block for block, _ in parts.heads}) if parts.heads else list(range(planting.n_layers))
        self._rows = min(PARTITION_ROWS, spec.n_clips)
        self._data = PartitionData.empty(spec, self._rows)
        self._hidden = signal.hidden_noise(self._rows, prompt, [0], self._layers)
        self._heads = signal.head_noise(self._rows, prompt, [0], self._blocks)

    def partition(self, number: int, positive: np.ndarray, videos: np.ndarray) -> PartitionData:
        """Return the features of one partition; the next call overwrites them."""
        count, generator = len(positive), np.random.default_rng([self._prompt, number])
        order = generator.permutation(self._rows)[:count]
        logits = generator.normal(np.stack([positive, ~positive], axis=1).astype(np.float64))
        hidden = self._signal.hidden_states(self._hidden[order], positive, videos, self._layers)
        heads = self._signal.heads(self._heads[order], self._prompt, positive, positive, videos, self._blocks)
        data = self._data
        found = PartitionData(data.hidden_states[:count], data.head_outputs[:count], data.answer_logits[:count])
        for target, places, values in (
            (found.hidden_states, self._layers, hidden),
            (found.head_outputs, self._blocks, heads),
            (found.answer_logits, slice(None), logits.astype(np.float32)),
        ):
            values.view(np.uint32)[...] &= np.uint32(0xFFFF0000)  # the nearest bfloat16 towards zero
            target[:, places] = values
        return found
