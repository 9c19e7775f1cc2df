"""The parts of a page, read from the files of finished analyses."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from vadprobe.analyze.detector.detector import Detector
from vadprobe.analyze.experiments.methods.text_output import TEXTS, TEXTS_RECIPE
from vadprobe.analyze.features.inputs import AnalysisInputs
from vadprobe.analyze.figures.drawn import FOLDER, stored_figures
from vadprobe.analyze.locator.event_files import EVENTS_PARQUET, read_events
from vadprobe.analyze.locator.explanation_files import EXPLANATIONS_PARQUET
from vadprobe.analyze.report.part import ReportPart
from vadprobe.flows.jobs.job import Job
from vadprobe.flows.jobs.reports.strip_files import read_film_strips
from vadprobe.store.errors import VadprobeError
from vadprobe.store.files.atomic_files import read_json
from vadprobe.store.files.parquet import metadata_in, read_parquet

_BESIDE = ("tables/*.json", "comparison/*.json", "sweep/sweep.json")
"""Files of tables and sweeps below the results."""

_TEXT_FILES = {"describe": (TEXTS, TEXTS_RECIPE), "explain": (EXPLANATIONS_PARQUET, "explanations_recipe")}
"""File of generated texts, and the name of its recipe, by the command that writes it."""

_TEXT_COLUMNS = ["video_id", "start_frame", "stop_frame", "text"]


def report_part(job: Job, inputs: AnalysisInputs) -> ReportPart:
    """Read what the files of a finished analysis hold for the page.

    Raises:
        VadprobeError: if the analysis has not finished.
    """
    try:
        result = read_json(job.out / "results.json")["results"][0]
        scores = pq.read_table(job.out / "scores.parquet")
        events = read_events(job.out / EVENTS_PARQUET)
    except FileNotFoundError as error:
        raise VadprobeError(
            f"there is no finished analysis in {job.out}; run 'vadprobe analyze {job.path}' first."
        ) from error
    saliency = job.out / "saliency.json"
    detector = Detector.read(job.out / "detector.json")
    made_of = detector.provenance
    texts, commands = _texts(job.out, inputs)
    return ReportPart(
        result=result,
        detector=detector,
        saliency=read_json(saliency) if saliency.exists() else None,
        scores=scores,
        events=events,
        truth=inputs.truth,
        curves=job.analysis.curves,
        failures=failures(inputs),
        figures=stored_figures(job.out / FOLDER, made_of["calibration"], made_of["features"]),
        tables=tuple(_tables(job.out, inputs)),
        texts=texts,
        text_commands=commands,
        strips=read_film_strips(job.out, inputs.probed),
        job=job.path.as_posix(),
        format=job.config.dataset.format,
    )


def source_of(job: str, inputs: AnalysisInputs) -> dict[str, str]:
    """Return what a table was measured on, as its file keeps it and a report compares it."""
    return {"job": job, "features": inputs.feature_digest, "truth": inputs.truth.truth_digest}


def failures(inputs: AnalysisInputs) -> dict[str, str]:
    """Collect the reasons, by name, of the videos and clips that could not be read."""
    named = {video.video_id: video.reason for video in inputs.probed if video.reason is not None}
    for store in (inputs.store, *inputs.calibration.values()):
        for row, reason in store.failures.items():
            clip = store.clips.clip(row)
            named[f"{clip.video_id} frames {clip.start_frame}-{clip.stop_frame - 1}"] = reason
    return named


def _tables(folder: Path, inputs: AnalysisInputs) -> Iterator[Mapping[str, Any]]:
    """Yield the tables beside a result that were measured on its features and its truth; others are of other states."""
    mine = source_of("", inputs)
    for pattern in _BESIDE:
        for path in sorted(folder.glob(pattern)):
            content = read_json(path)
            sources = content.get("sources", ()) if isinstance(content, dict) else ()
            if any({**source, "job": ""} == mine for source in sources):
                yield content


def _texts(folder: Path, inputs: AnalysisInputs) -> tuple[pa.Table | None, tuple[str, ...]]:
    """Return what a backbone wrote about segments and events of the scored features, and the commands that asked it.

    A file about other features is left out.
    """
    found: dict[str, pa.Table] = {}
    for command, (name, recipe) in _TEXT_FILES.items():
        if (folder / name).exists():
            table = read_parquet(folder / name)
            made_of = metadata_in(table.schema, recipe) or {}
            if made_of.get("features") == inputs.store.spec.digest:
                found[command] = table.select(_TEXT_COLUMNS).replace_schema_metadata()
    return (pa.concat_tables(found.values()) if found else None), tuple(found)
