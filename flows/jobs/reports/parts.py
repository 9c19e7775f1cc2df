"""The parts of a report's page, read from the files of finished analyses."""

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
from vadprobe.analyze.locator.explanation_files import EXPLANATIONS_PARQUET, notice, read_explanations
from vadprobe.analyze.report.part import GeneratedTexts, ReportPart
from vadprobe.flows.jobs.job import Job
from vadprobe.flows.jobs.reports.strip_files import read_film_strips
from vadprobe.store.errors import VadprobeError
from vadprobe.store.files.atomic_files import read_json
from vadprobe.store.files.parquet import metadata_in, read_parquet

_BESIDE = ("tables/*.json", "comparison/*.json", "sweep/sweep.json")
"""Patterns of the files of tables and sweeps below the results."""

_OF_THE_WORKSPACE = "comparison/*.json"
"""Pattern of the files of tables about several results, below their common workspace."""

_TEXT_COLUMNS = ["video_id", "start_frame", "stop_frame", "text"]
_TEXT_SCHEMA = pa.schema([("video_id", pa.string()), ("start_frame", pa.int64()), ("stop_frame", pa.int64()),
                          ("text", pa.string())])  # fmt: skip


def report_part(job: Job, inputs: AnalysisInputs) -> ReportPart:
    """Return the part of the page about a finished analysis, read from its files.

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
    texts = _texts(job.out, inputs)
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
        tables=tuple(_tables(job, inputs)),
        texts=texts,
        strips=read_film_strips(job.out, inputs.probed),
        job=job.path.as_posix(),
        format=job.config.dataset.format,
    )


def source_of(job: str, inputs: AnalysisInputs) -> dict[str, str]:
    """Return the features and truth that a table is measured on, for its file; a report compares them."""
    return {"job": job, "features": inputs.feature_digest, "truth": inputs.truth.truth_digest}


def failures(inputs: AnalysisInputs) -> dict[str, str]:
    """Return, by name, the reason for each video and clip that could not be read."""
    named = {video.video_id: video.reason for video in inputs.probed if video.reason is not None}
    for store in (inputs.store, *inputs.calibration.values()):
        for row, reason in store.failures.items():
            clip = store.clips.clip(row)
            named[f"{clip.video_id} frames {clip.start_frame}-{clip.stop_frame - 1}"] = reason
    return named


def _tables(job: Job, inputs: AnalysisInputs) -> Iterator[Mapping[str, Any]]:
    """Yield the tables beside a result that were measured on its features and truth; tables of older states are not."""
    mine = source_of("", inputs)
    files = [path for pattern in _BESIDE for path in sorted(job.out.glob(pattern))]
    for path in [*files, *sorted(job.workspace.glob(_OF_THE_WORKSPACE))]:
        content = read_json(path)
        sources = content.get("sources", ()) if isinstance(content, dict) else ()
        if any({**source, "job": ""} == mine for source in sources):
            yield content


def _texts(folder: Path, inputs: AnalysisInputs) -> GeneratedTexts | None:
    """Return a backbone's texts about segments and events of the scored features, None if there are none.

    Texts about other features are left out. For explanations the page says so, because it shows their events.
    """
    spec = inputs.store.spec
    tables: list[pa.Table] = []
    commands, notices, notes = [], [], []
    if (folder / TEXTS).exists():
        table = read_parquet(folder / TEXTS)
        if (metadata_in(table.schema, TEXTS_RECIPE) or {}).get("features") == spec.digest:
            tables.append(table.select(_TEXT_COLUMNS).replace_schema_metadata())
            commands.append("describe")
            notices.append(notice(spec.backbone.key))
    if (folder / EXPLANATIONS_PARQUET).exists():
        try:
            found = read_explanations(folder / EXPLANATIONS_PARQUET, spec)
        except VadprobeError as error:
            notes.append(f"Explanations are left out: {error}")
        else:
            rows = [{name: row[name] for name in _TEXT_COLUMNS} | {"text": _ended(row)} for row in found.rows]
            tables.append(pa.Table.from_pylist(rows, _TEXT_SCHEMA))
            commands.append("explain")
            notices.append(found.notice)
            if not found.is_complete:
                told = f"{len(rows)} of {found.head['n_chosen']} events"
                notes.append(f"Only {told} are explained; 'vadprobe explain' goes on where it stopped.")
    if not tables and not notes:
        return None
    rows_of_both = pa.concat_tables(tables) if tables else _TEXT_SCHEMA.empty_table()
    return GeneratedTexts(rows_of_both, " ".join(dict.fromkeys(notices)), tuple(commands), tuple(notes))


def _ended(row: Mapping[str, Any]) -> str | None:
    """Return a text, with dots at its end if it was cut."""
    return f"{row['text']} …" if row["text"] and row["is_whole"] is False else row["text"]
