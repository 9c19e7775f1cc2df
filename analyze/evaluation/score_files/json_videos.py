"""The scores of one video in a JSON file: a list, or an object by segment."""

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vadprobe.analyze.evaluation.score_files.answers import AnswerRule
from vadprobe.analyze.evaluation.score_files.values import SHOWN, VideoScores, json_kind, numbers, whole_frames
from vadprobe.store.datasets.annotations.rows.json_objects import JsonObject
from vadprobe.store.errors import VadprobeError
from vadprobe.store.files.text import short

_SEGMENT = re.compile(r"\s*[\[(]?\s*([0-9]{1,15})\s*[,:-]\s*([0-9]{1,15})\s*[\])]?\s*")


def has_segments(value: Any) -> bool:
    """Return whether a value is an object whose every key is a segment, such as "0, 27"."""
    return isinstance(value, JsonObject) and bool(value) and all(map(_SEGMENT.fullmatch, value))


def video_scores(path: Path, name: str, value: Any, rule: AnswerRule | None) -> VideoScores:
    """Return the scores of one video.

    Args:
        path: the file, for messages.
        name: the video.
        value: a list of scores, a list of [start, stop, score], or an object that maps "start, stop" to a score or to a
            list that begins with a score.
        rule: rule that gives scores to answers in words; None refuses them.

    Raises:
        VadprobeError: if it is none of these.
    """
    if has_segments(value):
        return _by_segment(path, name, value, rule)
    if isinstance(value, list) and value and all(isinstance(item, list) and len(item) == 3 for item in value):
        starts, stops, last = (list(column) for column in zip(*value, strict=True))
        return _placed(path, name, starts, stops, last, rule)
    if not isinstance(value, list):
        raise VadprobeError(
            f"{path}: the scores of {name!r} must be a list, one number per frame or segment, got {json_kind(value)}. "
            "If other things stand beside the scores, put these under a key and name it with --scores-key."
        )
    for item in value:
        if isinstance(item, list | dict):
            raise VadprobeError(
                f"{path}: the scores of {name!r} must be a list of numbers, or of [start, stop, score] only, got "
                f"{short(repr(item), SHOWN)}."
            )
    scores, n_unmapped = _scores(path, lambda i: f"score {i} of {name!r}", value, rule)
    return VideoScores(scores, n_unmapped=n_unmapped)


def _by_segment(path: Path, name: str, value: JsonObject, rule: AnswerRule | None) -> VideoScores:
    if value.repeated is not None:
        raise VadprobeError(f"{path} has the segment {value.repeated!r} of {name!r} twice; keep one of them.")
    firsts = [item[0] if isinstance(item, list) and item else item for item in value.values()]
    bounds = [match.groups() for match in map(_SEGMENT.fullmatch, value) if match]
    return _placed(path, name, [int(start) for start, _ in bounds], [int(stop) for _, stop in bounds], firsts, rule)


def _placed(
    path: Path, name: str, starts: Sequence[Any], stops: Sequence[Any], scores: Sequence[Any], rule: AnswerRule | None
) -> VideoScores:
    def place(i: int) -> str:
        return f"segment {i} of {name!r}"

    begin, end = (whole_frames(path, name, numbers(path, place, column)) for column in (starts, stops))
    values, n_unmapped = _scores(path, place, scores, rule)
    return VideoScores(values, begin, end, n_unmapped=n_unmapped)


def _scores(
    path: Path, place: Callable[[int], str], values: Sequence[Any], rule: AnswerRule | None
) -> tuple[np.ndarray, int]:
    """Return the scores, and the number of answers that the rule does not cover."""
    if rule is None:
        answer = next((value for value in values if isinstance(value, str)), None)
        try:
            return numbers(path, place, values), 0
        except VadprobeError as error:
            if answer is None:
                raise
            raise VadprobeError(
                f"{error} Answers in words become scores by --answers, such as --answers 'anomalous=1,normal=0'."
            ) from error
    mapped = [rule.score(value) if isinstance(value, str) else value for value in values]
    found = numbers(path, place, mapped)
    is_answer = np.array([isinstance(value, str) for value in values], dtype=bool)
    return found, int((is_answer & np.isnan(found)).sum())
