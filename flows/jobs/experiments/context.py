"""Jobs as experiments vary them, and what measuring them needs."""

import shlex
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vadprobe.flows.jobs.job import Job, load_job
from vadprobe.flows.jobs.progress import open_bar
from vadprobe.store.files.text import counted

if TYPE_CHECKING:
    from tqdm import tqdm

    from vadprobe.analyze.experiments.cases import ExperimentContext, ExperimentJob


@contextmanager
def open_context(
    jobs: Sequence[Job],
    draws: int,
    fraction: float | None,
    what: str,
    total: int,
    cases: Sequence["ExperimentJob"] | None = None,
) -> Iterator["ExperimentContext"]:
    """Open what experiments on some jobs need: the jobs, the step cache of the first, its scheduler, and a bar.

    `cases` are the jobs as `case_of` makes them, where they are there already.
    """
    from vadprobe.analyze.compute.cluster import open_scheduler
    from vadprobe.analyze.compute.step_cache import StepCache
    from vadprobe.analyze.experiments.cases import ExperimentContext

    cases = tuple(case_of(job, fraction) for job in jobs) if cases is None else tuple(cases)
    first = jobs[0].analysis
    bar = open_bar(what, "it", total, leave=False)
    with open_scheduler(first.scheduler, first.workers, cluster=first.cluster) as scheduler, bar:
        yield ExperimentContext(cases, StepCache(jobs[0].workspace / first.steps), scheduler, draws, _counting(bar))


def _counting(bar: "tqdm[Any]") -> Callable[[str, str], None]:
    """Return a callback of (part, label) that counts parts, such as tables, and shows the row being measured."""
    begun: list[str] = []

    def report(part: str, label: str) -> None:
        if part and part not in begun:
            bar.update(1 if begun else 0)
            begun.append(part)
        bar.set_postfix_str(f"{begun[-1] if begun else part}: {label}")

    return report


def cases_of(paths: Sequence[Path], fraction: float | None) -> tuple[list[Job], list["ExperimentJob"]]:
    """Load jobs, each file once, and return them also as experiments vary them, with names that tell them apart."""
    jobs = [load_job(path) for path in dict.fromkeys(paths)]
    names = [job.path.name for job in jobs]
    cases = [case_of(job, fraction) for job in jobs]
    alike = [names.count(name) > 1 for name in names]
    named = zip(jobs, cases, alike, strict=True)
    return jobs, [replace(case, name=str(job.path)) if one_of_several else case for job, case, one_of_several in named]


def case_of(job: Job, fraction: float | None) -> "ExperimentJob":
    """Return a job as tables vary it.

    Tables fit their own detectors, so a finished one that the job names is left aside.
    """
    from vadprobe.analyze.experiments.cases import ExperimentJob, varied
    from vadprobe.analyze.experiments.methods.text_output import TEXTS
    from vadprobe.flows.jobs.analyze_job import open_truth_of

    truth, probed = open_truth_of(job)
    drawn = {} if fraction is None else {"calibration": {"fraction": fraction}}
    return ExperimentJob(
        name=job.path.name,
        config=varied(job.analysis, detector=None, **drawn),
        truth=truth,
        probed=tuple(probed),
        layout=job.layout,
        samplings=job.samplings,
        backbone=job.config.backbone.key,
        prompts=job.scored_prompts,
        texts=job.out / TEXTS,
    )


def sources_of(jobs: Sequence[Job]) -> list[dict[str, str]]:
    """Return what jobs measure on, by which a report knows the tables of its result."""
    from vadprobe.flows.jobs.analyze_job import open_analysis
    from vadprobe.flows.jobs.reports.parts import source_of

    return [source_of(shlex.quote(job.path.as_posix()), open_analysis(job)) for job in jobs]


def steps_sentence(context: "ExperimentContext") -> str:
    """Say how many steps were computed, and how many were there."""
    computed = len(context.cache.computed)
    there = len(context.cache.runs) - computed
    return f"{counted(computed, 'step was', 'steps were')} computed, {there} taken from earlier runs."
