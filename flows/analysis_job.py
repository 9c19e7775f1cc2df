"""Stage 2 of a job in steps: open, fit, score, measure, report. The command line and the flow share it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from vadprobe.analyze.benchmark import Result, evaluate, find_overlap, format_table, write_results
from vadprobe.analyze.cluster import Scheduler, local_cluster
from vadprobe.analyze.detector import Detector
from vadprobe.analyze.fitting import fit
from vadprobe.analyze.inputs import AnalysisInputs, open_inputs
from vadprobe.analyze.report import ReportPart, write_report
from vadprobe.analyze.scoring import Scores, score
from vadprobe.flows.job import Job
from vadprobe.store.dataset_sources import open_truth
from vadprobe.store.durable import read_json, write_json
from vadprobe.store.errors import VadprobeError
from vadprobe.store.probes import read_probes


@dataclass(frozen=True)
class Outcome:
    """What an analysis wrote."""

    result: Result
    results: Path
    report: Path

    def table(self) -> str:
        """The result as lines of text."""
        return format_table([self.result.to_json()])

    def row(self) -> dict[str, Any]:
        """The result as one row of a table."""
        return {name: value for name, value in self.result.to_json().items() if not isinstance(value, dict)}


def open_analysis(job: Job) -> AnalysisInputs:
    """Open the truth and the stores of a job.

    Raises:
        VadprobeError: if the features are missing or unfinished.
    """
    probed = read_probes(job.layout.videos)
    if not probed:
        raise VadprobeError(
            f"there are no features below {job.layout.folder}; run 'vadprobe extract {job.path}' first, or check "
            "[store] root and workspace."
        )
    truth = open_truth(job.config.dataset, job.workspace, probed)
    keys = [prompt.key for prompt in job.prompts]
    return open_inputs(job.analysis, truth, probed, job.layout, job.samplings, job.config.backbone.key, keys)


def fit_step(job: Job, inputs: AnalysisInputs, scheduler: Scheduler) -> Detector:
    """Fit a detector and write it with its saliency, or read the finished one that the job names."""
    if job.analysis.detector is not None:
        (job.out / "saliency.json").unlink(missing_ok=True)
        detector = Detector.read(job.workspace / job.analysis.detector)
        find_overlap(inputs, detector, [video.video_id for video in inputs.truth.of_split("test")])
    else:
        fitted = fit(inputs, scheduler)
        detector = fitted.detector
        write_json(job.out / "saliency.json", fitted.saliency)
        write_json(job.out / "calibration.json", {**fitted.calibration.to_json(), "left_out": list(fitted.left_out)})
    detector.write(job.out / "detector.json")
    return detector


def score_step(job: Job, inputs: AnalysisInputs, detector: Detector, scheduler: Scheduler) -> Scores:
    """Score the validation and test segments and write them."""
    rows = inputs.rows_to_score()
    if len(rows) == 0:
        raise VadprobeError(f"no validation or test video of {inputs.truth.name!r} is in the store; nothing to score.")
    scores = score(inputs.store, detector, rows, scheduler)
    scores.write(job.out / "scores.parquet", inputs.truth)
    return scores


def report_step(job: Job, inputs: AnalysisInputs, detector: Detector, scores: Scores) -> Outcome:
    """Measure the test split, write the results and draw the page."""
    result = evaluate(inputs, detector, scores)
    results = write_results([result], job.out)
    report = write_report([report_part(job)], job.out / "report.html")
    return Outcome(result, results, report)


def analyze(job: Job) -> Outcome:
    """All steps of stage 2."""
    inputs = open_analysis(job)
    with local_cluster(job.analysis.workers) as scheduler:
        detector = fit_step(job, inputs, scheduler)
        scores = score_step(job, inputs, detector, scheduler)
    return report_step(job, inputs, detector, scores)


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
