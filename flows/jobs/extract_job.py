"""Stage 1 of a job in steps: prepare, compute what is pending, finish. The command line and the flow share it."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from vadprobe.analyze.detector.detector import Detector
from vadprobe.detect.backbone import described_spec
from vadprobe.extract.model.backbone import Description, check_described, describe
from vadprobe.extract.pipeline.claim_loop import Listener, compute_pending
from vadprobe.extract.pipeline.extraction import Extractor
from vadprobe.extract.pipeline.open_partition import ClipDone, PartitionKey
from vadprobe.extract.pipeline.planning import plan_extraction
from vadprobe.flows.jobs.job import Job
from vadprobe.store.catalog.store_card import write_card
from vadprobe.store.datasets.joining import missing_lines
from vadprobe.store.datasets.sources import open_dataset
from vadprobe.store.errors import StoreError, VadprobeError
from vadprobe.store.format.configuration import SamplingConfig
from vadprobe.store.format.prompts import POSITIONS
from vadprobe.store.progress import Progress

_LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True)
class ExtractionSummary:
    """Summary of an extraction: the work done, and the files and clips that could not be read."""

    n_clips: int
    n_computed: int
    n_partitions: int
    unreadable_videos: dict[str, str]
    failed_clips: dict[str, str]
    missing: tuple[str, ...] = ()
    cautions: tuple[str, ...] = ()

    @property
    def is_whole(self) -> bool:
        """True if every video with a file, and every clip, could be read."""
        return not self.unreadable_videos and not self.failed_clips

    def lines(self) -> Iterator[str]:
        """Yield the summary as sentences."""
        if self.n_computed == 0:
            yield f"Nothing to compute: all {self.n_clips} clips ({self.n_partitions} partitions) are in the store."
        else:
            yield f"Worked on {self.n_computed} of {self.n_clips} clips; {self.n_partitions} partitions are committed."
        yield from (f"Note: {caution}" for caution in self.cautions)
        if self.failed_clips:
            yield f"{len(self.failed_clips)} clips could not be read; their features are NaN."
        yield from missing_lines(self.missing)
        for video, reason in sorted(self.unreadable_videos.items()):
            yield f"Video not readable: {video}: {reason}"
        for clip, reason in sorted(self.failed_clips.items()):
            yield f"Clip not readable: {clip}: {reason}"


def prepare(job: Job, progress: Progress | None = None) -> Extractor:
    """Read the headers of the videos and create or open the stores; of the weights, only the headers are read."""
    dataset = open_dataset(job.config.dataset, job.workspace)  # before a hub is asked for the checkpoint
    description = describe(job.config.backbone, job.backbone_folder)
    check_described(description)
    samplings = [_limited(job, section, description) for section in job.config.sampling]
    plan = plan_extraction(dataset, job.root, samplings, job.prompts, description, job.config.extraction, progress)
    return Extractor(dataset, plan, description, job.config.extraction)


def without_new_videos(job: Job) -> Job:
    """Return a job that leaves videos for later which came after the run that it is a part of was planned."""
    extraction = job.config.extraction
    if extraction.new_videos != "append":
        return job
    later = extraction.model_copy(update={"new_videos": "later"})
    return replace(job, config=job.config.model_copy(update={"extraction": later}))


def _limited(job: Job, section: SamplingConfig, description: Description) -> SamplingConfig:
    """Return a sampling with the layers, heads and answers that its detector needs, if it names one.

    Raises:
        VadprobeError: if the job's features would not be those that the detector was fitted on; the part is named.
    """
    if section.detector is None:
        return section
    detector = Detector.read(job.workspace / section.detector)
    wanted = detector.features.prompt
    alike = [one for one in job.prompts if one.asks_as(wanted)]
    prompt = next((one for one in alike if one.position == wanted.position), (*alike, *job.prompts)[0])
    spec = described_spec(detector, description, job.config.extraction, prompt, section.sampling())
    differences = detector.differences(spec)
    if differences:
        raise VadprobeError(
            f"sampling {section.sampling().key!r}: the detector {section.detector} was fitted on other features than "
            f"the job computes: {'; '.join(differences)}. Use the detector's backbone, prompt and sampling, or leave "
            "detector out."
        )
    layers, heads = detector.selection.parts
    return section.model_copy(update={"layers": layers, "heads": heads, "answers": False})


def with_detector(job: Job, path: Path) -> Job:
    """Return a job limited to what a detector needs: its sampling, its prompt, its layers or heads.

    Raises:
        VadprobeError: if the job has no such sampling or prompt.
    """
    detector = Detector.read(path)
    mine = detector.features
    sections = [section for section in job.config.sampling if section.sampling() == mine.sampling]
    if not sections:
        raise VadprobeError(
            f"{path} was fitted on the sampling {mine.sampling.key}, which {job.path} has not; its samplings are "
            f"{', '.join(sampling.key for sampling in job.samplings)}."
        )
    read = mine.prompt
    prompts = [
        table.model_copy(update={"positions": (read.position,)})
        for table in job.config.prompt_tables
        if any(prompt.asks_as(read) and prompt.position == read.position for prompt in table.prompts())
    ]
    if not prompts:
        raise VadprobeError(
            f"{path} was fitted on the prompt {read.text!r} {POSITIONS[read.position][1]}, which is none of "
            f"{job.path}; its prompts are {', '.join(prompt.key for prompt in job.prompts)}."
        )
    section = sections[0].model_copy(update={"detector": str(path.resolve())})
    return replace(job, config=job.config.model_copy(update={"sampling": (section,), "prompts": tuple(prompts[:1])}))


def extract(job: Job) -> ExtractionSummary:
    """Do all steps of stage 1."""
    return extract_prepared(prepare(job), lambda computed: None)


def extract_prepared(extractor: Extractor, clip_done: ClipDone) -> ExtractionSummary:
    """Compute what is pending, beside any number of other workers, and commit.

    `clip_done` is called once for each pending clip, also for those that other workers compute.
    """

    def elsewhere(key: PartitionKey) -> None:
        count_elsewhere(extractor, key, clip_done)

    listener = Listener(tell=_LOGGER.warning, clip_done=clip_done, elsewhere=elsewhere)
    return finish(extractor, compute_pending(extractor, listener))


def count_elsewhere(extractor: Extractor, key: PartitionKey, clip_done: ClipDone) -> None:
    """Count the clips of a partition that another worker has computed."""
    for _ in range(extractor.n_rows(*key)):
        clip_done(True)


def n_clips(extractor: Extractor, keys: Sequence[PartitionKey]) -> int:
    """Count the clips of some partitions."""
    return sum(extractor.n_rows(*key) for key in keys)


def _write_cards(extractor: Extractor) -> None:
    """Write the card beside every backbone's stores; without it they are whole all the same."""
    for folder in {writer.path.parent for sampling in extractor.plan.samplings for writer in sampling.writers}:
        try:
            write_card(folder)
        except StoreError as error:
            _LOGGER.warning("%s (the stores are whole without it; 'vadprobe card %s' writes it later)", error, folder)


def finish(extractor: Extractor, computed: Sequence[PartitionKey]) -> ExtractionSummary:
    """Commit every store, write the cards, and return what was done."""
    failures = extractor.commit()
    _write_cards(extractor)
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
        cautions=extractor.plan.cautions,
    )
