"""Agreement of selections as lines of text and as Markdown."""

import math
from collections.abc import Sequence

from vadprobe.analyze.experiments.agreement.pairs import Agreement, Pair
from vadprobe.store.files import text

_HEAD = ("differ in", "first", "second", "pairs", "shared", "by chance", "Jaccard", "by chance ", "distance", "depth")
_NUMBERS = _HEAD[3:]
_LEGEND = (
    "Shared: heads (or layers) that both choose, of how many; by chance: what two random choices of as many share.",
    "Distance: between two layers, in layers. Depth: difference of the mean relative depths, 0 to 1; between different "
    "backbones nothing else can be compared.",
    "Numbers are means over pairs of calibration draws; draws of one job say how much to expect at best.",
)


def agreement_lines(found: Agreement) -> list[str]:
    """Format as lines of text."""
    body = text.table(_HEAD, [_cells(pair) for pair in found.pairs], right=_NUMBERS)
    shown = [body[0]]
    for pair, line in zip(found.pairs, body[1:], strict=True):
        shown += [line, *(f"    {about}" for about in (_about(pair),) if about)]
    return [*shown, "", *_LEGEND, *(f"Note: {note}" for note in found.notes)]


def agreement_markdown(found: Agreement) -> list[str]:
    """Format as Markdown."""
    rows = [[*_cells(pair), _about(pair)] for pair in found.pairs]
    lines = ["# Agreement of choices", "", *text.markdown_table([*_HEAD, "first draw"], rows, right=_NUMBERS), ""]
    return [*lines, *(one for line in (*_LEGEND, *(f"Note: {n}" for n in found.notes)) for one in (line, ""))]


def _cells(pair: Pair) -> Sequence[str]:
    found = pair.overlap
    of = f" of {pair.size:g}"
    distance = _number(pair.distance) + (
        "" if math.isnan(pair.chance_distance) else f" (chance {pair.chance_distance:.2f})"
    )
    return (
        *(pair.differ_in, pair.first, pair.second, str(pair.n)),
        _number(found.shared) + ("" if math.isnan(found.shared) else of),
        *(_number(one) for one in (found.chance_shared, found.jaccard, found.chance_jaccard)),
        distance,
        _number(pair.depth),
    )


def _number(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.2f}"


def _about(pair: Pair) -> str:
    if not pair.n:
        return f"unknown: {pair.reason}"
    chosen = " | ".join(pair.choices)
    return f"{chosen} ({pair.reason}: depth alone is compared)" if pair.reason else chosen
