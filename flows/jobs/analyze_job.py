"""Stage 2 of a job in steps: open, fit, score, measure, report. The command line and the flow share it."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from vadprobe.analyze.compute.deferred import deferred_scheduler
from vadprobe.analyze.compute.step_cache import StepCache
from vadprobe.analyze.detector.benchmark import Result, evaluate, find_overlap, format_table, write_results
from vadprobe.analyze.detector.detector import Detector
from vadprobe.analyze.detector.fitting import fit
from vadprobe.analyze.detector.scoring import Scores, score
from vadprobe.analyze.features.context import Workbench
from vadprobe.analyze.features.inputs import AnalysisInputs, open_inputs
from vadprobe.analyze.report.page import ReportPart, write_report
from vadprobe.flows.jobs.job import Job
from vadprobe.flows.jobs.progress import task_progress
from vadprobe.store.datasets.dataset import Dataset
from vadprobe.store.datasets.probed_videos import VideoFacts, read_video_facts
from vadprobe.store.datasets.sources import open_truth
from vadprobe.store.errors import VadprobeError
from vadprobe.store.files.atomic_files import read_json, write_json


@dataclass(frozen=True)
class PartitionOutcome:
    """What an analysis wrote; ``computed`` names the steps, of ``n_steps``, that no earlier run had computed."""

    result: Result
    results: Path
    report: Path
    computed: tuple[str, ...]
    n_steps: int

    def steps(self) -> str:
        """What had to be computed, in one sentence."""
        if not self.computed:
            return f"Nothing had to be computed: all {self.n_steps} steps are those of an earlier run."
        names = ", ".join(dict.fromkeys(self.computed))
        return f"{len(self.computed)} of {self.n_steps} steps were computed ({names}), the others are of earlier runs."

    def table(self) -> str:
        """The result as lines of text."""
        return format_table([self.result.to_json()])

    def row(self) -> dict[str, Any]:
        """The result as one row of a table."""
        return {name: value for name, value in self.result.to_json().items() if not isinstance(value, dict)}


def open_truth_of(job: Job) -> tuple[Dataset, Sequence[VideoFacts]]:
    """The truth of a job's dataset, and the videos that were probed for its features.

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
    keys = [prompt.key for prompt in job.prompts]
    return open_inputs(job.analysis, truth, probed, job.layout, job.samplings, job.config.backbone.key, keys)


@contextmanager
def workbench(job: Job, inputs: AnalysisInputs) -> Iterator[Workbench]:
    """The inputs at work: with the workspace's steps, where the job computes, and bars on the terminal."""
    config = job.analysis
    with task_progress() as progress, deferred_scheduler(config.scheduler, config.workers, progress) as scheduler:
        yield Workbench(inputs, StepCache(job.workspace / config.steps), scheduler)


def fit_step(job: Job, bench: Workbench) -> Detector:
    """Fit a detector and write it with its saliency, or read the finished one that the job names."""
    saliency = job.out / "saliency.json"
    if job.analysis.detector is not None:
        saliency.unlink(missing_ok=True)
        detector = Detector.read(job.workspace / job.analysis.detector)
        find_overlap(bench.inputs, detector, [video.video_id for video in bench.inputs.truth.of_split("test")])
    else:
        fitted = fit(bench)
        detector = fitted.detector
        if fitted.saliency is None:
            saliency.unlink(missing_ok=True)
        else:
            write_json(saliency, fitted.saliency)
        write_json(job.out / "calibration.json", {**fitted.calibration.to_json(), "left_out": list(fitted.left_out)})
    detector.write(job.out / "detector.json")
    return detector


def score_step(job: Job, bench: Workbench, detector: Detector) -> Scores:
    """Score the validation and test segments and write them."""
    rows = bench.inputs.rows_to_score()
    if len(rows) == 0:
        name = bench.inputs.truth.name
        raise VadprobeError(f"no validation or test video of {name!r} is in the store; nothing to score.")
    scores = score(bench, detector, rows)
    scores.write(job.out / "scores.parquet", bench.inputs.truth)
    return scores


def report_step(job: Job, bench: Workbench, detector: Detector, scores: Scores) -> PartitionOutcome:
    """Measure the test split, write the results and draw the page."""
    result = evaluate(bench, detector, scores)
    results = write_results([result], job.out)
    report = write_report([report_part(job)], job.out / "report.html")
    return PartitionOutcome(result, results, report, tuple(bench.steps.computed), len(bench.steps.runs))


def analyze(job: Job) -> PartitionOutcome:
    """All steps of stage 2; what an earlier run of the workspace has computed is taken from there."""
    inputs = open_analysis(job)
    with workbench(job, inputs) as bench:
        detector = fit_step(job, bench)
        scores = score_step(job, bench, detector)
    return report_step(job, bench, detector, scores)


def report_part(job: Job) -> ReportPart:
    """What the files of a finished analysis hold for the page.

    Raises:
        VadprobeError: if the analysis has not finished.
    """
    try:
        result = read_json(job.out / "results.json")["results"][0]
        scores = pq.read_table(job.out / "scores.parquet")
    except FileNotFoundError as error:
        raise VadprobeError(
            f"there is no finished analysis in {job.out}; run 'vadprobe analyze {job.path}' first."
        ) from error
    saliency = job.out / "saliency.json"
    inputs = open_analysis(job)
    return ReportPart(
        result=result,
        detector=Detector.read(job.out / "detector.json"),
        saliency=read_json(saliency) if saliency.exists() else None,
        scores=scores,
        truth=inputs.truth,
        curves=job.analysis.curves,
        failures=failures(inputs),
    )


def failures(inputs: AnalysisInputs) -> dict[str, str]:
    """Reasons by name of the videos and clips that could not be read."""
    named = {video.video_id: video.reason for video in inputs.probed if video.reason is not None}
    for store in (inputs.store, *inputs.calibration.values()):
        for row, reason in store.failures.items():
            clip = store.clips.clip(row)
            named[f"{clip.video_id} frames {clip.start_frame}-{clip.stop_frame - 1}"] = reason
    return named


def combine(jobs: Sequence[Job], path: Path) -> Path:
    """One page from several finished analyses."""
    return write_report([report_part(job) for job in jobs], path)
