"""Stage 1 of a job in steps: prepare, extract a span of partitions, finish. The command line and the flow share it."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from vadprobe.extract.backbone import describe
from vadprobe.extract.extraction import Extractor
from vadprobe.extract.planning import plan_extraction
from vadprobe.flows.job import Job
from vadprobe.store.joining import naming
from vadprobe.store.locking import sole_writer

Unit = tuple[int, int]
"""Position of a sampling plan and a partition of it."""


@dataclass(frozen=True)
class ExtractionSummary:
    """What an extraction did, and what could not be read."""

    n_clips: int
    n_computed: int
    n_partitions: int
    unreadable_videos: dict[str, str]
    failed_clips: dict[str, str]
    missing: tuple[str, ...] = ()

    def lines(self) -> Iterator[str]:
        """The summary as sentences."""
        if self.n_computed == 0:
            yield f"Nothing to compute: all {self.n_clips} clips ({self.n_partitions} partitions) are in the store."
        else:
            yield f"Worked on {self.n_computed} of {self.n_clips} clips; {self.n_partitions} partitions are committed."
        if self.failed_clips:
            yield f"{len(self.failed_clips)} clips could not be read; their features are NaN."
        yield from missing_lines(self.missing)
        for video, reason in sorted(self.unreadable_videos.items()):
            yield f"Video not readable: {video}: {reason}"
        for clip, reason in sorted(self.failed_clips.items()):
            yield f"Clip not readable: {clip}: {reason}"


def missing_lines(missing: Sequence[str]) -> Iterator[str]:
    """One sentence about videos of the dataset that have no file; none if all have one."""
    if missing:
        yield (
            f"{len(missing)} videos of the dataset have no file and are left out: {naming(missing)}; "
            "'vadprobe dataset audit' names them all."
        )


def prepare(job: Job, progress: Callable[[int, int], None] | None = None) -> Extractor:
    """Probe the videos and create or open the stores; no weights are loaded."""
    description = describe(job.config.backbone, job.backbone_folder)
    dataset = job.open_dataset()
    plan = plan_extraction(
        dataset, job.root, job.config.sampling, job.prompts, description, job.config.extraction, progress
    )
    return Extractor(dataset, plan, description, job.config.extraction)


def extract(job: Job, clip_done: Callable[[bool], None] | None = None) -> ExtractionSummary:
    """All steps of stage 1."""
    return extract_prepared(job, prepare(job), clip_done)


def extract_prepared(
    job: Job, extractor: Extractor, clip_done: Callable[[bool], None] | None = None
) -> ExtractionSummary:
    """Compute what is pending and commit."""
    with writing(job):
        units = extractor.pending()
        for position, partition in units:
            extractor.run(position, partition, clip_done)
        return finish(extractor, units)


@contextmanager
def writing(job: Job) -> Iterator[None]:
    """Hold the locks of the job's backbone folders."""
    with ExitStack() as stack:
        for sampling in job.samplings:
            stack.enter_context(sole_writer(job.layout.backbone(sampling, job.config.backbone.key)))
        yield


def n_clips(extractor: Extractor, units: Sequence[Unit]) -> int:
    """Clips in some units of work."""
    return sum(extractor.n_rows(position, partition) for position, partition in units)


def finish(extractor: Extractor, computed: Sequence[Unit]) -> ExtractionSummary:
    """Commit every store and say what was done."""
    failures = extractor.commit()
    named = {}
    for position, sampling in enumerate(extractor.plan.samplings):
        for row, reason in failures[position].items():
            clip = sampling.clips.clip(row)
            name = f"{clip.video_id} frames {clip.start_frame}-{clip.stop_frame - 1} ({sampling.sampling.key})"
            named[name] = reason
    return ExtractionSummary(
        n_clips=sum(len(sampling.clips) for sampling in extractor.plan.samplings),
        n_computed=n_clips(extractor, computed),
        n_partitions=sum(sampling.writers[0].n_partitions for sampling in extractor.plan.samplings),
        unreadable_videos=extractor.plan.unreadable,
        failed_clips=named,
        missing=extractor.dataset.missing,
    )
