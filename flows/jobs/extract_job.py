"""Stage 1 of a job in steps: prepare, compute what is pending, finish. The command line and the flow share it."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from vadprobe.analyze.detector.detector import Detector
from vadprobe.detect.backbone.matching import described_spec
from vadprobe.extract.model.backbone import Description, check_described, describe
from vadprobe.extract.pipeline.claim_loop import Listener, compute_pending
from vadprobe.extract.pipeline.extraction import Extractor
from vadprobe.extract.pipeline.open_partition import ClipDone, PartitionKey
from vadprobe.extract.pipeline.planning import plan_extraction
from vadprobe.flows.jobs.job import Job
from vadprobe.flows.jobs.reports.extraction_summary import ExtractionSummary, finish_plan
from vadprobe.store.datasets.sources import open_dataset
from vadprobe.store.errors import VadprobeError
from vadprobe.store.format.configuration import SamplingConfig
from vadprobe.store.format.prompts import POSITIONS
from vadprobe.store.progress import Progress

_LOGGER = logging.getLogger(__name__)


def prepare(job: Job, progress: Progress | None = None) -> Extractor:
    """Read the headers of the videos and create or open the stores; of the weights, only the headers are read."""
    kept = job.kept_outline  # a checkpoint in a folder is checked first, a hub is asked last
    dataset = open_dataset(job.config.dataset, job.workspace)
    description = describe(job.config.backbone, job.backbone_folder)
    check_described(description)
    if kept is not None:
        kept.write(description)
    samplings = [_limited(job, section, description) for section in job.config.sampling]
    plan = plan_extraction(dataset, job.root, samplings, job.prompts, description, job.config.extraction, progress)
    return Extractor(dataset, plan, description, job.config.extraction)


def without_new_videos(job: Job) -> Job:
    """Return a job that ignores videos which a dataset gains after its stores were planned (`new_videos = "later"`)."""
    extraction = job.config.extraction
    if extraction.new_videos != "append":
        return job
    later = extraction.model_copy(update={"new_videos": "later"})
    return replace(job, config=job.config.model_copy(update={"extraction": later}))


def _limited(job: Job, section: SamplingConfig, description: Description) -> SamplingConfig:
    """Return a sampling limited to the layers, heads and answers that its detector needs, if it names a detector.

    Raises:
        VadprobeError: if the job's features would differ from those that the detector was fitted on; the error names
            the part.
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
            f"{path} was fitted on the sampling {mine.sampling.key}, which {job.path} does not have; its "
            f"samplings are {', '.join(sampling.key for sampling in job.samplings)}."
        )
    read = mine.prompt
    prompts = [
        table.model_copy(update={"positions": (read.position,)})
        for table in job.config.prompt_tables
        if any(prompt.asks_as(read) and prompt.position == read.position for prompt in table.prompts())
    ]
    if not prompts:
        raise VadprobeError(
            f"{path} was fitted on the prompt {read.text!r} {POSITIONS[read.position][1]}, which "
            f"{job.path} does not have; its prompts are {', '.join(prompt.key for prompt in job.prompts)}."
        )
    section = sections[0].model_copy(update={"detector": str(path.resolve())})
    return replace(job, config=job.config.model_copy(update={"sampling": (section,), "prompts": tuple(prompts[:1])}))


def extract(job: Job) -> ExtractionSummary:
    """Do all steps of stage 1."""
    return extract_prepared(prepare(job), lambda computed: None)


def extract_prepared(extractor: Extractor, clip_done: ClipDone) -> ExtractionSummary:
    """Compute the pending partitions, beside any number of other workers, and commit.

    `clip_done` is called once for each pending clip, also for clips that other workers compute.
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


def finish(extractor: Extractor, computed: Sequence[PartitionKey]) -> ExtractionSummary:
    """Commit every store, write the cards, and return the summary."""
    return finish_plan(extractor.dataset, extractor.plan, n_clips(extractor, computed))
