"""Values of a sweep's keys, read from the words of a command: numbers, ranges of numbers, sets of prompts."""

from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from itertools import combinations

from vadprobe.store.errors import VadprobeError

Value = int | float | str
"""A value of a key; a set of prompts is their keys joined by '+'."""

_MOST = 10_000


def whole_numbers(key: str, word: str, least: int, most: int | None) -> list[int]:
    """Read a whole number, or a range such as `1..10` or `2..10..2`, both ends included.

    Raises:
        VadprobeError: if the word is neither, or a number is outside [least, most].
    """
    wanted = f"whole numbers from {least}" + ("" if most is None else f" to {most}")
    try:
        found = _spread(word)
    except InvalidOperation as error:
        raise _refusal(key, wanted, word) from error
    whole = [int(number) for number in found]
    if whole != found or not whole or min(whole) < least or (most is not None and max(whole) > most):
        raise _refusal(key, wanted, word)
    return whole


def numbers(key: str, word: str, least: float | None = None, most: float | None = None) -> list[float]:
    """Read a number, or a range such as `0.1..0.9..0.2`, both ends included.

    Raises:
        VadprobeError: if the word is neither, or a number is outside [least, most]; None means no bound.
    """
    ends = " and ".join(f"at {side} {end:g}" for side, end in (("least", least), ("most", most)) if end is not None)
    try:
        found = [float(number) for number in _spread(word)]
    except InvalidOperation as error:
        raise _refusal(key, " ".join(("numbers", ends)).strip(), word) from error
    low = min(found, default=float("nan"))
    high = max(found, default=float("nan"))
    if not found or (least is not None and low < least) or (most is not None and high > most):
        raise _refusal(key, " ".join(("numbers", ends)).strip(), word)
    return found


def prompt_set(key: str, word: str, prompts: Sequence[str]) -> str:
    """Read keys of prompts joined by '+'; returns them joined in the job's order.

    Raises:
        VadprobeError: if one is no prompt of the job.
    """
    named = word.split("+")
    if any(name not in prompts for name in named):
        raise _refusal(key, f"prompts of the job ({', '.join(prompts)}), joined by '+'", word)
    return "+".join(name for name in prompts if name in named)


def subsets(prompts: Sequence[str]) -> list[str]:
    """Return every non-empty set of prompts, small sets first."""
    return ["+".join(part) for size in range(1, len(prompts) + 1) for part in combinations(prompts, size)]


def shown(value: Value | None) -> str:
    """Return a value as people read it."""
    return "-" if value is None else value if isinstance(value, str) else f"{value:g}"


def _spread(word: str) -> list[Decimal]:
    """Return the numbers of `a`, `a..b` or `a..b..step`, in decimal arithmetic: 0.1..0.9..0.1 ends at 0.9."""
    parts = [Decimal(part.strip()) for part in word.split("..")]
    if len(parts) == 1 and parts[0].is_finite():
        return parts
    if len(parts) not in (2, 3) or not all(part.is_finite() for part in parts):
        raise InvalidOperation
    start, stop, step = (*parts, Decimal(1))[:3]
    if step <= 0 or (stop - start) / step > _MOST:
        raise InvalidOperation
    return [start + step * number for number in range(int((stop - start) // step) + 1)] if stop >= start else []


def _refusal(key: str, wanted: str, word: str) -> VadprobeError:
    return VadprobeError(f"{key} must be {wanted}, got {word!r}.")
