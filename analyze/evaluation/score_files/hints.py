"""The error message about scores that do not fit: the first faults, and rules under which the scores would fit."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from vadprobe.analyze.evaluation.score_files.laying import LONGEST_SEGMENT, FitRules, lay
from vadprobe.analyze.evaluation.score_files.values import VideoScores
from vadprobe.store.datasets.annotations.conventions import CONVENTIONS, LENGTH_RULES

_USUAL_LENGTHS = (1, 2, 4, 5, 8, 10, 12, 15, 16, 20, 24, 25, 30, 32, 48, 50, 60, 64, 100, 128, 150, 256, 300)
_HINTS = 3


def misfit_message(
    wrong: Mapping[str, str], scores_of: Mapping[str, VideoScores], n_frames: Mapping[str, int], rules: FitRules
) -> str:
    """Return the message: the faults by video, and rules under which the scores would fit."""
    first = "; ".join(f"{name}: {text}" for name, text in list(wrong.items())[:3])
    rest = f"; and {len(wrong) - 3} more" if len(wrong) > 3 else ""
    hint = ""
    for whose, names in (("All", list(n_frames)), ("These", list(wrong))):
        fits = list(_fitting(names, scores_of, n_frames, rules, is_all=whose == "All"))[:_HINTS]
        if fits:
            hint = f" {whose} {count_videos(len(names))} would fit with {', or with '.join(fits)}."
            break
    return (
        f"the scores of {count_videos(len(wrong))} do not fit the frames: {first}{rest}.{hint} Every frame "
        "needs one score: --pad repeats the last score to the end, --trim leaves surplus scores out. "
        "Without these options nothing is repeated or left out."
    )


def count_videos(count: int) -> str:
    """Return "1 video" or "2 videos"."""
    return f"{count} video" + "s" * (count != 1)


def _fitting(
    names: Sequence[str],
    scores_of: Mapping[str, VideoScores],
    n_frames: Mapping[str, int],
    rules: FitRules,
    is_all: bool,
) -> Iterator[str]:
    """Yield other rules under which all named videos fit; rules for the whole file only if `is_all`."""
    is_placed = [scores_of[name].starts is not None for name in names]
    if not any(is_placed):
        pairs = [(len(scores_of[name].scores), n_frames[name]) for name in names]
        if all(got for got, _ in pairs):
            yield from _fitting_lengths(pairs, rules.segment_length, is_all)
    elif all(is_placed):
        options: list[tuple[str, FitRules]] = []
        if is_all and scores_of[names[0]].unit == "frame":
            options += [(f"--segments {c}", replace(rules, convention=c)) for c in CONVENTIONS if c != rules.convention]
        elif is_all:
            options += [(f"--segment-length {w}", replace(rules, segment_length=w)) for w in _USUAL_LENGTHS]
        options += [("--trim", replace(rules, trim=True))]
        if scores_of[names[0]].unit == "frame":
            options += [("--pad", replace(rules, pad=True)), ("--pad --trim", replace(rules, pad=True, trim=True))]
        for option, other in options:
            if all(not isinstance(lay(scores_of[name], n_frames[name], other), str) for name in names):
                yield option
                if "--pad" in option or "--trim" in option:
                    return


def _fitting_lengths(pairs: Sequence[tuple[int, int]], width: int, is_all: bool) -> Iterator[str]:
    """Yield conventions by which every number of scores (1 or more) follows from the video's number of frames."""
    # ceil(n / w) == got means n / got <= w < n / (got - 1), and floor(n / w) == got means n / (got + 1) < w <= n / got.
    whole = [(-(-n // got), (n - 1) // (got - 1) if got > 1 else LONGEST_SEGMENT) for got, n in pairs]
    dropped = [(n // (got + 1) + 1, n // got) for got, n in pairs]
    for other in _within(whole) if is_all else ():
        if other != width:
            yield f"one score per {other} frames (--segment-length {other})"
    for other in _within(dropped) if is_all else (width,):
        if other > 1 and all(got == n // other for got, n in pairs):
            yield f"one score per {other} whole frames, the rest dropped (--segment-length {other} --pad)"
    for name, rule in LENGTH_RULES.items() if width == 1 else ():
        if all(got == rule(n) for got, n in pairs):
            option = "--trim" if rule(1000) > 1000 else "--pad"
            yield f"the convention {name!r} of the number of frames ({option})"


def _within(ranges: Sequence[tuple[int, int]]) -> list[int]:
    """Return the usual segment lengths that lie in all closed ranges; if there is none, the least length that does."""
    least, most = max(first for first, _ in ranges), min(last for _, last in ranges)
    usual = [width for width in _USUAL_LENGTHS if least <= width <= most]
    return usual or [least] * (1 <= least <= most)
