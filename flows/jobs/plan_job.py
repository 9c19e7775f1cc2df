"""The plan of a job: its stores, and what they lack. If the checkpoint has not changed, torch is not loaded."""

from vadprobe.extract.model.checkpoint.outline import KeptOutline, PlannedBackbone
from vadprobe.extract.pipeline.planning import ExtractionPlan, plan_extraction
from vadprobe.flows.jobs.job import Job
from vadprobe.flows.jobs.reports.extraction_summary import ExtractionSummary, finish_plan
from vadprobe.store.datasets.dataset import Dataset
from vadprobe.store.datasets.sources import open_dataset
from vadprobe.store.progress import Progress


def plan_job(job: Job, progress: Progress | None = None) -> tuple[Dataset, ExtractionPlan]:
    """Read the headers of the videos and create or open the stores; of the weights, only the headers are read.

    Raises:
        VadprobeError: if videos or the checkpoint are missing, or a store of another specification is in the way.
    """
    if any(section.detector is not None for section in job.config.sampling):  # compared with the tokenizer at hand
        from vadprobe.flows.jobs.extract_job import prepare

        extractor = prepare(job, progress)
        return extractor.dataset, extractor.plan
    kept = job.kept_outline  # a checkpoint in a folder is checked first, a hub is asked last
    dataset = open_dataset(job.config.dataset, job.workspace)
    return dataset, _plan(job, dataset, _backbone(job, kept), progress)


def finished(job: Job, progress: Progress | None = None) -> ExtractionSummary | None:
    """Return the summary of a job whose stores lack nothing, and commit them, without torch.

    None if something is left to compute, or if the checkpoint must be read to know: it was never described, it has
    changed since, or a detector's prompt must be compared with its tokenizer.
    """
    kept = None if any(section.detector for section in job.config.sampling) else job.kept_outline
    outline = None if kept is None else kept.read()
    if outline is None:
        return None
    dataset = open_dataset(job.config.dataset, job.workspace)
    plan = _plan(job, dataset, outline, progress)
    if any(sampling.pending() for sampling in plan.samplings):
        return None
    return finish_plan(dataset, plan, 0)


def _plan(job: Job, dataset: Dataset, backbone: PlannedBackbone, progress: Progress | None) -> ExtractionPlan:
    samplings, config = job.config.sampling, job.config.extraction
    return plan_extraction(dataset, job.root, samplings, job.prompts, backbone, config, progress)


def _backbone(job: Job, kept: KeptOutline | None) -> PlannedBackbone:
    """Return the backbone's outline of an earlier plan if it is still valid, or describe the backbone."""
    found = None if kept is None else kept.read()
    if found is not None:
        return found
    from vadprobe.extract.model.backbone import check_described, describe

    description = describe(job.config.backbone, job.backbone_folder)
    check_described(description)
    if kept is not None:
        kept.write(description)
    return description
