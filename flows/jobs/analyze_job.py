"""Run stage 2 of a job in steps: open, fit, score, measure, report. The command line and the flow share it."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vadprobe.analyze.compute.cluster import open_scheduler
from vadprobe.analyze.compute.observation import Observation
from vadprobe.analyze.compute.scheduling import Scheduler
from vadprobe.analyze.compute.step_cache import StepCache
from vadprobe.analyze.detector.detector import Detector
from vadprobe.analyze.detector.fitting import fit
from vadprobe.analyze.detector.packing import with_reference
from vadprobe.analyze.detector.results.benchmark import Result, evaluate, notes_of, with_context
from vadprobe.analyze.detector.results.result_files import format_table, write_results
from vadprobe.analyze.detector.results.text_baseline import ANSWERS_PARQUET, write_answers
from vadprobe.analyze.detector.results.used_videos import find_overlap, find_transductive
from vadprobe.analyze.detector.scoring import Scores, score
from vadprobe.analyze.features.answers import answer_notes, answers_by_prompt
from vadprobe.analyze.features.inputs import AnalysisInputs, open_inputs
from vadprobe.analyze.locator.event_files import write_events
from vadprobe.analyze.report.page.writing import write_report
from vadprobe.flows.jobs.job import Job
from vadprobe.flows.jobs.progress import task_progress
from vadprobe.flows.jobs.reports.parts import report_part
from vadprobe.store.datasets.dataset import Dataset
from vadprobe.store.datasets.probed_videos import VideoFacts, read_video_facts
from vadprobe.store.datasets.sources import open_truth
from vadprobe.store.errors import VadprobeError
from vadprobe.store.files.atomic_files import write_json
from vadprobe.store.files.text import counted

PERFORMANCE = "performance.html"
"""Name of Dask's own report beside a result, where the job asks for it."""


@dataclass(frozen=True)
class AnalysisOutcome:
    """Files that an analysis wrote; `computed` names the steps, of `n_steps`, that no earlier run had computed."""

    result: Result
    results: Path
    report: Path
    computed: tuple[str, ...]
    n_steps: int

    def steps(self) -> str:
        """Say in one sentence what had to be computed."""
        if not self.computed:
            return f"Nothing had to be computed: {counted(self.n_steps, 'step')}, all of an earlier run."
        names = ", ".join(dict.fromkeys(self.computed))
        others = "" if len(self.computed) == self.n_steps else ", the others are of earlier runs"
        return f"{len(self.computed)} of {counted(self.n_steps, 'step was', 'steps were')} computed ({names}){others}."

    def table(self) -> str:
        """Format the result as lines of text."""
        return format_table([self.result.to_json()])

    def row(self) -> dict[str, Any]:
        """Return the result as one row of a table."""
        return {name: value for name, value in self.result.to_json().items() if not isinstance(value, dict)}


def open_truth_of(job: Job) -> tuple[Dataset, Sequence[VideoFacts]]:
    """Open the truth of a job's dataset, and what is known of the videos of its features.

    Raises:
        VadprobeError: if there are no features.
    """
    probed = read_video_facts(job.layout.videos)
    if not probed:
        raise VadprobeError(
            f"there are no features below {job.layout.folder}; run 'vadprobe extract {job.path}' first, or check "
            "[store] root and workspace."
        )
    return open_truth(job.config.dataset, job.workspace, probed), probed


def open_analysis(job: Job) -> AnalysisInputs:
    """Open the truth and the stores of a job.

    Raises:
        VadprobeError: if the features are missing or unfinished.
    """
    truth, probed = open_truth_of(job)
    keys, backbone = job.scored_prompts, job.config.backbone.key
    return open_inputs(job.analysis, truth, probed, job.layout, job.samplings, backbone, keys)


@contextmanager
def computing(job: Job, started: Callable[[str], None] = lambda address: None) -> Iterator[tuple[StepCache, Scheduler]]:
    """Give the results that the workspace keeps and the scheduler of the job, with bars on the terminal.

    `started` is called with the address of a Dask cluster's pages when one begins to compute.
    """
    config = job.analysis
    watched = Observation(job.out / PERFORMANCE if config.performance_report else None, started)
    with (
        task_progress() as progress,
        open_scheduler(config.scheduler, config.workers, progress, config.cluster, watched) as scheduler,
    ):
        yield StepCache(job.steps), scheduler


def fit_step(job: Job, inputs: AnalysisInputs, cache: StepCache, scheduler: Scheduler) -> Detector:
    """Fit a detector and write it with its saliency, or read the finished one that the job names."""
    saliency = job.out / "saliency.json"
    if job.analysis.detector is not None:
        saliency.unlink(missing_ok=True)
        detector = Detector.read(job.workspace / job.analysis.detector)
        reported = [video.video_id for video in inputs.truth.of_split("test")]
        find_overlap(inputs, detector, reported, job.analysis.allow_overlap)
        find_transductive(inputs, detector, reported, job.analysis.allow_transductive)
    else:
        fitted = fit(inputs, job.analysis, cache, scheduler)
        detector = with_reference(fitted.detector, job.config.backbone.model_dump(mode="json"))
        if fitted.saliency is None:
            saliency.unlink(missing_ok=True)
        else:
            write_json(saliency, fitted.saliency)
        write_json(job.out / "calibration.json", {**fitted.calibration.to_json(), "left_out": list(fitted.left_out)})
    detector.write(job.out / "detector.json")
    return detector


def score_step(job: Job, inputs: AnalysisInputs, detector: Detector, cache: StepCache, scheduler: Scheduler) -> Scores:
    """Score the validation and test segments; write the scores, and what is detected in them."""
    rows = inputs.rows_to_score()
    if len(rows) == 0:
        raise VadprobeError(
            f"no validation or test video of {inputs.truth.name!r} is in the store; nothing to score. Check the "
            "splits of the job's videos, or extract them."
        )
    scores = score(inputs, detector, rows, cache, scheduler)
    notes = notes_of(inputs, detector)
    scores.write(job.out / "scores.parquet", inputs.truth, notes)
    origin = {"dataset": inputs.truth.name, "preset": job.analysis.preset, **detector.locator.to_json()}
    write_events(scores.events(detector.locator.threshold, inputs.truth), job.out, origin, notes)
    return scores


def report_step(
    job: Job, inputs: AnalysisInputs, detector: Detector, scores: Scores, cache: StepCache
) -> AnalysisOutcome:
    """Measure the test split, write the results and draw the page."""
    answers = answers_by_prompt(inputs, scores.rows)
    notes = (*notes_of(inputs, detector), *answer_notes(inputs.store.spec))
    write_answers(job.out / ANSWERS_PARQUET, scores, answers, inputs.truth, detector.locator, notes)
    result = evaluate(inputs, job.analysis, detector, scores, cache)
    result = with_context(result, inputs, job.analysis, detector, scores, answers, cache)
    results = write_results([result], job.out)
    report = write_report([report_part(job, inputs)], job.out / "report.html")
    return AnalysisOutcome(result, results, report, tuple(cache.computed), len(cache.runs))


def analyze(job: Job) -> AnalysisOutcome:
    """Run all steps of stage 2; what an earlier run of the workspace has computed is taken from there."""
    inputs = open_analysis(job)
    with computing(job) as (cache, scheduler):
        detector = fit_step(job, inputs, cache, scheduler)
        scores = score_step(job, inputs, detector, cache, scheduler)
    return report_step(job, inputs, detector, scores, cache)


def combine(jobs: Sequence[Job], path: Path) -> Path:
    """Write one page about several finished analyses."""
    return write_report([report_part(job, open_analysis(job)) for job in jobs], path)
