"""A benchmark: the scores of a detector against frame-level truth, with everything they have to be compared with."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from vadprobe.analyze.calibration.overlap import check_overlap, overlapping
from vadprobe.analyze.compute.step_cache import CachedResult, StepCache
from vadprobe.analyze.configuration import AnalysisConfig
from vadprobe.analyze.detector.detector import Detector
from vadprobe.analyze.detector.scoring import Scores
from vadprobe.analyze.evaluation.baselines import BASELINES
from vadprobe.analyze.evaluation.evaluation import BootstrapConfig, Evaluation, null_for_nan
from vadprobe.analyze.evaluation.ground_truth import GroundTruth, ground_truth
from vadprobe.analyze.evaluation.measuring import evaluate_scores, video_table
from vadprobe.analyze.evaluation.segment_scores import SegmentScores
from vadprobe.analyze.features.inputs import AnalysisInputs
from vadprobe.store.datasets.validation_split import held_out_notes
from vadprobe.store.files.atomic_files import write_json
from vadprobe.store.files.digests import digest_arrays
from vadprobe.store.files.parquet import write_parquet


@dataclass(frozen=True, eq=False)
class Result:
    """One method's numbers on one split.

    `evaluation` is None, and every number unknown, where no scored video has a label. `missing_videos` are labelled
    videos of the split without scores (not extracted, or not readable): they are in no number. `overlap` names
    reported videos that something was fitted or tuned on; it is empty unless that was allowed. `held_out` names test
    videos that were taken out of the split. `videos` has one row per measured video. `notes` say what the backbone's
    weights allow to be said, here and where it was fitted.
    """

    preset: str
    method: str
    dataset: str
    split: str
    sigma: float
    threshold: float
    evaluation: Evaluation | None
    n_videos_unlabelled: int
    missing_videos: tuple[str, ...]
    overlap: tuple[str, ...]
    selection: dict[str, Any]
    feature_digest: str
    provenance: dict[str, Any]
    videos: pa.Table | None = None
    notes: tuple[str, ...] = ()
    held_out: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values in one level; unknown numbers are null."""
        if self.evaluation is not None:
            numbers = self.evaluation.to_json()
        else:
            numbers = dict.fromkeys(field.name for field in fields(Evaluation)) | _NOTHING_MEASURED
        mine = {
            name: getattr(self, name)
            for name in (
                *("preset", "method", "dataset", "split", "sigma", "threshold", "n_videos_unlabelled"),
                *("missing_videos", "overlap", "held_out", "selection", "feature_digest", "provenance", "notes"),
            )
        }
        return null_for_nan({**numbers, **mine, "caveats": self.caveats})

    @property
    def caveats(self) -> tuple[str, ...]:
        """All that a reader must know before believing a number."""
        return (*self.notes, *self.warnings, *(self.evaluation.caveats if self.evaluation else ()))

    @property
    def warnings(self) -> tuple[str, ...]:
        """Caveats that the scores and the truth do not tell: who else has seen these videos, and which are missing."""
        found = []
        if self.evaluation is None:
            found.append(f"No scored video of the split {self.split!r} has a label, so no number is known.")
        if self.overlap:
            found.append(overlap_warning(self.overlap))
        found += held_out_notes(self.dataset, self.held_out)
        if self.missing_videos:
            found.append(
                f"{len(self.missing_videos)} labelled videos of the split have no scores and are in no number: not "
                "comparable with results on the whole split."
            )
        return tuple(found)


_NOTHING_MEASURED: dict[str, Any] = {
    "n_videos": 0,
    "n_videos_positive": 0,
    "n_frames": 0,
    "n_positive": 0,
    "n_frames_unknown": 0,
    "baselines": {},
    "classes": {},
    "intervals": {},
    "event_map": {},
    "ground_truth_digest": None,
}


def evaluate(
    inputs: AnalysisInputs, config: AnalysisConfig, detector: Detector, scores: Scores, cache: StepCache
) -> Result:
    """Measure the scores of the test split on every frame of its labelled videos. The numbers are kept as a step.

    Raises:
        VadprobeError: if something was fitted or tuned on a reported video and the job does not allow it.
    """
    scored = set(scores.table.video_ids)
    videos = inputs.truth.of_split("test")
    present = [video for video in videos if video.video_id in scored]
    labelled = [video for video in present if video.label is not None]
    overlap = find_overlap(inputs, detector, [video.video_id for video in labelled], config.allow_overlap)
    evaluation, rows = None, None
    threshold = detector.locator.threshold
    if labelled:
        truth = ground_truth(inputs.truth, labelled)
        settings = BootstrapConfig(config.evaluation.resamples, config.evaluation.seed, config.evaluation.confidence)
        segments = _segments(truth, scores.subset({video.video_id for video in labelled}))
        evaluation, rows = measured(cache, truth, segments, threshold, settings)
    return Result(
        preset=config.preset,
        method=detector.selection.method,
        dataset=inputs.truth.name,
        split="test",
        sigma=detector.locator.sigma,
        threshold=threshold,
        evaluation=evaluation,
        n_videos_unlabelled=len(present) - len(labelled),
        missing_videos=tuple(v.video_id for v in videos if v.video_id not in scored and v.label is not None),
        overlap=overlap,
        selection={
            "unit": detector.selection.unit,
            "method": detector.selection.method,
            "indices": [list(index) for index in detector.selection.indices],
        },
        feature_digest=inputs.feature_digest,
        provenance=detector.provenance,
        videos=rows,
        notes=notes_of(inputs, detector),
        held_out=inputs.truth.held_out,
    )


def notes_of(inputs: AnalysisInputs, detector: Detector) -> tuple[str, ...]:
    """Return the notes on the features that are scored, then those on which the detector was fitted, each once."""
    return tuple(dict.fromkeys((*inputs.store.spec.notes, *detector.features.notes)))


def _segments(truth: GroundTruth, scores: Scores) -> SegmentScores:
    table, rows = scores.table, scores.rows
    names = [table.video_ids[code] for code in table.video_codes[rows]]
    return SegmentScores.of_videos(truth, names, table.start_frames[rows], table.stop_frames[rows], scores.smoothed)


def measured(
    cache: StepCache, truth: GroundTruth, segments: SegmentScores, threshold: float, settings: BootstrapConfig
) -> tuple[Evaluation, pa.Table]:
    """Measure every number of one method and its table of videos, kept under the digest of scores and truth."""

    def compute() -> CachedResult:
        sink = pa.BufferOutputStream()
        rows = video_table(truth, segments, threshold)
        with pa.ipc.new_stream(sink, rows.schema) as writer:
            writer.write_table(rows)
        content = np.frombuffer(sink.getvalue(), dtype=np.uint8)
        return CachedResult(evaluate_scores(truth, segments, threshold, settings).to_json(), {"videos": content})

    arrays = [segments.codes, segments.start_frames, segments.stop_frames, segments.scores]
    key = {
        "scores": digest_arrays(arrays),
        "videos": list(truth.video_ids),
        "ground_truth": truth.digest,
        "categories": list(truth.categories),
        "threshold": repr(threshold),
        "bootstrap": asdict(settings),
    }
    kept = cache.result("evaluation", key, compute)
    return Evaluation.from_json(kept.values), pa.ipc.open_stream(kept.arrays["videos"].tobytes()).read_all()


def find_overlap(
    inputs: AnalysisInputs, detector: Detector, reported: Sequence[str], allow_overlap: bool
) -> tuple[str, ...]:
    """Find the reported videos that the detector was fitted or tuned on.

    Raises:
        VadprobeError: if there are some, unless that is allowed.
    """
    fingerprints = {video.video_id: video.fingerprint for video in inputs.probed}
    named = {name: fingerprints.get(name, "") for name in reported}
    found: set[str] = set()
    same_dataset = detector.provenance.get("dataset") == inputs.truth.name
    for what in ("fitted", "tuned"):
        used = detector.provenance.get(f"{what}_on", {})
        names = overlapping(named, used, same_dataset=same_dataset)
        check_overlap(names, what, allow_overlap)
        found |= set(names)
    return tuple(sorted(found))


def overlap_warning(videos: Sequence[str]) -> str:
    """Return the caveat of numbers of videos that something was fitted or tuned on."""
    return (
        f"Fitted or tuned on {len(videos)} of the reported videos, as allowed by allow_overlap: these numbers say "
        "nothing about new videos."
    )


def write_results(results: Sequence[Result], folder: Path) -> Path:
    """Write `results.json`, `results.parquet` and `videos.parquet`; returns the JSON's path."""
    values = [result.to_json() for result in results]
    write_json(folder / "results.json", {"results": values})
    write_parquet(pa.Table.from_pylist([_flat(value) for value in values]), folder / "results.parquet")
    tables = [
        result.videos.append_column("preset", pa.array([result.preset] * len(result.videos), pa.string()))
        for result in results
        if result.videos is not None
    ]
    if tables:
        write_parquet(pa.concat_tables(tables), folder / "videos.parquet")
    return folder / "results.json"


def _flat(result: dict[str, Any]) -> dict[str, Any]:
    """Flatten a result to one row: numbers and words, intervals and baselines as columns of their own."""
    row = {name: value for name, value in result.items() if not isinstance(value, dict | list)}
    for name, ends in result["intervals"].items():
        row[f"{name}_low"], row[f"{name}_high"] = ends
    for name, metrics in result["baselines"].items():
        row.update({f"{name}_{metric}": number for metric, number in metrics.items()})
    return {**row, "selection": str(result["selection"]["indices"])}


def format_table(results: Sequence[dict[str, Any]]) -> str:
    """Format entries of results.json as lines of text, intervals and baselines below each."""
    columns = ("auc", "ap_step", "pr_area_trapezoid", "auc_macro", "f1")
    heading = "".join(f"{name:>10}" for name in ("AUC", "AP", "PR area", "macro AUC", "F1", "videos", "frames"))
    lines = [" " * 32 + heading]
    for result in results:
        name = f"{result['preset']} on {result['dataset']} ({result['split']})"
        lines.append(
            f"{name:32}"
            + "".join(_cell(result[column]) for column in columns)
            + f"{result['n_videos']:10d}{result['n_frames']:10d}"
        )
        for place, word in ((0, "from"), (1, "to")):
            ends = {metric: ends[place] for metric, ends in result["intervals"].items()}
            if ends:
                share = f"{result['bootstrap']['confidence']:.0%} of resamples, {word}"
                lines.append(f"{'  ' + share:32}" + "".join(_cell(ends.get(c)) if c in ends else "" for c in columns))
        for baseline in BASELINES if result["baselines"] else ():
            metrics = result["baselines"][baseline]
            cells = "".join(_cell(metrics[column]) for column in columns if column in metrics)
            lines.append(f"{'  baseline ' + baseline:32}{cells}")
        lines += [f"  Note: {caveat}" for caveat in result["caveats"]]
    return "\n".join(lines)


def _cell(value: float | None) -> str:
    return f"{'unknown':>10}" if value is None or math.isnan(value) else f"{value:10.4f}"
