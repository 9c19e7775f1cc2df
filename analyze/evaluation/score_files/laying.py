"""Laying the scores of one video on its frames by given rules; nothing is cut or filled without a rule."""

from dataclasses import dataclass

import numpy as np

from vadprobe.analyze.evaluation.score_files.joined_names import Renaming
from vadprobe.analyze.evaluation.score_files.values import VideoScores
from vadprobe.store.datasets.annotations.conventions import IntervalConvention

LONGEST_SEGMENT = 2**22
"""Largest length of a segment in frames, more than a day of video; its number times its length must fit 64 bits."""


@dataclass(frozen=True)
class FitRules:
    """Rules for scores that do not fit the frames.

    Attributes:
        segment_length: frames w per score if the file gives no frames; segment i is `[i w, (i + 1) w)`, the last one
            cut at the video's end.
        convention: convention of a file's start and stop numbers.
        pad: extend the last score of a video with too few scores to its end.
        trim: leave out scores behind a video's end.
        allow_missing: leave videos without scores out of the evaluation.
        allow_unknown: leave frames with a NaN score out of the evaluation.
        renaming: replacement in names before they are compared.
    """

    segment_length: int = 1
    convention: IntervalConvention = "zero-based-half-open"
    pad: bool = False
    trim: bool = False
    allow_missing: bool = False
    allow_unknown: bool = False
    renaming: Renaming | None = None


@dataclass(frozen=True, eq=False)
class LaidScores:
    """Segments that cover a video once, and the numbers of padded frames and of frames trimmed behind the end."""

    starts: np.ndarray
    stops: np.ndarray
    scores: np.ndarray
    padded: int = 0
    trimmed: int = 0


def lay(video: VideoScores, n_frames: int, rules: FitRules) -> LaidScores | str:
    """Return segments that cover the video, or a sentence that says why the scores do not fit."""
    if len(video.scores) == 0 and n_frames > 0:
        return "the list of its scores is empty"
    if video.starts is None or video.stops is None:
        return _lay_by_position(video.scores, n_frames, rules)
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
    return LaidScores(starts, stops, scores, max(n_frames - end, 0), max(end - n_frames, 0))


def _as_frames(
    video: VideoScores, starts: np.ndarray, stops: np.ndarray, n_frames: int, rules: FitRules
) -> tuple[np.ndarray, np.ndarray]:
    """Return the file's start and stop numbers as half-open frames counted from 0."""
    if video.unit == "segment":
        first, last = starts * rules.segment_length, (starts + 1) * rules.segment_length
        return first, np.minimum(last, n_frames) if (first < n_frames).all() else last
    before = int(rules.convention == "one-based-closed")
    if video.is_single_frames:
        return starts - before, stops - before
    return starts - before, stops - before + int(rules.convention != "zero-based-half-open")


def _fault(starts: np.ndarray, stops: np.ndarray, n_frames: int) -> str | None:
    """Return a sentence about the first gap or overlap of sorted segments; None if they cover every frame once."""
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


def _lay_by_position(scores: np.ndarray, n_frames: int, rules: FitRules) -> LaidScores | str:
    """Lay scores one after another, each on `segment_length` frames."""
    width = rules.segment_length
    wanted = -(-n_frames // width)
    got = len(scores)
    if (got > wanted and not rules.trim) or (got < wanted and not rules.pad):
        return f"{got} scores for {n_frames} frames" + (f" ({wanted} segments of {width})" if width > 1 else "")
    scores = scores[:wanted]
    # Equal neighbours become one segment, since files with one score per frame mostly repeat scores.
    changes = np.flatnonzero(np.concatenate([[True], scores[1:] != scores[:-1]])[: len(scores)])
    starts = changes * width
    stops = np.append(starts[1:], n_frames)[: len(starts)]
    return LaidScores(starts, stops, scores[changes], max(n_frames - got * width, 0), max(got - wanted, 0) * width)
