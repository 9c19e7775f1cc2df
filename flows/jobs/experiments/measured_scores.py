"""Scores of any origin, measured against a ground truth under every convention of its annotation, and their files."""

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from vadprobe.analyze.configuration import EvaluationConfig
from vadprobe.analyze.evaluation.evaluation import BootstrapConfig, Evaluation
from vadprobe.analyze.evaluation.measuring import evaluate_scores
from vadprobe.analyze.evaluation.score_files.fitting import Fitted, fit_scores
from vadprobe.analyze.evaluation.score_files.reading import notes_of
from vadprobe.analyze.report.evaluation_files import Measured, write_evaluation
from vadprobe.analyze.report.evaluation_text import convention_lines, evaluation_lines, joined_lines, published_lines
from vadprobe.flows.jobs.experiments.score_source import ScoreSource
from vadprobe.flows.jobs.truth_reader import TruthReader
from vadprobe.store.datasets.annotations.conventions import CONVENTIONS, TEXT_FORMATS
from vadprobe.store.errors import VadprobeError
from vadprobe.store.files.digests import digest_file

_MOST_RESAMPLES = 1_000_000


@dataclass(frozen=True, eq=False)
class MeasuredScores:
    """An evaluation with its files.

    Attributes:
        title: names of the scores and of the truth.
        measured: numbers, sources and notes.
        readings: measures of the same scores under each other convention of a text annotation.
        impossible: why the annotation cannot follow a convention, by its name.
        folder: folder of the files.
        files: names of the files.
    """

    title: str
    measured: Measured
    readings: Mapping[str, Evaluation]
    impossible: Mapping[str, str]
    folder: Path
    files: tuple[str, ...]

    @property
    def notes(self) -> list[str]:
        """Sentences on what was left out, and on how names and scores were read."""
        return list(self.measured.context["notes"])

    def text(self, published: bool) -> str:
        """Return the numbers, those under other conventions, with `published` those of others, and the notes."""
        context = self.measured.context
        by_convention: dict[str, Evaluation] = {
            name: self.readings[name] for name in CONVENTIONS if name in self.readings
        }
        has_readings = context["format"] in TEXT_FORMATS
        taken = context["intervals_convention"]
        blocks = [
            evaluation_lines(self.measured.evaluation, self.title, self.measured.reliability),
            convention_lines(by_convention, taken, self.impossible) if has_readings else [],
            published_lines(context["format"]) if published else [],
            [f"Note: {note}" for note in self.notes],
            [f"Written: {self.folder / self.files[0]}, {', '.join(self.files[1:])}"],
        ]
        return joined_lines(blocks)


def measure_scores(
    source: ScoreSource, reader: TruthReader, threshold: float | None, bootstrap: EvaluationConfig, folder: Path
) -> MeasuredScores:
    """Measure scores and write the files.

    Args:
        source: the scores.
        reader: reader of the truth.
        threshold: a frame with a score above it counts as anomalous; None for 0.5 if all scores are in [0, 1], and for
            no threshold otherwise.
        bootstrap: settings of the intervals.
        folder: folder of the files; call `check_measuring` first.

    Raises:
        VadprobeError: if scores and truth do not fit.
    """
    found = source.read()
    config = reader.config
    truth, misfits = reader.open(config.intervals)
    fitted = fit_scores(found, truth, source.rules)
    if threshold is None:
        threshold = 0.5 if fitted.within_unit_range else math.nan
    settings = BootstrapConfig(bootstrap.resamples, bootstrap.seed, bootstrap.confidence)
    evaluation = evaluate_scores(fitted.truth, fitted.scores, threshold, settings)
    missing = [name for name in truth.video_ids if name not in set(fitted.truth.video_ids)]
    readings, impossible = _other_readings(reader, fitted, missing, threshold)
    readings[config.intervals] = evaluation
    context = {
        **_origin(source, reader),
        "missing_videos": missing,
        "by_convention": {name: _short(reading.to_json()) for name, reading in readings.items()},
        "impossible_conventions": impossible,
        "notes": [*notes_of(source.scores), *fitted.notes, *misfits],
    }
    measured = Measured(fitted.truth, fitted.scores, evaluation, context, reader.fps)
    title = f"{source.scores.name} on {config.name} ({reader.split}, {config.intervals})"
    return MeasuredScores(title, measured, readings, impossible, folder, write_evaluation(measured, folder))


def check_measuring(threshold: float | None, bootstrap: EvaluationConfig, out: Path) -> None:
    """Refuse settings without meaning, and a folder that cannot be written, before anything is measured."""
    if bootstrap.resamples > _MOST_RESAMPLES:
        raise VadprobeError(f"--resamples must be at most {_MOST_RESAMPLES}, got {bootstrap.resamples}.")
    if threshold is not None and not math.isfinite(threshold):
        raise VadprobeError(f"--threshold must be a finite number, got {threshold}.")
    try:
        there = next(path for path in (out, *out.parents) if path.exists())
    except (OSError, ValueError) as error:
        raise VadprobeError(f"--out {out} cannot be a folder ({error}); name another.") from error
    if not there.is_dir():
        raise VadprobeError(f"--out {out}: {there} is a file; name a folder.")
    if not os.access(there, os.W_OK | os.X_OK):
        raise VadprobeError(f"--out {out}: nothing can be written in {there}; name another folder.")


def _origin(source: ScoreSource, reader: TruthReader) -> dict[str, Any]:
    """Return the origin of the scores and of the truth, as plain JSON values."""
    return {
        "dataset": reader.config.name,
        "format": reader.config.format,
        "split": reader.split,
        "intervals_convention": reader.config.intervals,
        "scores": source.scores.name,
        "scores_digest": digest_file(source.scores),
        "rules": {**asdict(source.rules), "answers": source.answers},
    }


def _other_readings(
    reader: TruthReader, fitted: Fitted, missing: Sequence[str], threshold: float
) -> tuple[dict[str, Evaluation], dict[str, str]]:
    """Measure the same scores under the other conventions; also return why some conventions are impossible."""
    readings: dict[str, Evaluation] = {}
    impossible: dict[str, str] = {}
    for convention in CONVENTIONS if reader.config.format in TEXT_FORMATS else ():
        if convention == reader.config.intervals:
            continue
        try:
            truth = reader.open(convention)[0].without(missing)
        except VadprobeError as error:
            impossible[convention] = str(error)
            continue
        settings = BootstrapConfig(0)
        readings[convention] = evaluate_scores(truth, fitted.scores, threshold, settings, with_baselines=False)
    return readings, impossible


def _short(reading: dict[str, Any]) -> dict[str, Any]:
    return {name: reading[name] for name in ("auc", "ap_step", "pr_area_trapezoid", "n_positive")}
