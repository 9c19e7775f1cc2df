"""Reading a detector's JSON, which may be damaged or hostile: its size, depth and types of values are checked."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

from vadprobe.store.errors import VadprobeError

MOST_BYTES = 64 << 20
"""Largest size of a file in bytes; a probe on every head of a large backbone takes about 10 MB."""

MOST_DEPTH = 16
"""Largest depth of nested lists and objects; a detector has seven levels."""

PARTS: Mapping[str, type] = {
    "preset": str,
    "selection": dict,
    "probe": dict,
    "locator": dict,
    "features": dict,
    "provenance": dict,
}
"""Type of each part that every detector has."""

PACKED: Mapping[str, type] = {"backbone": dict, "calibration": dict, "measured": dict, "digests": dict, "notes": list}
"""Type of each part that packing adds."""


def read_plain(path: Path) -> dict[str, Any]:
    """Read the parts of a detector's file; check their types, and that all numbers are finite.

    Raises:
        FileNotFoundError: if there is none.
        VadprobeError: if the file is too large, no JSON, nested too deeply, or no detector.
    """
    try:
        size = path.stat().st_size
        if size > MOST_BYTES:
            raise VadprobeError(f"{path} has {size:,} bytes; a detector has at most {MOST_BYTES:,}. Name another file.")
        value = json.loads(path.read_bytes().decode("utf-8"), parse_constant=_no_number)
    except IsADirectoryError as error:
        raise VadprobeError(f"{path} is a folder; name the file in it, such as detector.json.") from error
    except VadprobeError:
        raise
    except (ValueError, RecursionError) as error:  # UnicodeDecodeError and JSONDecodeError among them
        raise VadprobeError(f"{path} is not valid JSON ({error}); it was damaged after it was written.") from error
    if not isinstance(value, dict):
        raise VadprobeError(f"{path} is not a detector: it must be an object, got {type(value).__name__}.")
    _check_values(value, path)
    missing = PARTS.keys() - value.keys()
    if missing:
        raise VadprobeError(f"{path} is not a detector: it lacks {', '.join(sorted(missing))}.")
    for name, kind in {**PARTS, **PACKED}.items():
        if name in value and not isinstance(value[name], kind):
            raise VadprobeError(
                f"{path} is not a detector: {name!r} must be of type {kind.__name__}, got "
                f"{type(value[name]).__name__}. The file may have been edited; use the original."
            )
    return value


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"it holds {name}, which is no number")


def _check_values(value: Any, path: Path) -> None:
    """Check all values without recursion, so that deep nesting cannot exhaust the stack."""
    left = [(value, 1)]
    while left:
        item, depth = left.pop()
        if depth > MOST_DEPTH:
            raise VadprobeError(f"{path} is nested deeper than {MOST_DEPTH} levels, which no detector is.")
        if isinstance(item, dict | list):
            left.extend((inner, depth + 1) for inner in (item.values() if isinstance(item, dict) else item))
        elif isinstance(item, float) and item - item != 0:  # 1e999 is read as infinity
            raise VadprobeError(
                f"{path} holds a number beyond the range of float64. The file may have been edited; use the original."
            )
        elif isinstance(item, int) and abs(item) > 1 << 63:
            raise VadprobeError(
                f"{path} holds a whole number of more than 64 bits. The file may have been edited; use the original."
            )


def check_numbers(value: Mapping[str, Any], names: tuple[str, ...], path: Path) -> None:
    """Refuse parts of a probe that are not lists of numbers, or lists of such lists.

    Raises:
        VadprobeError: naming the part.
    """
    for name in names:
        rows = value.get(name, [])
        rows = rows if isinstance(rows, list) and rows and isinstance(rows[0], list) else [rows]
        for row in rows:
            if not isinstance(row, list) or any(isinstance(n, bool) or not isinstance(n, int | float) for n in row):
                raise VadprobeError(
                    f"{path}: the probe's {name!r} must be a list of numbers. The file may have "
                    "been edited; use the original."
                )
