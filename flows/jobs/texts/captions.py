"""Texts of test segments beside the truth, drawn by a seed and never by hand."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vadprobe.store.datasets.dataset import Dataset
from vadprobe.store.files.parquet import read_parquet
from vadprobe.store.files.text import counted, table

NOTHING, UNKNOWN = "nothing", "unknown"


@dataclass(frozen=True)
class Caption:
    """Text of a model about frames `[start_frame, stop_frame)` of a video, and the truth about them.

    `truth` is the kind of an anomaly that takes at least half of the frames; "partly" and the kind if it takes fewer;
    NOTHING if there is no anomaly; UNKNOWN if there is no label.
    """

    video_id: str
    start_frame: int
    stop_frame: int
    truth: str
    text: str

    @property
    def has_event(self) -> bool:
        """True where some of the frames are known to be anomalous."""
        return self.truth not in (NOTHING, UNKNOWN)


def sampled_captions(path: Path, truth: Dataset, seed: int, count: int) -> list[Caption]:
    """Draw texts of test segments by a seed: up to half are about segments with an anomaly, the others without.

    Args:
        path: a file that `write_texts` wrote.
        truth: the dataset of its videos.
        seed: the same seed draws the same segments.
        count: number of texts.
    """
    rows = read_parquet(path).to_pylist()
    found = [
        Caption(row["video_id"], start, stop, truth_of(truth, row["video_id"], start, stop), row["text"])
        for row in rows
        if row["split"] == "test"
        for start, stop in [(row["start_frame"], row["stop_frame"])]
    ]
    generator = np.random.default_rng(seed)
    events = [one for one in found if one.has_event]
    others = [one for one in found if not one.has_event]
    drawn = _drawn(events, min(count // 2, len(events)), generator)
    return [*drawn, *_drawn(others, min(count - len(drawn), len(others)), generator)]


def _drawn(captions: list[Caption], count: int, generator: np.random.Generator) -> list[Caption]:
    """Draw at most `count` captions; they keep their order."""
    places: list[int] = generator.permutation(len(captions))[:count].tolist()
    return [captions[place] for place in sorted(places)]


def caption_lines(captions: list[Caption]) -> Iterator[str]:
    """Yield a table of texts beside the truth."""
    n_events = sum(one.has_event for one in captions)
    yield (
        f"{counted(len(captions), 'test segment')}, drawn by a seed: {n_events} with an anomaly (half of them, if "
        f"there are enough), {len(captions) - n_events} without. What the model says about each:"
    )
    cells = [(f"{c.video_id} [{c.start_frame}, {c.stop_frame})", c.truth, " ".join(c.text.split())) for c in captions]
    yield from table(("segment", "truth", "text"), cells)


def truth_of(truth: Dataset, video_id: str, start: int, stop: int) -> str:
    """Return the truth about frames `[start, stop)` of a video, in the words of `Caption.truth`."""
    video = truth.by_id[video_id]
    if video.label is None:
        return UNKNOWN
    inside = truth.truth(video_id, stop)[start:]
    if not inside.any():
        return NOTHING
    kind = video.category or "anomaly"
    return f"partly {kind}" if 2 * int(inside.sum()) < stop - start else kind
