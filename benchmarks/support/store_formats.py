"""The feature store as a format, read by this project, by zarr-python and by tensorstore."""

from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.support.read_patterns import Format, Pattern
from vadprobe.store.datasets.video import Video
from vadprobe.store.format.clip_table import ClipTable
from vadprobe.store.format.layout import DatasetLayout
from vadprobe.store.format.prompts import Prompt
from vadprobe.store.format.sampling import Sampling
from vadprobe.store.format.schema import PARTITION_ROWS, feature_arrays
from vadprobe.store.format.specification import BackboneSpec, FeatureSpec
from vadprobe.store.reading.feature_store import FeatureStore
from vadprobe.store.writing.writer import PartitionData, plan


class Direct(Format):
    """The store, read by FeatureStore."""

    prefix = "store"

    def path(self, n_clips: int) -> tuple[Path, FeatureSpec, ClipTable]:
        """Return the path of the store of `n_clips` clips, its specification and its clip table."""
        sampling = Sampling("segment", 24, 8)
        count, frames = self.sizes.video_clips, 24 * self.sizes.video_clips
        videos = [Video(f"{n}", f"{n}.mp4", frames, 25.0) for n in range(n_clips // count)]
        clips = ClipTable.build(videos, [f"{n:064x}" for n in range(len(videos))], sampling)
        backbone = BackboneSpec(
            "bench", "bench", "example/bench", "0", "bfloat16", "eager", self.sizes.blocks, self.sizes.heads,
            self.sizes.head_dim, 16,
        )  # fmt: skip
        prompt = Prompt("prompt", "Is it anomalous?")
        spec = FeatureSpec("bench", clips.digest, n_clips, sampling, backbone, prompt, {"device": "cpu"}, {})
        root = DatasetLayout(self.folder.parent / f"{self.prefix}-{n_clips}", "bench")
        return root.store(sampling, "bench", "prompt"), spec, clips

    def write(self, partition: int, values: np.ndarray) -> None:
        if partition == 0:
            self.writer = plan(*self.path(self.sizes.clips))
        hidden_states, _, answer_logits = feature_arrays(self.writer.spec.backbone, self.sizes.clips)
        rest = [np.zeros(array.rows(len(values)), values.dtype) for array in (hidden_states, answer_logits)]
        self.writer.write_partition(partition, PartitionData(rest[0], values, rest[1]))

    def finish(self) -> None:
        self.writer.commit()

    def open(self) -> None:
        self.store = FeatureStore.open(self.path(self.sizes.clips)[0])

    def read(self, wanted: Pattern) -> np.ndarray:
        if wanted.heads is None:
            return self.store.blocks(wanted.rows, range(self.sizes.blocks))
        return self.store.head_outputs(wanted.rows, wanted.heads)


class Compacted(Direct):
    """Five heads of the store of many rows, copied by 'vadprobe compact'."""

    prefix = "compact"


class ByZarr(Direct):
    """The same store, read by zarr-python."""

    def open(self) -> None:
        import zarr  # noqa: PLC0415

        self.array: Any = zarr.open_array(self.path(self.sizes.clips)[0] / "head_outputs", mode="r", zarr_format=3)

    def read(self, wanted: Pattern) -> np.ndarray:
        if wanted.heads is not None:
            begin, stop = int(wanted.rows[0]), int(wanted.rows[-1]) + 1
            return np.stack([self.array[begin:stop, block, head] for block, head in wanted.heads], axis=1)
        found = []
        for number in np.unique(wanted.rows // PARTITION_ROWS).tolist():  # faster than indexing scattered rows
            here = wanted.rows[wanted.rows // PARTITION_ROWS == number]
            found.append(np.asarray(self.array[here[0] : here[-1] + 1])[here - here[0]])
        return found[0] if len(found) == 1 else np.concatenate(found)


class ByTensorstore(Direct):
    """The same store, read by tensorstore."""

    needs = ("tensorstore",)

    def open(self) -> None:
        import tensorstore  # noqa: PLC0415

        path = self.path(self.sizes.clips)[0] / "head_outputs"
        source = {"driver": "zarr3", "kvstore": {"driver": "file", "path": str(path)}}
        self.array: Any = tensorstore.open(source, open=True).result()

    def read(self, wanted: Pattern) -> np.ndarray:
        begin, stop = int(wanted.rows[0]), int(wanted.rows[-1]) + 1
        if wanted.heads is not None:
            reads = [self.array[begin:stop, block, head].read() for block, head in wanted.heads]
            return np.stack([read.result() for read in reads], axis=1)
        rows = slice(begin, stop) if stop - begin == len(wanted.rows) else wanted.rows
        return np.asarray(self.array[rows].read().result())
