"""Planning of stage 1: probe the videos, cut them into clips, create the stores. No weights are loaded."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from vadprobe.extract.configuration import ExtractionConfig
from vadprobe.extract.model.checkpoint.card import card_recipe
from vadprobe.extract.model.checkpoint.outline import PlannedBackbone, versions
from vadprobe.extract.pipeline.probing import keep_probes, probe_videos, unusual
from vadprobe.extract.pipeline.recipe import input_recipe
from vadprobe.store.datasets.dataset import Dataset
from vadprobe.store.datasets.joining import naming
from vadprobe.store.datasets.probed_videos import VideoFacts
from vadprobe.store.datasets.video import SPLITS, Video
from vadprobe.store.errors import VadprobeError
from vadprobe.store.files.location import StorePath
from vadprobe.store.files.text import first_few
from vadprobe.store.format.clip_table import ClipTable
from vadprobe.store.format.configuration import SamplingConfig
from vadprobe.store.format.layout import DatasetLayout
from vadprobe.store.format.prompts import Prompt
from vadprobe.store.format.sampling import Sampling
from vadprobe.store.format.schema import PARTITION_ROWS, partition_rows, storage_dtype
from vadprobe.store.format.specification import BackboneSpec, FeatureSpec
from vadprobe.store.format.stored_parts import StoredParts
from vadprobe.store.progress import Progress
from vadprobe.store.writing.clip_order import continue_table
from vadprobe.store.writing.disk_space import n_objects, n_values, require_space, require_writable, stored_bytes
from vadprobe.store.writing.writer import StoreWriter, plan


@dataclass(frozen=True)
class SamplingPlan:
    """The stores of one sampling: one per prompt, all with the same rows."""

    sampling: Sampling
    clips: ClipTable
    writers: tuple[StoreWriter, ...]

    def pending(self) -> list[int]:
        """Return the partitions that at least one prompt still lacks, ascending."""
        return sorted({partition for writer in self.writers for partition in writer.missing()})

    @property
    def n_bytes(self) -> int:
        """Bytes of all features of this sampling before compression."""
        return sum(
            n_values(writer.spec, writer.contents, partition) * storage_dtype(writer.spec.backbone.dtype).itemsize
            for writer in self.writers
            for partition in writer.partitions
        )

    @property
    def n_bytes_missing(self) -> int:
        """Estimated bytes on the disk of the partitions not written yet."""
        return sum(stored_bytes(writer.spec, writer.contents, writer.missing()) for writer in self.writers)

    @property
    def n_objects_missing(self) -> int:
        """Number of files or objects that the partitions not written yet will have."""
        return sum(n_objects(writer.spec, writer.contents, writer.missing()) for writer in self.writers)


@dataclass(frozen=True)
class ExtractionPlan:
    """All that stage 1 of a job has to do.

    Attributes:
        videos: facts of every video of the dataset, readable or not.
        samplings: the stores of each sampling.
        notes: sentences for the user on new videos, unusual files, and work that will take longer than it could.
    """

    videos: tuple[VideoFacts, ...]
    samplings: tuple[SamplingPlan, ...]
    notes: tuple[str, ...] = ()

    @property
    def n_clips_missing(self) -> int:
        """Clips of the partitions that at least one prompt still lacks."""
        return sum(
            rows.stop - rows.start
            for sampling in self.samplings
            for rows in (partition_rows(partition, len(sampling.clips)) for partition in sampling.pending())
        )

    @property
    def unreadable(self) -> dict[str, str]:
        """Reasons by name of the videos that cannot be opened."""
        return {video.video_id: video.reason for video in self.videos if video.reason is not None}

    def commit(self) -> list[dict[int, str]]:
        """Commit every store.

        Returns:
            Per sampling plan, the rows that failed for any prompt with their reasons.

        Raises:
            StoreError: if a partition is not written.
        """
        result = []
        for sampling in self.samplings:
            failures: dict[int, str] = {}
            for writer in sampling.writers:
                failures.update(writer.commit())
            result.append(failures)
        return result

    @property
    def cautions(self) -> tuple[str, ...]:
        """Sentences on what the features may be used for, as the backbone's card and the videos decide."""
        specs = [writer.spec for sampling in self.samplings for writer in sampling.writers]
        return tuple(dict.fromkeys(note for spec in specs for note in spec.notes))


def plan_extraction(
    dataset: Dataset,
    root: StorePath,
    samplings: Sequence[SamplingConfig],
    prompts: Sequence[Prompt],
    description: PlannedBackbone,
    config: ExtractionConfig,
    progress: Progress | None = None,
) -> ExtractionPlan:
    """Probe the dataset's videos and create, or open, every store of the job.

    Raises:
        VadprobeError: if a sampling covers no readable video.
        StoreError: if a store of another specification is in the way, or the disk cannot hold what is to be computed,
            or the root is for reading.
    """
    require_writable(root)
    layout = DatasetLayout(root, dataset.name)
    wanted = {split for sampling in samplings for split in sampling.splits}
    videos = [video for video in dataset.videos if video.split in wanted]
    probes = probe_videos(dataset, videos, layout, config.decode_deadline, progress, config.reader)
    device = description.device_type(config.device)
    # All are cut before any store is created: a job that is refused leaves nothing behind.
    cuts = [_cut(dataset, probes, section, layout, description.spec.key, config) for section in samplings]
    appended = [note for _, note in cuts if note]
    plans = []
    for section, (clips, _) in zip(samplings, cuts, strict=True):
        contents = _contents(dataset, clips, description.spec, section)
        writers = tuple(
            plan(
                layout.store(section.sampling(), description.spec.key, prompt.key),
                _spec(dataset, clips, description, prompt, config, device),
                clips,
                contents,
                appends=config.new_videos == "append",
            )
            for prompt in prompts
        )
        plans.append(SamplingPlan(section.sampling(), clips, writers))
    require_space(root, sum(sampling.n_bytes_missing for sampling in plans))
    # Written only now: a plan that is refused must not replace the counts that belong to the stored clips.
    keep_probes(probes, layout)
    return ExtractionPlan(
        probes, tuple(plans), (*appended, *description.notes, *unusual(probes), *_unshared(plans, description, config))
    )


def _cut(
    dataset: Dataset,
    probes: Sequence[VideoFacts],
    section: SamplingConfig,
    layout: DatasetLayout,
    backbone: str,
    config: ExtractionConfig,
) -> tuple[ClipTable, str | None]:
    """Return the clip table of one sampling, and a sentence on its new videos.

    Training videos come first, so that calibration rows lie together, and new videos behind those that are stored.
    """
    readable = [probe for probe in probes if probe.reason is None and probe.split in section.splits]
    readable.sort(key=lambda probe: (SPLITS.index(dataset.by_id[probe.video_id].split), probe.video_id))
    if not readable:
        reasons = [f"{probe.video_id}: {probe.reason}" for probe in probes if probe.split in section.splits]
        unreadable = f" Not readable: {first_few(reasons)}." if reasons else ""
        raise VadprobeError(
            f"sampling {section.sampling().key!r} covers no readable video of dataset {dataset.name!r} "
            f"(splits {', '.join(section.splits)}); check the video folder and the splits (in a table of your "
            "own a video without one is of the split test), or leave this sampling out." + unreadable
        )
    videos = [
        Video(probe.video_id, dataset.by_id[probe.video_id].path, probe.n_frames, probe.fps) for probe in readable
    ]
    clips = ClipTable.build(videos, [probe.fingerprint for probe in readable], section.sampling())
    return continue_table(
        clips, layout.clips(section.sampling()), layout.backbone(section.sampling(), backbone), config.new_videos
    )


def _contents(dataset: Dataset, clips: ClipTable, backbone: BackboneSpec, section: SamplingConfig) -> StoredParts:
    """Return the parts that the stores of a sampling will hold."""
    full = [name for name in clips.video_ids if dataset.by_id[name].split in section.full_splits]
    rows = clips.rows_of(full)
    try:
        return StoredParts.of(
            backbone,
            len(clips),
            section.layers,
            section.heads,
            section.answers,
            full_partitions=sorted(set((rows // PARTITION_ROWS).tolist())),
        )
    except VadprobeError as error:
        raise VadprobeError(f"sampling {section.sampling().key!r}: {error}") from error


def _unshared(plans: Sequence[SamplingPlan], description: PlannedBackbone, config: ExtractionConfig) -> Iterator[str]:
    """Yield a sentence for each sampling in which some prompts share no tokens although the job asks for it."""
    if config.prefix == "independent" or not description.can_share_prefix:
        return
    for sampling in plans:
        texts = {w.spec.prompt.before for w in sampling.writers}
        if len(texts) > 1:
            yield (
                f"{sampling.sampling.key}: the prompts have {len(texts)} different texts before the video, "
                "so each of these texts needs its own pass over the video: only the tokens before the "
                "first difference are shared, and no frame is."
            )
        alone = [w.spec.prompt.key for w in sampling.writers if w.spec.recipe["prefix"] == "independent"]
        if alone:
            verb = "runs" if len(alone) == 1 else "run"
            yield (
                f"{sampling.sampling.key}: {naming(alone)} {verb} over the whole video again, because the checkpoint's "
                "chat template puts a prompt's text before the video, or into its tokens."
            )


def _spec(
    dataset: Dataset,
    clips: ClipTable,
    description: PlannedBackbone,
    prompt: Prompt,
    config: ExtractionConfig,
    device: str,
) -> FeatureSpec:
    return FeatureSpec(
        dataset=dataset.name,
        clips_digest=clips.digest,
        n_clips=len(clips),
        sampling=clips.sampling,
        backbone=description.spec,
        prompt=prompt,
        recipe={
            **input_recipe(description, prompt, clips.sampling, config, device),
            **card_recipe(description.card, dataset),
        },
        versions=versions(),
    )
