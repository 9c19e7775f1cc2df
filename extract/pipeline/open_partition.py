"""A partition that is being computed: what is known of its clips so far."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby

from vadprobe.extract.pipeline.planning import SamplingPlan
from vadprobe.extract.video.decode_pool import DecodedClip
from vadprobe.store.claims.claim import Claim, ClaimLostError
from vadprobe.store.writing.partition_data import PartitionData
from vadprobe.store.writing.writer import StoreWriter

ClipDone = Callable[[bool], None]
"""Called after each clip with whether its features were computed."""


@dataclass
class OpenPartition:
    """A partition of a sampling plan under a claim. ``batch`` are decoded clips that wait for the model."""

    position: int
    partition: int
    sampling: SamplingPlan
    claim: Claim
    writers: Sequence[StoreWriter]
    rows: slice
    n_left: int
    done: ClipDone
    failures: dict[int, str] = field(default_factory=dict)
    batch: list[DecodedClip] = field(default_factory=list)
    batch_sizes: set[int] = field(default_factory=set)
    lost: ClaimLostError | None = None
    _data: list[PartitionData] | None = None

    @property
    def data(self) -> list[PartitionData]:
        """The features, per writer; NaN where they were not computed."""
        if self._data is None:
            count = self.rows.stop - self.rows.start
            self._data = [PartitionData.empty(writer.spec, count) for writer in self.writers]
        return self._data

    @property
    def depth(self) -> int:
        """Blocks of the language model that some writer keeps something of."""
        n_layers = self.writers[0].spec.backbone.n_layers
        return max(writer.contents.depth(n_layers, self.partition) for writer in self.writers)

    def videos(self) -> Iterator[tuple[str, list[tuple[int, Sequence[int]]]]]:
        """Names of the videos with the rows of their clips and the frames wanted, in row order."""
        clips = [(row, self.sampling.clips.clip(row)) for row in range(self.rows.start, self.rows.stop)]
        for video_id, same in groupby(clips, key=lambda item: item[1].video_id):
            yield video_id, [(row, clip.frame_indices) for row, clip in same]

    def seconds(self, clip: DecodedClip) -> float:
        """How long a clip is."""
        table = self.sampling.clips
        frames = int(table.stop_frames[clip.row] - table.start_frames[clip.row])
        return frames / float(table.fps[table.video_codes[clip.row]])

    def add(self, clip: DecodedClip) -> None:
        """Take a clip of this partition as it comes from the decoder."""
        self.n_left -= 1
        if self.lost is not None:
            return
        if clip.frames is None:
            self.failures[clip.row] = clip.reason
            self.done(False)
        else:
            self.batch.append(clip)

    def positions(self, clips: Sequence[DecodedClip]) -> list[int]:
        """Where clips stand in the partition."""
        return [clip.row - self.rows.start for clip in clips]

    def computed(self, clips: Sequence[DecodedClip]) -> None:
        """Note that clips have their features, and whether the partition is still ours."""
        self.batch_sizes.add(len(clips))
        for _ in clips:
            self.done(True)
        try:
            self.claim.check()  # computing on for nothing helps nobody
        except ClaimLostError as error:
            self.lost, self._data = error, None
            self.batch.clear()

    def is_wanted(self) -> bool:
        """Whether the rest is worth decoding."""
        return self.lost is None

    def write(self) -> None:
        """Write all prompts, unless the partition was lost; then the features are let go."""
        try:
            for writer, features in zip(self.writers, self.data if self.lost is None else (), strict=False):
                whole = PartitionData(
                    features.hidden_states,
                    features.head_outputs,
                    features.answer_logits,
                    self.failures,
                    self._passes(writer),
                )
                writer.write_partition(self.partition, whole, self.claim)
        except ClaimLostError as error:
            self.lost = error
        finally:
            self._data = None

    def _passes(self, writer: StoreWriter) -> tuple[int, ...]:
        """Batch sizes that the specification leaves open."""
        return tuple(sorted(self.batch_sizes)) if writer.spec.recipe.get("batch_clips") == "auto" else ()
