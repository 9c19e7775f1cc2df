"""One analysis as a page needs it, read from its files by whoever knows where they lie."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from vadprobe.analyze.detector.detector import Detector
from vadprobe.analyze.figures.drawn import StoredFigure
from vadprobe.store.datasets.dataset import Dataset


@dataclass(frozen=True, eq=False)
class FilmStrip:
    """Small pictures of a video side by side, evenly spaced in time: one WebP image of `count` frames."""

    webp: bytes
    count: int


@dataclass(frozen=True, eq=False)
class ReportPart:
    """One analysis, as read from its files.

    Attributes:
        result: entry of results.json.
        detector: what was fitted.
        saliency: content of saliency.json; None where the detector came from elsewhere.
        scores: rows of scores.parquet.
        events: rows of events.parquet.
        truth: the dataset.
        curves: number of videos to draw as examples.
        failures: reasons by name of video or clip.
        figures: those that 'vadprobe figure' has drawn from this analysis.
        tables: content of the JSON files of tables, and of a sweep, that were measured on its features and truth.
        texts: rows about segments that a backbone wrote, with `video_id`, `start_frame`, `stop_frame` and `text`.
        text_commands: commands that made the texts, such as "describe".
        strips: film strips by video.
        job: job file, as a command names it.
        format: name of the annotation's format.
    """

    result: dict[str, Any]
    detector: Detector
    saliency: dict[str, Any] | None
    scores: pa.Table
    events: pa.Table
    truth: Dataset
    curves: int
    failures: dict[str, str]
    figures: tuple[StoredFigure, ...] = ()
    tables: tuple[Mapping[str, Any], ...] = ()
    texts: pa.Table | None = None
    text_commands: tuple[str, ...] = ()
    strips: Mapping[str, FilmStrip] = field(default_factory=dict)
    job: str = "JOB"
    format: str = ""


def labels_of(parts: Sequence[ReportPart]) -> list[str]:
    """Return a name for each analysis: its preset, and as much more as tells it from the others."""
    words = [
        (
            part.result["preset"],
            part.result["dataset"],
            part.detector.features.backbone.key,
            f"prompt {part.detector.features.prompt.key}",
            part.job,
        )
        for part in parts
    ]
    for count in range(1, 6):
        names = [", ".join(one[:count]) for one in words]
        if len(set(names)) == len(names):
            return names
    return [f"{name} ({number})" for number, name in enumerate(names, 1)]
