"""The command evaluate: scores of any origin against a ground truth."""

import math
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Group, Parameter

from vadprobe.analyze.configuration import EvaluationConfig
from vadprobe.flows.commands.options import TEXT_FORMATS, DatasetOptions, Positive
from vadprobe.flows.jobs.progress import Bar
from vadprobe.store.datasets.annotations.conventions import CONVENTIONS, DEFAULT_CONVENTION, IntervalConvention
from vadprobe.store.datasets.configuration import DatasetConfig
from vadprobe.store.datasets.video import Split
from vadprobe.store.errors import VadprobeError

if TYPE_CHECKING:
    from vadprobe.analyze.evaluation.evaluation import Evaluation
    from vadprobe.analyze.evaluation.score_files.fitting import Fitted
    from vadprobe.analyze.evaluation.score_files.laying import FitRules
    from vadprobe.analyze.evaluation.score_files.values import VideoScores
    from vadprobe.flows.jobs.truth_reader import TruthReader
    from vadprobe.store.datasets.probed_videos import VideoFacts

_MOST_RESAMPLES = 1_000_000
_MEASURING = Group("Measuring", sort_key=2)


@Parameter(name="*", group=Group("Scores", sort_key=0))
@dataclass(frozen=True, kw_only=True)
class ScoreOptions:
    """Options that say what the scores are, and what to do with those that do not fit."""

    scores: Path
    """JSON, NPZ, CSV, JSON Lines or Parquet, by video name"""
    scores_key: str | None = None
    """the part of a JSON file that holds the scores, such as result.scores; '*.scores' takes that of each video"""
    answers: str | None = None
    """what makes scores of answers in words: 'anomalous=1,normal=0' by how they begin, or 'number', their last one"""
    rename: str | None = None
    """OLD=NEW, replaced in the names of videos on both sides before they are compared; '#=' leaves every '#' out"""
    video_column: str | None = None
    """column of video names; default: video_id"""
    score_column: str | None = None
    """column of scores; default: score"""
    segment_length: Annotated[Positive, Parameter(metavar="FRAMES")] = 1
    """frames per score, where the file says no frames"""
    segments: IntervalConvention = DEFAULT_CONVENTION
    """what a score's first and last frame mean"""
    pad: bool = False
    """keep a video's last score to its end if scores are too few"""
    trim: bool = False
    """leave out scores past a video's end"""
    allow_missing: bool = False
    """measure the other videos if some have no scores"""
    allow_unknown: bool = False
    """leave out frames whose score is NaN"""

    def read(self) -> Mapping[str, "VideoScores"]:
        """Return the scores by video name."""
        from vadprobe.analyze.evaluation.score_files.answers import AnswerRule
        from vadprobe.analyze.evaluation.score_files.reading import read_scores

        columns = {"video_column": self.video_column, "score_column": self.score_column}
        answers = None if self.answers is None else AnswerRule.of(self.answers)
        return read_scores(self.scores, key=self.scores_key, answers=answers, **columns)

    @property
    def rules(self) -> "FitRules":
        """Rules for scores that do not fit the frames."""
        from vadprobe.analyze.evaluation.score_files.joined_names import Renaming
        from vadprobe.analyze.evaluation.score_files.laying import FitRules

        return FitRules(
            self.segment_length,
            self.segments,
            self.pad,
            self.trim,
            self.allow_missing,
            self.allow_unknown,
            None if self.rename is None else Renaming.of(self.rename),
        )


def evaluate(
    *,
    scores: ScoreOptions,
    dataset: DatasetOptions = DatasetOptions(),
    split: Annotated[Split, Parameter(group=_MEASURING)] = "test",
    threshold: Annotated[float | None, Parameter(group=_MEASURING)] = None,
    bootstrap: Annotated[EvaluationConfig, Parameter(name="*", group=_MEASURING)] = EvaluationConfig(),
    published: Annotated[bool, Parameter(group=_MEASURING)] = False,
    out: Annotated[Path, Parameter(group=_MEASURING)] = Path("evaluation"),
) -> int:
    """Measure scores of any origin on frames, with intervals and baselines.

    Args:
        split: videos that are measured
        threshold: above it a frame is anomalous; default: 0.5 for scores in [0, 1]
        published: print what others have published on the set
        out: the folder of the results
    """
    from vadprobe.analyze.evaluation.evaluation import BootstrapConfig
    from vadprobe.analyze.evaluation.measuring import evaluate_scores
    from vadprobe.analyze.evaluation.score_files.fitting import fit_scores
    from vadprobe.analyze.evaluation.score_files.reading import notes_of
    from vadprobe.analyze.report.evaluation_files import Measured, write_evaluation
    from vadprobe.analyze.report.evaluation_text import evaluation_lines
    from vadprobe.flows.jobs.truth_reader import TruthReader

    _check(threshold, bootstrap, out)
    found = scores.read()
    config, workspace = dataset.section()
    reader = TruthReader(config, workspace, split, _frame_counts(dataset, config, workspace))
    truth, misfits = reader.open(config.intervals)
    fitted = fit_scores(found, truth, scores.rules)
    if threshold is None:
        threshold = 0.5 if fitted.within_unit_range else math.nan
    settings = BootstrapConfig(bootstrap.resamples, bootstrap.seed, bootstrap.confidence)
    evaluation = evaluate_scores(fitted.truth, fitted.scores, threshold, settings)
    missing = [name for name in truth.video_ids if name not in set(fitted.truth.video_ids)]
    readings, impossible = _other_readings(reader, fitted, missing, threshold)
    readings[config.intervals] = evaluation
    notes = [*notes_of(scores.scores), *fitted.notes, *misfits]
    context = {
        **_origin(scores, reader),
        "missing_videos": missing,
        "by_convention": {name: _short(reading.to_json()) for name, reading in readings.items()},
        "impossible_conventions": impossible,
        "notes": notes,
    }
    measured = Measured(fitted.truth, fitted.scores, evaluation, context, reader.fps)
    written = write_evaluation(measured, out)
    title = f"{scores.scores.name} on {config.name} ({split}, {config.intervals})"
    ending = f"Written: {out / written[0]}, {', '.join(written[1:])}"
    lines = evaluation_lines(evaluation, title, measured.reliability)
    print(_text(lines, config, readings, impossible, published, [f"Note: {note}" for note in notes], [ending]))
    return 0


def _origin(scores: ScoreOptions, reader: "TruthReader") -> dict[str, Any]:
    """Return the names of what is measured against what."""
    from vadprobe.store.files.digests import digest_file

    return {
        "dataset": reader.config.name,
        "format": reader.config.format,
        "split": reader.split,
        "intervals_convention": reader.config.intervals,
        "scores": scores.scores.name,
        "scores_digest": digest_file(scores.scores),
        "rules": {**asdict(scores.rules), "answers": scores.answers},
    }


def _text(
    lines: list[str],
    config: DatasetConfig,
    readings: Mapping[str, "Evaluation"],
    impossible: Mapping[str, str],
    published: bool,
    *endings: list[str],
) -> str:
    """Return the lines of the numbers, those by other readings of a text annotation, of others, and the endings."""
    from vadprobe.analyze.report.evaluation_text import convention_lines, joined_lines, published_lines

    by_convention: dict[str, Evaluation] = {name: readings[name] for name in CONVENTIONS if name in readings}
    blocks = [
        lines,
        convention_lines(by_convention, config.intervals, impossible) if config.format in TEXT_FORMATS else [],
        published_lines(config.format) if published else [],
        *endings,
    ]
    return joined_lines(blocks)


def _other_readings(
    reader: "TruthReader", fitted: "Fitted", missing: Sequence[str], threshold: float
) -> tuple[dict[str, "Evaluation"], dict[str, str]]:
    """Measure the same scores by the conventions that were not asked for; also return why some are impossible."""
    from vadprobe.analyze.evaluation.evaluation import BootstrapConfig
    from vadprobe.analyze.evaluation.measuring import evaluate_scores

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


def _check(threshold: float | None, bootstrap: EvaluationConfig, out: Path) -> None:
    """Refuse numbers that mean nothing, and a folder that cannot be written, before anything is measured."""
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


def _frame_counts(dataset: DatasetOptions, config: DatasetConfig, workspace: Path) -> "tuple[VideoFacts, ...] | None":
    """Return the facts of the video files, counted now or by stage 1 of the job; None where there are no files."""
    from vadprobe.flows.jobs.job import load_job
    from vadprobe.store.datasets.probed_videos import read_video_facts
    from vadprobe.store.datasets.sources import read_source

    if dataset.config is not None:
        probed = read_video_facts(load_job(dataset.config).layout.videos)
        if probed:
            return probed
    if config.videos is None:
        return None
    from vadprobe.extract.video.frame_counting import count_frames

    parts, progress = read_source(config, workspace).parts, Bar("counting frames", "video")
    probed, findings = count_frames(parts.folder, parts.files or {}, decode=False, progress=progress)
    for finding in findings:
        print(f"vadprobe: {finding.kind}: {finding.message}.", file=sys.stderr)
    return probed
