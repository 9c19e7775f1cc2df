"""JSON files whose repeated keys are seen: a plain parser keeps the last value of a key and says nothing."""

import json
from pathlib import Path
from typing import Any

from vadprobe.store.annotations.reading import read_text
from vadprobe.store.errors import VadprobeError


class JsonObject(dict[str, Any]):
    """A JSON object that remembers every pair, repeated keys included, in the file's order."""

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        self.pairs = tuple(pairs)


def read_json_object(path: Path, what: str) -> JsonObject:
    """Read a JSON file that holds one object with at least one key.

    Raises:
        VadprobeError: naming the file and, where known, the line, if it cannot be read, is not JSON or is no object.
    """
    text = read_text(path, what)
    try:
        value = json.loads(text, object_pairs_hook=JsonObject)
    except json.JSONDecodeError as error:
        raise VadprobeError(
            f"the {what} {path}, line {error.lineno}, is not valid JSON ({error.msg}); save it as JSON again."
        ) from error
    except (RecursionError, ValueError) as error:
        raise VadprobeError(
            f"the {what} {path}, line 1: not readable as JSON ({error}); is it the right file?"
        ) from error
    if not isinstance(value, JsonObject) or not value:
        raise VadprobeError(f"the {what} {path}, line 1: a JSON object with a key for every video is wanted.")
    return value


def shown(value: Any) -> str:
    """A JSON value as short text for a message."""
    return json.dumps(value, ensure_ascii=False, default=str)[:200]
