"""Scores of videos from a JSON file: an object from video names to lists."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vadprobe.analyze.evaluation.score_files.values import SHOWN, VideoScores, json_kind, numbers, whole_frames
from vadprobe.store.datasets.annotations.rows.json_objects import JsonObject, read_json_object
from vadprobe.store.datasets.joining import naming
from vadprobe.store.errors import VadprobeError
from vadprobe.store.files.text import short


def json_scores(path: Path, key: str | None) -> list[tuple[str, VideoScores]]:
    """Read the scores under a key of a JSON file, or of the whole file: video names and scores in order."""
    content = _json_part(path, read_json_object(path, "score file"), key)
    if not isinstance(content, JsonObject) or not content:
        got = "an empty object" if isinstance(content, dict) else json_kind(content)
        raise VadprobeError(f"{path} must hold an object from video names to scores under {key!r}, got {got}.")
    nested = [name for name, value in content.pairs if isinstance(value, dict)]
    if nested:
        below = next((found for name in nested for found in _keys_of_lists(content[name], name)), None)
        hint = (
            "every video must have a list. If other things stand beside the scores, put these under a key and name "
            "it with --scores-key"
            if below is None
            else f"name the one that holds the scores, such as --scores-key {key + '.' if key else ''}{below}"
        )
        raise VadprobeError(f"{path} holds objects, not lists of scores, under {naming(nested)}; {hint}.")
    return [(name, _json_video(path, name, value)) for name, value in content.pairs]


def _json_part(path: Path, content: JsonObject, key: str | None) -> Any:
    """Return the part of a file under a key, itself or with dots going deeper."""
    if key is None:
        return content
    part: Any = content
    for step in (key,) if key in content else key.split("."):
        if not isinstance(part, JsonObject) or step not in part:
            has = naming(list(part)) if isinstance(part, dict) else json_kind(part)
            raise VadprobeError(f"{path} has no key {key!r}: there is no {step!r} among {has}; correct --scores-key.")
        if sum(name == step for name, _ in part.pairs) > 1:
            raise VadprobeError(f"{path} has the key {step!r} twice; keep one of them.")
        part = part[step]
    return part


def _keys_of_lists(value: Any, key: str, depth: int = 3) -> Iterator[str]:
    """Yield the dotted keys of the objects that hold a list, a few levels deep."""
    if not isinstance(value, dict) or depth == 0:
        return
    if any(isinstance(part, list) for part in value.values()):
        yield key
    for name, part in value.items():
        yield from _keys_of_lists(part, f"{key}.{name}", depth - 1)


def _json_video(path: Path, name: str, value: Any) -> VideoScores:
    if isinstance(value, list) and value and all(isinstance(item, list) and len(item) == 3 for item in value):
        starts, stops, scores = (
            numbers(path, lambda i: f"segment {i} of {name!r}", list(column)) for column in zip(*value, strict=True)
        )
        return VideoScores(scores, whole_frames(path, name, starts), whole_frames(path, name, stops))
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
    return VideoScores(numbers(path, lambda i: f"score {i} of {name!r}", value))
