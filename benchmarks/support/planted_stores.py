"""Feature stores of any size with a planted signal, written by the real writer, one partition in memory at a time.

Run `python -m benchmarks.support.planted_stores FOLDER` to make a data set with its stores; the truth is printed as
JSON.
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from benchmarks.support.planted_signal import PlantedSignal, Planting, Truth, planted_heads, planted_labels
from vadprobe.store.datasets.dataset import Dataset, write_manifest
from vadprobe.store.datasets.probed_videos import VideoFacts, write_video_facts
from vadprobe.store.datasets.video import Interval, Split, Video
from vadprobe.store.format.clip_table import ClipTable
from vadprobe.store.format.layout import DatasetLayout
from vadprobe.store.format.prompts import Prompt
from vadprobe.store.format.sampling import Sampling
from vadprobe.store.format.schema import PARTITION_ROWS
from vadprobe.store.format.specification import BackboneSpec, FeatureSpec, Head
from vadprobe.store.format.stored_parts import StoredParts
from vadprobe.store.writing.partition_data import PartitionData
from vadprobe.store.writing.writer import plan

__all__ = ["PlantedStores", "Planting", "Truth", "planted_heads", "write_planted_stores"]

SAMPLING = Sampling("segment", 24, 8)
_SHARES: tuple[tuple[Split, float], ...] = (("train", 0.6), ("validation", 0.2), ("test", 0.2))


@dataclass(frozen=True, eq=False)
class PlantedStores:
    """Stores that were written below a folder.

    `labels` and `groups` (n_clips,) int64 are the class and the video of every row; `stores` are paths by prompt.
    """

    dataset: Dataset
    truth: Truth
    stores: dict[str, Path]
    labels: np.ndarray
    groups: np.ndarray


def write_planted_stores(
    root: Path,
    planting: Planting,
    n_videos: int,
    clips_per_video: int,
    *,
    anomalous: float = 0.5,
    positive_share: float = 1.0,
    layers: Sequence[int] | None = None,
    heads: Sequence[Head] | None = None,
    repeat: bool = False,
    failed: Sequence[int] = (),
    name: str = "planted",
) -> PlantedStores:
    """Write manifest, clip table and one store for each prompt, in bfloat16.

    Args:
        root: `root/features` is the stores' root, `root/manifest` the manifest.
        planting: what is planted.
        n_videos, clips_per_video: numbers of videos, and of clips of 24 frames in each.
        anomalous: share of anomalous videos, equal in all splits.
        positive_share: share of an anomalous video's clips that are in the anomalous interval, in its middle.
        layers, heads: layers and heads that the stores hold; None for all.
        repeat: use one random partition of noise again and again, with its rows in other orders: much faster, but rows
            are no longer independent.
        failed: rows that are written as failed.
        name: name of the data set.
    """
    signal = PlantedSignal(planting)
    of_video = planted_labels(n_videos, anomalous, planting.seed)
    dataset = _dataset(name, of_video, clips_per_video, positive_share)
    write_manifest(dataset, root / "manifest")
    layout = DatasetLayout(root / "features", name)
    probes = [VideoFacts(v.video_id, v.split, v.n_frames, v.fps, f"{v.video_id:0>64}") for v in dataset.videos]
    write_video_facts(probes, layout.videos)
    clips = ClipTable.build(dataset.videos, [probe.fingerprint for probe in probes], SAMPLING)
    groups = clips.video_codes.astype(np.int64)
    labels = np.zeros(len(clips), dtype=np.int64)
    first, stop = _anomaly(clips_per_video, positive_share)
    labels[(of_video[groups] == 1) & (clips.indices >= first) & (clips.indices < stop)] = 1
    shows = signal.shows(of_video)[groups] & (labels == 1)
    backbone = BackboneSpec(
        "planted",
        "planted",
        "planted",
        "sha256:0",
        "bfloat16",
        "sdpa",
        planting.n_layers,
        planting.n_heads,
        planting.head_dim,
        planting.hidden_size,
    )
    contents = StoredParts.of(backbone, len(clips), layers, heads)
    stores = {}
    for number, prompt in enumerate(planting.prompts):
        asked = Prompt(prompt, f"Is something wrong in this video? Asked in the way {prompt!r}.")
        spec = FeatureSpec(name, clips.digest, len(clips), SAMPLING, backbone, asked)
        stores[prompt] = layout.store(SAMPLING, backbone.key, prompt)
        writer = plan(stores[prompt], spec, clips, contents)
        draw = _Partitions(signal, number, spec, contents, repeat)
        for partition in writer.missing():
            rows = contents.rows(partition, len(clips))
            data = draw.partition(partition, labels[rows] == 1, shows[rows], groups[rows])
            writer.write_partition(partition, _with_failures(data, rows, failed))
        writer.commit()
    return PlantedStores(dataset, signal.truth, stores, labels, groups)


class _Partitions:
    """Draws the partitions of one prompt, without the layers and heads that the store does not hold."""

    def __init__(
        self, signal: PlantedSignal, prompt: int, spec: FeatureSpec, contents: StoredParts, repeat: bool
    ) -> None:
        self._signal, self._prompt, self._spec, self._repeat = signal, prompt, spec, repeat
        backbone = spec.backbone
        self._layers = list(range(backbone.n_layers + 1) if contents.layers is None else contents.layers)
        held = range(backbone.n_layers) if contents.heads is None else sorted({block for block, _ in contents.heads})
        self._blocks = list(held)
        self._repeated: tuple[np.ndarray, np.ndarray] | None = None

    def partition(self, number: int, positive: np.ndarray, shows: np.ndarray, videos: np.ndarray) -> PartitionData:
        """Return the features of one partition."""
        hidden, heads = self._noise(number, len(positive))
        data = PartitionData.empty(self._spec, len(positive))
        data.hidden_states[:, self._layers] = self._signal.hidden_states(hidden, shows, videos, self._layers)
        data.head_outputs[:, self._blocks] = self._signal.heads(
            heads, self._prompt, positive, shows, videos, self._blocks
        )
        # the answers are a little better than chance, as a real model's are
        data.answer_logits[:] = np.random.default_rng([self._signal.planting.seed, 11, number]).normal(
            np.stack([shows, ~shows], axis=1).astype(np.float64)
        )
        for values in (data.hidden_states, data.head_outputs, data.answer_logits):
            values.view(np.uint32)[...] &= np.uint32(0xFFFF0000)  # the nearest bfloat16 towards zero
        return data

    def _noise(self, number: int, count: int) -> tuple[np.ndarray, np.ndarray]:
        if not self._repeat:
            return self._drawn(count, number + 1)
        if self._repeated is None:
            self._repeated = self._drawn(PARTITION_ROWS, 0)
        rows = np.random.default_rng([self._signal.planting.seed, 12, number]).permutation(PARTITION_ROWS)[:count]
        return self._repeated[0][rows], self._repeated[1][rows]

    def _drawn(self, count: int, stream: int) -> tuple[np.ndarray, np.ndarray]:
        return (
            self._signal.hidden_noise(count, self._prompt, [stream], self._layers),
            self._signal.head_noise(count, self._prompt, [stream], self._blocks),
        )


def _dataset(name: str, labels: np.ndarray, clips_per_video: int, positive_share: float) -> Dataset:
    n_frames = clips_per_video * (SAMPLING.clip_length or 0)
    splits: list[Split] = []
    for split, share in _SHARES:
        splits += [split] * round(share * len(labels))
    splits = (splits + ["test"] * len(labels))[: len(labels)]
    videos, intervals = [], []
    first, stop = (clip * (SAMPLING.clip_length or 0) for clip in _anomaly(clips_per_video, positive_share))
    for number, (label, split) in enumerate(zip(labels.tolist(), splits, strict=True)):
        video = f"video{number:06d}"
        videos.append(Video(video, f"{video}.mp4", n_frames, 25.0, split, label, "planted" if label else None))
        if label:
            intervals.append(Interval(video, first, stop, "planted"))
    return Dataset(name, Path(), tuple(videos), tuple(intervals))


def _anomaly(clips_per_video: int, positive_share: float) -> tuple[int, int]:
    """Return the clips `[first, stop)` of an anomalous video that are anomalous, at least one."""
    count = max(1, round(positive_share * clips_per_video))
    first = (clips_per_video - count) // 2
    return first, first + count


def _with_failures(data: PartitionData, rows: slice, failed: Sequence[int]) -> PartitionData:
    here = [row for row in failed if rows.start <= row < rows.stop]
    for values in (data.hidden_states, data.head_outputs, data.answer_logits):
        values[[row - rows.start for row in here]] = np.nan
    failures = dict.fromkeys(here, "decord cannot decode these frames")
    return PartitionData(data.hidden_states, data.head_outputs, data.answer_logits, failures)


def main() -> None:
    """Read the sizes, write the stores, print the truth."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--videos", type=int, default=100)
    parser.add_argument("--clips", type=int, default=20, help="of each video")
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--heads", type=int, default=8, help="of each layer")
    parser.add_argument("--head-dim", type=int, default=32)
    parser.add_argument("--hidden", type=int, default=256)
    parser.add_argument("--strength", type=float, default=Planting.strength)
    parser.add_argument("--covariance", type=int, default=2, help="covariance-only heads")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    planting = Planting(
        n_layers=arguments.layers,
        n_heads=arguments.heads,
        head_dim=arguments.head_dim,
        hidden_size=arguments.hidden,
        strength=arguments.strength,
        unstable=min(20, arguments.layers * arguments.heads // 3),
        covariance=arguments.covariance,
        layers=(max(1, arguments.layers // 2),),
        seed=arguments.seed,
    )
    written = write_planted_stores(arguments.folder, planting, arguments.videos, arguments.clips, positive_share=0.4)
    print(json.dumps({"truth": asdict(written.truth), "stores": {k: str(v) for k, v in written.stores.items()}}))


if __name__ == "__main__":
    main()
