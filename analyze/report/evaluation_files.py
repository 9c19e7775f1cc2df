"""Files of an evaluation: metrics.json, videos.parquet, curves.png, videos.png, events.parquet and events.json."""

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from vadprobe.analyze.evaluation.evaluation import Evaluation
from vadprobe.analyze.evaluation.ground_truth import GroundTruth
from vadprobe.analyze.evaluation.measuring import known_clips, video_table
from vadprobe.analyze.evaluation.metrics import Ranking, rank
from vadprobe.analyze.evaluation.reliability import Reliability, reliability
from vadprobe.analyze.evaluation.segment_scores import SegmentScores
from vadprobe.analyze.figures.evaluations import Timeline, ranking_curves, score_timelines
from vadprobe.analyze.locator.event_files import EVENTS_JSON, EVENTS_PARQUET, ScoredVideos, events_table, write_events
from vadprobe.analyze.locator.segments import LocatedTruth
from vadprobe.store.errors import VadprobeError
from vadprobe.store.files.atomic_files import write_bytes, write_json
from vadprobe.store.files.parquet import write_parquet

_DRAWN = 6
_MOST_STEPS = 4000


@dataclass(frozen=True, eq=False)
class Measured:
    """An evaluation with its scores and truth, and further content of its file (settings, notes, other readings).

    `fps` has the frames per second of the videos for which they are known.
    """

    truth: GroundTruth
    scores: SegmentScores
    evaluation: Evaluation
    context: Mapping[str, Any]
    fps: Mapping[str, float] = field(default_factory=dict)

    @cached_property
    def reliability(self) -> Reliability | None:
        """Reliability of the scores as probabilities; None if a score is outside [0, 1], or none is known."""
        clips, _ = known_clips(self.truth, self.scores)
        if len(clips) == 0 or clips.scores.min() < 0 or clips.scores.max() > 1:
            return None
        return reliability(clips, self.evaluation.bootstrap)

    @cached_property
    def events(self) -> pa.Table | None:
        """Segments at the threshold, one row each; None without a threshold."""
        if math.isnan(self.evaluation.threshold):
            return None
        truth, scores = self.truth, self.scores
        videos = ScoredVideos(
            names=truth.video_ids,
            splits=[self.context.get("split")] * len(truth.video_ids),
            fps=np.array([self.fps.get(name, math.nan) for name in truth.video_ids]),
            codes=scores.codes,
            start_frames=scores.start_frames,
            stop_frames=scores.stop_frames,
            scores=scores.scores,
        )
        is_known = (truth.labels == 0) | (truth.n_positive > 0)
        intervals = truth.interval_codes, truth.interval_starts, truth.interval_stops
        return events_table(videos, self.evaluation.threshold, LocatedTruth(is_known, intervals))


def write_evaluation(measured: Measured, folder: Path) -> tuple[str, ...]:
    """Write all files, each whole or not at all, replacing those of an earlier run.

    Returns:
        Names of the files. There is no curves.png if the scored frames are of one class, and there are no files of
        events without a threshold; such files of an earlier run are removed.

    Raises:
        VadprobeError: if the folder cannot be made or written.
    """
    evaluation = measured.evaluation
    notes = [*measured.context.get("notes", ()), *evaluation.caveats]
    found = measured.reliability
    as_probabilities = {"reliability": None if found is None else found.to_json()}
    metrics = {**evaluation.to_json(), **as_probabilities, **measured.context, "notes": notes}
    table = video_table(measured.truth, measured.scores, evaluation.threshold)
    pictures = _pictures(measured)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / "metrics.json", metrics)
        write_parquet(table, folder / "videos.parquet")
        for name, content in pictures.items():
            if content is None:
                (folder / name).unlink(missing_ok=True)
            else:
                write_bytes(folder / name, content)
        events = _write_events(measured, folder, notes)
    except (OSError, ValueError) as error:
        raise VadprobeError(f"the folder {folder} cannot be written ({error}); name another with --out.") from error
    drawn = (name for name, content in pictures.items() if content is not None)
    return ("metrics.json", "videos.parquet", *drawn, *events)


def _write_events(measured: Measured, folder: Path, notes: Sequence[str]) -> tuple[str, ...]:
    """Write the files of detected segments, or remove those of an earlier run; return the names of the files."""
    names = (EVENTS_PARQUET, EVENTS_JSON)
    if measured.events is None:
        for name in names:
            (folder / name).unlink(missing_ok=True)
        return ()
    origin = {name: measured.context.get(name) for name in ("dataset", "scores")}
    write_events(measured.events, folder, {**origin, "threshold": measured.evaluation.threshold}, notes)
    return names


def _pictures(measured: Measured) -> dict[str, bytes | None]:
    timelines = _timelines(measured)
    with warnings.catch_warnings():
        # A video's name may have letters that the font lacks; they are drawn as boxes.
        warnings.filterwarnings("ignore", r"Glyph .* missing from", UserWarning)
        return {
            "curves.png": ranking_picture(measured.truth, measured.scores),
            "videos.png": score_timelines(timelines, measured.evaluation.threshold) if timelines else None,
        }


def ranking_picture(truth: GroundTruth, scores: SegmentScores) -> bytes | None:
    """Draw ROC and precision-recall curves of scores and baselines; None if the frames are of one class."""
    clips, _ = known_clips(truth, scores)
    both = clips.positives.any() and clips.negatives.any()
    return ranking_curves(clips.ranking(), _baseline_rankings(truth)) if both else None


def _baseline_rankings(truth: GroundTruth) -> dict[str, Ranking]:
    positives, negatives = truth.n_positive, truth.n_frames - truth.n_positive
    return {
        "true video label": rank(truth.labels, positives, negatives),
        "shorter video": rank(-truth.n_frames, positives, negatives),
    }


def _timelines(measured: Measured) -> list[Timeline]:
    """Return the scores of videos chosen by name and truth alone, never by scores; anomalous ones come first."""
    truth, scores, detected = measured.truth, measured.scores, _detected(measured)
    marked = [code for code, n in enumerate(truth.n_positive.tolist()) if n]
    plain = [code for code, n in enumerate(truth.n_positive.tolist()) if not n and truth.n_frames[code]]
    n_plain = min(len(plain), 2 if marked else _DRAWN)
    spread = np.unique(np.linspace(0, len(marked) - 1, min(len(marked), _DRAWN - n_plain)).round().astype(int))
    timelines = []
    for code in [marked[place] for place in spread.tolist()] + plain[:n_plain]:
        mine = scores.codes == code
        edges, steps = _thinned(np.append(scores.start_frames[mine], truth.n_frames[code]), scores.scores[mine])
        inside = truth.interval_codes == code
        intervals = zip(truth.interval_starts[inside].tolist(), truth.interval_stops[inside].tolist(), strict=True)
        kind = truth.categories[code] or ("anomalous" if truth.labels[code] else "normal")
        title = f"{truth.video_ids[code]}: {kind}"
        timelines.append(Timeline(title, edges, steps, tuple(intervals), tuple(detected[truth.video_ids[code]])))
    return timelines


def _detected(measured: Measured) -> dict[str, list[tuple[int, int]]]:
    """Return the half-open frames of the anomalous segments of each video."""
    found: dict[str, list[tuple[int, int]]] = {name: [] for name in measured.truth.video_ids}
    if measured.events is not None:
        rows = measured.events.filter(pc.equal(measured.events["kind"], "anomalous"))
        columns = (rows[name].to_pylist() for name in ("video_id", "start_frame", "stop_frame"))
        for name, start, stop in zip(*columns, strict=True):
            found[name].append((start, stop))
    return found


def _thinned(edges: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Reduce steps to about the width of a picture: groups of neighbours become their highest and lowest score."""
    if len(scores) <= _MOST_STEPS:
        return edges, scores
    bounds = np.linspace(0, len(scores), _MOST_STEPS // 2 + 1).astype(np.int64)
    ends = edges[bounds].astype(np.float64)
    pairs = np.stack([np.fmax.reduceat(scores, bounds[:-1]), np.fmin.reduceat(scores, bounds[:-1])], axis=1)
    halves = np.stack([ends[:-1], (ends[:-1] + ends[1:]) / 2], axis=1)
    return np.append(halves.ravel(), ends[-1]), pairs.ravel()
