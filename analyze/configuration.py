"""The settings of stage 2 that a job file holds. Beside each default stands what the paper says."""

from typing import Literal

from pydantic import Field, model_validator

from vadprobe.analyze.probe_settings import HIDDEN, ClassWeight, Convention, ProbeKind, contradiction
from vadprobe.store.configuration import Section


class CalibrationConfig(Section):
    """Which training samples everything is fitted on."""

    unit: Literal["video", "segment"] = Field(
        default="video", description="both papers: one vector per calibration video, frames sampled over all of it"
    )
    fraction: float = Field(default=0.01, gt=0, le=1, description="both papers: one per cent of the training videos")
    seed: int = Field(default=0, ge=0)
    segment_label: Literal["video", "interval"] = Field(
        default="video", description="with unit 'segment': the label of the video, or whether an interval covers it"
    )


class ProbeConfig(Section):
    """The probe on the selected features; both papers fit logistic regression (HP8, HH10-11)."""

    kind: ProbeKind = Field(default="logistic", description="both papers; the other kinds are for comparison")
    c: float = Field(default=1.0, gt=0, description="inverse regularisation; 'inf' is as the equations are printed")
    max_iterations: int = Field(
        default=1000, ge=1, description="HiProbe: 1000 iterations of L-BFGS; HeadHunt's code: 2000 of liblinear"
    )
    class_weight: ClassWeight | None = None
    hidden: int = Field(default=HIDDEN, ge=1, description="hidden units of kind 'mlp'")
    seed: int = Field(default=0, ge=0, description="of the first weights of kind 'mlp'; nothing else is random")
    convention: Convention = Field(
        default="paper", description="'headhunt-code': liblinear on unscaled features, as HeadHunt's public code"
    )

    @model_validator(mode="after")
    def _parts_fit(self) -> "ProbeConfig":
        refused = contradiction(
            self.kind, C=self.c, class_weight=self.class_weight, hidden=self.hidden, convention=self.convention
        )
        if refused:
            raise ValueError(refused)
        return self


class LocatorConfig(Section):
    """Smoothing of segment scores and the threshold of the binary decision.

    ``threshold`` "grid": the (sigma, threshold) pair of best frame F1 on the videos of ``split`` (HH12). "adaptive":
    mean plus kappa deviations of the calibration probabilities (HP10). A number: that number.
    """

    split: Literal["validation", "test"] = Field(
        default="validation", description="what the grid sees; 'test' is reported too and needs allow_overlap"
    )

    sigmas: tuple[float, ...] = Field(
        default=(1.5,), min_length=1, description="in segments; HiProbe 0.4, HeadHunt 1.5"
    )
    threshold: Literal["grid", "adaptive"] | float = Field(default=0.65, description="HeadHunt: 0.65")
    kappa: float = Field(default=0.2, description="deviations above the mean; the notes record no value of the paper")

    @model_validator(mode="after")
    def _one_sigma_without_grid(self) -> "LocatorConfig":
        if self.threshold != "grid" and len(self.sigmas) > 1:
            raise ValueError("several sigmas can only be tried with threshold = 'grid'")
        if min(self.sigmas) < 0:
            raise ValueError("a sigma must not be negative; 0 means no smoothing")
        return self


class EvaluationConfig(Section):
    """Intervals of the reported numbers: a bootstrap over videos."""

    resamples: int = Field(default=1000, ge=0, description="0: no intervals")
    seed: int = Field(default=0, ge=0)
    confidence: float = Field(default=0.95, gt=0, lt=1)


class AnalysisConfig(Section):
    """Section ``[analysis]``: one method on the cached features."""

    preset: str = Field(description="name of the result: 'hiprobe', 'headhunt', or your own")
    method: Literal["hiprobe", "headhunt"]
    out: str = Field(description="folder of the results")
    detector: str | None = Field(
        default=None,
        description="a detector.json fitted elsewhere; then nothing is fitted here, videos are only scored",
    )
    score_prompt: str | None = Field(default=None, description="the prompt that feeds the probe; by default the first")
    top_heads: int = Field(default=5, ge=1, description="HeadHunt: five heads")
    instability_weight: float = Field(default=0.5, ge=0, description="HeadHunt: lambda = 0.5 (HH9)")
    seed: int = Field(default=0, ge=0, description="of the two-means clustering (HH6)")
    calibration: CalibrationConfig = CalibrationConfig()
    probe: ProbeConfig = ProbeConfig()
    locator: LocatorConfig = LocatorConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    allow_overlap: bool = Field(
        default=False,
        description="report on videos that something was fitted or tuned on, as papers do; the result is stamped",
    )
    workers: int = Field(default=2, ge=0, description="Dask worker processes of one thread; 0 computes in this process")
    curves: int = Field(default=6, ge=0, description="videos drawn in the report")
