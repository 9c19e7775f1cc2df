"""Joining scores of other programs to a ground truth by video name and frame."""

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from vadprobe.analyze.evaluation.ground_truth import GroundTruth
from vadprobe.analyze.evaluation.score_files.hints import count_videos, misfit_message
from vadprobe.analyze.evaluation.score_files.joined_names import join_names
from vadprobe.analyze.evaluation.score_files.laying import LONGEST_SEGMENT, FitRules, LaidScores, lay
from vadprobe.analyze.evaluation.score_files.values import VideoScores
from vadprobe.analyze.evaluation.segment_scores import SegmentScores
from vadprobe.store.datasets.joining import naming
from vadprobe.store.errors import VadprobeError
from vadprobe.store.files.text import counted


@dataclass(frozen=True, eq=False)
class Fitted:
    """Scores on the frames of `truth`; `notes` are sentences about changes that were made to fit them."""

    truth: GroundTruth
    scores: SegmentScores
    notes: tuple[str, ...]

    @property
    def within_unit_range(self) -> bool:
        """True if every known score lies in [0, 1], so that a threshold of 0.5 is meaningful."""
        known = self.scores.scores[~np.isnan(self.scores.scores)]
        return bool(((known >= 0) & (known <= 1)).all())


def fit_scores(found: Mapping[str, VideoScores], truth: GroundTruth, rules: FitRules) -> Fitted:
    """Join scores to a ground truth by video name and frame.

    Scores of videos that are not in the truth are left out and named in a note. A video of the truth without scores, a
    wrong number of scores, gaps, overlaps and NaN are errors unless a rule allows them.

    Raises:
        VadprobeError: naming the videos, the faults, and the rule or convention that would fit.
    """
    if not 1 <= rules.segment_length <= LONGEST_SEGMENT:
        raise VadprobeError(
            f"the segment length must be a whole number of frames from 1 to {LONGEST_SEGMENT}, got "
            f"{rules.segment_length}."
        )
    names = join_names(found, truth, rules.renaming)
    scores_of, unknown, notes = names.scores, names.unknown, list(names.notes)
    missing = [name for name in truth.video_ids if name not in scores_of]
    if missing and (not rules.allow_missing or len(missing) == len(truth.video_ids)):
        raise VadprobeError(_missing_message(missing, unknown, truth))
    if unknown:
        notes.append(f"Left out: {count_videos(len(unknown))} with scores, not in the ground truth: {naming(unknown)}.")
    if missing:
        notes.append(f"Left out: {count_videos(len(missing))} without scores, in no number: {naming(missing)}.")
        truth = truth.without(missing)
    n_frames = dict(zip(truth.video_ids, truth.n_frames.tolist(), strict=True))
    laid = {name: lay(scores_of[name], n_frames[name], rules) for name in truth.video_ids}
    wrong = {name: part for name, part in laid.items() if isinstance(part, str)}
    if wrong:
        raise VadprobeError(misfit_message(wrong, scores_of, n_frames, rules))
    parts = [part for part in laid.values() if not isinstance(part, str)]
    codes = np.repeat(np.arange(len(parts)), [len(part.scores) for part in parts])
    starts, stops, scores = (
        np.concatenate([getattr(part, field) for part in parts]) for field in ("starts", "stops", "scores")
    )
    segments = SegmentScores(codes, starts, stops, scores)
    notes += _unmapped(scores_of)
    notes += _unknown(truth, segments, rules)
    notes += _changes(dict(zip(truth.video_ids, parts, strict=True)))
    outside = int(segments.n_frames[(scores < 0) | (scores > 1)].sum())
    if outside:
        notes.append(
            f"{counted(outside, 'frame')} with scores outside [0, 1] (from {np.nanmin(scores):.4g} to "
            f"{np.nanmax(scores):.4g}): ranking metrics do not depend on that; F1, false alarms and events "
            "need a threshold (--threshold)."
        )
    return Fitted(truth, segments, tuple(notes))


def _unmapped(scores_of: Mapping[str, VideoScores]) -> Iterator[str]:
    """Yield a note with the number of answers that the rule does not cover, if there are any."""
    names = [name for name, video in scores_of.items() if video.n_unmapped]
    if names:
        total = sum(scores_of[name].n_unmapped for name in names)
        yield f"{counted(total, 'answer')} of {count_videos(len(names))} without a score by --answers: {naming(names)}."


def _changes(parts: Mapping[str, LaidScores]) -> Iterator[str]:
    """Yield notes about scores that were padded and trimmed."""
    for words, changed in (
        (
            "had too few scores, and the last one was repeated to the end:",
            {n: part.padded for n, part in parts.items()},
        ),
        ("had scores past the end, which were left out:", {n: part.trimmed for n, part in parts.items()}),
    ):
        names = [name for name, frames in changed.items() if frames]
        if names:
            most = max(names, key=changed.__getitem__)
            yield (
                f"{count_videos(len(names))} {words} {counted(sum(changed.values()), 'frame')} in all, at most "
                f"{changed[most]} ({most}): {naming(names)}."
            )


def _missing_message(missing: list[str], unknown: list[str], truth: GroundTruth) -> str:
    near = difflib.get_close_matches(missing[0].casefold(), [name.casefold() for name in unknown], n=1)
    like = [name for name in unknown if name.casefold() in near]
    if like:
        hint = f" If {like[0]!r} of the score file is the same video as {missing[0]!r}, rename it."
    else:
        hint = f" The score file has others: {naming(unknown)}." if unknown else ""
    rule = "" if len(missing) == len(truth.video_ids) else " --allow-missing measures the others, and says so."
    return (
        f"{len(missing)} of {len(truth.video_ids)} videos of {truth.dataset!r} have no scores: {naming(missing)}."
        f"{hint}{rule}"
    )


def _unknown(truth: GroundTruth, segments: SegmentScores, rules: FitRules) -> Iterator[str]:
    """Yield a note with the number of frames without a known score, which are an error unless a rule allows them."""
    bad = np.isnan(segments.scores)
    if not bad.any():
        return
    names = [truth.video_ids[code] for code in np.unique(segments.codes[bad])]
    n_frames = int(segments.n_frames[bad].sum())
    of = f"{counted(n_frames, 'frame')} of {count_videos(len(names))}"
    words = f"{of} without a known score, null or NaN ({naming(names)})"
    if not rules.allow_unknown:
        raise VadprobeError(
            f"{words}; a frame without a score is not a normal frame. --allow-unknown leaves them out of every number, "
            "and says how many."
        )
    yield f"{words}; left out of every number."
