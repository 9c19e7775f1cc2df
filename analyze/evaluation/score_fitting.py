"""Laying foreign scores on the frames of a ground truth: every rule is stated, and nothing is cut in silence."""

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from vadprobe.analyze.evaluation.ground_truth import GroundTruth
from vadprobe.analyze.evaluation.score_files import VideoScores
from vadprobe.analyze.evaluation.segment_scores import SegmentScores
from vadprobe.store.datasets.annotations.conventions import CONVENTIONS, LENGTH_RULES, IntervalConvention
from vadprobe.store.datasets.annotations.names import video_name
from vadprobe.store.datasets.joining import naming
from vadprobe.store.errors import VadprobeError

_USUAL_LENGTHS = (1, 2, 4, 5, 8, 10, 12, 15, 16, 20, 24, 25, 30, 32, 48, 50, 60, 64, 100, 128, 150, 256, 300)
_HINTS = 3
LONGEST_SEGMENT = 2**22
"""Frames; more than a day of video. A segment's number times its length must fit 64 bits."""


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
    if not 1 <= rules.segment_length <= LONGEST_SEGMENT:
        raise VadprobeError(
            f"the segment length is {rules.segment_length}; a whole number of frames from 1 to {LONGEST_SEGMENT} is "
            "wanted."
        )
    notes: list[str] = []
    scores_of, unknown = _by_name(found, truth)
    missing = [name for name in truth.video_ids if name not in scores_of]
    if missing and (not rules.allow_missing or len(missing) == len(truth.video_ids)):
        raise VadprobeError(_missing_message(missing, unknown, truth))
    if unknown:
        notes.append(f"{len(unknown)} scored videos are not in the ground truth and were left out: {naming(unknown)}.")
    if missing:
        notes.append(f"{len(missing)} videos have no scores and are in no number: {naming(missing)}.")
        truth = truth.without(missing)
    n_frames = dict(zip(truth.video_ids, truth.n_frames.tolist(), strict=True))
    laid = {name: _laid(scores_of[name], n_frames[name], rules) for name in truth.video_ids}
    wrong = {name: part for name, part in laid.items() if isinstance(part, str)}
    if wrong:
        raise VadprobeError(_misfit_message(wrong, scores_of, n_frames, rules))
    parts = [part for part in laid.values() if not isinstance(part, str)]
    codes = np.repeat(np.arange(len(parts)), [len(part.scores) for part in parts])
    starts, stops, scores = (
        np.concatenate([getattr(part, field) for part in parts]) for field in ("starts", "stops", "scores")
    )
    _check_unknown(truth, codes, stops - starts, scores, rules, notes)
    notes += _changes(dict(zip(truth.video_ids, parts, strict=True)))
    outside = int((stops - starts)[(scores < 0) | (scores > 1)].sum())
    if outside:
        notes.append(
            f"{outside} frames have scores outside [0, 1] (from {np.nanmin(scores):.4g} to {np.nanmax(scores):.4g}): "
            "ranking metrics do not mind; F1, false alarms and events need a threshold (--threshold)."
        )
    return Fitted(truth, SegmentScores(codes, starts, stops, scores), tuple(notes))


def _by_name(found: Mapping[str, VideoScores], truth: GroundTruth) -> tuple[dict[str, VideoScores], list[str]]:
    """The scores of the truth's videos by the truth's names, and the names that are not in it.

    Scores are named without folder and extension; a truth from one's own table may name its videos with them.
    """
    plain = {name: name if name in found else video_name(name) for name in truth.video_ids}
    owner: dict[str, str] = {}
    for name, short in plain.items():
        if owner.setdefault(short, name) != name:
            raise VadprobeError(
                f"the videos {owner[short]!r} and {name!r} of {truth.dataset!r} have one name without folder and "
                "extension, by which scores are joined; rename one in the annotation and in the score file."
            )
    scores_of = {name: found[short] for name, short in plain.items() if short in found}
    return scores_of, [name for name in found if name not in owner]


@dataclass(frozen=True, eq=False)
class _Laid:
    """Segments that cover a video once, and how many frames were padded, or past the end and trimmed."""

    starts: np.ndarray
    stops: np.ndarray
    scores: np.ndarray
    padded: int = 0
    trimmed: int = 0


def _laid(video: VideoScores, n_frames: int, rules: FitRules) -> _Laid | str:
    """The segments, or what is wrong."""
    if len(video.scores) == 0 and n_frames > 0:
        return "the list of its scores is empty"
    if video.starts is None or video.stops is None:
        return _laid_by_position(video.scores, n_frames, rules)
    starts, stops = _as_frames(video, video.starts, video.stops, n_frames, rules)
    order = np.argsort(starts, kind="stable")
    starts, stops, scores = starts[order], stops[order], video.scores[order]
    end = int(stops.max(initial=0))
    if rules.trim:
        inside = starts < n_frames
        starts, stops, scores = starts[inside], np.minimum(stops[inside], n_frames), scores[inside]
    fault = _fault(starts, stops, n_frames)
    if fault is None and len(stops) and stops[-1] < n_frames and rules.pad:
        stops[-1] = n_frames
    if fault is None and len(stops) and stops[-1] != n_frames:
        fault = f"scores reach frame {stops[-1]} of {n_frames}"
    if fault is not None:
        return fault + (f" (read as {rules.convention})" if video.unit == "frame" else "")
    return _Laid(starts, stops, scores, max(n_frames - end, 0), max(end - n_frames, 0))


def _as_frames(
    video: VideoScores, starts: np.ndarray, stops: np.ndarray, n_frames: int, rules: FitRules
) -> tuple[np.ndarray, np.ndarray]:
    """The file's numbers as half-open frames counted from 0."""
    if video.unit == "segment":
        first, last = starts * rules.segment_length, (starts + 1) * rules.segment_length
        return first, np.minimum(last, n_frames) if (first < n_frames).all() else last
    before = int(rules.convention == "one-based-closed")
    if video.is_single_frames:
        return starts - before, stops - before
    return starts - before, stops - before + int(rules.convention != "zero-based-half-open")


def _changes(parts: Mapping[str, _Laid]) -> Iterator[str]:
    """What was padded and trimmed, in sentences."""
    for words, changed in (
        ("had too few scores and keep the last one to the end, for", {n: part.padded for n, part in parts.items()}),
        ("had scores past the end, left out, of", {n: part.trimmed for n, part in parts.items()}),
    ):
        names = [name for name, frames in changed.items() if frames]
        if names:
            most = max(names, key=changed.__getitem__)
            yield (
                f"{_videos(len(names))} {words} {sum(changed.values())} frames in all, at most {changed[most]} "
                f"({most}): {naming(names)}."
            )


def _fault(starts: np.ndarray, stops: np.ndarray, n_frames: int) -> str | None:
    """What keeps sorted segments from covering frames from 0 on exactly once."""
    if len(starts) == 0:
        return f"no score begins before its end, frame {n_frames}" if n_frames else None
    empty = np.flatnonzero(stops <= starts)
    if len(empty):
        return f"the segment [{starts[empty[0]]}, {stops[empty[0]]}) is empty"
    if starts[0] != 0:
        return f"the first score is of frame {starts[0]}, not 0"
    gaps = np.flatnonzero(starts[1:] != stops[:-1])
    if len(gaps) == 0:
        return None
    before, after = int(stops[gaps[0]]), int(starts[gaps[0] + 1])
    if after < before:
        return f"two scores are of frame {after}, in [{starts[gaps[0]]}, {before}) and [{after}, {stops[gaps[0] + 1]})"
    return f"frames [{before}, {after}) have no score"


def _laid_by_position(scores: np.ndarray, n_frames: int, rules: FitRules) -> _Laid | str:
    width = rules.segment_length
    wanted = -(-n_frames // width)
    got = len(scores)
    if (got > wanted and not rules.trim) or (got < wanted and not rules.pad):
        return f"{got} scores for {n_frames} frames" + (f" ({wanted} segments of {width})" if width > 1 else "")
    scores = scores[:wanted]
    # Equal neighbours are one segment: a file of one score per frame mostly repeats itself.
    changes = np.flatnonzero(np.concatenate([[True], scores[1:] != scores[:-1]])[: len(scores)])
    starts = changes * width
    stops = np.append(starts[1:], n_frames)[: len(starts)]
    return _Laid(starts, stops, scores[changes], max(n_frames - got * width, 0), max(got - wanted, 0) * width)


def _missing_message(missing: list[str], unknown: list[str], truth: GroundTruth) -> str:
    near = difflib.get_close_matches(missing[0].casefold(), [name.casefold() for name in unknown], n=1)
    like = [name for name in unknown if name.casefold() in near]
    if like:
        hint = f" Is {like[0]!r} of the score file the same as {missing[0]!r}? Rename it."
    else:
        hint = f" The score file has others: {naming(unknown)}." if unknown else ""
    rule = "" if len(missing) == len(truth.video_ids) else " --allow-missing measures the others, and says so."
    return (
        f"{len(missing)} of {len(truth.video_ids)} videos of {truth.dataset!r} have no scores: {naming(missing)}."
        f"{hint}{rule}"
    )


def _misfit_message(
    wrong: Mapping[str, str], scores_of: Mapping[str, VideoScores], n_frames: Mapping[str, int], rules: FitRules
) -> str:
    first = "; ".join(f"{name}: {text}" for name, text in list(wrong.items())[:3])
    rest = f"; and {len(wrong) - 3} more" if len(wrong) > 3 else ""
    hint = ""
    for whose, names in (("All", list(n_frames)), ("These", list(wrong))):
        fits = list(_fitting(names, scores_of, n_frames, rules, is_all=whose == "All"))[:_HINTS]
        if fits:
            hint = f" {whose} {_videos(len(names))} would fit with {', or with '.join(fits)}."
            break
    return (
        f"the scores of {_videos(len(wrong))} do not fit the frames: {first}{rest}.{hint} Every frame needs one score: "
        "--pad repeats the last score to the end, --trim leaves surplus scores out; neither is done unasked."
    )


def _videos(count: int) -> str:
    return f"{count} video" + "s" * (count != 1)


def _fitting(
    names: Sequence[str],
    scores_of: Mapping[str, VideoScores],
    n_frames: Mapping[str, int],
    rules: FitRules,
    is_all: bool,
) -> Iterator[str]:
    """Other rules under which every one of some videos fits; rules that hold for a whole file only if these are all."""
    is_placed = [scores_of[name].starts is not None for name in names]
    if not any(is_placed):
        pairs = [(len(scores_of[name].scores), n_frames[name]) for name in names]
        if all(got for got, _ in pairs):
            yield from _fitting_lengths(pairs, rules.segment_length, is_all)
    elif all(is_placed):
        options: list[tuple[str, FitRules]] = []
        if is_all and scores_of[names[0]].unit == "frame":
            options += [(f"--segments {c}", replace(rules, convention=c)) for c in CONVENTIONS if c != rules.convention]
        elif is_all:
            options += [(f"--segment-length {w}", replace(rules, segment_length=w)) for w in _USUAL_LENGTHS]
        options += [("--trim", replace(rules, trim=True))]
        if scores_of[names[0]].unit == "frame":
            options += [("--pad", replace(rules, pad=True)), ("--pad --trim", replace(rules, pad=True, trim=True))]
        for option, other in options:
            if all(not isinstance(_laid(scores_of[name], n_frames[name], other), str) for name in names):
                yield option
                if "--pad" in option or "--trim" in option:
                    return


def _fitting_lengths(pairs: Sequence[tuple[int, int]], width: int, is_all: bool) -> Iterator[str]:
    """Conventions by which every number of scores (1 or more) follows from the number of frames."""
    # ceil(n / w) == got means n / got <= w < n / (got - 1), and floor(n / w) == got means n / (got + 1) < w <= n / got.
    whole = [(-(-n // got), (n - 1) // (got - 1) if got > 1 else LONGEST_SEGMENT) for got, n in pairs]
    dropped = [(n // (got + 1) + 1, n // got) for got, n in pairs]
    for other in _within(whole) if is_all else ():
        if other != width:
            yield f"one score per {other} frames (--segment-length {other})"
    for other in _within(dropped) if is_all else (width,):
        if other > 1 and all(got == n // other for got, n in pairs):
            yield f"one score per {other} whole frames, the rest dropped (--segment-length {other} --pad)"
    for name, rule in LENGTH_RULES.items() if width == 1 else ():
        if all(got == rule(n) for got, n in pairs):
            option = "--trim" if rule(1000) > 1000 else "--pad"
            yield f"the convention {name!r} of the number of frames ({option})"


def _within(ranges: Sequence[tuple[int, int]]) -> list[int]:
    """The segment lengths in all of some closed ranges: the usual ones, or else the least one."""
    least, most = max(first for first, _ in ranges), min(last for _, last in ranges)
    usual = [width for width in _USUAL_LENGTHS if least <= width <= most]
    return usual or [least] * (1 <= least <= most)


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
    said = (
        f"{int(frames[bad].sum())} frames of {_videos(len(names))} have no known score, null or NaN ({naming(names)})"
    )
    if not rules.allow_unknown:
        raise VadprobeError(
            f"{said}; a frame without a score is not a normal frame. --allow-unknown leaves them out of every number, "
            "and says how many."
        )
    notes.append(f"{said}; they are in no number.")
