"""One analysis as the report page needs it; the caller reads it from its files."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from vadprobe.analyze.detector.detector import Detector
from vadprobe.analyze.figures.drawn import StoredFigure
from vadprobe.store.datasets.dataset import Dataset


@dataclass(frozen=True, eq=False)
class FilmStrip:
    """Strip of small frames of a video, evenly spaced in time: one WebP image of `count` frames side by side."""

    webp: bytes
    count: int


@dataclass(frozen=True, eq=False)
class GeneratedTexts:
    """Texts that a backbone wrote about segments and events.

    Attributes:
        rows: `video_id`, `start_frame`, `stop_frame` and `text`; a text is null if the frames could not be read.
        notice: sentence that marks texts as generated, to be shown with every text.
        commands: commands that generated them, such as "describe".
        notes: sentences about missing texts.
    """

    rows: pa.Table
    notice: str
    commands: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def known(self) -> list[tuple[str, int, int, str]]:
        """Texts that are not null, as (video, first frame, frame after the last, text)."""
        columns = (self.rows[name].to_pylist() for name in ("video_id", "start_frame", "stop_frame", "text"))
        return [row for row in zip(*columns, strict=True) if row[3]]


@dataclass(frozen=True, eq=False)
class ReportPart:
    """One analysis, as read from its files.

    Attributes:
        result: entry of results.json.
        detector: the fitted detector.
        saliency: content of saliency.json; None if the detector was fitted elsewhere.
        scores: rows of scores.parquet.
        events: rows of events.parquet.
        truth: the dataset.
        curves: number of videos to draw as examples.
        failures: reason by name of a video or clip that could not be read.
        figures: figures that 'vadprobe figure' has drawn from this analysis.
        tables: content of the JSON files of tables, and of a sweep, that were measured on the same features and truth.
        texts: texts that a backbone wrote about segments and events.
        strips: film strips by video.
        job: path of the job file, as in a command.
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
    texts: GeneratedTexts | None = None
    strips: Mapping[str, FilmStrip] = field(default_factory=dict)
    job: str = "JOB"
    format: str = ""


def labels_of(parts: Sequence[ReportPart]) -> list[str]:
    """Return a label for each analysis: its preset, with as many further names as make it unique."""
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
