"""JSON files read so that repeated keys are noticed; a plain parser would silently keep the last value."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

from vadprobe.store.datasets.annotations.rows.rows import read_text
from vadprobe.store.errors import VadprobeError
from vadprobe.store.files.text import error_text, visible

_MAX_DIGITS = 4000


class JsonObject(dict[str, Any]):
    """A JSON object that remembers every pair, repeated keys included, in the file's order."""

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        self.pairs = tuple(pairs)

    @property
    def repeated(self) -> str | None:
        """The first key that occurs more than once, or None."""
        counts = Counter(key for key, _ in self.pairs)
        return next((key for key, count in counts.items() if count > 1), None)


def parse_json(text: str) -> Any:
    """Parse a JSON text, with objects as `JsonObject`; an integer of 4,000 digits or more becomes infinity.

    Raises:
        ValueError, RecursionError: as `json.loads` does.
    """
    return json.loads(text, object_pairs_hook=JsonObject, parse_int=_whole)


def read_json_object(path: Path, what: str) -> JsonObject:
    """Read a JSON file that holds one object with at least one key. Objects in it are `JsonObject`.

    Raises:
        VadprobeError: naming the file and, where known, the line, if it cannot be read, is not JSON or is no object.
    """
    text = read_text(path, what)
    try:
        value = parse_json(text)
    except json.JSONDecodeError as error:
        raise VadprobeError(
            f"the {what} {path}, line {error.lineno}, is not valid JSON ({error.msg}); save it as JSON again."
        ) from error
    except (RecursionError, ValueError) as error:
        raise VadprobeError(
            f"the {what} {path} is not readable as JSON ({error_text(error)}); check that it is the right file."
        ) from error
    if not isinstance(value, JsonObject) or not value:
        raise VadprobeError(f"the {what} {path}, line 1: it must be a JSON object with a key for every video.")
    return value


def shown(value: Any) -> str:
    """Format a JSON value as short text for a message."""
    try:
        return visible(json.dumps(value, ensure_ascii=False, default=str)[:200])
    except (RecursionError, ValueError):
        return f"a {type(value).__name__} too large to show"


def _whole(digits: str) -> int | float:
    return int(digits) if len(digits) < _MAX_DIGITS else float(digits)
