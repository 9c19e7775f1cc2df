"""A job as figures use it: settings, open stores, calibration, selection, detector and scores, each computed once."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from vadprobe.analyze.calibration.calibration import Calibration
from vadprobe.analyze.compute.scheduling import Scheduler
from vadprobe.analyze.compute.step_cache import StepCache
from vadprobe.analyze.configuration import AnalysisConfig
from vadprobe.analyze.detector.detector import Detector
from vadprobe.analyze.detector.fitting import calibrate, fit
from vadprobe.analyze.detector.scoring import Scores, score
from vadprobe.analyze.detector.selection_rules import Choice, choose
from vadprobe.analyze.features.inputs import AnalysisInputs
from vadprobe.store.errors import VadprobeError
from vadprobe.store.format.specification import BackboneSpec

Found = TypeVar("Found")

EfficiencyRow = tuple[str, float | None, float | None]
"""One way of scoring: (name, seconds per segment, TFLOP per segment); None is unknown."""


@dataclass(frozen=True, eq=False)
class FigureSource:
    """One job, changed to the method of a figure.

    `job` is its name for messages. `texts` are the backbone's texts about segments, by (video, start frame, stop
    frame), and `text_file` is their file, beside which timings may lie. `videos` are the test videos that the user
    named, in order.
    """

    job: str
    config: AnalysisConfig
    inputs: AnalysisInputs
    cache: StepCache
    scheduler: Scheduler
    texts: Mapping[tuple[str, int, int], str] = field(default_factory=dict)
    videos: tuple[str, ...] = ()
    text_file: Path | None = None

    @property
    def backbone(self) -> BackboneSpec:
        """The backbone of the features."""
        return self.inputs.store.spec.backbone

    @property
    def label(self) -> str:
        """Backbone and dataset, as legends name a job."""
        return f"{self.backbone.key}, {self.inputs.truth.name}"

    @cached_property
    def calibration(self) -> Calibration:
        """Calibration set of the job's draw."""
        return calibrate(self.inputs, self.config.calibration)[0]

    @property
    def counts(self) -> tuple[int, int]:
        """Numbers of normal and of anomalous calibration samples."""
        anomalous = int(self.calibration.labels.sum())
        return len(self.calibration.labels) - anomalous, anomalous

    @property
    def samples(self) -> str:
        """Calibration samples in words."""
        what = "videos" if self.calibration.unit == "video" else "segments"
        normal, anomalous = self.counts
        return f"{normal + anomalous} calibration {what} ({normal} normal, {anomalous} anomalous)"

    @cached_property
    def choice(self) -> Choice:
        """Selection by the job's rule, with its details."""
        return choose(self.inputs, self.config, self.calibration, self.cache, self.scheduler)

    @property
    def ranking(self) -> Mapping[str, Any]:
        """Details of the selection, as an analysis writes them to saliency.json.

        Raises:
            VadprobeError: if the job's rule ranks nothing.
        """
        if self.choice.details is None:
            raise VadprobeError(f"the rule {self.config.rule!r} ranks nothing, so there is no saliency to draw.")
        return self.choice.details

    @cached_property
    def detector(self) -> Detector:
        """Detector of the job, fitted as an analysis fits it."""
        return fit(self.inputs, self.config, self.cache, self.scheduler).detector

    @cached_property
    def scores(self) -> Scores:
        """Scores of the validation and test segments, as an analysis scores them.

        Raises:
            VadprobeError: if no such video is in the store.
        """
        rows = self.inputs.rows_to_score()
        if len(rows) == 0:
            raise VadprobeError(f"no validation or test video of {self.inputs.truth.name!r} is in the store.")
        return score(self.inputs, self.detector, rows, self.cache, self.scheduler)

    def to_json(self) -> dict[str, Any]:
        """Return the job, dataset, backbone, samples, digests and notes as plain JSON values."""
        normal, anomalous = self.counts
        return {
            "job": self.job,
            "dataset": self.inputs.truth.name,
            "backbone": self.backbone.key,
            "prompt": self.inputs.score_prompt,
            "ranked_prompts": list(self.inputs.ranked_prompts),
            "calibration_unit": self.calibration.unit,
            "n_normal": normal,
            "n_anomalous": anomalous,
            "calibration": self.calibration.digest,
            "features": self.inputs.feature_digest,
            "notes": list(self.inputs.store.spec.notes),
        }


def of_each(
    sources: Sequence[FigureSource], gather: Callable[[FigureSource], Found]
) -> tuple[list[tuple[FigureSource, Found]], tuple[str, ...]]:
    """Apply `gather` to every job; return the jobs with their results, and notes on jobs for which it fails.

    Raises:
        VadprobeError: the error of the first job, if it fails for all.
    """
    found, reasons = [], []
    for source in sources:
        try:
            found.append((source, gather(source)))
        except VadprobeError as error:
            reasons.append((source, error))
    if not found:
        raise reasons[0][1]
    return found, tuple(f"{source.job} is left out: {error}" for source, error in reasons)


def notes_of(sources: Sequence[FigureSource]) -> tuple[str, ...]:
    """Return the sentences that limit what numbers of the backbones may claim, each once."""
    return tuple(dict.fromkeys(note for source in sources for note in source.inputs.store.spec.notes))
