"""Scores of videos from a JSON file: an object that maps video names to lists, or to objects by segment."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from vadprobe.analyze.evaluation.score_files.answers import AnswerRule
from vadprobe.analyze.evaluation.score_files.json_videos import has_segments, video_scores
from vadprobe.analyze.evaluation.score_files.values import VideoScores, json_kind
from vadprobe.store.datasets.annotations.rows.json_objects import JsonObject, read_json_object
from vadprobe.store.datasets.joining import naming
from vadprobe.store.errors import VadprobeError

EVERY = "*"
"""Part of a key that stands for every video's name."""


def json_scores(path: Path, key: str | None, rule: AnswerRule | None = None) -> list[tuple[str, VideoScores]]:
    """Read the scores under a key of a JSON file, or of the whole file: video names and scores in order."""
    content = _json_part(path, read_json_object(path, "score file"), key)
    if not isinstance(content, JsonObject) or not content:
        got = "an empty object" if isinstance(content, dict) else json_kind(content)
        raise VadprobeError(f"{path} must hold an object from video names to scores under {key!r}, got {got}.")
    nested = [name for name, value in content.pairs if isinstance(value, dict) and not has_segments(value)]
    if nested:
        raise VadprobeError(
            f"{path} holds objects, not lists of scores, under {naming(nested)}; {_advice(content, nested, key)}."
        )
    return [(name, video_scores(path, name, value, rule)) for name, value in content.pairs]


def _json_part(path: Path, content: JsonObject, key: str | None) -> Any:
    """Return the part of a file under a key; dots separate the parts of the key, '*' goes into every video's object."""
    if key is None:
        return content
    return _below(path, content, (key,) if key in content else key.split("."), key)


def _below(path: Path, part: Any, steps: Sequence[str], key: str) -> Any:
    for position, step in enumerate(steps):
        if step == EVERY and isinstance(part, JsonObject) and step not in part:
            return JsonObject([(name, _below(path, value, steps[position + 1 :], key)) for name, value in part.pairs])
        if not isinstance(part, JsonObject) or step not in part:
            has = naming(list(part)) if isinstance(part, dict) else json_kind(part)
            raise VadprobeError(f"{path} has no key {key!r}: there is no {step!r} among {has}; correct --scores-key.")
        if sum(name == step for name, _ in part.pairs) > 1:
            raise VadprobeError(f"{path} has the key {step!r} twice; keep one of them.")
        part = part[step]
    return part


def _advice(content: JsonObject, nested: Sequence[str], key: str | None) -> str:
    """Return the advice for a file with objects in place of scores."""
    before = "" if key is None else f"{key}."
    inside = [_lists_in(value) for value in content.values()]
    shared = [name for name in inside[0] if all(name in names for names in inside)]
    if shared and (len(content) > 1 or len(shared) < len(next(iter(content.values())))):
        best = min(shared, key=lambda name: "score" not in name.lower())
        more = f" (each has lists under {naming(shared)})" if len(shared) > 1 else ""
        return f"name what holds the scores in each video's object: --scores-key '{before}{EVERY}.{best}'{more}"
    below = next((found for name in nested for found in _keys_of_lists(content[name], name)), None)
    if below is None:
        return (
            "every video must have a list. If other things stand beside the scores, put these under a key and name it "
            "with --scores-key"
        )
    return f"name the one that holds the scores, such as --scores-key {before}{below}"


def _lists_in(value: Any) -> list[str]:
    """Return the keys of a video's object that hold a list, or an object by segment."""
    if not isinstance(value, dict):
        return []
    return [name for name, part in value.items() if isinstance(part, list) or has_segments(part)]


def _keys_of_lists(value: Any, key: str, depth: int = 3) -> Iterator[str]:
    """Yield the dotted keys of the objects that hold a list, a few levels deep."""
    if not isinstance(value, dict) or depth == 0:
        return
    if any(isinstance(part, list) or has_segments(part) for part in value.values()):
        yield key
    for name, part in value.items():
        yield from _keys_of_lists(part, f"{key}.{name}", depth - 1)
