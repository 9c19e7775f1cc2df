"""The curve of a detection with numbered events, and a line of text for each event."""

import textwrap
import warnings
from collections.abc import Mapping, Sequence

import numpy as np

from vadprobe.analyze.figures import style
from vadprobe.analyze.figures.curves import draw_scores
from vadprobe.detect.pictures.marked import ShownEvent, ShownSegment

MOST_CELLS = 4000
"""Largest number of steps of a curve; where a step covers several segments, it shows their highest score."""

MOST_LINES = 8
"""Largest number of events that are described above the curve; all events are marked in it."""

_LETTERS_OF_A_LINE = 110


def event_curve(
    name: str,
    segments: Sequence[ShownSegment],
    events: Sequence[ShownEvent],
    threshold: float,
    texts: Mapping[int, str] | None = None,
) -> bytes:
    """Draw the scores of a video over its seconds, with its events.

    The curve has a gap where segments are missing or could not be read.

    Args:
        name: title of the picture.
        segments: scored segments, ascending.
        events: in the order of time; they are numbered from 1.
        threshold: the locator's.
        texts: generated sentences about events, by the event's position in `events`; marked as generated.

    Returns:
        Content of a PNG file; without segments the panel is empty.
    """
    words = [style.plain_text(line) for line in [name, *_lines(events, texts or {})]]
    height = 2.2 + 0.16 * sum(line.count("\n") + 1 for line in words)
    figure = style.new_figure(style.WIDTH, height)
    axes = figure.add_subplot()
    raw, smoothed, step = on_cells(segments)
    spans = [(event.start_second / step, event.stop_second / step) for event in events]
    draw_scores(axes, raw, smoothed, None, threshold, 1 / step, spans)
    if segments:
        axes.set_xlim(0, max(segment.stop_second for segment in segments))  # the last segment may be a short one
    for number, event in enumerate(events, start=1):
        middle = (event.start_second + event.stop_second) / 2
        axes.annotate(str(number), (middle, 0.07), xycoords=("data", "axes fraction"), ha="center", va="bottom",
                      fontsize=8, fontweight="bold", color=style.DETECTED)  # fmt: skip
    axes.set_title("\n".join(words), fontsize=8, loc="left")
    style.legend_below(figure, axes, 4)
    with warnings.catch_warnings():
        # A name or a generated text may have letters that the font lacks; they are drawn as boxes.
        warnings.filterwarnings("ignore", r"Glyph .* missing from", UserWarning)
        return style.png(figure)


def on_cells(segments: Sequence[ShownSegment]) -> tuple[np.ndarray, np.ndarray, float]:
    """Spread scores over equal steps of time, at most `MOST_CELLS`.

    Returns:
        Highest score and highest smoothed score of each step, (steps,) float64, NaN where there is none; and the
        seconds of a step. At least one step.
    """
    if not segments:
        return np.full(1, np.nan), np.full(1, np.nan), 1.0
    starts = np.array([segment.start_second for segment in segments])
    stops = np.array([segment.stop_second for segment in segments])
    end = float(stops.max())
    step = max(float(np.median(stops - starts)), end / MOST_CELLS, 1e-9)
    count = max(1, int(np.ceil(end / step - 1e-6)))
    # A millionth of a step: an edge that is off by a rounding error still belongs to its own cell.
    firsts = np.minimum(np.floor(starts / step + 1e-6).astype(int), count - 1)
    lasts = np.clip(np.ceil(stops / step - 1e-6).astype(int), firsts + 1, count)
    raw, smoothed = np.full(count, np.nan), np.full(count, np.nan)
    for segment, first, last in zip(segments, firsts, lasts, strict=True):
        for cells, value in ((raw, segment.score), (smoothed, segment.smoothed)):
            if value is not None:
                cells[first:last] = np.fmax(cells[first:last], value)
    return raw, smoothed, step


def _lines(events: Sequence[ShownEvent], texts: Mapping[int, str]) -> list[str]:
    """Return a line for each of the first events, then one with the number of the others."""
    lines = []
    for position, event in enumerate(events[:MOST_LINES]):
        place = f"{event.start_second:.1f} to {event.stop_second:.1f} s, peak {event.peak_score:.2f}"
        text = f"; generated: {' '.join(texts[position].split())}" if position in texts else ""
        line = f"{position + 1} ({place}){text}"
        lines.append(textwrap.fill(line, _LETTERS_OF_A_LINE, max_lines=2, placeholder=" …"))
    if len(events) > MOST_LINES:
        lines.append(f"and {len(events) - MOST_LINES} more")
    return lines or ["no event"]
