"""Texts of test segments beside the truth, drawn by a seed and never by hand."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vadprobe.store.datasets.dataset import Dataset
from vadprobe.store.files.parquet import read_parquet
from vadprobe.store.files.text import table


@dataclass(frozen=True)
class Caption:
    """What a model says about frames `[start_frame, stop_frame)` of a video, and what is true of them.

    `truth` is the kind of an anomaly that takes at least half of the frames, else "nothing".
    """

    video_id: str
    start_frame: int
    stop_frame: int
    truth: str
    text: str


def sampled_captions(path: Path, truth: Dataset, seed: int, count: int) -> list[Caption]:
    """Draw texts of test segments by a seed: half of segments with an anomaly, half of others, as far as there are.

    Args:
        path: a file of `write_texts`.
        truth: the dataset of its videos.
        seed: the same seed draws the same segments.
        count: an even number of texts.
    """
    rows = read_parquet(path).to_pylist()
    found = [
        Caption(row["video_id"], start, stop, _kind(truth, row["video_id"], start, stop), row["text"])
        for row in rows
        if row["split"] == "test"
        for start, stop in [(row["start_frame"], row["stop_frame"])]
    ]
    generator = np.random.default_rng(seed)
    parts = [[one for one in found if (one.truth == "nothing") is quiet] for quiet in (False, True)]
    return [part[place] for part in parts for place in sorted(generator.permutation(len(part))[: count // 2].tolist())]


def caption_lines(captions: list[Caption]) -> Iterator[str]:
    """Yield a table of texts beside the truth."""
    yield f"{len(captions)} test segments drawn by a seed, and what the model says about them (it never saw a label):"
    cells = [(f"{c.video_id} [{c.start_frame}, {c.stop_frame})", c.truth, c.text) for c in captions]
    yield from table(("segment", "truth", "text"), cells)


def _kind(truth: Dataset, video_id: str, start: int, stop: int) -> str:
    inside = truth.truth(video_id, stop)[start:]
    if 2 * int(inside.sum()) < stop - start:
        return "nothing"
    return truth.by_id[video_id].category or "anomaly"
