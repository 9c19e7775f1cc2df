"""The plan of a job: its stores, and what they lack. Where the checkpoint is as it was, torch is not loaded."""

from vadprobe.extract.model.checkpoint.outline import KeptOutline, Outline, PlannedBackbone
from vadprobe.extract.model.checkpoint.weight_files import check_pointers, check_weights
from vadprobe.extract.pipeline.planning import ExtractionPlan, plan_extraction
from vadprobe.flows.jobs.job import Job
from vadprobe.store.datasets.dataset import Dataset
from vadprobe.store.datasets.sources import open_dataset
from vadprobe.store.progress import Progress


def plan_job(job: Job, progress: Progress | None = None) -> tuple[Dataset, ExtractionPlan]:
    """Read the headers of the videos and create or open the stores; of the weights, only the headers are read.

    Raises:
        VadprobeError: if something is missing, or a store is in the way.
    """
    if any(section.detector is not None for section in job.config.sampling):  # compared with the tokenizer at hand
        from vadprobe.flows.jobs.extract_job import prepare

        extractor = prepare(job, progress)
        return extractor.dataset, extractor.plan
    dataset = open_dataset(job.config.dataset, job.workspace)  # before a hub is asked for the checkpoint
    backbone = _backbone(job)
    samplings, config = job.config.sampling, job.config.extraction
    return dataset, plan_extraction(dataset, job.root, samplings, job.prompts, backbone, config, progress)


def _backbone(job: Job) -> PlannedBackbone:
    """Return the backbone as it was described before, or describe it.

    A hub's checkpoint may be another one by now, and code of its own may read anything: both are always described.
    """
    config, folder, kept = job.config.backbone, job.backbone_folder, None
    if folder is not None and not config.trust_remote_code:
        check_pointers(config.key, folder)
        check_weights(config.key, folder)
        device = job.config.extraction.device
        questions = [
            (prompt.text, one.frames_per_clip, prompt.before) for one in job.samplings for prompt in job.prompts
        ]
        kept = KeptOutline(job.steps / "backbone", config, folder, questions, device)
        found = kept.read()
        if found is not None:
            return found
    from vadprobe.extract.model.backbone import check_described, describe

    description = describe(config, folder)
    check_described(description)
    if kept is not None:
        kept.write(Outline.of(description, questions, device))
    return description
