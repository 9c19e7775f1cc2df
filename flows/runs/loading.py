"""Find and load the job of a run on the worker's machine, with the overrides of the run."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from vadprobe.flows.jobs.job_files.merging import compose
from vadprobe.flows.runs.parameters import AnalysisOverrides, ExtractionOverrides
from vadprobe.store.errors import VadprobeError

if TYPE_CHECKING:
    from vadprobe.analyze.compute.scheduling import Scheduler
    from vadprobe.analyze.compute.step_cache import StepCache
    from vadprobe.flows.jobs.job import Job

JOBS_VARIABLE = "VADPROBE_JOBS"
"""Environment variable of a worker: the folder where relative paths in a run's parameters begin."""

TEAM_VARIABLE = "VADPROBE_WORKSPACE"
"""The same for all workers of a team: `prefect.yaml` sets it to the server's variable `workspace`."""

RUNNING = ".running"
"""Name of the lock file of a folder of results."""

PATIENCE = 86400.0
"""Seconds that a run waits for another run of the same results."""

_LOGGER = logging.getLogger(__name__)


def run_folder() -> Path:
    """Return the folder where relative paths in the parameters of a run begin.

    A worker's own folder comes before that of its team.
    """
    return Path(os.environ.get(JOBS_VARIABLE) or os.environ.get(TEAM_VARIABLE) or ".").resolve()


def load_run_job(
    config: str, workspace: str | None, overrides: ExtractionOverrides | AnalysisOverrides | None = None
) -> "Job":
    """Load the job that the parameters of a run name.

    A process worker starts each run in an empty folder, so relative paths begin in the folder that `VADPROBE_JOBS`
    names; without it, in the current one.

    Raises:
        VadprobeError: if there is no such job, or an override chooses something that the job lacks.
    """
    from vadprobe.flows.jobs.job import checked_job  # it imports the settings of stage 2

    folder = run_folder()
    if config.endswith(".toml") and not (folder / config).is_file():
        hint = (
            ""
            if Path(config).is_absolute()
            else f" Name it by its whole path, or set {JOBS_VARIABLE} on the worker "
            "to the folder where relative paths begin."
        )
        raise VadprobeError(f"there is no job file {folder / config} on this worker's machine.{hint}")
    merged = compose((config,), folder)
    return _overridden(checked_job(merged, folder / workspace if workspace else None), overrides)


def check_digest(job: "Job", digest: str | None) -> None:
    """Refuse a job whose settings differ from those of the run that this run helps.

    Raises:
        VadprobeError: if the digest of the job's settings is not `digest`.
    """
    if digest is not None and job.digest != digest:
        raise VadprobeError(
            f"the job {job.path} of this worker has digest {job.digest[:8]}, but the run that it helps computes "
            f"{digest[:8]}: the file differs between the machines. Give both the same one."
        )


def _overridden(job: "Job", overrides: ExtractionOverrides | AnalysisOverrides | None) -> "Job":
    """Return a job with the settings that a run gives."""
    if overrides is None:
        return job
    given = overrides.model_dump(exclude_none=True)
    wanted = given.pop("prompts", ())
    section = "extraction" if isinstance(overrides, ExtractionOverrides) else "analysis"
    changed = {section: (job.config.extraction if section == "extraction" else job.analysis).model_copy(update=given)}
    config = job.config.model_copy(update=changed)
    if wanted:
        keys = [prompt.key for prompt in job.prompts]
        if unknown := [key for key in wanted if key not in keys]:
            raise VadprobeError(f"overrides.prompts must be some of {', '.join(keys)}, got {', '.join(unknown)}.")
        chosen = tuple(said for said, key in zip(job.config.prompts, keys, strict=True) if key in wanted)
        config = config.model_copy(update={"prompts": chosen})
    return replace(job, config=config)


@contextmanager
def analysis_of(job: "Job") -> "Iterator[tuple[StepCache, Scheduler]]":
    """Yield the step cache and the scheduler of a job, to one run at a time; another run of the same results waits.

    Raises:
        StoreError: if the other run has not ended after a day.
    """
    from vadprobe.flows.jobs.analyze_job import computing
    from vadprobe.flows.runs.artifacts.dask_pages import publishing
    from vadprobe.store.files.locks import exclusive, is_locked

    if is_locked(job.out / RUNNING):
        _LOGGER.info("Another run writes into %s; this one begins when that has ended.", job.out)
    busy = f"another run has been writing into {job.out} for a day; end it, or give this job another 'out'."
    with exclusive(job.out, RUNNING, busy, PATIENCE), computing(job, publishing(job)) as tools:
        yield tools
