"""Laying foreign scores on the frames of a ground truth: every rule is stated, and nothing is cut in silence."""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from vadprobe.analyze.ground_truth import GroundTruth
from vadprobe.analyze.score_files import VideoScores
from vadprobe.analyze.segment_scores import SegmentScores
from vadprobe.store.annotations.conventions import LENGTH_RULES, IntervalConvention
from vadprobe.store.errors import VadprobeError
from vadprobe.store.joining import naming

_USUAL_LENGTHS = (1, 2, 4, 5, 8, 10, 12, 15, 16, 20, 24, 25, 30, 32, 48, 50, 60, 64, 100, 128, 150, 256, 300)


@dataclass(frozen=True)
class FitRules:
    """What is done with scores that do not fit the frames.

    ``segment_length``: frames per score, where the file gives no frames; segment i is frames ``[i w, (i + 1) w)``, the
    last one cut at the video's end. ``convention``: what start and stop numbers of a file mean. ``pad``: a video with
    too few scores keeps its last one to the end. ``trim``: surplus scores are left out. ``allow_missing``: videos
    without scores are left out of the evaluation. ``allow_unknown``: frames with a NaN score are left out.
    """

    segment_length: int = 1
    convention: IntervalConvention = "zero-based-half-open"
    pad: bool = False
    trim: bool = False
    allow_missing: bool = False
    allow_unknown: bool = False


@dataclass(frozen=True, eq=False)
class Fitted:
    """Scores on the frames of ``truth``, with what was done to them in sentences."""

    truth: GroundTruth
    scores: SegmentScores
    notes: tuple[str, ...]

    @property
    def within_unit_range(self) -> bool:
        """Whether every known score lies in [0, 1], so that 0.5 means something."""
        known = self.scores.scores[~np.isnan(self.scores.scores)]
        return bool(((known >= 0) & (known <= 1)).all())


def fit_scores(found: Mapping[str, VideoScores], truth: GroundTruth, rules: FitRules) -> Fitted:
    """Join scores to a ground truth by video name and frame.

    Scores of videos that are not in the truth are left out and named. A video of the truth without scores, a wrong
    number of scores, gaps, overlaps and NaN are errors unless a rule allows them.

    Raises:
        VadprobeError: naming the videos, what was got, what is wanted, and the rule or convention that would fit.
    """
    if rules.segment_length < 1:
        raise VadprobeError(f"the segment length is {rules.segment_length}; at least 1 frame is wanted.")
    notes: list[str] = []
    unknown = [name for name in found if name not in set(truth.video_ids)]
    missing = [name for name in truth.video_ids if name not in found]
    if missing and (not rules.allow_missing or len(missing) == len(truth.video_ids)):
        raise VadprobeError(_missing_message(missing, unknown, truth))
    if unknown:
        notes.append(f"{len(unknown)} scored videos are not in the ground truth and were left out: {naming(unknown)}.")
    if missing:
        notes.append(f"{len(missing)} videos have no scores and are in no number: {naming(missing)}.")
        truth = truth.without(missing)
    wrong: dict[str, str] = {}
    lengths: dict[str, tuple[int, int]] = {}
    parts: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    for name, n_frames in zip(truth.video_ids, truth.n_frames.tolist(), strict=True):
        part = _laid(found[name], n_frames, rules)
        lengths[name] = (len(found[name].scores), n_frames)
        if isinstance(part, str):
            wrong[name] = part
        else:
            parts.append(part)
    if wrong:
        by_position = {name: length for name, length in lengths.items() if found[name].starts is None}
        raise VadprobeError(_length_message(wrong, by_position, rules))
    codes = np.repeat(np.arange(len(parts)), [len(part[2]) for part in parts])
    starts, stops, scores = (np.concatenate([part[place] for part in parts]) for place in range(3))
    _check_unknown(truth, codes, stops - starts, scores, rules, notes)
    if rules.pad or rules.trim:
        notes.append(
            "Scores were " + " and ".join(["padded"] * rules.pad + ["trimmed"] * rules.trim) + " where needed."
        )
    outside = int(np.count_nonzero((scores < 0) | (scores > 1)))
    if outside:
        notes.append(
            f"{outside} scores lie outside [0, 1] (from {np.nanmin(scores):.4g} to {np.nanmax(scores):.4g}): ranking "
            "metrics do not mind; a threshold has to be named."
        )
    return Fitted(truth, SegmentScores(codes, starts, stops, scores), tuple(notes))


def _laid(video: VideoScores, n_frames: int, rules: FitRules) -> tuple[np.ndarray, np.ndarray, np.ndarray] | str:
    """Starts, stops and scores that cover the video once, or what is wrong."""
    if len(video.scores) == 0:
        return "there is no score"
    if video.starts is None or video.stops is None:
        return _laid_by_position(video.scores, n_frames, rules)
    starts, stops = _as_frames(video, video.starts, video.stops, n_frames, rules)
    order = np.argsort(starts, kind="stable")
    starts, stops, scores = starts[order], stops[order], video.scores[order]
    if rules.trim:
        inside = starts < n_frames
        starts, stops, scores = starts[inside], np.minimum(stops[inside], n_frames), scores[inside]
    fault = _fault(starts, stops)
    if fault is None and stops[-1] < n_frames and rules.pad:
        stops[-1] = n_frames
    if fault is None and stops[-1] != n_frames:
        fault = f"scores reach frame {stops[-1]} of {n_frames}"
    return (starts, stops, scores) if fault is None else f"{fault} (read as {rules.convention})"


def _as_frames(
    video: VideoScores, starts: np.ndarray, stops: np.ndarray, n_frames: int, rules: FitRules
) -> tuple[np.ndarray, np.ndarray]:
    """The file's numbers as half-open frames counted from 0."""
    if video.unit == "segment":
        first, last = starts * rules.segment_length, (starts + 1) * rules.segment_length
        return first, np.where(first < n_frames, np.minimum(last, n_frames), last)
    before = int(rules.convention == "one-based-closed")
    if video.is_single_frames:
        return starts - before, stops - before
    return starts - before, stops - before + int(rules.convention != "zero-based-half-open")


def _fault(starts: np.ndarray, stops: np.ndarray) -> str | None:
    """What keeps sorted segments from covering frames from 0 on exactly once."""
    if len(starts) == 0 or np.any(stops <= starts) or starts[0] < 0:
        return "a segment is empty or begins before frame 0"
    if starts[0] > 0:
        return f"the first score is of frame {starts[0]}, not 0"
    gaps = np.flatnonzero(starts[1:] != stops[:-1])
    if len(gaps):
        at = int(gaps[0])
        kind = "overlap" if starts[at + 1] < stops[at] else "leave a gap"
        return f"segments {kind} between frames {stops[at]} and {starts[at + 1]}"
    return None


def _laid_by_position(
    scores: np.ndarray, n_frames: int, rules: FitRules
) -> tuple[np.ndarray, np.ndarray, np.ndarray] | str:
    width = rules.segment_length
    wanted = -(-n_frames // width)
    if len(scores) > wanted and rules.trim:
        scores = scores[:wanted]
    padded = len(scores) < wanted and rules.pad
    if len(scores) != wanted and not padded:
        return f"{len(scores)} scores for {n_frames} frames" + (f" ({wanted} segments of {width})" if width > 1 else "")
    # Equal neighbours are one segment: a file of one score per frame mostly repeats itself.
    changes = np.flatnonzero(np.concatenate([[True], scores[1:] != scores[:-1]]))
    starts = changes * width
    stops = np.append(starts[1:], n_frames)
    return starts, stops, scores[changes]


def _missing_message(missing: list[str], unknown: list[str], truth: GroundTruth) -> str:
    near = difflib.get_close_matches(missing[0], unknown, n=1)
    hint = f" Is {near[0]!r} the same as {missing[0]!r}? Rename it." if near else ""
    rule = "" if len(missing) == len(truth.video_ids) else " --allow-missing measures the others, and says so."
    return (
        f"{len(missing)} of {len(truth.video_ids)} videos of {truth.dataset!r} have no scores: {naming(missing)}."
        f"{hint}{rule}"
    )


def _length_message(wrong: dict[str, str], lengths: dict[str, tuple[int, int]], rules: FitRules) -> str:
    first = "; ".join(f"{name}: {text}" for name, text in list(wrong.items())[:3])
    rest = f"; and {len(wrong) - 3} more" if len(wrong) > 3 else ""
    fits = _fitting_rule(lengths, rules.segment_length)
    hint = f" All {len(lengths)} videos fit {fits}." if fits else ""
    if not fits and wrong.keys() <= lengths.keys():
        fits = _fitting_rule({name: lengths[name] for name in wrong}, rules.segment_length)
        hint = f" These {len(wrong)} fit {fits}." if fits else ""
    return (
        f"the scores of {len(wrong)} videos do not fit their frames: {first}{rest}.{hint} --pad repeats the last score "
        "to the end, --trim leaves surplus scores out; neither is done unasked."
    )


def _fitting_rule(lengths: Mapping[str, tuple[int, int]], width: int) -> str | None:
    """The convention by which every video's number of scores follows from its number of frames."""
    pairs = list(lengths.values())
    for other in _USUAL_LENGTHS if pairs else ():
        if other != width and all(got == -(-n // other) for got, n in pairs):
            return f"one score per {other} frames (--segment-length {other})"
    for other in dict.fromkeys((width, *_USUAL_LENGTHS)) if pairs else ():
        if other > 1 and all(got == n // other for got, n in pairs):
            return f"one score per {other} whole frames, the rest dropped (--segment-length {other} --pad)"
    if width == 1 and pairs:
        for name, rule in LENGTH_RULES.items():
            if all(got == rule(n) for got, n in pairs):
                option = "--trim" if rule(1000) > 1000 else "--pad"
                return f"the convention {name!r} of the number of frames ({option})"
    return None


def _check_unknown(
    truth: GroundTruth,
    codes: np.ndarray,
    frames: np.ndarray,
    scores: np.ndarray,
    rules: FitRules,
    notes: list[str],
) -> None:
    bad = np.isnan(scores)
    if not bad.any():
        return
    names = [truth.video_ids[code] for code in np.unique(codes[bad])]
    said = f"{int(frames[bad].sum())} frames of {len(names)} videos have a NaN score ({naming(names)})"
    if not rules.allow_unknown:
        raise VadprobeError(
            f"{said}; a frame without a score is not a normal frame. --allow-unknown leaves them out of every number, "
            "and says how many."
        )
    notes.append(f"{said}; they are in no number.")
