"""A benchmark: scores against frame-level truth, with the trivial baselines beside them."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from vadprobe.analyze.baselines import trivial_baselines
from vadprobe.analyze.detector import Detector
from vadprobe.analyze.fitting import row_counts
from vadprobe.analyze.inputs import AnalysisInputs
from vadprobe.analyze.metrics import Ranking, average_precision, f1, precision_recall_area, rank, roc_auc
from vadprobe.analyze.scoring import Scores
from vadprobe.store.clips import write_parquet
from vadprobe.store.durable import write_json
from vadprobe.store.records import Video

_NAN = float("nan")


@dataclass(frozen=True)
class Result:
    """One method's numbers on one split; NaN is unknown.

    ``auc``, ``ap`` (step) and ``ap_trapezoid`` are over all known frames of the labelled videos, pooled. ``auc_gated``
    is of scores set to 0 at or below the threshold, ``auc_binary`` of the binary decision, where it is (TPR + TNR) / 2.
    ``n_frames_unknown`` are frames of clips that could not be read: they are in no number.
    """

    preset: str
    method: str
    dataset: str
    split: str
    auc: float
    ap: float
    ap_trapezoid: float
    auc_gated: float
    auc_binary: float
    f1: float
    sigma: float
    threshold: float
    n_videos: int
    n_videos_unlabelled: int
    n_frames: int
    n_frames_positive: int
    n_frames_unknown: int
    baselines: dict[str, dict[str, float]]
    selection: dict[str, Any]
    feature_digest: str
    ground_truth_digest: str
    provenance: dict[str, Any]

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values; unknown numbers are null."""
        value = _null_for_nan(asdict(self))
        assert isinstance(value, dict)
        return value


def evaluate(inputs: AnalysisInputs, detector: Detector, scores: Scores, split: str = "test") -> Result:
    """Measure the scores of one split on every frame of its labelled videos.

    With no labelled video, or frames of one class only, the numbers are NaN.
    """
    scored = set(scores.table.video_ids)
    videos = [video for video in inputs.truth.videos if video.split == split and video.video_id in scored]
    labelled = [video for video in videos if video.label is not None]
    part = scores.subset({video.video_id for video in labelled})
    positives, negatives = row_counts(inputs.truth, part.table, part.rows)
    known = ~np.isnan(part.smoothed)
    threshold = detector.locator.threshold
    values = part.smoothed[known]
    counts = positives[known], negatives[known]
    numbers = _numbers(values, counts, threshold)
    return Result(
        preset=inputs.config.preset,
        method=detector.selection.method,
        dataset=inputs.truth.name,
        split=split,
        **numbers,
        sigma=detector.locator.sigma,
        threshold=threshold,
        n_videos=len(labelled),
        n_videos_unlabelled=len(videos) - len(labelled),
        n_frames=int(counts[0].sum() + counts[1].sum()),
        n_frames_positive=int(counts[0].sum()),
        n_frames_unknown=int((positives + negatives)[~known].sum()),
        baselines=_baselines(inputs, labelled),
        selection={
            "unit": detector.selection.unit,
            "method": detector.selection.method,
            "indices": [list(index) for index in detector.selection.indices],
        },
        feature_digest=inputs.feature_digest,
        ground_truth_digest=inputs.truth.truth_digest,
        provenance=detector.provenance,
    )


def _numbers(values: np.ndarray, counts: tuple[np.ndarray, np.ndarray], threshold: float) -> dict[str, float]:
    names = ("auc", "ap", "ap_trapezoid", "auc_gated", "auc_binary", "f1")
    if len(values) == 0:
        return dict.fromkeys(names, _NAN)
    ranking = rank(values, *counts)
    above = values > threshold
    return {
        "auc": roc_auc(ranking),
        "ap": average_precision(ranking),
        "ap_trapezoid": precision_recall_area(ranking),
        "auc_gated": _auc(np.where(above, values, 0.0), counts),
        "auc_binary": _auc(above.astype(np.float64), counts),
        "f1": f1(ranking, threshold),
    }


def _auc(values: np.ndarray, counts: tuple[np.ndarray, np.ndarray]) -> float:
    ranking: Ranking = rank(values, *counts)
    return roc_auc(ranking)


def _baselines(inputs: AnalysisInputs, videos: Sequence[Video]) -> dict[str, dict[str, float]]:
    return trivial_baselines(inputs.truth, videos) if videos else {}


def write_results(results: Sequence[Result], folder: Path) -> Path:
    """Write ``results.json`` and ``results.parquet``; returns the JSON's path."""
    values = [result.to_json() for result in results]
    write_json(folder / "results.json", {"results": values})
    flat = [
        {
            **{name: value for name, value in result.items() if not isinstance(value, dict)},
            **{
                f"{name}_{metric}": number
                for name, metrics in result["baselines"].items()
                for metric, number in metrics.items()
            },
            "selection": str(result["selection"]["indices"]),
        }
        for result in values
    ]
    write_parquet(pa.Table.from_pylist(flat), folder / "results.parquet")
    return folder / "results.json"


def format_table(results: Sequence[dict[str, Any]]) -> str:
    """Entries of results.json as lines of text, baselines below each."""
    lines = [f"{'':30} {'AUC':>8} {'AP':>8} {'PR area':>8} {'F1':>8} {'videos':>7} {'frames':>8}"]
    for result in results:
        name = f"{result['preset']} on {result['dataset']} ({result['split']})"
        lines.append(
            f"{name:30} {_cell(result['auc'])} {_cell(result['ap'])} {_cell(result['ap_trapezoid'])} "
            f"{_cell(result['f1'])} {result['n_videos']:7d} {result['n_frames']:8d}"
        )
        for baseline, metrics in result["baselines"].items():
            lines.append(
                f"{'  baseline ' + baseline:30} {_cell(metrics['auc'])} {_cell(metrics['ap'])} "
                f"{_cell(metrics['ap_trapezoid'])}"
            )
    return "\n".join(lines)


def _cell(value: float | None) -> str:
    return f"{'unknown':>8}" if value is None else f"{value:8.4f}"


def _null_for_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _null_for_nan(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_null_for_nan(part) for part in value]
    return None if isinstance(value, float) and np.isnan(value) else value
