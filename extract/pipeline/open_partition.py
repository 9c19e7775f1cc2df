"""A partition that is being computed: its waiting clips, its features and failures so far."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import groupby
from typing import NamedTuple

from vadprobe.extract.families.pixels import Frames
from vadprobe.extract.pipeline.planning import SamplingPlan
from vadprobe.extract.pipeline.timings import PassKind
from vadprobe.extract.video.decode_pool import DecodedClip
from vadprobe.store.claims.claim import Claim, ClaimLostError
from vadprobe.store.format.schema import partition_rows
from vadprobe.store.writing.partition_data import PartitionData
from vadprobe.store.writing.writer import StoreWriter

ClipDone = Callable[[bool], None]
"""Called after each clip with whether its features were computed."""

Clip = DecodedClip["OpenPartition", Frames]
"""A clip as it comes from the decoders, with its partition."""


class PartitionKey(NamedTuple):
    """Position of a sampling in the plan, and a partition of it."""

    position: int
    partition: int


@dataclass
class OpenPartition:
    """A partition of a sampling under a claim.

    Attributes:
        key: which partition it is.
        sampling: its sampling.
        claim: the claim on it that this worker holds.
        writers: of the prompts that lack it.
        clip_done: called after each clip.
        failures: reasons by row of the clips that cannot be read.
        waiting: decoded clips that wait for the model.
        batch_sizes: numbers of clips that went through the model at once.
        lost: set once another worker has taken the partition over.
    """

    key: PartitionKey
    sampling: SamplingPlan
    claim: Claim
    writers: Sequence[StoreWriter]
    clip_done: ClipDone
    failures: dict[int, str] = field(default_factory=dict)
    waiting: list[Clip] = field(default_factory=list)
    batch_sizes: set[int] = field(default_factory=set)
    lost: ClaimLostError | None = None
    _data: list[PartitionData] | None = None

    def __post_init__(self) -> None:
        rows = partition_rows(self.key.partition, len(self.sampling.clips))
        self.rows = range(rows.start, rows.stop)
        self.n_left = len(self.rows)

    @property
    def data(self) -> list[PartitionData]:
        """Features, per writer; NaN where they were not computed."""
        if self._data is None:
            self._data = [PartitionData.empty(writer.spec, len(self.rows)) for writer in self.writers]
        return self._data

    @property
    def kind(self) -> PassKind:
        """The kind of passes under which the partition's time is counted."""
        return PassKind(self.key.position, tuple(writer.spec.prompt.key for writer in self.writers), self.n_blocks)

    @cached_property
    def n_blocks(self) -> int:
        """Number of the language model's blocks that must run for what the writers keep."""
        n_layers = self.writers[0].spec.backbone.n_layers
        return max(writer.contents.blocks_needed(n_layers, self.key.partition) for writer in self.writers)

    def videos(self) -> Iterator[tuple[str, list[tuple[int, Sequence[int]]]]]:
        """Yield each video's name with the rows of its clips and their frame indices, in row order."""
        clips = [(row, self.sampling.clips.clip(row)) for row in self.rows]
        for video_id, same in groupby(clips, key=lambda item: item[1].video_id):
            yield video_id, [(row, clip.frame_indices) for row, clip in same]

    def seconds(self, clip: Clip) -> float:
        """Return the duration of a clip in seconds."""
        table = self.sampling.clips
        frames = int(table.stop_frames[clip.row] - table.start_frames[clip.row])
        return frames / float(table.fps[table.video_codes[clip.row]])

    def add(self, clip: Clip) -> None:
        """Take a clip of this partition as it comes from the decoder."""
        self.n_left -= 1
        if self.lost is not None:
            return
        if clip.frames is None:
            self.failures[clip.row] = clip.reason
            self.clip_done(False)
        else:
            self.waiting.append(clip)

    def positions(self, clips: Sequence[Clip]) -> list[int]:
        """Return the positions of clips within the partition."""
        return [clip.row - self.rows.start for clip in clips]

    def computed(self, clips: Sequence[Clip]) -> None:
        """Note that clips have their features, and check if this worker still holds the partition."""
        self.batch_sizes.add(len(clips))
        for _ in clips:
            self.clip_done(True)
        try:
            self.claim.check()  # a partition that was taken over is not worth computing on
        except ClaimLostError as error:
            self.lost, self._data = error, None
            self.waiting.clear()

    def is_wanted(self) -> bool:
        """Return False once the partition is lost: its other clips are not worth decoding."""
        return self.lost is None

    def write(self) -> None:
        """Write all prompts, unless the partition was lost; then the features are dropped."""
        try:
            for writer, features in zip(self.writers, self.data if self.lost is None else (), strict=False):
                is_open = writer.spec.recipe.get("batch_clips") == "auto"  # else the specification names the one size
                sizes = tuple(sorted(self.batch_sizes)) if is_open else ()
                whole = replace(features, failures=self.failures, batch_clips=sizes)
                writer.write_partition(self.key.partition, whole, self.claim)
        except ClaimLostError as error:
            self.lost = error
        finally:
            self._data = None
