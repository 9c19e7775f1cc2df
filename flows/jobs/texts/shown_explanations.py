"""Explanations on the terminal: marked as generated, beside the truth, drawn by a seed and never by hand."""

from collections import Counter
from collections.abc import Iterator

import numpy as np

from vadprobe.analyze.locator.explanation_files import Explanations, place_of
from vadprobe.flows.jobs.texts.captions import truth_of
from vadprobe.store.datasets.dataset import Dataset
from vadprobe.store.files.text import counted, table

_UNREADABLE = "(not readable)"


def explanation_lines(found: Explanations, truth: Dataset, count: int, seed: int = 0) -> Iterator[str]:
    """Yield how many segments were explained, the sentence that marks texts as generated, and some of the texts.

    Args:
        found: all explanations.
        truth: dataset of their videos.
        count: largest number of texts to show.
        seed: seed by which the texts to show are drawn.
    """
    kinds = Counter(row["kind"] for row in found.rows)
    if not kinds["anomalous"]:
        yield f"Nothing was detected in {found.head['dataset']!r}: no segment is above the threshold."
    if not found.rows:
        return
    whole = ", ".join(
        counted(kinds[kind], f"{kind} {noun}") for kind, noun in (("anomalous", "event"), ("normal", "segment"))
    )
    unread = sum(row["text"] is None for row in found.rows)
    cut = sum(row["is_whole"] is False for row in found.rows)
    short, lost = counted(cut, "text"), counted(unread, "segment")
    yield f"Explained: {whole}; {short} cut by the token limit, {lost} not readable."
    yield found.notice
    yield f"Prompt: {found.recipe['prompt']}"
    places = np.random.default_rng(seed).permutation(len(found.rows))[:count]
    shown = [found.rows[place] for place in sorted(places.tolist())]
    cells = [
        (
            f"{row['video_id']} [{row['start_frame']}, {row['stop_frame']})",
            row["kind"],
            truth_of(truth, *place_of(row)),
            _UNREADABLE if row["text"] is None else " ".join(row["text"].split()),
        )
        for row in shown
    ]
    if cells:
        yield from table(("segment", "detected", "truth", "generated text"), cells)
