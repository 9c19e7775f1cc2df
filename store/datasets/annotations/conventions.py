"""Conventions of the field: how files count frames, and how they round the lengths of videos."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Literal, get_args

from vadprobe.store.datasets.annotations.rows.rows import RowError
from vadprobe.store.datasets.video import Interval

IntervalConvention = Literal["zero-based-half-open", "zero-based-closed", "one-based-closed"]
"""Meaning of `s e` in a file: `[s, e)` or `[s, e]` counted from 0, or `[s, e]` counted from 1."""

CONVENTIONS: tuple[IntervalConvention, ...] = get_args(IntervalConvention)
DEFAULT_CONVENTION: IntervalConvention = "zero-based-half-open"
"""Convention that reproduces all 800 published arrays of XD-Violence and is common for UCF-Crime."""

TEXT_FORMATS = ("ucf-crime", "xd-violence", "msad", "tad")
"""Formats of text files with pairs 's e', which may follow any of these conventions."""

_SHIFTS: dict[IntervalConvention, tuple[int, int]] = {
    "zero-based-half-open": (0, 0),
    "zero-based-closed": (0, 1),
    "one-based-closed": (-1, 0),
}

LENGTH_RULES: Mapping[str, Callable[[int], int]] = {
    "floor to 16": lambda n: n // 16 * 16,
    "ceil to 16": lambda n: -(-n // 16) * 16,
    "((n - 1) // 16) * 16": lambda n: (n - 1) // 16 * 16,
    "n - 1": lambda n: n - 1,
    "n + 1": lambda n: n + 1,
}
"""Rounding rules by name, each from the true number of frames of a video to the number that files of the field give.

RTFM's ground truth follows "ceil to 16", that of XD-Violence the third rule.
"""

MAX_FRAME = 2**40
"""No video has that many frames; a larger number is a slip, and sums of such numbers would not fit 64 bits."""


def convert(
    video_id: str, category: str | None, numbers: Sequence[str], convention: IntervalConvention
) -> tuple[Interval, ...]:
    """Convert pairs of frame numbers to half-open intervals counted from 0; the pairs `-1 -1` mean none.

    Raises:
        RowError: if a number is not whole or the count is odd, or an interval is empty or negative by the convention.
    """
    if len(numbers) % 2 or not all(re.fullmatch(r"-1|[0-9]{1,13}", number) for number in numbers):
        raise RowError("pairs of whole frame numbers (or -1 -1 for none)", "correct the line")
    values = [int(number) for number in numbers]
    pairs = [pair for pair in zip(values[::2], values[1::2], strict=True) if pair != (-1, -1)]
    before, after = _SHIFTS[convention]
    frames = [(start + before, stop + after) for start, stop in pairs]
    if any(not 0 <= start < stop < MAX_FRAME for start, stop in frames):
        raise RowError(
            f"'s e' with s before e ({convention}), below {MAX_FRAME}", "correct the line or choose another convention"
        )
    return tuple(Interval(video_id, start, stop, category) for start, stop in frames)


def frames_of_seconds(start: float | None, stop: float | None, fps: float | None) -> tuple[int, int] | None:
    """Convert an interval in seconds to the nearest frames, half-open and at least one frame long.

    Returns:
        First frame and the frame after the last; None if a value is missing, or unless `0 <= start < stop < MAX_FRAME /
        fps`.
    """
    if start is None or stop is None or fps is None or not 0 <= start < stop < MAX_FRAME / fps:
        return None
    first = round(start * fps)
    return first, max(round(stop * fps), first + 1)


def length_rule(got: Mapping[str, int], true: Mapping[str, int]) -> str | None:
    """Return the name of the rule in `LENGTH_RULES` that turns every true length into the given one, or None.

    Args:
        got: number of frames by video, as a file gives it.
        true: true number of frames by video; videos that are not in both are ignored.
    """
    pairs = [(got[name], true[name]) for name in got if name in true]
    if not pairs or all(mine == theirs for mine, theirs in pairs):
        return None
    return next((name for name, rule in LENGTH_RULES.items() if all(mine == rule(n) for mine, n in pairs)), None)
