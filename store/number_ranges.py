"""Lists of whole numbers as people write them."""

from collections.abc import Sequence


def ranges(numbers: Sequence[int]) -> str:
    """Ascending numbers, neighbours joined: ``0-3, 7``; empty for none."""
    parts: list[str] = []
    start = previous = None
    for number in (*numbers, None):
        if start is None or previous is None:
            start = previous = number
            continue
        if number is None or number != previous + 1:
            parts.append(str(start) if start == previous else f"{start}-{previous}")
            start = number
        previous = number
    return ", ".join(parts)
