"""``vadprobe evaluate``: scores of any origin against a ground truth."""

import argparse
import math
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vadprobe.flows.commands.options import TEXT_FORMATS, add_dataset_options, dataset_of
from vadprobe.flows.jobs.job import load_job
from vadprobe.flows.jobs.progress import CountProgress
from vadprobe.store.datasets.annotations.conventions import CONVENTIONS, DEFAULT_CONVENTION, IntervalConvention
from vadprobe.store.datasets.configuration import DatasetConfig
from vadprobe.store.datasets.joining import naming
from vadprobe.store.datasets.probed_videos import VideoFacts, read_video_facts
from vadprobe.store.datasets.sources import read_source, refuse
from vadprobe.store.datasets.video import SPLITS, Split
from vadprobe.store.errors import VadprobeError
from vadprobe.store.files.digests import digest_file

if TYPE_CHECKING:
    from vadprobe.analyze.evaluation.evaluation import Evaluation
    from vadprobe.analyze.evaluation.ground_truth import GroundTruth
    from vadprobe.analyze.evaluation.score_files.fitting import Fitted
    from vadprobe.analyze.evaluation.score_files.values import VideoScores

_DEFAULT_THRESHOLD = 0.5
_MOST_RESAMPLES = 1_000_000


def add_evaluate_command(commands: Any) -> None:
    """Add ``evaluate``."""
    text = "measure scores of any origin on frames, with intervals and baselines"
    parser = commands.add_parser("evaluate", help=text, description=text[0].upper() + text[1:] + ".")
    parser.set_defaults(command=_evaluate)
    scores = parser.add_argument_group("scores")
    scores.add_argument(
        "--scores",
        type=Path,
        required=True,
        metavar="FILE",
        help="JSON, NPZ, CSV, JSON Lines or Parquet, by video name",
    )
    scores.add_argument("--scores-key", metavar="KEY", help="the part of a JSON file that holds the scores")
    scores.add_argument("--video-column", metavar="NAME", help="column of video names; default: video_id")
    scores.add_argument("--score-column", metavar="NAME", help="column of scores; default: score")
    scores.add_argument(
        "--segment-length",
        type=int,
        default=1,
        metavar="FRAMES",
        help="frames per score, where the file says no frames",
    )
    scores.add_argument(
        "--segments",
        choices=CONVENTIONS,
        default=DEFAULT_CONVENTION,
        help=f"what a score's first and last frame mean; default: {DEFAULT_CONVENTION}",
    )
    scores.add_argument("--pad", action="store_true", help="keep a video's last score to its end if scores are too few")
    scores.add_argument("--trim", action="store_true", help="leave out scores past a video's end")
    scores.add_argument("--allow-missing", action="store_true", help="measure the other videos if some have no scores")
    scores.add_argument("--allow-unknown", action="store_true", help="leave out frames whose score is NaN")
    add_dataset_options(parser)
    measuring = parser.add_argument_group("measuring")
    measuring.add_argument("--split", choices=SPLITS, default="test", help="videos that are measured; default: test")
    measuring.add_argument(
        "--threshold", type=float, metavar="T", help="above it a frame is anomalous; default: 0.5 for scores in [0, 1]"
    )
    measuring.add_argument("--resamples", type=int, default=1000, help="of the bootstrap over videos; 0: no intervals")
    measuring.add_argument("--confidence", type=float, default=0.95, help="of the intervals; default: 0.95")
    measuring.add_argument("--seed", type=int, default=0, help="of the bootstrap")
    measuring.add_argument("--published", action="store_true", help="print what others have published on the set")
    measuring.add_argument("--out", type=Path, default=Path("evaluation"), metavar="FOLDER", help="default: evaluation")


def _evaluate(options: argparse.Namespace) -> int:
    from vadprobe.analyze.evaluation.score_files.reading import read_scores

    _check(options)
    found = read_scores(
        options.scores, key=options.scores_key, video_column=options.video_column, score_column=options.score_column
    )
    config, workspace = dataset_of(options)
    probed = _frame_counts(options, config, workspace)
    return measure(options, found, TruthReader(config, workspace, options.split, probed))


@dataclass(frozen=True)
class TruthReader:
    """Opens the ground truth of a split under any reading of the annotation's 's e'."""

    config: DatasetConfig
    workspace: Path
    split: Split
    probed: tuple[VideoFacts, ...] | None

    def open(self, convention: IntervalConvention) -> tuple["GroundTruth", tuple[str, ...]]:
        """The truth, and what did not fit when its files were joined."""
        from vadprobe.analyze.evaluation.ground_truth import ground_truth

        config = self.config.model_copy(update={"intervals": convention, "videos": None})
        source = read_source(config, self.workspace, self.probed)
        rejected = [rejection for reading in source.readings for rejection in reading.rejected]
        if rejected and convention != self.config.intervals:
            first = rejected[0]
            raise VadprobeError(
                f"by it {len(rejected)} lines begin before frame 0 or are empty, first line {first.row}: "
                f"{first.got[:60]!r}"
            )
        joined = source.joined()
        refuse(joined)
        found = tuple(f"{f.kind}: {f.message} ({naming(f.videos)})." for f in joined.findings if f.videos)
        return ground_truth(joined.dataset, joined.dataset.of_split(self.split)), found


def measure(options: argparse.Namespace, found: Mapping[str, "VideoScores"], reader: TruthReader) -> int:
    """Lay the scores on the truth, measure, write and print."""
    from vadprobe.analyze.evaluation.evaluation import BootstrapConfig
    from vadprobe.analyze.evaluation.measuring import evaluate_scores
    from vadprobe.analyze.evaluation.score_files.fitting import fit_scores
    from vadprobe.analyze.evaluation.score_files.laying import FitRules
    from vadprobe.analyze.report.evaluation_files import Measured, write_evaluation
    from vadprobe.analyze.report.evaluation_text import (
        convention_lines,
        evaluation_lines,
        joined_lines,
        published_lines,
    )

    config = reader.config
    rules = FitRules(
        options.segment_length,
        options.segments,
        options.pad,
        options.trim,
        options.allow_missing,
        options.allow_unknown,
    )
    truth, misfits = reader.open(config.intervals)
    fitted = fit_scores(found, truth, rules)
    threshold = options.threshold
    if threshold is None:
        threshold = _DEFAULT_THRESHOLD if fitted.within_unit_range else math.nan
    settings = BootstrapConfig(options.resamples, options.seed, options.confidence)
    evaluation = evaluate_scores(fitted.truth, fitted.scores, threshold, settings)
    kept = set(fitted.truth.video_ids)
    missing = [name for name in truth.video_ids if name not in kept]
    readings, impossible = _other_readings(reader, fitted, missing, threshold)
    readings[config.intervals] = evaluation
    notes = [*fitted.notes, *misfits]
    context = {
        "dataset": config.name,
        "format": config.format,
        "split": reader.split,
        "intervals_convention": config.intervals,
        "scores": options.scores.name,
        "scores_digest": digest_file(options.scores),
        "missing_videos": missing,
        "rules": asdict(rules),
        "by_convention": {name: _short(reading.to_json()) for name, reading in readings.items()},
        "impossible_conventions": impossible,
        "notes": notes,
    }
    written = write_evaluation(Measured(fitted.truth, fitted.scores, evaluation, context), options.out)
    blocks = [
        evaluation_lines(evaluation, f"{options.scores.name} on {config.name} ({reader.split}, {config.intervals})"),
        convention_lines({n: readings[n] for n in CONVENTIONS if n in readings}, config.intervals, impossible)
        if config.format in TEXT_FORMATS
        else [],
        published_lines(config.format) if options.published else [],
        [f"Note: {note}" for note in notes],
        [f"Written: {options.out / written[0]}, {', '.join(written[1:])}"],
    ]
    print(joined_lines(blocks))
    return 0


def _other_readings(
    reader: TruthReader, fitted: "Fitted", missing: Sequence[str], threshold: float
) -> tuple[dict[str, "Evaluation"], dict[str, str]]:
    """The same scores on the truth by the conventions that were not asked for, and why some are impossible."""
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


def _check(options: argparse.Namespace) -> None:
    for name, wrong, wanted in (
        (
            "--resamples",
            not 0 <= options.resamples <= _MOST_RESAMPLES,
            f"a whole number from 0 (no intervals) to {_MOST_RESAMPLES}",
        ),
        ("--confidence", not 0 < options.confidence < 1, "a number strictly between 0 and 1"),
        ("--seed", options.seed < 0, "a whole number, 0 or more"),
        ("--segment-length", options.segment_length < 1, "a whole number of frames, 1 or more"),
        ("--threshold", options.threshold is not None and not math.isfinite(options.threshold), "a finite number"),
    ):
        if wrong:
            value = getattr(options, name[2:].replace("-", "_"))
            raise VadprobeError(f"{name} is {value}; {wanted} is wanted.")
    _check_folder(options.out)


def _check_folder(folder: Path) -> None:
    """Refuse a folder that cannot be written before anything is measured."""
    try:
        there = next(path for path in (folder, *folder.parents) if path.exists())
    except (OSError, ValueError) as error:
        raise VadprobeError(f"--out {folder} cannot be a folder ({error}); name another.") from error
    if not there.is_dir():
        raise VadprobeError(f"--out {folder}: {there} is a file; name a folder.")
    if not os.access(there, os.W_OK | os.X_OK):
        raise VadprobeError(f"--out {folder}: nothing can be written in {there}; name another folder.")


def _frame_counts(options: argparse.Namespace, config: DatasetConfig, workspace: Path) -> tuple[VideoFacts, ...] | None:
    """What is known from the video files: counted now, or by stage 1 of the job; None where there are none."""
    if options.config is not None:
        probed = read_video_facts(load_job(options.config).layout.videos)
        if probed:
            return probed
    if config.videos is None:
        return None
    from vadprobe.extract.video.frame_counting import count_frames

    parts = read_source(config, workspace).parts
    progress = CountProgress("counting frames", "video")
    probed, findings = count_frames(parts.folder, parts.files or {}, decode=False, progress=progress.report)
    for finding in findings:
        print(f"vadprobe: {finding.kind}: {finding.message}.", file=sys.stderr)
    return probed
