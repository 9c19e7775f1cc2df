"""What an evaluation leaves in its folder: metrics.json, videos.parquet, curves.png and videos.png."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vadprobe.analyze.evaluation import Evaluation, video_table
from vadprobe.analyze.figures import Timeline, ranking_curves, score_timelines
from vadprobe.analyze.ground_truth import GroundTruth
from vadprobe.analyze.metrics import Ranking, rank
from vadprobe.analyze.segment_scores import SegmentScores
from vadprobe.store.clips import write_parquet
from vadprobe.store.durable import write_bytes, write_json

_DRAWN = 6


@dataclass(frozen=True, eq=False)
class Measured:
    """An evaluation with what it was made of, and what else the file has to say (settings, notes, other readings)."""

    truth: GroundTruth
    scores: SegmentScores
    evaluation: Evaluation
    context: Mapping[str, Any]


def write_evaluation(measured: Measured, folder: Path) -> None:
    """Write all files, each whole or not at all; a file of the same name is replaced."""
    folder.mkdir(parents=True, exist_ok=True)
    evaluation = measured.evaluation
    write_json(folder / "metrics.json", {**evaluation.to_json(), **measured.context, "notes": list(_notes(measured))})
    write_parquet(video_table(measured.truth, measured.scores, evaluation.threshold), folder / "videos.parquet")
    ranking = _ranking(measured)
    if ranking is not None and ranking.has_both_classes:
        write_bytes(folder / "curves.png", ranking_curves(ranking, _baseline_rankings(measured.truth)))
    write_bytes(folder / "videos.png", score_timelines(_timelines(measured), evaluation.threshold))


def _notes(measured: Measured) -> tuple[str, ...]:
    return (*measured.context.get("notes", ()), *measured.evaluation.caveats)


def _ranking(measured: Measured) -> Ranking | None:
    scores = measured.scores
    counts = measured.truth.counts(scores.codes, scores.start_frames, scores.stop_frames)
    known = ~np.isnan(scores.scores)
    return rank(scores.scores[known], counts[0][known], counts[1][known]) if known.any() else None


def _baseline_rankings(truth: GroundTruth) -> dict[str, Ranking]:
    positives, negatives = truth.n_positive, truth.n_frames - truth.n_positive
    return {
        "true video label": rank(truth.labels.astype(np.float64), positives, negatives),
        "shorter video": rank(-truth.n_frames.astype(np.float64), positives, negatives),
    }


def _timelines(measured: Measured) -> list[Timeline]:
    """Videos chosen by name and truth alone, never by how well they went: anomalous ones first, then normal ones."""
    truth, scores = measured.truth, measured.scores
    marked = [code for code, n in enumerate(truth.n_positive.tolist()) if n]
    plain = [code for code, n in enumerate(truth.n_positive.tolist()) if not n]
    n_plain = min(len(plain), 2 if marked else _DRAWN)
    spread = np.unique(np.linspace(0, len(marked) - 1, min(len(marked), _DRAWN - n_plain)).round().astype(int))
    timelines = []
    for code in [marked[place] for place in spread.tolist()] + plain[:n_plain]:
        mine = scores.codes == code
        edges = np.append(scores.start_frames[mine], truth.n_frames[code])
        inside = truth.interval_codes == code
        intervals = zip(truth.interval_starts[inside].tolist(), truth.interval_stops[inside].tolist(), strict=True)
        kind = truth.categories[code] or ("anomalous" if truth.labels[code] else "normal")
        timelines.append(Timeline(f"{truth.video_ids[code]}: {kind}", edges, scores.scores[mine], tuple(intervals)))
    return timelines
