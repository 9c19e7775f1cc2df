"""A benchmark: the scores of a detector measured against frame-level ground truth, with baselines and caveats."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import pyarrow as pa

from vadprobe.analyze.compute.step_cache import StepCache
from vadprobe.analyze.configuration import AnalysisConfig
from vadprobe.analyze.detector.detector import Detector
from vadprobe.analyze.detector.fitting import calibrate
from vadprobe.analyze.detector.results.kept_evaluation import measured
from vadprobe.analyze.detector.results.sample_shift import SampleShift, sample_shift
from vadprobe.analyze.detector.results.text_baseline import TextBaseline, text_baselines
from vadprobe.analyze.detector.results.used_videos import (
    find_overlap,
    find_transductive,
    overlap_warning,
    transductive_warning,
)
from vadprobe.analyze.detector.scoring import Scores
from vadprobe.analyze.evaluation.evaluation import BootstrapConfig, Evaluation, null_for_nan
from vadprobe.analyze.evaluation.ground_truth import GroundTruth, ground_truth
from vadprobe.analyze.evaluation.measuring import known_clips
from vadprobe.analyze.evaluation.reliability import Reliability, reliability
from vadprobe.analyze.features.answers import Answers, answer_notes
from vadprobe.analyze.features.inputs import AnalysisInputs
from vadprobe.store.datasets.validation_split import held_out_notes
from vadprobe.store.files.text import counted


@dataclass(frozen=True, eq=False)
class Result:
    """One method's numbers on one split.

    `evaluation` is None, and every number unknown, if no scored video has a label. `videos` has one row per measured
    video.

    `missing_videos` are labelled videos of the split without scores (not extracted, or not readable); no number covers
    them. `overlap` names reported videos that something was fitted or tuned on; it is empty unless the job allowed it.
    `held_out` names test videos that were moved out of the split. `transductive` names videos whose rows the fit saw
    without their labels. `notes` limit what numbers of the scored and of the fitted features may claim.

    `with_context` adds `text_output`, the backbone's own answers as a baseline; `reliability`, the probe's
    probabilities against the truth; and `shift`, the difference between the calibration samples and the scored
    segments.
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
    text_output: tuple[TextBaseline, ...] = ()
    reliability: Reliability | None = None
    shift: SampleShift | None = None
    held_out: tuple[str, ...] = ()
    transductive: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values by name, not nested by attribute; unknown numbers are null."""
        if self.evaluation is not None:
            numbers = self.evaluation.to_json()
        else:
            numbers = dict.fromkeys(field.name for field in fields(Evaluation)) | _NOTHING_MEASURED
        mine = {
            name: getattr(self, name)
            for name in (
                *("preset", "method", "dataset", "split", "sigma", "threshold", "n_videos_unlabelled"),
                *("missing_videos", "overlap", "transductive", "held_out"),
                *("selection", "feature_digest", "provenance", "notes"),
            )
        }
        context = {
            "text_output": [baseline.to_json() for baseline in self.text_output],
            "reliability": None if self.reliability is None else self.reliability.to_json(),
            "shift": None if self.shift is None else self.shift.to_json(),
        }
        return null_for_nan({**numbers, **mine, **context, "caveats": self.caveats})

    @property
    def caveats(self) -> tuple[str, ...]:
        """Everything that a reader must know before relying on a number."""
        return (*self.notes, *self.warnings, *(self.evaluation.caveats if self.evaluation else ()))

    @property
    def warnings(self) -> tuple[str, ...]:
        """Caveats that do not follow from scores and truth: videos used in fitting, held out, or missing."""
        found = []
        if self.evaluation is None:
            found.append(f"No scored video of the split {self.split!r} has a label, so no number is known.")
        if self.overlap:
            found.append(overlap_warning(self.overlap))
        if self.transductive:
            found.append(transductive_warning(self.transductive))
        found += held_out_notes(self.dataset, self.held_out)
        if self.missing_videos:
            found.append(
                f"{counted(len(self.missing_videos), 'labelled video')} of the split without scores, in no "
                "number. These results cannot be compared with results on the whole split."
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
    """Measure the scores of the test split on every frame of its labelled videos. The result is kept as a step.

    Raises:
        VadprobeError: if something was fitted or tuned on a reported video and the job does not allow it.
    """
    scored = set(scores.table.video_ids)
    videos = inputs.truth.of_split("test")
    present = [video for video in videos if video.video_id in scored]
    labelled = [video for video in present if video.label is not None]
    overlap = find_overlap(inputs, detector, [video.video_id for video in labelled], config.allow_overlap)
    names = [video.video_id for video in present]
    seen = find_transductive(inputs, detector, names, config.allow_transductive)
    evaluation, rows = None, None
    threshold = detector.locator.threshold
    if labelled:
        truth = ground_truth(inputs.truth, labelled)
        segments = scores.laid(truth, scores.smoothed)
        evaluation, rows = measured(cache, truth, segments, threshold, _settings(config))
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
        transductive=seen,
    )


def with_context(
    result: Result,
    inputs: AnalysisInputs,
    config: AnalysisConfig,
    detector: Detector,
    scores: Scores,
    answers: Mapping[str, Answers],
    cache: StepCache,
) -> Result:
    """Return the result with text output, reliability and shift added.

    Args:
        result: from `evaluate` with the same arguments.
        inputs, config, detector, scores: of the analysis.
        answers: by prompt, for the rows of `scores`.
        cache: of steps.
    """
    settings, truth = _settings(config), _measured_truth(inputs, scores)
    found = None
    if truth is not None:
        clips, _ = known_clips(truth, scores.laid(truth, scores.raw))
        found = reliability(clips, settings) if len(clips) else None
    if inputs.calibration:
        calibration, _ = calibrate(inputs, config.calibration)
        shift = sample_shift(inputs, calibration, detector.selection, settings, cache)
    else:
        shift = SampleShift(reason="the detector was fitted elsewhere, and its calibration samples are not here")
    texts = measured_answers(inputs, config, detector, scores, answers, cache)
    return replace(result, text_output=texts, reliability=found, shift=shift)


def measured_answers(
    inputs: AnalysisInputs,
    config: AnalysisConfig,
    detector: Detector,
    scores: Scores,
    answers: Mapping[str, Answers],
    cache: StepCache,
) -> tuple[TextBaseline, ...]:
    """Measure the answers to every prompt on the videos that `evaluate` measures; arguments as for `with_context`."""
    truth = _measured_truth(inputs, scores)
    notes = answer_notes(inputs.store.spec)
    return text_baselines(answers, scores, truth, detector.locator, _settings(config), cache, notes)


def _measured_truth(inputs: AnalysisInputs, scores: Scores) -> GroundTruth | None:
    """Return the truth of the labelled test videos that have scores; None without any."""
    scored = set(scores.table.video_ids)
    videos = [v for v in inputs.truth.of_split("test") if v.video_id in scored and v.label is not None]
    return ground_truth(inputs.truth, videos) if videos else None


def _settings(config: AnalysisConfig) -> BootstrapConfig:
    return BootstrapConfig(config.evaluation.resamples, config.evaluation.seed, config.evaluation.confidence)


def notes_of(inputs: AnalysisInputs, detector: Detector) -> tuple[str, ...]:
    """Return the notes on the features that are scored, then those on which the detector was fitted, each once."""
    return tuple(dict.fromkeys((*inputs.store.spec.notes, *detector.features.notes)))
