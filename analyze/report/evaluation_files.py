"""Files of an evaluation: metrics.json, videos.parquet, curves.png and videos.png."""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vadprobe.analyze.evaluation.evaluation import Evaluation
from vadprobe.analyze.evaluation.ground_truth import GroundTruth
from vadprobe.analyze.evaluation.measuring import known_clips, video_table
from vadprobe.analyze.evaluation.metrics import Ranking, rank
from vadprobe.analyze.evaluation.segment_scores import SegmentScores
from vadprobe.analyze.figures.evaluations import Timeline, ranking_curves, score_timelines
from vadprobe.store.errors import VadprobeError
from vadprobe.store.files.atomic_files import write_bytes, write_json
from vadprobe.store.files.parquet import write_parquet

_DRAWN = 6
_MOST_STEPS = 4000


@dataclass(frozen=True, eq=False)
class Measured:
    """An evaluation with its sources, and what else its file says (settings, notes, other readings)."""

    truth: GroundTruth
    scores: SegmentScores
    evaluation: Evaluation
    context: Mapping[str, Any]


def write_evaluation(measured: Measured, folder: Path) -> tuple[str, ...]:
    """Write all files, each whole or not at all; a file of the same name is replaced.

    Returns:
        Names of the files: curves.png only where frames of both classes have scores (one of an earlier run is removed).

    Raises:
        VadprobeError: if the folder cannot be made or written.
    """
    evaluation = measured.evaluation
    notes = [*measured.context.get("notes", ()), *evaluation.caveats]
    metrics = {**evaluation.to_json(), **measured.context, "notes": notes}
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
    except (OSError, ValueError) as error:
        raise VadprobeError(f"the folder {folder} cannot be written ({error}); name another with --out.") from error
    return ("metrics.json", "videos.parquet", *(name for name, content in pictures.items() if content is not None))


def _pictures(measured: Measured) -> dict[str, bytes | None]:
    clips, _ = known_clips(measured.truth, measured.scores)
    both = clips.positives.any() and clips.negatives.any()
    timelines = _timelines(measured)
    with warnings.catch_warnings():
        # A video's name may have letters that the font has not; they are drawn as boxes.
        warnings.filterwarnings("ignore", r"Glyph .* missing from", UserWarning)
        return {
            "curves.png": ranking_curves(clips.ranking(), _baseline_rankings(measured.truth)) if both else None,
            "videos.png": score_timelines(timelines, measured.evaluation.threshold) if timelines else None,
        }


def _baseline_rankings(truth: GroundTruth) -> dict[str, Ranking]:
    positives, negatives = truth.n_positive, truth.n_frames - truth.n_positive
    return {
        "true video label": rank(truth.labels, positives, negatives),
        "shorter video": rank(-truth.n_frames, positives, negatives),
    }


def _timelines(measured: Measured) -> list[Timeline]:
    """Choose videos by name and truth alone, never by how well they went: anomalous ones first, then normal ones."""
    truth, scores = measured.truth, measured.scores
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
        timelines.append(Timeline(title, edges, steps, tuple(intervals)))
    return timelines


def _thinned(edges: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Thin to fewer steps than a picture has dots: the highest and lowest score of neighbours, half the frames each."""
    if len(scores) <= _MOST_STEPS:
        return edges, scores
    bounds = np.linspace(0, len(scores), _MOST_STEPS // 2 + 1).astype(np.int64)
    ends = edges[bounds].astype(np.float64)
    pairs = np.stack([np.fmax.reduceat(scores, bounds[:-1]), np.fmin.reduceat(scores, bounds[:-1])], axis=1)
    halves = np.stack([ends[:-1], (ends[:-1] + ends[1:]) / 2], axis=1)
    return np.append(halves.ravel(), ends[-1]), pairs.ravel()
