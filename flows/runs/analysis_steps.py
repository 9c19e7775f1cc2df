"""Steps of stage 2 as tasks: open, fit, score, report. Each imports what it needs when it runs."""

import base64
import logging
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prefect.artifacts import create_image_artifact, create_markdown_artifact, create_table_artifact

from vadprobe.flows.runs.artifacts.dask_pages import publish_report
from vadprobe.flows.runs.artifacts.pictures import data_url
from vadprobe.flows.runs.artifacts.result_picture import result_picture
from vadprobe.flows.runs.faults import step, without_server
from vadprobe.flows.runs.labels import artifact_key
from vadprobe.store.files.text import percent

if TYPE_CHECKING:
    from vadprobe.analyze.compute.scheduling import Scheduler
    from vadprobe.analyze.compute.step_cache import StepCache
    from vadprobe.analyze.detector.detector import Detector
    from vadprobe.analyze.detector.scoring import Scores
    from vadprobe.analyze.features.inputs import AnalysisInputs
    from vadprobe.flows.jobs.analyze_job import AnalysisOutcome
    from vadprobe.flows.jobs.job import Job

_LOGGER = logging.getLogger(__name__)


def open_stores(job: "Job") -> "AnalysisInputs":
    """Open the truth and the stores."""
    from vadprobe.flows.jobs.analyze_job import open_analysis

    return open_analysis(job)


def fit(job: "Job", inputs: "AnalysisInputs", cache: "StepCache", scheduler: "Scheduler") -> "Detector":
    """Fit a detector, or read the finished one that the job names."""
    from vadprobe.flows.jobs.analyze_job import fit_step

    return fit_step(job, inputs, cache, scheduler)


def score(
    job: "Job", inputs: "AnalysisInputs", detector: "Detector", cache: "StepCache", scheduler: "Scheduler"
) -> "Scores":
    """Score the validation and test segments."""
    from vadprobe.flows.jobs.analyze_job import score_step

    return score_step(job, inputs, detector, cache, scheduler)


def report(
    job: "Job", inputs: "AnalysisInputs", detector: "Detector", scores: "Scores", cache: "StepCache"
) -> "AnalysisOutcome":
    """Measure the test split, draw the page, and publish the result."""
    from vadprobe.flows.jobs.analyze_job import PERFORMANCE, report_step

    outcome = report_step(job, inputs, detector, scores, cache)
    for line in (*outcome.table().splitlines(), outcome.steps(), f"Report: {outcome.report}"):
        _LOGGER.info(line)
    names = (job.config.dataset.name, job.config.backbone.key, job.analysis.method)
    rows = result_rows(outcome.result.to_json())
    about = (
        f"AUC {rows[0]['AUC']}, AP {rows[0]['AP']}: {job.analysis.preset} on {job.config.dataset.name} with "
        f"{job.config.backbone.key}. The same on a terminal: `vadprobe analyze {job.path}`"
    )
    text = report_text(inputs, scores, detector.locator.threshold, outcome.report)
    picture = result_picture(inputs, scores)
    with without_server():
        create_table_artifact(rows, key=artifact_key("result", *names), description=about)
        create_markdown_artifact(
            text,
            key=artifact_key("report", *names),
            description="Scores of two test videos, and where the whole page is.",
        )
        publish_report(job, job.out / PERFORMANCE)
        if picture is not None:
            about = f"{job.analysis.preset} on {', '.join(names)}: ROC and PR curves."
            create_image_artifact(data_url(picture), key=artifact_key("curves", *names), description=about)
    return outcome


def report_text(inputs: "AnalysisInputs", scores: "Scores", threshold: float, page: Path) -> str:
    """Return Markdown with the curves of an anomalous and a normal test video and the path of the whole page.

    The page lies on the worker's machine, so it is named by its path: a link would not open in a browser elsewhere.
    """
    from vadprobe.analyze.figures import style
    from vadprobe.analyze.figures.curves import curve_of, draw_curves, videos_to_draw

    scored = {scores.table.video_ids[code] for code in set(scores.table.video_codes[scores.rows].tolist())}
    curves = [curve_of(scores, inputs.truth, video) for video in videos_to_draw(inputs.truth, scored, 2, 1)]
    lines = [f"The whole page, a file to open in a browser, on the worker's machine:\n\n`{page}`"]
    if curves:
        picture = base64.b64encode(style.png(draw_curves(curves, threshold))).decode()
        lines.insert(0, f"![Scores of test videos; light: true anomaly](data:image/png;base64,{picture})")
    return "\n\n".join(lines)


def render(jobs: "Sequence[Job]", path: Path) -> Path:
    """Draw one page about several finished analyses."""
    from vadprobe.flows.jobs.analyze_job import combine

    return combine(jobs, path)


_METRICS = {"auc": "AUC", "ap_step": "AP", "auc_macro": "macro AUC", "f1": "F1"}


def result_rows(result: dict[str, Any]) -> list[dict[str, Any]]:
    """Return a result as the rows of a small table: the method with its intervals, then each baseline."""
    intervals = result["intervals"]
    share = f"{percent(result['bootstrap']['confidence'])} of resamples" if intervals else ""
    rows = [{"scores": result["preset"], **_cells(result)}]
    for place, word in enumerate(("from", "to")) if intervals else ():
        ends = {name: values[place] for name, values in intervals.items()}
        rows.append({"scores": f"{share}, {word}", **_cells(ends)})
    rows += [{"scores": f"baseline {name}", **_cells(found)} for name, found in result["baselines"].items()]
    return rows


def _cells(found: dict[str, Any]) -> dict[str, str]:
    """Return the metrics with four digits; a missing value is an en dash, because Markdown makes a list of "-"."""
    values = {title: found.get(name) for name, title in _METRICS.items()}
    return {title: "–" if value is None or math.isnan(value) else f"{value:.4f}" for title, value in values.items()}


open_task = step(open_stores, "open", "open the stores of {job.path.stem}")
fit_task = step(fit, "fit", "fit {job.path.stem}")
score_task = step(score, "score", "score {job.path.stem}")
report_task = step(report, "report", "report {job.path.stem}")
render_task = step(render, "render", "render {path.name}")
